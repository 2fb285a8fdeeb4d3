/* Replies as a server writes them, appended to a buffer.
 *
 * resp is the protocol version of the connection, 2 or 3; types that RESP2 does not
 * have fall back as Redis does (map -> flat array, set -> array, double -> bulk
 * string, bool -> 0 or 1, verbatim -> bulk string, null -> null bulk string). */
#ifndef KV_PROTO_REPLY_H
#define KV_PROTO_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

void reply_simple(struct buf *b, const char *s);  /* no line breaks in s */
/* "-" and the formatted text, whose first word is the error's code.  Line breaks
 * become blanks: the text may quote what a client sent. */
void reply_error(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void reply_int(struct buf *b, int64_t v);
void reply_bulk(struct buf *b, struct slice s);
void reply_bulk_str(struct buf *b, const char *s);
void reply_bulk_int(struct buf *b, int64_t v);    /* a number as a string */
void reply_nil(struct buf *b, int resp);
void reply_nil_array(struct buf *b, int resp);
void reply_array(struct buf *b, uint64_t n);               /* n items follow */
void reply_map(struct buf *b, int resp, uint64_t pairs);   /* pairs follow */
void reply_set(struct buf *b, int resp, uint64_t n);
void reply_double(struct buf *b, int resp, double v);
void reply_bool(struct buf *b, int resp, bool v);
/* fmt: three letters, "txt". */
void reply_verbatim(struct buf *b, int resp, const char *fmt, struct slice s);

/* The decimal digits of v; returns how many were written, at most 20. */
unsigned reply_format_int(char out[24], int64_t v);

#endif
