/* Figure 8 of the Raft paper: why an entry of an older term is not committed by
 * counting its copies.
 *
 *            1  2  3            index; the numbers below are terms
 *   L        1  t  A   (B)      L leads with A = its old entry, B = its own barrier
 *   M        1  t  A
 *   s3       1  t  A            A is on a majority: L, M, s3 ...
 *   s4       1  t
 *   s5       1  t  C            ... and yet s5, whose C is of a later term than A,
 *                               can be elected by s3 and s4 and replace it
 *
 * The nodes that play M, s3 .. s5 are whoever wins; L is one of the first two.
 *
 * (d)  L dies with B on no other disk: A must not have been committed.
 * (e)  L gets B to a majority: then A is committed with it, and s5 can never lead
 *      without it. */
#include "lib/test.h"
#include "scenario/scenario.h"

#define A_INDEX 3u

struct figure8 {
    struct cluster *c;
    unsigned l, m, s3, s4, s5;
    bool hold_back; /* B stays off the other disks */
    bool s3_cut;
};

/* L's messages arrive: M and s4 shall store nothing more, s3 shall get A and
 * nothing after it. */
static void hold_back(void *ctx, unsigned from, unsigned to,
                      const struct wire_msg *w, bool delivered)
{
    struct figure8 *f = ctx;
    struct sim *sim = f->c->sim;
    const struct raft_append_entries *a = &w->m.append_entries;
    uint64_t far = sim_now(sim) + 60000000;

    if (!delivered || !f->hold_back || from != f->l ||
        w->m.type != RAFT_APPEND_ENTRIES || w->n_entries == 0)
        return;
    if (to == f->m || to == f->s4)
        sim_disk_stall(sim, to, far);
    if (to == f->s3 && a->prev_log_index == A_INDEX - 1 && !f->s3_cut) {
        cluster_note(f->c, "cut n%u -> n%u, whose copy of entry %u was the last",
                     f->l, to, A_INDEX);
        sim_net_cut(sim, f->l, to);
        f->s3_cut = true;
    }
}

/* Node 1 gives A to node 2 only, and dies.  One of the others is elected
 * and dies with C on its disk alone. */
static void first_terms(struct figure8 *f)
{
    struct cluster *c = f->c;

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    cluster_run(c, 150);
    for (unsigned i = 3; i <= 5; i++)
        cluster_cut(c, 1, i);
    CHECK_EQ(cluster_propose(c, 1, "A", 16), 0);
    CHECK(cluster_wait_stored(c, 2, A_INDEX, 1000));
    cluster_power_off(c, 1);
    cluster_power_off(c, 2);
}

static bool somebody_leads(struct cluster *c, void *ctx)
{
    unsigned *ret = ctx;

    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        const struct member *m = &c->node[i];

        if (m->g == NULL || group_role(m->g) != GROUP_LEADER)
            continue;
        *ret = i;
        return true;
    }
    return false;
}

static void third_term(struct figure8 *f)
{
    struct cluster *c = f->c;

    CHECK(cluster_wait(c, somebody_leads, &f->s5, 20000));
    CHECK(f->s5 >= 3);
    cluster_isolate(c, f->s5);
    CHECK(cluster_wait_stored(c, f->s5, A_INDEX, 1000));
    cluster_power_off(c, f->s5);
    f->s3 = f->s5 == 3 ? 4 : 3;
    f->s4 = f->s5 == 5 ? 4 : 5;
}

static bool copies_known(struct cluster *c, void *ctx)
{
    struct figure8 *f = ctx;
    uint64_t m, s3;

    return group_match(c->node[f->l].g, f->m, &m) == 0 && m >= A_INDEX &&
           group_match(c->node[f->l].g, f->s3, &s3) == 0 && s3 >= A_INDEX;
}

/* Nodes 1 and 2 are back and one of them leads, with A and B. */
static void fourth_term(struct figure8 *f)
{
    struct cluster *c = f->c;

    cluster_heal_all(c);
    cluster_start(c, 1);
    cluster_start(c, 2);
    CHECK(cluster_wait(c, somebody_leads, &f->l, 20000));
    CHECK(f->l <= 2);
    f->m = 3 - f->l;
}

/* (d) */
static void overwritten(struct figure8 *f)
{
    struct cluster *c = f->c;

    CHECK(cluster_wait(c, copies_known, f, 800));
    cluster_run(c, 100);
    cluster_note(c, "n%u knows that A is on n%u, n%u and n%u, and has committed %u",
                 f->l, f->l, f->m, f->s3, (unsigned)group_commit(c->node[f->l].g));
    CHECK(group_commit(c->node[f->l].g) < A_INDEX);
    f->hold_back = false;
    cluster_power_off(c, f->l);
    cluster_power_off(c, f->m);
    cluster_power_off(c, f->s4);
    sim_disk_stall(c->sim, SIM_EVERY, 0);
    cluster_heal_all(c);
    cluster_start(c, f->s4);
    cluster_start(c, f->s5);
    CHECK_EQ(cluster_wait_leader(c, 0, 20000), f->s5);
    cluster_settle(c);
    CHECK_EQ(c->n_acked, 0);
}

/* (e) */
static void completed(struct figure8 *f)
{
    struct cluster *c = f->c;

    CHECK_EQ(cluster_wait_leader(c, f->l, 5000), f->l);
    cluster_power_off(c, f->l);
    cluster_start(c, f->s5);
    CHECK(cluster_wait_leader(c, 0, 20000) != f->s5);
    cluster_settle(c);
}

struct cluster *scenario_figure_8(bool complete)
{
    struct cluster_config cfg = cluster_defaults();
    struct figure8 f = { .hold_back = !complete };
    uint64_t term;

    cfg.nodes = 5;
    cfg.ae_bytes = 1; /* one entry a message */
    f.c = cluster_new(&cfg);
    first_terms(&f);
    term = f.c->node[1].seen.terms[A_INDEX];
    third_term(&f);
    f.c->wire = hold_back;
    f.c->wire_ctx = &f;
    fourth_term(&f);
    if (complete)
        completed(&f);
    else
        overwritten(&f);
    f.c->wire = NULL;
    CHECK((ledger_committed(&f.c->ledger, A_INDEX) == term) == complete);
    return f.c;
}
