/* The replicated operation: what a client command becomes before it is routed,
 * logged and applied.  Logical (INCR stays INCR), deterministic, versioned, frozen
 * once released.
 *
 *   u8 version (1) | u8 kind | u16 flags | u16 slot
 *   u64 origin | varint seq | varint low | i64 time | varint argc | argc x (varint length, bytes)
 *
 * A batch entry (the payload of one raft COMMAND entry) is
 *
 *   u8 version (1) | u8 flags (0) | i64 leader time ms | varint count | count x (varint length, op)
 */
#ifndef KV_PROTO_OP_H
#define KV_PROTO_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/slice.h"

#define OP_VERSION 1
#define OP_KEY_BYTES_MAX (64u << 10)
#define OP_VALUE_BYTES_MAX (16u << 20)
#define OP_ARGS_MAX 65536u             /* slices in one op (MSET: 2 a pair) */
#define OP_BATCH_HEAD_BYTES_MAX 20u    /* of a batch, before its operations */
#define OP_BATCH_LENGTH_BYTES_MAX 5u   /* of a batch, before each operation */
#define OP_BYTES_MAX (32u << 20)       /* one encoded op */
#define OP_RESULT_BYTES_MAX (32u << 20) /* one encoded result; OP_ERR_TOO_BIG above */
#define OP_SEQ_MAX (UINT64_MAX >> 1)    /* no origin lives that long */
#define OP_SCAN_CURSOR_BITS 48          /* a cursor of one shard is below 2^48 */

/* X(NAME, value, is_write).  Values are frozen. */
#define OP_KIND_MAP(X)                                                        \
    X(GET, 1, 0) X(MGET, 2, 0) X(STRLEN, 3, 0) X(GETRANGE, 4, 0)              \
    X(EXISTS, 5, 0) X(TOUCH, 6, 0) X(TYPE, 7, 0) X(TTL, 8, 0)                 \
    X(GETREV, 9, 0) X(DBSIZE, 10, 0) X(SCAN, 11, 0) X(KEYS, 12, 0)            \
    X(RANDOMKEY, 13, 0)                                                       \
    X(SET, 32, 1) X(MSET, 33, 1) X(APPEND, 34, 1) X(SETRANGE, 35, 1)          \
    X(INCRBY, 36, 1) X(INCRBYFLOAT, 37, 1) X(DEL, 38, 1) X(GETDEL, 39, 1)     \
    X(GETEX, 40, 1) X(EXPIRE, 41, 1) X(PERSIST, 42, 1) X(FLUSH, 43, 1)        \
    X(TICK, 60, 1) X(SESSION_DROP, 61, 1) X(NOOP, 62, 1)

enum op_kind {
#define X(name, value, is_write) OP_##name = value,
    OP_KIND_MAP(X)
#undef X
};

/* Flags; which kinds know which is said in op_args below. */
enum op_flag {
    OP_NX = 1 << 0,       /* SET: only if absent; EXPIRE: only if no TTL */
    OP_XX = 1 << 1,       /* SET: only if present; EXPIRE: only if it has a TTL */
    OP_GT = 1 << 2,       /* EXPIRE: only if later */
    OP_LT = 1 << 3,       /* EXPIRE: only if earlier */
    OP_GETOLD = 1 << 4,   /* SET: reply with the old value */
    OP_KEEPTTL = 1 << 5,  /* SET */
    OP_TIME_REL = 1 << 6, /* `time` is ms after the shard clock at apply */
    OP_TIME_ABS = 1 << 7, /* `time` is ms since 1970 */
    OP_IFEQ = 1 << 8,     /* SET: only if the value equals argv[2] */
    OP_IFREV = 1 << 9,    /* SET: only if the revision equals argv[2] (8 bytes LE); 0: only if absent */
    OP_PERSIST_TTL = 1 << 10, /* GETEX PERSIST */
    OP_SETNX_REPLY = 1 << 11, /* SET: reply 1/0 (SETNX) */
    OP_RETRY = 1 << 12    /* sent before: the outcome of the first try is not known */
};

