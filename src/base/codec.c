/* Reading from untrusted bytes: see codec.h for how a decoder uses a cursor.
 *
 * I1  A cursor never moves past its end, whatever lengths the bytes claim.
 * I2  A failed cursor has n == 0, so that loops over "bytes left" end, and
 *     stays failed.
 * I3  A varint has one encoding only: the shortest.  Two different byte strings
 *     therefore never decode to the same record, and a digest of the bytes is a
 *     digest of the content. */
#include "base/codec.h"

static void cursor_fail(struct cursor *c)
{
    c->failed = true;
    c->n = 0;
}

/* The next n bytes, or NULL after marking the cursor failed. */
static const uint8_t *cursor_take(struct cursor *c, size_t n)
{
    const uint8_t *p = c->p;

    if (c->failed || n > c->n) {
        cursor_fail(c);
        return NULL;
    }
    c->p += n;
    c->n -= n;
    return p;
}

uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 1);

    return p == NULL ? 0 : *p;
}

uint16_t cursor_u16(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 2);

    return p == NULL ? 0 : get_u16le(p);
}

uint32_t cursor_u32(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 4);

    return p == NULL ? 0 : get_u32le(p);
}

uint64_t cursor_u64(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 8);

    return p == NULL ? 0 : get_u64le(p);
}

uint64_t cursor_varint(struct cursor *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(c);

        if (c->failed)
            return 0;
        /* The tenth byte has room for the topmost bit only. */
        if (shift == 63 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        /* A last byte of zero adds nothing: a longer form of the same. */
        if (byte == 0 && shift > 0)
            break;
        return v;
    }
    cursor_fail(c);
    return 0;
}

struct slice cursor_raw(struct cursor *c, size_t n)
{
    const uint8_t *p;

    if (n == 0) /* p may be NULL here, and so no pointer arithmetic */
        return slice_make(c->p, 0);
    p = cursor_take(c, n);
    return slice_make(p, p == NULL ? 0 : n);
}

struct slice cursor_bytes(struct cursor *c)
{
    uint64_t n = cursor_varint(c);

    if (n > c->n) {
        cursor_fail(c);
        return slice_make(NULL, 0);
    }
    return cursor_raw(c, (size_t)n);
}

bool cursor_done(const struct cursor *c)
{
    return !c->failed && c->n == 0;
}
