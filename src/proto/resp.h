/* RESP, the Redis serialization protocol: requests as a server reads them and
 * replies as a client reads them.  No I/O and no copies: what is found is told as
 * slices of the caller's bytes.
 *
 * Both parsers are incremental in the same way.  The caller passes all bytes it
 * holds from the start of the current element, whether it has seen them before or
 * not; the parser remembers how far it looked and goes on from there, so feeding a
 * message byte by byte costs no more than feeding it whole, and gives the same
 * result.  The bytes may move between calls (offsets are kept, not pointers).
 *
 * Source: redis.io/docs/reference/protocol-spec, and Redis 7.0 for the errors. */
#ifndef KV_PROTO_RESP_H
#define KV_PROTO_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define RESP_LINE_BYTES_MAX 65536u   /* inline request, or a length line */
#define RESP_DEPTH_MAX 32u           /* nested aggregates in a reply */
#define RESP_ERROR_BYTES_MAX 96u     /* text of a protocol error */

/* ---- requests ---- */

struct resp_limits {
    size_t bulk_bytes_max; /* one argument ("proto-max-bulk-len") */
    uint32_t args_max;     /* arguments of one command, its name included */
};

enum resp_state {
    RESP_START,     /* nothing of the request seen */
    RESP_COUNT,     /* in the line "*3" */
    RESP_LENGTH,    /* in the line "$5" */
    RESP_BODY,      /* in the bytes after it */
    RESP_INLINE,    /* in a line without type byte */
    RESP_BROKEN     /* after a protocol error, for good */
};

struct resp_arg {
    size_t off; /* from the start of the request, or of `line` when inline */
    size_t len; /* bytes */
};

struct resp_request {
    struct resp_limits limits;
    enum resp_state state;
    size_t pos;            /* where the element being read begins */
    size_t scan;           /* bytes already searched for the end of the line */
    size_t body;           /* RESP_BODY: bytes of the argument */
    uint32_t want;         /* arguments announced */
    uint32_t argc;         /* arguments complete */
    struct resp_arg *args; /* owned, `cap` entries */
    struct slice *argv;    /* owned, `cap` entries; see resp_request_parse */
    uint32_t cap;
    struct buf line;       /* unquoted words of an inline request */
    char error[RESP_ERROR_BYTES_MAX]; /* text after KV_EPROTO, one line */
};

void resp_request_init(struct resp_request *r, struct resp_limits limits);
void resp_request_close(struct resp_request *r);

/* Read one request.
 *
 * in        all bytes held from the start of the request on
 * ret_used  bytes that the request takes; the next one begins there
 *
 * Returns 0 and sets r->argc and r->argv; argv is valid until the next call or
 * until the bytes of `in` move.  argc may be 0 (an empty line or array), which wants
 * no reply.  KV_EAGAIN: the request is incomplete.  KV_EPROTO: r->error has the
 * text that Redis sends after "-ERR "; the connection cannot go on. */
int resp_request_parse(struct resp_request *r, struct slice in,
                       size_t *ret_used);

/* Bytes (from the start of the request) that must be there before calling
 * again makes sense; a good size to reserve. 0: not known. */
size_t resp_request_need(const struct resp_request *r);

/* Split a line into words with the quoting of redis-cli: "..." knows \n \r \t
 * \b \a \xHH and \ before any other byte; '...' knows \'.  Words are appended to
 * `out` one after the other and told by put(ctx, offset in out, length), which
 * may refuse with an error that is passed on.  KV_EPROTO: unbalanced quotes. */
int resp_split_line(struct slice line, struct buf *out,
                    int (*put)(void *ctx, size_t off, size_t len), void *ctx);

/* Append one request as an array of bulk strings. */
void resp_request_encode(struct buf *b, const struct slice *argv,
                         uint32_t argc);

/* ---- numbers ---- */

/* Redis' integer: decimal, optional '-', no '+', no leading zero, no blanks, in
 * the range of int64_t. */
bool resp_int64(struct slice s, int64_t *ret);

/* ---- replies, for clients ---- */

enum resp_type {
    RESP_SIMPLE,     /* +  str */
    RESP_ERROR,      /* -  str ("!" of RESP3 too) */
    RESP_INT,        /* :  num */
    RESP_BULK,       /* $  str */
    RESP_NULL,       /* _, $-1, *-1 */
    RESP_DOUBLE,     /* ,  dbl */
    RESP_BOOL,       /* #  num is 0 or 1 */
    RESP_BIG,        /* (  str: decimal digits */
    RESP_VERBATIM,   /* =  str, without the format; fmt */
    RESP_ARRAY,      /* *  num elements follow */
    RESP_MAP,        /* %  num pairs follow */
    RESP_SET,        /* ~  num elements follow */
    RESP_PUSH,       /* >  num elements follow; out of band */
    RESP_ATTRIBUTE   /* |  num pairs follow, then the reply they belong to */
};

struct resp_item {
    enum resp_type type;
    int64_t num;
    double dbl;
    struct slice str;  /* borrowed from the input */
    char fmt[4];       /* RESP_VERBATIM: "txt", "mkd" */
    unsigned depth;    /* 0: the reply itself, 1: an element of it, ... */
    bool last;         /* the reply is complete with this item */
};

struct resp_reply {
    size_t bulk_bytes_max;
    size_t scan;                     /* bytes searched for the end of the line */
    size_t head;                     /* bytes of the length line; 0: not read */
    int64_t body;                    /* bytes of the bulk string under way */
    unsigned depth;                  /* open aggregates */
    uint64_t left[RESP_DEPTH_MAX];   /* elements each still expects */
    bool broken;
};

void resp_reply_init(struct resp_reply *r, size_t bulk_bytes_max);

/* Read one item: a scalar, or the header of an aggregate, whose elements are the
 * next items.  `in` starts at the first byte not yet used.
 *
 * Returns 0 and sets *ret, *ret_used.  KV_EAGAIN: incomplete.  KV_EPROTO: not
 * RESP; KV_E2BIG: nested too deep, a line or a string too long.  Both are final:
 * every later call returns KV_EPROTO. */
int resp_reply_next(struct resp_reply *r, struct slice in,
                    struct resp_item *ret, size_t *ret_used);

#endif
