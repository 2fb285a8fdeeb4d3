/* The storage engine of one shard: what the state machine needs of a place that
 * holds keys.
 *
 * An engine is deterministic in everything that this interface shows except the
 * order of scan and random, which depend on the hash seed and on nothing else
 * that replicas could differ in.  It knows no clock: a deadline is a number
 * that it sorts by; whether a key has expired is the caller's word.  One
 * thread.
 *
 * Every engine passes test/unit/fsm/conform.c. */
#ifndef KV_FSM_ENGINE_H
#define KV_FSM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The deadline of a key that has none; sorts after all others. */
#define ENGINE_NO_DEADLINE INT64_MAX
/* Scan cursors are below 2^ENGINE_CURSOR_BITS, so that a caller with several
 * engines has bits left to say which. */
#define ENGINE_CURSOR_BITS 48

struct engine;

/* One key as the engine holds it.  Borrowed: valid until the next call that
 * changes the engine (put, set_deadline, remove, flush). */
struct engine_view {
    struct slice key, value;
    int64_t deadline_ms; /* or ENGINE_NO_DEADLINE */
    uint64_t revision;
};

struct engine_stats {
    uint64_t keys, keys_with_deadline;
    uint64_t bytes;      /* memory held, allocator overhead included */
    int64_t avg_deadline_ms; /* about, from a sample; 0 without deadlines */
};

/* A key was put, removed or got another deadline or revision; called after the
 * change, once for each key (for flush: not per key but once, with an empty key
 * and all true).  Must not call the engine. */
typedef void (*engine_dirty_cb)(void *ctx, struct slice key, bool all);
typedef void (*engine_visit_cb)(void *ctx, const struct engine_view *v);

struct engine_ops {
    const char *name;
    void (*free)(struct engine *e);
    /* Find a key; false if absent.  touch: it was used, the LRU order moves. */
    bool (*get)(struct engine *e, struct slice key, bool touch,
                struct engine_view *ret);
    /* Insert or overwrite, and make it the most recently used.  key and value
     * may be the engine's own, of this same key. */
    void (*put)(struct engine *e, const struct engine_view *v);
    /* Change deadline and revision of a key that is there. */
    void (*set_deadline)(struct engine *e, struct slice key,
                         int64_t deadline_ms, uint64_t revision);
    /* True if it was there.  key must not be the engine's own. */
    bool (*remove)(struct engine *e, struct slice key);
    void (*flush)(struct engine *e);
    /* The key with the lowest (deadline, key bytes); false if none has one. */
    bool (*earliest)(const struct engine *e, struct engine_view *ret);
    /* The least recently used key; false if empty. */
    bool (*coldest)(const struct engine *e, struct engine_view *ret);
    /* Visit the next few keys from cursor (0: start; any value is accepted) and
     * return the cursor to go on from, 0 at the end.  A key that is there from
     * the start of an iteration to its end is visited, once, whatever changes
     * between the calls and whichever engine of equal seed and content serves
     * them. */
    uint64_t (*scan)(const struct engine *e, uint64_t cursor,
                     engine_visit_cb cb, void *ctx);
    /* Some key, chosen by r; false if empty. */
    bool (*random)(const struct engine *e, uint64_t r,
                   struct engine_view *ret);
    /* Sum over keys of engine_key_digest: of a slot, of everything. */
    uint64_t (*slot_digest)(const struct engine *e, uint16_t slot);
    uint64_t (*digest)(const struct engine *e);
    uint64_t (*slot_keys)(const struct engine *e, uint16_t slot);
    void (*stats)(const struct engine *e, struct engine_stats *ret);
    /* Assert the invariants.  deep: walk everything. */
    void (*check)(const struct engine *e, bool deep);
};

struct engine {
    const struct engine_ops *ops;
    engine_dirty_cb dirty; /* NULL: nobody asks */
    void *dirty_ctx;       /* borrowed */
};

/* What one key adds to the digests of its slot and of the whole.  The same in
 * all engines and on all machines. */
uint64_t engine_key_digest(const struct engine_view *v);

#endif
