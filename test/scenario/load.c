/* Open load: proposals come at their own pace, not when the last one is done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "scenario/scenario.h"

#define PAYLOAD_BYTES 128u
#define REPORT_MS 100u

struct generator {
    struct cluster *c;
    const struct load *load;
    struct load_result *result;
    uint64_t end;
    size_t reported_acked;
    unsigned reported_refused;
};

static void arrive(void *ctx)
{
    struct generator *gen = ctx;
    struct cluster *c = gen->c;
    char name[24];

    if (sim_now(c->sim) >= gen->end)
        return;
    snprintf(name, sizeof name, "w-%u", gen->result->proposed++);
    if (c->node[1].g == NULL ||
        cluster_propose(c, 1, name, PAYLOAD_BYTES) != 0)
        gen->result->refused++;
    sim_at(c->sim, sim_now(c->sim) + gen->load->every_us, arrive, gen);
}

static void report(void *ctx)
{
    struct generator *gen = ctx;
    struct cluster *c = gen->c;
    struct sim_disk_stats disk;

    sim_disk_stats(c->sim, 1, &disk);
    cluster_note(c, "%zu acknowledged, %u refused, %zu in flight",
                 c->n_acked - gen->reported_acked,
                 gen->result->refused - gen->reported_refused,
                 c->n_proposals - c->n_acked);
    gen->reported_acked = c->n_acked;
    gen->reported_refused = gen->result->refused;
    if (sim_now(c->sim) < gen->end)
        sim_at(c->sim, sim_now(c->sim) + REPORT_MS * UINT64_C(1000), report,
               gen);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void summarise(struct cluster *c, struct load_result *r)
{
    uint64_t *us = mem_calloc(c->n_proposals + 1, sizeof *us);
    size_t n = 0;

    for (size_t i = 0; i < c->n_proposals; i++) {
        const struct proposal *p = &c->proposals[i];

        if (p->state == PROPOSAL_ACKED)
            us[n++] = p->done_us - p->at_us;
    }
    qsort(us, n, sizeof *us, by_value);
    r->acked = (unsigned)n;
    if (n > 0) {
        r->p50_us = us[n / 2];
        r->p99_us = us[n - 1 - n / 100];
        r->max_us = us[n - 1];
    }
    mem_free(us);
    r->leaders = 0;
    for (unsigned t = 0; t < c->ledger.cap_terms; t++)
        r->leaders += c->ledger.terms[t].leader != 0;
}

struct cluster *scenario_load(const struct load *load, struct load_result *ret)
{
    struct cluster_config cfg = cluster_defaults();
    struct sim_disk_stats before, after;
    struct cluster *c;
    struct generator gen = { .load = load, .result = ret };

    *ret = (struct load_result){ .proposed = 0 };
    cfg.show = SHOW_ROLES | SHOW_VOTES;
    cfg.segment_bytes = 16u << 20; /* a change of segments costs more syncs */
    c = gen.c = cluster_new(&cfg);
    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    cluster_run(c, 1000); /* the first segment of the log is made */
    sim_net_latency(c->sim, SIM_EVERY, SIM_EVERY,
                    (struct sim_latency){ load->net_us, 0, 0 });
    sim_disk_latency(c->sim, SIM_EVERY, SIM_DISK_SYNC,
                     (struct sim_latency){ load->sync_us, 0, 0 });
    cluster_note(c, "network %u us, fsync %u us; a write each %u us",
                 load->net_us, load->sync_us, load->every_us);
    sim_disk_stats(c->sim, 1, &before);
    gen.end = sim_now(c->sim) + load->ms * UINT64_C(1000);
    sim_at(c->sim, 0, arrive, &gen);
    sim_at(c->sim, sim_now(c->sim) + REPORT_MS * UINT64_C(1000), report, &gen);
    cluster_run(c, load->ms);
    CHECK(cluster_wait_acked(c, c->n_proposals, 20000));
    sim_disk_stats(c->sim, 1, &after);
    cluster_run(c, REPORT_MS); /* the last report */
    ret->leader_syncs = after.syncs - before.syncs;
    summarise(c, ret);
    cluster_note(c, "latency: half within %llu us, all within %llu us; %llu fsyncs",
                 (unsigned long long)ret->p50_us,
                 (unsigned long long)ret->max_us,
                 (unsigned long long)ret->leader_syncs);
    cluster_settle(c);
    return c;
}
