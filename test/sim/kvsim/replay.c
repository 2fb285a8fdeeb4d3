/* The replay: every shard's committed entries, kept by the watch as they were first
 * seen, are applied to a fresh state machine.
 *
 *   A1  After each entry at which a replica was looked at, the replay has the digest
 *       that the replica had: so a state is what the log says, whatever restarts,
 *       retries and reads its node went through.
 *   A2  The replicas that are up at the end have the digest of their index.
 *   A3  The state holds together (fsm_check walks over all of it).
 *
 * The replay also sees what nobody else can: which keys a TICK expired, which writes
 * are in the log twice, and what became of writes whose clients were left in the
 * dark.  Those it counts; the verdict about them is the oracle's. */
#include "kvsim/watch.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/rng.h"
#include "cluster/ring.h"

/* One shard's replay. */
struct replay {
    struct watch *t;
    unsigned shard;
    struct fsm *fsm;
    struct map *unknown;      /* mark of a write -> its state, see below */
    struct map tries;         /* (origin, sequence) -> anything: executed */
    uint64_t term;            /* of the entry before */
};

/* A write of unknown outcome; in the map by what it would have written. */
static char never_seen, took_effect;

static uint64_t hash_bytes(uint64_t h, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * UINT64_C(0x100000001b3);
    return rng_mix(h ^ s.n);
}

static uint64_t mark_of(struct slice key, struct slice value)
{
    return hash_bytes(hash_bytes(UINT64_C(0xcbf29ce484222325), key), value);
}

/* Values are unique, so that a write is known by what it writes. */
static void note_unknown(struct map *m, const struct oracle_op *op)
{
    bool writes = op->f == ORACLE_SET || op->f == ORACLE_SETNX ||
                  op->f == ORACLE_CAS || op->f == ORACLE_APPEND;

    if (writes && (op->outcome == ORACLE_UNKNOWN || op->outcome == ORACLE_OPEN))
        map_put(m, mark_of(op->key, op->arg), &never_seen);
}

/* ---- coverage ---- */

/* A key and a value were written, unless res says that they were not. */
static void note_write(struct replay *r, struct slice key, struct slice value,
                       const struct op_result *res)
{
    uint64_t mark = mark_of(key, value);

    if (map_get(r->unknown, mark) != &never_seen || res->type == OP_RES_ERR ||
        res->type == OP_RES_NIL || (res->type == OP_RES_INT && res->num == 0))
        return;
    map_put(r->unknown, mark, &took_effect);
    COVER(unknown_applied);
}

static void note_try(struct replay *r, const struct op *op)
{
    uint64_t id = rng_mix(op->origin) ^ op->seq;

    if (op->origin != 0 && map_put(&r->tries, id, r) != NULL)
        COVER(retry_deduped);
}

static void on_result(void *ctx, uint64_t i, const struct op *op,
                      const struct op_result *res)
{
    struct replay *r = ctx;

    (void)i;
    note_try(r, op);
    if (op->kind == OP_TICK && res->type == OP_RES_INT && res->num > 0)
        COVER(key_expired);
    if (op->kind == OP_SET || op->kind == OP_APPEND)
        note_write(r, op->argv[0], op->argv[1], res);
    for (uint32_t k = 0; op->kind == OP_MSET && k + 1 < op->argc; k += 2)
        note_write(r, op->argv[k], op->argv[k + 1], res);
}

/* Before an entry of a later leader is applied. */
static void note_term(struct replay *r, uint64_t term)
{
    int64_t deadline = fsm_next_deadline(r->fsm);

    if (r->term != 0 && term != r->term && deadline != INT64_MAX &&
        deadline > fsm_clock_ms(r->fsm))
        COVER(ttl_across_failover);
    r->term = term;
}

/* ---- checks ---- */

static void compare(struct replay *r, uint64_t index, uint64_t digest,
                    unsigned node)
{
    uint64_t mine = fsm_digest(r->fsm);

    if (mine != digest)
        world_violate(r->t->w, VERDICT_CORRECTNESS,
                      "shard %u: node %u had digest %016" PRIx64
                      " after entry %" PRIu64
                      ", and a replay of the log has %016" PRIx64,
                      r->shard, node, digest, index, mine);
}

/* A1, A2: at index, whose entry was applied last. */
static void compare_all(struct replay *r, uint64_t index)
{
    const struct watch_shard *s = &r->t->shard[r->shard];

    if (index < s->cap_digests && s->digests[index].node != 0)
        compare(r, index, s->digests[index].digest, s->digests[index].node);
    for (unsigned i = 1; i <= r->t->w->plan.nodes; i++) {
        const struct view *v = &s->view[i];

        if (v->fsm != NULL && fsm_applied(v->fsm) == index)
            compare(r, index, fsm_digest(v->fsm), i);
    }
}

static void replay_entry(struct replay *r, uint64_t index)
{
    const struct ledger *l = &r->t->shard[r->shard].ledger;
    uint64_t term = ledger_committed(l, index);
    const struct ledger_entry *e = ledger_find(l, index, term);

    if (e == NULL || !e->has_crc) {
        world_violate(r->t->w, VERDICT_CORRECTNESS,
                      "shard %u: committed entry %" PRIu64 " of term %" PRIu64
                      " was in nobody's log", r->shard, index, term);
        return;
    }
    if (e->type == RAFT_CHANGE && index > 1)
        COVER(change_committed);
    if (e->type != RAFT_COMMAND)
        return;
    note_term(r, term);
    fsm_apply(r->fsm, index, e->payload, on_result, r);
    compare_all(r, index);
}

static void replay_shard(struct watch *t, unsigned shard, struct map *unknown)
{
    struct replay r = { .t = t, .shard = shard, .unknown = unknown };
    const struct ledger *l = &t->shard[shard].ledger;

    r.fsm = fsm_new(ring_hash(t->cluster_id, shard, 0));
    map_init(&r.tries);
    for (uint64_t i = 1; i <= l->max_committed; i++) {
        if (t->w->verdict != VERDICT_OK)
            break;
        replay_entry(&r, i);
    }
    fsm_check(r.fsm); /* A3 */
    map_close(&r.tries);
    fsm_free(r.fsm);
}

void replay__all(struct watch *t)
{
    const struct history *h = t->w->history;
    struct map unknown;
    size_t it = 0;
    uint64_t mark;
    const void *state;

    map_init(&unknown);
    for (size_t i = 0; i < history_count(h); i++)
        note_unknown(&unknown, history_at(h, i));
    for (unsigned i = 0; i < t->n_shards; i++)
        replay_shard(t, i, &unknown);
    while ((state = map_next(&unknown, &it, &mark)) != NULL) {
        if (state == &never_seen)
            COVER(unknown_lost);
    }
    map_close(&unknown);
}
