/* The oracle: does a history of operations look as if each took effect at one
 * instant between its call and its return?
 *
 * Shared by kvsim and jepsen/check; knows nothing of either, and nothing of the
 * product.  Keys are independent (Herlihy and Wing: linearizability is local), so a
 * history is checked key by key.  The model is a Redis string with a deadline:
 *
 *   absent | (bytes, earliest expiry, latest expiry)
 *
 * Bytes are interned, so a state is three numbers and INCR, APPEND and
 * compare-and-set are steps of one model.  An operation on several keys is one
 * record for each of its keys, with the same interval.
 *
 * Times are of one clock, in any unit that the caller uses throughout.  Events at the
 * same time happened in the order in which they were recorded. */
#ifndef KV_TEST_ORACLE_ORACLE_H
#define KV_TEST_ORACLE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define ORACLE_NEVER UINT64_MAX /* as a time: not yet, or no such time */

enum oracle_f {
    ORACLE_GET,    /* result: bytes or nil */
    ORACLE_SET,    /* arg; ttl: 0 none; no result */
    ORACLE_SETNX,  /* arg; ttl; result: number, 1 set, 0 was there */
    ORACLE_CAS,    /* arg (new), expect (old; nil: absent); result: number 1 or 0.  By
                    * revision too: values are unique, so the value that was read
                    * with a revision stands for the revision */
    ORACLE_DEL,    /* result: number, 1 was there, 0 was not */
    ORACLE_INCR,   /* by; result: number, the sum */
    ORACLE_APPEND, /* arg; result: number, the length in bytes */
    ORACLE_GETDEL, /* result: bytes or nil */
    ORACLE_PERSIST,/* result: number, 1 had a deadline */
    ORACLE_F_COUNT
};

enum oracle_outcome {
    ORACLE_OPEN, /* not returned: as UNKNOWN at the end of the history */
    ORACLE_OK,
    ORACLE_FAIL,   /* surely did not happen */
    ORACLE_UNKNOWN /* may happen at any time after its call, or never */
};

/* Bytes or nil. */
struct oracle_value {
    bool nil;
    struct slice bytes; /* owned by the history once added */
};

struct oracle_op {
    /* One at a time: a process has at most one open operation, or one on each of
     * several keys with the same call. */
    uint32_t process;
    enum oracle_f f;
    enum oracle_outcome outcome;
    uint64_t call, ret;  /* ret ORACLE_NEVER unless OK or FAIL */
    struct slice key, arg;
    struct oracle_value expect;      /* CAS */
    int64_t by;                      /* INCR */
    uint64_t ttl;                    /* SET, SETNX: in units of time; 0: none */
    /* OK only; a SET that answers OK has none.  Of the others it may be missing:
     * then nothing is checked but that the operation can have succeeded. */
    bool has_result;
    struct oracle_value result;      /* GET, GETDEL */
    int64_t number;                  /* the others */
    uint64_t tag;                    /* the caller's: position in a file, node asked */
};

/* ---- histories ---- */

struct history; /* opaque: operations in order of their calls */

struct history *history_new(void);
void history_free(struct history *h);
/* Record a call; copies key, arg, expect.  Returns its number, 0, 1, ... */
size_t history_call(struct history *h, const struct oracle_op *op);
/* Record how operation n ended; copies result.  ret is ignored unless OK or FAIL. */
void history_return(struct history *h, size_t n, enum oracle_outcome outcome, uint64_t ret,
                    bool has_result, struct oracle_value result, int64_t number);
size_t history_count(const struct history *h);
const struct oracle_op *history_at(const struct history *h, size_t n);
/* Events that are no operations (a nemesis): only counted. */
void history_add_other(struct history *h);
size_t history_others(const struct history *h);

/* ---- linearizability ---- */

struct oracle_config {
    /* A key with a deadline may be found absent from (call of its SET) + ttl -
     * early on, and must be absent at a call later than (return of its SET) + ttl + late
     * (ORACLE_NEVER: no such limit). */
    uint64_t early, late;
    uint64_t steps_max;  /* states looked at for one key before UNDECIDED (20 million) */
};
struct oracle_config oracle_defaults(void);

enum oracle_verdict {
    ORACLE_LINEARIZABLE,
    ORACLE_VIOLATION,
    ORACLE_UNDECIDED,  /* steps_max reached */
    /* A process with two open operations, a return before its call; nothing else is
     * checked then. */
    ORACLE_BAD_HISTORY
};

struct oracle_report {
    enum oracle_verdict verdict; /* the worst: VIOLATION > BAD > UNDECIDED > LINEARIZABLE */
    size_t keys, ops, ok, failed, unknown;
    size_t violations, undecided; /* keys */
    uint64_t steps;
    /* Of the first violating key: the smallest window of operations, in the order of the
     * history, that is not linearizable whatever the state before it (or, if text says
     * so, beginning with no such key).  text tells it in lines, one operation each,
     * marks the one that cannot be placed, and lists states in which it was tried. */
    size_t *window; /* owned: numbers of operations */
    size_t n_window;
    char *text;     /* owned; "" if linearizable */
};

/* Check a whole history (Wing and Gong's search with Lowe's memoization, one key
 * at a time).  Free with oracle_report_close. */
void oracle_check(const struct history *h, const struct oracle_config *cfg,
                  struct oracle_report *ret);
void oracle_report_close(struct oracle_report *r);
/* "GET k -> \"v\"" and the like, for people. */
void oracle_op_text(const struct oracle_op *op, char *buf, size_t n);

#endif
