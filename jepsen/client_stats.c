/* load.tsv: one line for each second of the run.
 *
 *   # start 123456789000            ns of CLOCK_MONOTONIC at second 0
 *   # second ok fail info p50_us p99_us max_us
 *   0  998  0  0  412  1803  2911
 *
 * An operation counts in the second in which it ended.  A second in which nothing
 * ended has a line too: silence is what a fault looks like. */
#include <stdlib.h>

#include "base/mem.h"
#include "jepsen/client.h"

int stats_open(struct stats *s, const char *path, uint64_t start)
{
    *s = (struct stats){ .start = start };
    if (path == NULL)
        return 0;
    s->f = fopen(path, "w");
    if (s->f == NULL)
        return -1;
    fprintf(s->f, "# start %llu\n# second\tok\tfail\tinfo\tp50_us\tp99_us\tmax_us\n",
            (unsigned long long)start);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t quantile(const struct stats *s, unsigned percent)
{
    return s->n_us == 0 ? 0 : s->us[(s->n_us - 1) * percent / 100];
}

static void line(struct stats *s)
{
    if (s->n_us > 1)
        qsort(s->us, s->n_us, sizeof *s->us, by_size);
    if (s->f != NULL)
        fprintf(s->f, "%llu\t%lu\t%lu\t%lu\t%u\t%u\t%u\n",
                (unsigned long long)s->second, s->ok, s->fail, s->info,
                quantile(s, 50), quantile(s, 99), quantile(s, 100));
    s->ok = s->fail = s->info = 0;
    s->n_us = 0;
    s->second++;
}

void stats_advance(struct stats *s, uint64_t now)
{
    while (now >= s->start + (s->second + 1) * NS_PER_S)
        line(s);
}

void stats_count(struct stats *s, enum fate fate, uint64_t call, uint64_t now)
{
    uint64_t us = (now - call) / 1000;

    stats_advance(s, now);
    if (fate == FATE_FAIL) {
        s->fail++;
        s->total_fail++;
        return;
    }
    if (fate != FATE_OK) {
        s->info++;
        s->total_info++;
        return;
    }
    s->ok++;
    s->total_ok++;
    if (s->n_us == s->cap_us) {
        s->cap_us = s->cap_us == 0 ? 4096 : s->cap_us * 2;
        s->us = mem_realloc(s->us, s->cap_us * sizeof *s->us);
    }
    s->us[s->n_us++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

int stats_close(struct stats *s, uint64_t now)
{
    int rv = 0;

    stats_advance(s, now);
    if (s->ok + s->fail + s->info > 0)
        line(s);
    if (s->f != NULL && (ferror(s->f) != 0 || fclose(s->f) != 0))
        rv = -1;
    s->f = NULL;
    mem_free(s->us);
    s->us = NULL;
    return rv;
}
