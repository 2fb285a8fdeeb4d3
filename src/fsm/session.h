/* Dedupe sessions: each write of an origin is executed at most once (rule R8).
 *
 * An origin is one life of a coordinating node: it must be a number never used
 * before, so a node takes a new one at every start.  It numbers its writes to
 * this shard from 1, and says with each the lowest number still unanswered
 * (`low`). */
#ifndef KV_FSM_SESSION_H
#define KV_FSM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "proto/op.h"

/* Results that one origin may leave unacknowledged, and their bytes: above
 * either a new write is refused.  The last one accepted may exceed the
 * bytes. */
#define SESSION_RESULTS_MAX 65536u
#define SESSION_RESULT_BYTES_MAX (16u << 20)
/* Refusals remembered on top of that. */
#define SESSION_REFUSALS_MAX 65536u
#define SESSIONS_MAX 4096u            /* in one shard */
#define SESSION_TOMBS_MAX 16384u      /* dropped sessions remembered */

struct session;

struct sessions {
    struct map by_origin;   /* origin -> struct session */
    struct list by_use;     /* sessions, least recently used first */
    struct map tombs;       /* origin -> struct tomb */
    struct list tomb_order; /* oldest first */
    uint64_t count, tomb_count;
    uint64_t bytes;         /* memory held by results */
    bool forgot;            /* a tomb has been let go since the shard began */
};

enum session_verdict {
    SESSION_FRESH,  /* not executed before: execute, then session_commit */
    SESSION_REPEAT, /* executed before: *ret_stored is its result */
    SESSION_LOST,   /* stale, or nobody can tell any more: do not execute */
    SESSION_FULL    /* not executed, and never will be: refused */
};

void sessions_init(struct sessions *s);
void sessions_close(struct sessions *s);

/* Decide about a write with an origin; moves the origin's low mark and its time
 * of last use.  ret_stored borrows from the session until the next call. */
enum session_verdict session_begin(struct sessions *s, const struct op *op,
                                   int64_t clock_ms,
                                   struct op_result *ret_stored);
/* Remember the result of a write that session_begin called SESSION_FRESH. */
void session_commit(struct sessions *s, const struct op *op,
                    const struct op_result *res);
/* Forget an origin's results; later repeats are SESSION_LOST. */
void session_drop(struct sessions *s, uint64_t origin);

/* Origins not used since before_ms, least recently used first. */
unsigned sessions_idle(const struct sessions *s, int64_t before_ms,
                       uint64_t *ret_origins, unsigned max);
uint64_t sessions_digest(const struct sessions *s);
void sessions_check(const struct sessions *s);

#endif
