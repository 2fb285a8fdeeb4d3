/* Random runs of a small cluster: crashes, lost frames, cuts, disks that sync
 * late or partly, transfers, changes of voters, false alarms.  An oracle watches: state machines
 * agree, nothing acknowledged is lost, reads see every write that was
 * acknowledged before they began, one leader a term. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "unit/group/lab.h"

#define WRITES_MAX 16000 /* indexes watched */
#define PROPOSALS_MAX 6000
#define READS_MAX 64
#define TERMS_MAX 4096

struct soak;

struct soak_read {
    struct group_read read;
    struct soak *soak;
    uint64_t node;
    uint64_t acked; /* highest acknowledged index when it began */
    bool busy;
};

struct soak {
    struct lab *lab;
    struct rng rng;
    bool loose; /* frames are repeated and overtake each other */
    uint64_t next_value;
    uint64_t acked;                   /* highest acknowledged index */
    uint64_t acked_value[WRITES_MAX]; /* by index; 0: not acknowledged */
    struct {
        uint64_t index, term, node, value;
    } open[256];
    unsigned n_open;
    struct soak_read reads[READS_MAX];
    uint64_t leader[TERMS_MAX];
    uint64_t n_acked, n_read, n_crash, n_changes;
    uint64_t down_until[LAB_NODES + 1];
};

static bool chance(struct soak *s, unsigned permille)
{
    return rng_below(&s->rng, 1000) < permille;
}

static uint64_t node_of(struct soak *s)
{
    return 1 + rng_below(&s->rng, s->lab->nodes);
}

static void read_answered(struct group_read *r, int status)
{
    struct soak_read *sr = r->data;
    struct lab_node *n = &sr->soak->lab->node[sr->node];

    CHECK(sr->busy);
    sr->busy = false;
    if (status != 0)
        return;
    CHECK(group_applied(n->g[0]) >= sr->acked);
    sr->soak->n_read++;
}

static void start_read(struct soak *s)
{
    uint64_t id = node_of(s), w = node_of(s);
    struct lab_node *n = &s->lab->node[id];

    if (!n->up)
        return;
    for (unsigned i = 0; i < READS_MAX; i++) {
        struct soak_read *r = &s->reads[i];
        bool witness = chance(s, 300) && s->lab->node[w].up &&
                       s->lab->node[w].g[0]->started;

        if (r->busy)
            continue;
        *r = (struct soak_read){
            .soak = s, .node = id, .acked = s->acked, .busy = true
        };
        r->read.cb = read_answered;
        r->read.data = r;
        group_read(n->g[0], &r->read, witness ? w : 0,
                   witness ? group_durable_term(s->lab->node[w].g[0]) : 0);
        return;
    }
}

static void start_write(struct soak *s)
{
    struct blob *b;
    uint64_t index, term;
    uint64_t id = node_of(s);
    struct lab_node *n = &s->lab->node[id];

    if (!n->up || s->n_open == 256 || s->next_value >= PROPOSALS_MAX)
        return;
    b = blob_new(8 + rng_below(&s->rng, 200));
    memset(b->data, 0, b->len);
    memcpy(b->data, &(uint64_t){ s->next_value + 1 }, 8);
    if (group_propose(n->g[0], b, &index, &term) == 0) {
        s->next_value++;
        s->open[s->n_open].index = index;
        s->open[s->n_open].term = term;
        s->open[s->n_open].node = id;
        s->open[s->n_open].value = s->next_value;
        s->n_open++;
    }
    blob_unref(b);
}

/* A write is acknowledged when its node has applied its entry. */
static void collect(struct soak *s)
{
    for (unsigned i = 0; i < s->n_open;) {
        uint64_t index = s->open[i].index;
        struct lab_node *n = &s->lab->node[s->open[i].node];
        bool gone = !n->up || group_applied(n->g[0]) >= index;

        if (n->up && group_applied(n->g[0]) >= index &&
            log__term(&n->g[0]->log, index) == s->open[i].term) {
            CHECK(index < WRITES_MAX);
            s->acked_value[index] = s->open[i].value;
            s->acked = index > s->acked ? index : s->acked;
            s->n_acked++;
        }
        if (gone)
            s->open[i] = s->open[--s->n_open];
        else
            i++;
    }
}

static void check_leaders(struct soak *s)
{
    for (uint64_t id = 1; id <= s->lab->nodes; id++) {
        const struct lab_node *n = &s->lab->node[id];
        uint64_t term;

        if (!n->up || group_role(n->g[0]) != GROUP_LEADER)
            continue;
        term = group_term(n->g[0]);
        CHECK(term < TERMS_MAX);
        CHECK(s->leader[term] == 0 || s->leader[term] == id);
        s->leader[term] = id;
    }
}

