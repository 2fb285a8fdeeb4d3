/* A growable byte queue: append at the end, consume at the front. */
#ifndef KV_BASE_BUF_H
#define KV_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
    uint8_t *base; /* owned; NULL until the first byte */
    size_t head;   /* bytes consumed at the front of base */
    size_t len;    /* bytes held, from base + head */
    size_t cap;    /* bytes allocated */
};

void buf_init(struct buf *b);
void buf_close(struct buf *b);              /* frees; b is as after buf_init */
void buf_clear(struct buf *b);              /* len = 0, keeps the memory */
void buf_reserve(struct buf *b, size_t n);  /* room for n more bytes */
/* The same, but false where buf_reserve would end the process for want of memory;
 * b is then unchanged.  For libkv, which must not end somebody else's program. */
bool buf_try_reserve(struct buf *b, size_t n);
/* Room for n bytes at the end, counted as held; the caller fills them. The
 * pointer is valid until the next call on b. */
uint8_t *buf_grow(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n);  /* n <= len */
void buf_truncate(struct buf *b, size_t n); /* keep the first n; n <= len */
/* Give memory back when far more is allocated than held (idle connections). */
void buf_shrink(struct buf *b, size_t keep);

static inline uint8_t *buf_at(const struct buf *b)
{
    return b->base == NULL ? NULL : b->base + b->head;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){ .p = buf_at(b), .n = b->len };
}

/* Little-endian integers and varints, see base/codec.h for reading. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v);           /* LEB128, <= 10 bytes */
void buf_put_bytes(struct buf *b, struct slice s);        /* varint length, bytes */

#endif
