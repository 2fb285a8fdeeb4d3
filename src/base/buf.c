/* A byte queue in one contiguous piece, for socket input, replies and encoded
 * records.
 *
 *     base        base+head            base+head+len        base+cap
 *      | consumed  |  held              |  room              |
 *
 * Appending first uses the room; then, when at least half of the allocation is
 * consumed bytes, moves what is held to the front (so each byte is moved at
 * most once for each byte that was consumed); then doubles.  Both together make
 * an append O(1) per byte, amortised.
 *
 * I1  head + len <= cap, and base is NULL exactly when cap is 0.
 * I2  len == 0 implies head == 0: an emptied queue starts at the front again. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"

/* The first allocation, in bytes. */
#define BUF_CAP_MIN 64

/* A LEB128 number of 64 bits, in bytes. */
#define BUF_VARINT_MAX 10

static void buf_check(const struct buf *b)
{
    ASSERT(b->head <= b->cap);
    ASSERT(b->len <= b->cap - b->head);
    ASSERT((b->base == NULL) == (b->cap == 0));
    ASSERT(b->len != 0 || b->head == 0);
}

void buf_init(struct buf *b)
{
    *b = (struct buf){ .base = NULL };
}

void buf_close(struct buf *b)
{
    mem_free(b->base);
    buf_init(b);
}

void buf_clear(struct buf *b)
{
    b->head = 0;
    b->len = 0;
}

/* Move what is held into `base`, a new allocation of cap bytes. */
static void buf_move(struct buf *b, uint8_t *base, size_t cap)
{
    ASSERT(b->len <= cap);
    if (b->len > 0)
        memcpy(base, b->base + b->head, b->len);
    mem_free(b->base);
    b->base = base;
    b->head = 0;
    b->cap = cap;
}

/* Find room for n more bytes in what is allocated, or say with *ret_cap (else 0)
 * how much to allocate. */
static void buf_plan(struct buf *b, size_t n, size_t *ret_cap)
{
    size_t cap;

    buf_check(b);
    *ret_cap = 0;
    if (n <= b->cap - b->head - b->len)
        return;
    if (n <= b->cap - b->len && b->head >= b->cap / 2) {
        memmove(b->base, b->base + b->head, b->len);
        b->head = 0;
        return;
    }
    ASSERT(n <= SIZE_MAX / 4 - b->len);
    cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap;
    while (cap < b->len + n)
        cap *= 2;
    if (cap == b->cap)
        cap *= 2; /* the room exists but is at the front: keep it amortised */
    *ret_cap = cap;
}

void buf_reserve(struct buf *b, size_t n)
{
    size_t cap;

    buf_plan(b, n, &cap);
    if (cap > 0)
        buf_move(b, mem_alloc(cap), cap);
}

bool buf_try_reserve(struct buf *b, size_t n)
{
    uint8_t *base;
    size_t cap;

    buf_plan(b, n, &cap);
    if (cap == 0)
        return true;
    base = mem_try_alloc(cap);
    if (base != NULL)
        buf_move(b, base, cap);
    return base != NULL;
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
    uint8_t *p;

    /* Also with n == 0 the caller gets a pointer it may hand to memcpy. */
    buf_reserve(b, n > 0 ? n : 1);
    p = b->base + b->head + b->len;
    b->len += n;
    return p;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n > 0)
        memcpy(buf_grow(b, n), p, n);
}

void buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.p, s.n);
}

void buf_put_str(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    /* vsnprintf wants room for its terminator, which is not held. */
    buf_reserve(b, (size_t)n + 1);
    vsnprintf((char *)b->base + b->head + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len -= n;
    b->head = b->len == 0 ? 0 : b->head + n;
    buf_check(b);
}

void buf_truncate(struct buf *b, size_t n)
{
    ASSERT(n <= b->len);
    b->len = n;
    if (n == 0)
        b->head = 0;
}

void buf_shrink(struct buf *b, size_t keep)
{
    size_t want = b->len > keep ? b->len : keep;

    buf_check(b);
    if (b->cap / 2 <= want)
        return;
    if (want == 0)
        buf_close(b);
    else
        buf_move(b, mem_alloc(want), want);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_grow(b, 1) = v;
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    put_u16le(buf_grow(b, 2), v);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    put_u32le(buf_grow(b, 4), v);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    put_u64le(buf_grow(b, 8), v);
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    uint8_t out[BUF_VARINT_MAX];
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    buf_put(b, out, n);
}

void buf_put_bytes(struct buf *b, struct slice s)
{
    buf_put_varint(b, s.n);
    buf_put_slice(b, s);
}