/* The disk gets to some record, or to the end. */
static void sync_some(struct soak *s, uint64_t id)
{
    struct lab_node *n = &s->lab->node[id];
    struct wal *w = &n->wal;
    uint64_t to = w->end;

    if (!n->up || w->synced == w->end)
        return;
    if (chance(s, 300))
        to = w->synced +
             10 * (1 + rng_below(&s->rng, (w->end - w->synced) / 10));
    w->synced = to;
    groupset_synced(n->gs, to);
}

static void crash(struct soak *s, uint64_t id)
{
    struct lab_node *n = &s->lab->node[id];

    if (!n->up)
        return;
    if (chance(s, 500)) /* what was being written may have become durable */
        n->wal.synced +=
            10 * rng_below(&s->rng, (n->wal.end - n->wal.synced) / 10 + 1);
    collect(s);
    lab_crash(s->lab, id);
    s->n_crash++;
    s->down_until[id] = s->lab->now_ms + rng_below(&s->rng, 3000);
    for (uint64_t i = 1; i <= s->lab->nodes; i++)
        if (s->lab->node[i].up && chance(s, 700))
            groupset_peer_lost(s->lab->node[i].gs, id);
}

static void restart(struct soak *s, uint64_t id)
{
    s->lab->node[id].wal.keep_max = chance(s, 300) ? 50 : SIZE_MAX;
    lab_start(s->lab, id);
    for (uint64_t i = 1; i <= s->lab->nodes; i++)
        if (s->lab->node[i].up)
            groupset_peer_up(s->lab->node[i].gs, id);
}

static void cut_randomly(struct soak *s)
{
    for (uint64_t a = 1; a <= s->lab->nodes; a++)
        for (uint64_t b = 1; b <= s->lab->nodes; b++)
            s->lab->cut[a][b] = a != b && chance(s, 350);
}

/* Cut the leader off with something fresh in its log. */
static void aim_at_leader(struct soak *s)
{
    for (uint64_t id = 1; id <= s->lab->nodes; id++)
        if (s->lab->node[id].up &&
            group_role(s->lab->node[id].g[0]) == GROUP_LEADER) {
            lab_propose(s->lab, id, 0, ++s->next_value, 0);
            lab_isolate(s->lab, id);
        }
}

/* Crash a node whose vote is not on disk. */
static void aim_at_vote(struct soak *s)
{
    for (uint64_t id = 1; id <= s->lab->nodes; id++)
        if (s->lab->node[id].up && s->lab->node[id].g[0]->n_terms > 0 &&
            chance(s, 100)) {
            crash(s, id);
            s->down_until[id] = s->lab->now_ms + 1;
        }
}

static void disturb(struct soak *s)
{
    uint64_t id = node_of(s);

    aim_at_vote(s);
    if (chance(s, 10))
        s->lab->stall[id][node_of(s)] =
            s->lab->now_ms + rng_below(&s->rng, chance(s, 200) ? 3000 : 100);

    if (chance(s, 4))
        crash(s, id);
    if (chance(s, 1))
        for (uint64_t i = 1; i <= s->lab->nodes; i++)
            crash(s, i);
    if (chance(s, 4))
        cut_randomly(s);
    if (chance(s, 6))
        aim_at_leader(s);
    if (chance(s, 8))
        lab_heal(s->lab);
    if (chance(s, 10) && s->lab->node[id].up)
        group_transfer(s->lab->node[id].g[0],
                       rng_below(&s->rng, s->lab->nodes + 1));
    if (chance(s, 5) && s->lab->node[id].up)
        groupset_peer_lost(s->lab->node[id].gs, node_of(s) % s->lab->nodes + 1);
    if (chance(s, 3))
        s->lab->node[id].wal.full = !s->lab->node[id].wal.full;
}

/* Links never do that, but Raft must stand it: send the first frame again
 * later, or later only. */
static void shuffle(struct soak *s)
{
    struct lab *lab = s->lab;
    struct lab_frame *f, *copy;

    if (list_empty(&lab->wire))
        return;
    f = LIST_FIRST(&lab->wire, struct lab_frame, link);
    if (chance(s, 50)) {
        copy = MEM_NEW(struct lab_frame);
        *copy = *f;
        copy->bytes = mem_alloc(f->n + 1);
        memcpy(copy->bytes, f->bytes, f->n);
        list_add_tail(&lab->wire, &copy->link);
    }
    if (chance(s, 200)) {
        list_del(&f->link);
        list_add_tail(&lab->wire, &f->link);
    }
}

static bool lose(struct lab_frame *f)
{
    (void)f;
    return true;
}

