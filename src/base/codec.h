/* Reading fixed little-endian integers and varints from untrusted bytes.
 *
 * A cursor never reads past its end: the first short or malformed read sets
 * `failed`, and every later read returns 0 or an empty slice.  So a decoder reads
 * straight through and tests `failed` once. */
#ifndef KV_BASE_CODEC_H
#define KV_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct cursor {
    const uint8_t *p; /* next byte; borrowed */
    size_t n;         /* bytes left */
    bool failed;      /* a read went past the end or was malformed */
};

static inline struct cursor cursor_make(struct slice s)
{
    return (struct cursor){ .p = s.p, .n = s.n, .failed = false };
}

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint64_t cursor_varint(struct cursor *c);           /* canonical LEB128 only */
struct slice cursor_raw(struct cursor *c, size_t n);/* n bytes, borrowed */
struct slice cursor_bytes(struct cursor *c);        /* varint length, bytes */
/* True when everything was read and nothing failed. */
bool cursor_done(const struct cursor *c);

static inline void put_u16le(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_u32le(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}
static inline void put_u64le(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}
static inline uint16_t get_u16le(const uint8_t *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}
static inline uint32_t get_u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}
static inline uint64_t get_u64le(const uint8_t *p)
{
    return (uint64_t)get_u32le(p) | (uint64_t)get_u32le(p + 4) << 32;
}

#endif
