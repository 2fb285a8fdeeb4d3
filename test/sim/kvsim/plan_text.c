/* Plans in words: names of workloads, styles, faults; one line about a plan. */
#include <inttypes.h>
#include <string.h>

#include "kvsim/plan.h"

static const char *const workloads[] = {
#define X(name) #name,
    PLAN_WORKLOAD_MAP(X)
#undef X
};
static const char *const styles[] = {
#define X(name) #name,
    PLAN_STYLE_MAP(X)
#undef X
};
static const char *const kinds[] = {
#define X(name) #name,
    FAULT_MAP(X)
#undef X
};

const char *plan_fault_name(enum fault_kind kind)
{
    return kinds[kind];
}

void plan_print(const struct plan *p, FILE *f)
{
    fprintf(f, "seed %" PRIu64 ": %u nodes, %u shards of %u, %s, %s", p->seed,
            p->nodes, p->shards, p->replicas, workloads[p->workload],
            styles[p->style]);
    fprintf(f, ", %u clients x %u every %u ms, time-out %u ms", p->clients,
            p->pipeline, p->think_ms, p->timeout_ms);
    fprintf(f, ", election %u heartbeat %u ms, segments %" PRIu64
            " kb, tail %" PRIu64 " kb", p->election_ms, p->heartbeat_ms,
            p->segment_bytes >> 10, p->tail_bytes >> 10);
    fprintf(f, ", appends of %" PRIu64 " bytes, %u in flight, deadline %u ms",
            p->append_bytes, p->batches, p->deadline_ms);
    fputs(", faults", f);
    for (unsigned k = 0; k < FAULT_KINDS; k++) {
        if (p->mean_ms[k] != 0)
            fprintf(f, " %s/%ums", kinds[k], p->mean_ms[k]);
    }
    fputc('\n', f);
}

static int find(const char *const *names, int n, const char *name, size_t len)
{
    for (int i = 0; i < n; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    }
    return -1;
}

int plan_find_workload(const char *name)
{
    return find(workloads, WORKLOADS, name, strlen(name));
}

int plan_find_style(const char *name)
{
    return find(styles, PLAN_STYLES, name, strlen(name));
}

int plan_parse_faults(const char *list, uint64_t *ret)
{
    uint64_t bits = 0;

    if (strcmp(list, "none") == 0)
        return *ret = 0, 0;
    if (strcmp(list, "all") == 0)
        return *ret = (UINT64_C(1) << FAULT_KINDS) - 1, 0;
    for (;;) {
        size_t n = strcspn(list, ",");
        int kind = find(kinds, FAULT_KINDS, list, n);

        if (kind < 0)
            return -1;
        bits |= UINT64_C(1) << kind;
        if (list[n] == '\0')
            break;
        list += n + 1;
    }
    *ret = bits;
    return 0;
}