/* Arguments by kind (argv), all of them checked by op_decode.  What a number in
 * decimal says is checked by apply (OP_ERR_NOT_INTEGER), not by the codec.
 *   GET, STRLEN, TYPE, TTL, GETREV, GETDEL, GETEX, PERSIST: key
 *   MGET, EXISTS, TOUCH, DEL: key...          MSET: key value ...
 *   GETRANGE: key start end (decimal)         SETRANGE: key offset(decimal) value
 *   SET: key value [IFEQ value | IFREV u64]   APPEND: key value
 *   INCRBY: key delta(decimal)                INCRBYFLOAT: key delta(text)
 *   EXPIRE: key (deadline in `time`)          TTL: result is deadline and now, see fsm.h
 *   DBSIZE, RANDOMKEY, FLUSH, TICK, NOOP: none
 *   SCAN: cursor(u64 LE) count(u64 LE) pattern(may be empty: all) ; KEYS: pattern
 *   SESSION_DROP: origin(u64 LE)
 *
 * Flags by kind; any other is malformed, and so is a pair that Redis refuses:
 *   all:    RETRY
 *   SET:    NX XX GETOLD KEEPTTL TIME_REL TIME_ABS IFEQ IFREV SETNX_REPLY; at most
 *           one of NX, XX, IFEQ, IFREV; one of KEEPTTL, TIME_REL, TIME_ABS
 *   GETEX:  at most one of TIME_REL TIME_ABS PERSIST_TTL (none: plain GET)
 *   EXPIRE: NX XX GT LT; exactly one of TIME_REL TIME_ABS; NX alone, GT without LT
 *
 * A write with an origin has 1 <= low <= seq <= OP_SEQ_MAX.
 *
 * Results by kind, when it is not an error:
 *   GET, GETDEL, GETEX, RANDOMKEY: BULK or NIL     MGET, KEYS: ARRAY
 *   SET: OK or NIL (condition not met); GETOLD: BULK or NIL, the old value;
 *        SETNX_REPLY: INT 1 or 0                   GETRANGE: BULK
 *   STRLEN, APPEND, SETRANGE: INT bytes            INCRBY: INT the new value
 *   INCRBYFLOAT: BULK                              EXISTS, TOUCH, DEL: INT keys
 *   EXPIRE, PERSIST: INT 1 or 0                    TYPE: BULK "string" or "none"
 *   GETREV: INT revision of the key, 0 if absent   DBSIZE: INT
 *   TTL: PAIR                                      SCAN: SCAN
 *   TICK: INT keys expired                         MSET, FLUSH, others: OK */
struct op {
    enum op_kind kind;
    uint16_t flags;
    uint16_t slot;       /* of the first key; SLOT_COUNT when there is no key */
    uint64_t origin;     /* of the coordinating process, see router.c; 0: no dedupe */
    uint64_t seq;        /* of this shard at that origin, from 1 */
    uint64_t low;        /* lowest sequence still unanswered there; <= seq */
    int64_t time;        /* ms, see OP_TIME_* */
    struct slice *argv;  /* borrowed array of borrowed slices */
    uint32_t argc;
};

/* Fields of an encoded op at their fixed places, without decoding it.  enc holds
 * at least OP_FIXED_BYTES. */
#define OP_FIXED_BYTES 14u
static inline bool op_is_retry(struct slice enc) { return (get_u16le(enc.p + 2) & OP_RETRY) != 0; }
/* Say in an encoded op that it was sent before. */
static inline void op_mark_retry(uint8_t *enc) { put_u16le(enc + 2, (uint16_t)(get_u16le(enc + 2) | OP_RETRY)); }

bool op_is_write(enum op_kind kind);
const char *op_kind_name(enum op_kind kind); /* "SET"; "?" if unknown */
void op_encode(struct buf *b, const struct op *op);
/* Decode; argv is filled from the scratch array (cap entries); slices borrow from
 * in.  KV_EPROTO malformed (trailing bytes, arguments or flags that the kind does
 * not have), KV_EVERSION, KV_E2BIG argc > cap, or a key, value or op over its
 * limit.  The encoding is canonical: what decodes encodes to the same bytes. */
int op_decode(struct slice in, struct op *ret, struct slice *argv, uint32_t cap);
/* argc of an encoded op without decoding it, or -1; at most OP_ARGS_MAX. */
long op_peek_argc(struct slice in);

