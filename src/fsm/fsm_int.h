/* Shared by fsm.c, apply*.c and read.c only. */
#ifndef KV_FSM_FSM_INT_H
#define KV_FSM_FSM_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rng.h"
#include "base/sabotage.h"
#include "fsm/engine.h"
#include "fsm/fsm.h"
#include "fsm/session.h"

/* Keys that one TICK expires at most: the rest waits for the next. */
#define FSM_TICK_KEYS_MAX 1024u
/* One page of SCAN, whatever COUNT says: keys looked at, bytes answered. */
#define FSM_SCAN_COUNT_MAX 10000u
#define FSM_SCAN_BYTES_MAX (1u << 20)

struct fsm {
    /* Replicated: a function of the log, covered by the digest. */
    struct engine *engine;
    struct sessions sessions;
    uint64_t applied;
    uint64_t revision;
    int64_t clock_ms;

    /* Of this replica. */
    uint64_t hits, misses, expired;
    struct rng rng;          /* RANDOMKEY */
    int64_t reader_ms;       /* clock of the last reader; for sabotage only */
    struct slice *argv;      /* owned: arguments of the op being applied */
    uint32_t argv_cap;
    bool changed;            /* the op being applied has its revision already */
    struct buf out;          /* what results borrow, if not from the table */
};

/* The time by which keys expire: the shard clock, rule R3. */
static inline int64_t fsm__clock(const struct fsm *f)
{
    if (SABOTAGE(TTL_LOCAL_CLOCK) && f->reader_ms > f->clock_ms)
        return f->reader_ms;
    return f->clock_ms;
}

/* Has it a deadline that the clock has reached? */
static inline bool fsm__is_expired(const struct fsm *f,
                                   const struct engine_view *v)
{
    return v->deadline_ms <= fsm__clock(f) &&
           v->deadline_ms != ENGINE_NO_DEADLINE;
}

/* Find a key that has not expired. */
static inline bool fsm__get(struct fsm *f, struct slice key, bool touch,
                            struct engine_view *ret)
{
    return f->engine->ops->get(f->engine, key, touch, ret) &&
           !fsm__is_expired(f, ret);
}

/* Execute a write that has been decoded and is not a repeat.  *ret is NIL when
 * called; its bulk may borrow from f until the next call. */
void fsm__apply_op(struct fsm *f, const struct op *op, struct op_result *ret);

#endif
