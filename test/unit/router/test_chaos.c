/* Many requests under random leader changes, refusals, broken links and lost
 * results.  Whatever happens:
 *
 *   - each request is answered once;
 *   - a write is in the log at most once; one that was answered with a place is at
 *     that place; one that is said not to have happened did not;
 *   - writes of one stream are in the log in the order of submission.
 *
 * The model is generous to the leader of the moment: who is told to lead executes
 * what it has, and whoever loses leadership gives back everything as UNKNOWN, after
 * having executed some of it. */
#include "base/mem.h"
#include "base/rng.h"
#include "lib/test.h"
#include "unit/router/lab.h"

#define REQS 400u
#define STREAMS 5u

static struct lab lab;
static struct lab_req reqs[REQS];
static bool is_write[REQS];
static struct rng rng;

static void change_leader(unsigned *leader)
{
    unsigned next = (unsigned)rng_below(&rng, lab.n);
    struct shard *s = shard_double(&lab, *leader, 0);

    shard_double_execute_silently(s, (unsigned)rng_below(&rng, s->n + 1));
    s->open = false;
    if (next != *leader)
        lab_lead(&lab, 0, next, 1u << *leader); /* the old one first */
    shard_double_reject(s, OP_ERR_UNKNOWN);
    *leader = next;
    shard_double(&lab, next, 0)->open = rng_below(&rng, 2) == 0;
    lab_lead(&lab, 0, next, 1u << next | (unsigned)rng_below(&rng, 8));
}

static void flip_link(void)
{
    unsigned from = (unsigned)rng_below(&rng, lab.n);
    unsigned to = (unsigned)rng_below(&rng, lab.n);

    if (from != to)
        links_double_set(&lab, from, to, !lab.links[from].up[to]);
}

static void disturb(unsigned *leader)
{
    struct shard *s = shard_double(&lab, *leader, 0);
    unsigned from = (unsigned)rng_below(&rng, lab.n);
    unsigned to = (unsigned)rng_below(&rng, lab.n);

    switch (rng_below(&rng, 9)) {
    case 0:
        change_leader(leader);
        break;
    case 1:
        shard_double_reject(s, OP_ERR_NOT_LEADER);
        break;
    case 2:
        shard_double_execute(s, (unsigned)rng_below(&rng, s->n + 1));
        break;
    case 3:
        s->open = !s->open;
        break;
    case 4:
        flip_link();
        break;
    case 5:
        if (from != to)
            lab.links[from].full[to] = !lab.links[from].full[to];
        break;
    case 6:
        lab.hold_net = !lab.hold_net;
        break;
    case 7:
        lab_turn(&lab);
        break;
    default:
        lab_advance(&lab, rng_below(&rng, 40));
        break;
    }
}

static void heal(unsigned leader)
{
    lab.hold_net = false;
    for (unsigned i = 0; i < lab.n; i++) {
        for (unsigned j = 0; j < lab.n; j++) {
            lab.links[i].full[j] = false;
            if (i != j)
                links_double_set(&lab, i, j, true);
        }
    }
    shard_double(&lab, leader, 0)->open = true;
    lab_lead(&lab, 0, leader, LAB_ALL);
    lab_advance(&lab, 3000);
}

/* Where a write is in the log, or -1. */
static long place_of(uint64_t tag)
{
    long at = -1;

    for (unsigned i = 0; i < lab.log[0].n; i++) {
        if (lab.log[0].e[i].tag != tag)
            continue;
        CHECK_EQ(at, -1); /* never twice */
        at = (long)i;
    }
    return at;
}

static unsigned verify(void)
{
    long last[STREAMS + 1] = { 0 };
    unsigned done = 0;

    for (unsigned i = 0; i < REQS; i++) {
        const struct lab_req *q = &reqs[i];
        long at = is_write[i] ? place_of(i) : -1;

        CHECK_EQ(q->answers, 1);
        if (is_write[i] && q->type == OP_RES_INT)
            CHECK_EQ(q->num, at);
        else if (is_write[i] && q->num != OP_ERR_UNKNOWN)
            CHECK_EQ(at, -1);
        if (at >= 0) {
            CHECK(at >= last[q->r.stream]);
            last[q->r.stream] = at;
        }
        done += q->type == OP_RES_INT;
    }
    return done;
}

static unsigned one_run(uint64_t seed)
{
    unsigned leader = 0;

    rng_seed(&rng, seed);
    lab_init(&lab, 3);
    lab_lead(&lab, 0, leader, LAB_ALL);
    for (unsigned i = 0; i < REQS; i++) {
        uint64_t stream = rng_below(&rng, STREAMS) + 1;

        reqs[i].r.stream = stream;
        is_write[i] = rng_below(&rng, 3) != 0;
        /* A stream belongs to one connection, thus to one node. */
        if (is_write[i])
            lab_submit_write(&lab, (unsigned)stream % 3, &reqs[i], 0, i);
        else
            lab_submit_read(&lab, (unsigned)stream % 3, &reqs[i], 0);
        if (rng_below(&rng, 3) == 0)
            disturb(&leader);
    }
    heal(leader);
    return verify();
}

TEST(chaos, every_request_is_answered_once_and_every_write_happens_once_in_order)
{
    uint64_t done = 0;

    for (uint64_t i = 0; i < 200; i++) {
        done += one_run(test_seed() + i);
        lab_close(&lab);
    }
    CHECK(done > 200u * REQS / 2); /* most get through */
}