/* Batch entries. */
struct op_batch {
    int64_t time;        /* leader's clock, ms */
    uint64_t count;      /* ops left: counted down by op_batch_next */
    struct cursor rest;  /* positioned at the next op */
};
void op_batch_begin(struct buf *b, int64_t time, uint64_t count);
void op_batch_add(struct buf *b, struct slice op);
/* KV_EPROTO, KV_EVERSION. */
int op_batch_open(struct slice in, struct op_batch *ret);
/* Next encoded op, not decoded yet.  KV_EEOF after the last; KV_EPROTO when the
 * entry is cut, has more bytes than its count says, or an op over OP_BYTES_MAX. */
int op_batch_next(struct op_batch *b, struct slice *ret_op);

/* ---- results ---- */

/* What applying an op or reading yields; travels between nodes and is kept for
 * dedupe.  Encoded by op_result_encode:  u8 type | payload by type:
 *   OK, NIL: nothing      INT: i64          BULK, ARRAY: varint length, bytes
 *   ERR: u8               PAIR: i64, i64    SCAN: i64 cursor, varint length, bytes */
enum op_result_type {
    OP_RES_OK = 1,    /* +OK */
    OP_RES_NIL = 2,
    OP_RES_INT = 3,   /* `num` */
    OP_RES_BULK = 4,  /* `bulk` */
    OP_RES_ARRAY = 5, /* `bulk` holds the items: varint 0 = nil, else varint length+1, bytes */
    OP_RES_ERR = 6,   /* `num` is an enum op_err */
    OP_RES_PAIR = 7,  /* `num`, `num2` (TTL: deadline ms or -1 no TTL or -2 no key, and now) */
    OP_RES_SCAN = 8   /* `num` next cursor, `bulk` items as in ARRAY */
};

enum op_err {
    OP_ERR_NOT_INTEGER = 1,   /* value is not an integer or out of range */
    OP_ERR_OVERFLOW = 2,      /* increment or decrement would overflow */
    OP_ERR_NOT_FLOAT = 3,     /* value is not a valid float */
    OP_ERR_NAN = 4,           /* increment would produce NaN or Infinity */
    OP_ERR_TOO_BIG = 5,       /* string exceeds maximum allowed size */
    OP_ERR_OFFSET = 6,        /* offset is out of range */
    OP_ERR_EXPIRE = 7,        /* invalid expire time */
    OP_ERR_SESSION_LOST = 8,  /* a retry whose first outcome can no longer be told */
    OP_ERR_BAD_OP = 9,        /* not decodable or not known to this version */
    OP_ERR_SESSION_FULL = 10, /* surely not executed, now or later: this origin holds
                               * too many results that it has not acknowledged by `low`;
                               * the router says BUSY */
    /* Set by the shard and router, never by apply: */
    OP_ERR_UNKNOWN = 32,      /* -UNKNOWN */
    OP_ERR_CLUSTERDOWN = 33,  /* -CLUSTERDOWN */
    OP_ERR_BUSY = 34,         /* -BUSY */
    OP_ERR_NOT_LEADER = 35,   /* internal: retry elsewhere */
    OP_ERR_LOADING = 36
};

struct op_result {
    enum op_result_type type;
    int64_t num, num2;
    struct slice bulk;   /* borrowed; see who returns it */
};

void op_result_encode(struct buf *b, const struct op_result *r);
/* bulk borrows from in; items of an ARRAY or SCAN are checked to the last.
 * KV_EPROTO malformed, KV_E2BIG over OP_RESULT_BYTES_MAX. */
int op_result_decode(struct slice in, struct op_result *ret);
static inline struct op_result op_result_err(enum op_err e)
{
    return (struct op_result){ .type = OP_RES_ERR, .num = e };
}
/* Items of an ARRAY or SCAN result.  Cursor: cursor_make(result.bulk). */
void op_items_put(struct buf *b, struct slice item);
void op_items_put_nil(struct buf *b);
bool op_items_next(struct cursor *c, bool *ret_nil, struct slice *ret); /* false at the end */

#endif