/* A leader changes a voter or a stand-by, and may be cut off with that. */
static void change_members(struct soak *s, bool quiet)
{
    enum group_member role = chance(s, 400) ? GROUP_STANDBY : GROUP_VOTER;

    for (uint64_t id = 1; id <= s->lab->nodes; id++) {
        struct lab_node *n = &s->lab->node[id];

        if (!n->up || group_role(n->g[0]) != GROUP_LEADER ||
            group_change(n->g[0], node_of(s), role) != 0 ||
            !group_changing(n->g[0]))
            continue;
        s->n_changes++;
        if (!quiet && chance(s, 300))
            lab_isolate(s->lab, id);
        if (!quiet && chance(s, 100))
            crash(s, id);
    }
}

static void step(struct soak *s, bool quiet)
{
    struct lab *lab = s->lab;

    lab->now_ms++;
    if (chance(s, 600))
        start_write(s);
    if (chance(s, 300))
        start_read(s);
    for (uint64_t k = rng_below(&s->rng, 30); k > 0; k--) {
        if (s->loose && !quiet)
            shuffle(s);
        lab->drop = !quiet && chance(s, 15) ? lose : NULL;
        lab_deliver_one(lab);
    }
    lab->drop = NULL;
    for (uint64_t id = 1; id <= lab->nodes; id++) {
        if (lab->node[id].up)
            lab_turn(lab, id);
        else if (lab->now_ms >= s->down_until[id])
            restart(s, id);
        if (chance(s, 300))
            sync_some(s, id);
        if (chance(s, 500) && lab->node[id].up)
            lab_reads(lab, id);
    }
    collect(s);
    check_leaders(s);
    if (s->next_value < PROPOSALS_MAX && chance(s, quiet ? 5 : 50))
        change_members(s, quiet);
    if (!quiet)
        disturb(s);
}

static void check_end(struct soak *s)
{
    struct lab *lab = s->lab;
    unsigned caught_up = 0;

    lab_check_agreement(lab, 0);
    for (uint64_t id = 1; id <= lab->nodes; id++) {
        const struct lab_fsm *f = &lab->node[id].fsm[0];

        CHECK(lab->node[id].up);
        caught_up += group_applied(lab->node[id].g[0]) >= s->acked;
        for (uint64_t i = 0; i < f->n; i++)
            if (f->index[i] < WRITES_MAX && s->acked_value[f->index[i]] != 0)
                CHECK_EQ(f->value[i], s->acked_value[f->index[i]]);
    }
    CHECK_EQ(caught_up, lab->nodes);
}

static void run(uint64_t seed, unsigned nodes, struct soak *total)
{
    struct soak *s = MEM_NEW(struct soak);

    rng_seed(&s->rng, seed);
    s->loose = chance(s, 300);
    s->lab = lab_new(nodes, 1);
    s->lab->cfg.tail_bytes_max = chance(s, 500) ? 2000 : 1 << 20;
    s->lab->cfg.ae_bytes_max = 500 + rng_below(&s->rng, 5000);
    s->lab->cfg.inflight_entries = (unsigned)(8 + rng_below(&s->rng, 100));
    for (uint64_t id = 1; id <= nodes; id++) {
        rng_seed(&s->lab->node[id].env.rng, seed * 100 + id);
        lab_start(s->lab, id);
    }
    for (unsigned i = 0; i < 12000; i++)
        step(s, false);
    lab_heal(s->lab);
    memset(s->lab->stall, 0, sizeof s->lab->stall);
    for (uint64_t id = 1; id <= nodes; id++)
        s->lab->node[id].wal.full = false;
    for (unsigned i = 0; i < 12000; i++)
        step(s, true);
    s->next_value = PROPOSALS_MAX; /* no more writes: let it come to rest */
    for (unsigned i = 0; i < 4000; i++)
        step(s, true);
    check_end(s);
    total->n_acked += s->n_acked;
    total->n_read += s->n_read;
    total->n_crash += s->n_crash;
    total->n_changes += s->n_changes;
    lab_free(s->lab);
    mem_free(s);
}

TEST(soak, random_faults_break_no_promise)
{
    struct soak total = { .n_acked = 0 };
    const char *env = getenv("SOAK_SEEDS"), *fault = getenv("SOAK_FAULT");
    uint64_t first = test_seed() * 1000;
    uint64_t n = env != NULL ? strtoull(env, NULL, 10) : 12;

    if (fault != NULL) /* the number of an enum sabotage: must be found */
        sabotage_mask = UINT64_C(1) << strtoull(fault, NULL, 10);
    for (uint64_t i = 0; i < n; i++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)(first + i));
        run(first + i, i % 4 == 3 ? 5 : 3, &total);
    }
    fprintf(stderr, "acked %llu reads %llu crashes %llu changes %llu\n",
            (unsigned long long)total.n_acked, (unsigned long long)total.n_read,
            (unsigned long long)total.n_crash,
            (unsigned long long)total.n_changes);
    CHECK(total.n_acked > 100 * n);
    CHECK(total.n_read > 50 * n);
    CHECK(total.n_crash > n);
    CHECK(total.n_changes > n);
}
