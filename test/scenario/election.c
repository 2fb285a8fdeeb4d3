/* Elections under bad circumstances. */
#include "lib/test.h"
#include "scenario/scenario.h"

/* ---- two candidates and a transfer ---- */

struct race {
    struct cluster *c;
    uint64_t term;        /* the one they race for */
    bool asked[CLUSTER_NODES_MAX + 1]; /* for votes in it */
};

static void race_wire(void *ctx, unsigned from, unsigned to,
                      const struct wire_msg *w, bool delivered)
{
    struct race *r = ctx;
    const struct raft_request_vote *v = &w->m.request_vote;

    if (w->m.type != RAFT_REQUEST_VOTE)
        return;
    if (!delivered && !v->pre_vote && v->term == r->term)
        r->asked[from] = true;
    if (delivered && v->pre_vote && from == 3 && to == 2)
        sim_net_cut(r->c->sim, 3, SIM_EVERY);
}

static void race_heal(void *ctx)
{
    struct race *r = ctx;

    cluster_note(r->c, "n3 is heard again");
    sim_net_heal(r->c->sim, 3, SIM_EVERY);
}

/* How long until the node's own timeout fires, us. */
static uint64_t until_timeout(struct member *m)
{
    uint64_t now = env_now_us(m->env), at = raft_timeout(&m->g->r) * 1000;

    return at > now ? at - now : 0;
}

static bool follows_again(struct cluster *c, void *ctx)
{
    (void)ctx;
    return group_leader(c->node[2].g) == 1;
}

/* Node 3 does not hear node 1, and its timeout comes just when the connections of
 * nodes 1 and 2 are reset: node 2 takes that for the end of node 1 and gives node 3
 * its pre-vote.  Node 3's call for votes in the next term is held up, and meanwhile
 * node 1 hands over to node 2, which calls for votes in the same term.  Node 1 must
 * give its vote to one of them. */
struct cluster *scenario_two_candidates(uint32_t after_us, bool *ret_both)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c = cluster_new(&cfg);
    struct race race = { .c = c };

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    cluster_run(c, 150);
    race.term = group_term(c->node[1].g) + 1;
    c->wire = race_wire;
    c->wire_ctx = &race;

    cluster_note(c, "n3 does not hear n1");
    sim_net_cut(c->sim, 1, 3);
    cluster_run(c, 1);
    sim_run_until(c->sim,
                  sim_now(c->sim) + until_timeout(&c->node[3]) - 200);
    cluster_note(c, "connections of n1 and n2 are reset");
    sim_net_reset(c->sim, 1, 2);
    cluster_run(c, 2);
    CHECK(cluster_wait(c, follows_again, NULL, 1000));
    CHECK_EQ(cluster_transfer(c, 1, 2), 0);
    sim_at(c->sim, sim_now(c->sim) + after_us, race_heal, &race);
    cluster_run(c, 100);
    *ret_both = race.asked[2] && race.asked[3];
    c->wire = NULL;
    cluster_settle(c);
    return c;
}

/* ---- a vote that was not synced ---- */

struct vote_watch {
    struct cluster *c;
    bool stalled;
};

/* Node 2's disk stops the moment the request arrives that it will grant. */
static void vote_wire(void *ctx, unsigned from, unsigned to,
                      const struct wire_msg *w, bool delivered)
{
    struct vote_watch *v = ctx;

    if (!delivered || v->stalled || from != 3 || to != 2 ||
        w->m.type != RAFT_REQUEST_VOTE || w->m.request_vote.pre_vote)
        return;
    v->stalled = true;
    cluster_note(v->c, "the disk of n2 stalls");
    sim_disk_stall(v->c->sim, 2, sim_now(v->c->sim) + 60000000);
}

static bool has_stalled(struct cluster *c, void *ctx)
{
    (void)c;
    return ((struct vote_watch *)ctx)->stalled;
}

/* Nodes 1 and 3 do not hear each other; node 2 decides who leads term 2.  It gives
 * its vote to node 3 and loses power before that is on its disk; when it is back it
 * remembers nothing and gives the vote of term 2 to node 1.  So the first one must
 * not have left. */
struct cluster *scenario_vote_before_fsync(void)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c;
    struct vote_watch v = { .stalled = false };

    cfg.preferred = 3;
    c = cluster_new(&cfg);
    v.c = c;
    c->wire = vote_wire;
    c->wire_ctx = &v;
    cluster_cut(c, 1, 3);
    CHECK(cluster_wait(c, has_stalled, &v, 5000));
    cluster_run(c, 20);
    cluster_power_off(c, 2);
    cluster_cut(c, 2, 3);
    sim_disk_stall(c->sim, 2, 0);
    cluster_start(c, 2);
    CHECK(cluster_wait_leader(c, 1, 20000) == 1);
    CHECK_EQ(cluster_propose(c, 1, "a", 16), 0);
    CHECK(cluster_wait_acked(c, 1, 1000));
    c->wire = NULL;
    cluster_settle(c);
    return c;
}

/* ---- everybody loses power ---- */

struct cluster *scenario_power_cut_at_ack(void)
{
    struct cluster_config cfg = cluster_defaults();
    struct cluster *c = cluster_new(&cfg);

    CHECK_EQ(cluster_wait_leader(c, 1, 5000), 1);
    cluster_run(c, 1000);
    sim_disk_latency(c->sim, SIM_EVERY, SIM_DISK_SYNC,
                     (struct sim_latency){ 20000, 0, 0 });
    for (unsigned round = 0; round < 3; round++) {
        unsigned leader = cluster_wait_leader(c, 0, 20000);

        cluster_run(c, 200);
        CHECK_EQ(cluster_propose(c, leader, "write", 16), 0);
        CHECK(cluster_wait_acked(c, round + 1, 2000));
        for (unsigned i = 1; i <= 3; i++)
            cluster_power_off(c, i);
        for (unsigned i = 1; i <= 3; i++)
            cluster_start(c, i);
    }
    cluster_settle(c);
    return c;
}
