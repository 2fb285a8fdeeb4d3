/* Writers against single nodes: numbered SETs and counters.
 *
 * A SET is counted as acknowledged only if the reply was OK.  An INCR whose reply
 * was an error that promises "not executed" must not have counted; one with an
 * unknown outcome may have counted once. */
#include "integration/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/test.h"

static void skip(struct load_writer *w, unsigned long n)
{
    if (w->n_skipped == w->cap_skipped) {
        w->cap_skipped = w->cap_skipped == 0 ? 64 : w->cap_skipped * 2;
        w->skipped =
            realloc(w->skipped, w->cap_skipped * sizeof *w->skipped);
    }
    w->skipped[w->n_skipped++] = n;
}

static bool surely_not_executed(int rv)
{
    return rv == KV_CLIENT_EDOWN || rv == KV_CLIENT_EBUSY ||
           rv == KV_CLIENT_ECONNECT;
}

static void write_set(struct load_writer *w, struct kv_client *k)
{
    char key[64], value[64];
    int rv;

    snprintf(key, sizeof key, "writer%d:%lu", w->id, w->acked);
    snprintf(value, sizeof value, "value-%lu", w->acked);
    rv = kv_put(k, key, strlen(key), value, strlen(value), 0);
    if (rv == 0)
        atomic_fetch_add(&w->load->total, 1);
    else
        skip(w, w->acked);
    if (surely_not_executed(rv))
        w->refused++;
    w->acked++;
}

static void write_incr(struct load_writer *w, struct kv_client *k)
{
    int i = (int)(w->acked % LOAD_COUNTERS);
    char key[64];
    const char *argv[] = { "INCR", key };
    struct kv_reply *r;
    int rv;

    snprintf(key, sizeof key, "counter:%d", i);
    rv = kv_command(k, 2, argv, NULL, 0, &r);
    if (rv == 0) {
        w->incr_acked[i]++;
        atomic_fetch_add(&w->load->total, 1);
        kv_reply_free(r);
    } else if (surely_not_executed(rv)) {
        w->refused++;
    } else {
        w->incr_unknown[i]++;
    }
}

static void *writer_main(void *arg)
{
    struct load_writer *w = arg;
    struct kv_client *k = cluster_client(w->load->c, w->node);
    const struct timespec pause = { .tv_nsec = 5000000 };

    while (!atomic_load(&w->load->stop)) {
        unsigned long refused = w->refused;

        write_set(w, k);
        write_incr(w, k);
        if (w->refused != refused)
            nanosleep(&pause, NULL); /* its node is down */
    }
    kv_close(k);
    return NULL;
}

void load_start(struct load *l, struct cluster *c, int n, const int *nodes,
                int n_nodes)
{
    memset(l, 0, sizeof *l);
    l->c = c;
    l->n = n;
    for (int i = 0; i < n; i++) {
        l->w[i].load = l;
        l->w[i].id = i;
        l->w[i].node = nodes[i % n_nodes];
        CHECK_EQ(pthread_create(&l->w[i].thread, NULL, writer_main, &l->w[i]),
                 0);
    }
}

void load_wait(struct load *l, unsigned long more)
{
    const struct timespec pause = { .tv_nsec = 5000000 };
    unsigned long goal = atomic_load(&l->total) + more;

    while (atomic_load(&l->total) < goal)
        nanosleep(&pause, NULL);
}

void load_stop(struct load *l)
{
    atomic_store(&l->stop, true);
    for (int i = 0; i < l->n; i++)
        CHECK_EQ(pthread_join(l->w[i].thread, NULL), 0);
}

static void verify_writer(struct load_writer *w, struct kv_client *k)
{
    unsigned long s = 0;

    for (unsigned long n = 0; n < w->acked; n++) {
        char key[64], want[64], *value;
        size_t len;

        if (s < w->n_skipped && w->skipped[s] == n) {
            s++;
            continue;
        }
        snprintf(key, sizeof key, "writer%d:%lu", w->id, n);
        snprintf(want, sizeof want, "value-%lu", n);
        CHECK_EQ(kv_get(k, key, strlen(key), &value, &len), 0);
        if (value == NULL)
            FAIL("acknowledged write %s is lost", key);
        CHECK_STR(value, want);
        kv_free(value);
    }
}

void load_verify(struct load *l)
{
    struct kv_client *k = cluster_client_any(l->c);

    for (int i = 0; i < l->n; i++)
        verify_writer(&l->w[i], k);
    for (int i = 0; i < LOAD_COUNTERS; i++) {
        unsigned long acked = 0, unknown = 0, value;
        char command[64];

        for (int w = 0; w < l->n; w++) {
            acked += l->w[w].incr_acked[i];
            unknown += l->w[w].incr_unknown[i];
        }
        snprintf(command, sizeof command, "GET counter:%d", i);
        value = strtoul(cluster_ask(k, command), NULL, 10);
        if (value < acked || value > acked + unknown)
            FAIL("counter %d is %lu: %lu acknowledged, %lu unknown", i, value,
                 acked, unknown);
    }
    kv_close(k);
}

void load_free(struct load *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->w[i].skipped);
}
