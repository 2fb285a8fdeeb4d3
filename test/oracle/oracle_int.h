/* Shared by the files of the oracle only. */
#ifndef KV_TEST_ORACLE_INT_H
#define KV_TEST_ORACLE_INT_H

#include "base/buf.h"
#include "oracle/oracle.h"

/* ---- history.c ---- */

/* When an operation was called and returned, in the order of recording: ties of
 * equal times are broken by it.  Events are numbered from 0. */
uint64_t history__call_seq(const struct history *h, size_t n);
uint64_t history__ret_seq(const struct history *h, size_t n);
/* The first operation that cannot be (see ORACLE_BAD_HISTORY), with the reason;
 * history_count(h) if there is none. */
size_t history__bad(const struct history *h, const char **ret_why);

/* ---- model.c, model_step.c: one key ---- */

/* Numbers of values.  VALUE_ANY is a key of which nothing is known. */
#define VALUE_ABSENT 0u
#define VALUE_ANY 1u

#define DEADLINE_NONE 0u
#define DEADLINE_ANY UINT32_MAX /* may have one, nobody knows which */

struct state {
    uint32_t value;
    uint32_t deadline; /* 1 + index of the operation that set it, see lin.c */
};

enum value_kind {
    VALUE_PLAIN, /* bytes */
    VALUE_JUNK,  /* some bytes that no operation saw; `blur` of them if that matters */
    VALUE_BLUR   /* `blur` bytes that are not known, then bytes */
};

struct value {
    enum value_kind kind;
    uint64_t blur;
    size_t at, n;    /* bytes, in model.bytes */
    bool is_integer; /* PLAIN: canonical decimal */
    int64_t integer;
};

struct model {
    struct value *values; /* owned; [0] and [1] are the special ones */
    uint32_t n_values, cap_values;
    struct buf bytes;     /* owned */
    uint32_t *table;      /* owned: open addressing, numbers of values; 0: free */
    uint32_t cap_table;
    uint32_t *seen;       /* owned: values that some result shows, by bytes */
    size_t n_seen, cap_seen;
    bool exact;           /* no VALUE_JUNK: for texts */
    bool has_incr, has_append_length, has_ttl;
};

/* An operation as the model takes it. */
struct model_op {
    enum oracle_f f;
    bool checked;      /* result (or number) must be as given */
    uint32_t arg;      /* SET, SETNX, CAS: value */
    struct slice text; /* APPEND: borrowed */
    uint32_t expect;   /* CAS: value, or VALUE_ABSENT */
    uint32_t result;   /* GET, GETDEL: the same */
    int64_t number, by;
    uint32_t deadline; /* SET, SETNX */
};

void model_init(struct model *m);
void model_close(struct model *m);
/* Before anything else: what the key's operations can tell apart. */
void model_look(struct model *m, const struct oracle_op *op, bool definite);
void model_look_done(struct model *m);
void model_prepare(struct model *m, const struct oracle_op *op, bool definite,
                   uint32_t deadline, struct model_op *ret);
/* For model_step.c: the bytes that are known of a value, and the numbers of one
 * that an operation writes, of one of which the first bytes are not known, of one
 * that nobody can tell from another of its length.  s is not in m->bytes. */
struct slice model__bytes(const struct model *m, const struct value *v);
uint32_t model__written(struct model *m, struct slice s);
uint32_t model__blurred(struct model *m, uint64_t blur, struct slice s);
uint32_t model__junk(struct model *m, uint64_t len);
/* Does op, in state s (alive, its deadline not passed), do what its result says?
 * Writes the state after it.  One whose outcome is not known only needs to have
 * an effect. */
bool model_step(struct model *m, const struct model_op *op, struct state s,
                struct state *ret);
/* Is value v, of bytes, a beginning of value of? */
bool model_is_prefix(const struct model *m, uint32_t v, uint32_t of);
uint64_t model_length(const struct model *m, uint32_t v);
/* Could v, or v with more bytes appended, be an integer? */
bool model_may_count(const struct model *m, uint32_t v);
/* Does some result show these bytes anywhere? */
bool model_shows(const struct model *m, struct slice bytes);
void model_text(const struct model *m, struct state s, struct buf *b);

/* ---- lin.c: the search ---- */

enum lin_use {
    LIN_AS_IS,
    LIN_RELAXED, /* as if its outcome were not known */
    LIN_LEFT_OUT
};

struct lin_input {
    const struct history *h;
    const size_t *ops;   /* of one key: numbers in h, ascending */
    size_t n;
    const uint8_t *use;  /* enum lin_use of each; NULL: all as they are */
    bool from_any;       /* start with a key of which nothing is known; else absent */
    bool exact;
    size_t watch;        /* tell the states in which this one of ops was tried in
                          * vain; SIZE_MAX: none */
    const struct oracle_config *cfg;
};

#define LIN_STATES_MAX 8u /* told of the watched operation */

/* Adds to *steps.  LINEARIZABLE, VIOLATION or UNDECIDED.  states: appended to, for
 * the watched operation; NULL without one. */
enum oracle_verdict lin_run(const struct lin_input *in, uint64_t *steps,
                            struct buf *states);

/* ---- window.c ---- */

/* The history of a key is not linearizable: find the smallest window and tell it. */
void window_find(const struct history *h, const size_t *ops, size_t n,
                 const struct oracle_config *cfg, struct oracle_report *r);

/* ---- tokens.c ---- */

/* Which tokens of a list by APPEND are lost, doubled, out of order; nothing if the key is
 * no such list. */
void tokens_tell(const struct history *h, const size_t *ops, size_t n, struct buf *b);

/* ---- text.c ---- */

/* Bytes as a string in quotation marks, cut after a while. */
void text_bytes(struct buf *b, struct slice s);
void text_op(struct buf *b, const struct oracle_op *op);

#endif
