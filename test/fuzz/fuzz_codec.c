/* Fuzz target: base/codec and base/buf.
 *
 * The input is a little program and its data: each step takes one byte as the
 * kind of read, does it, and checks what must hold whatever the bytes are: the
 * cursor stays inside the input, a failed one stays failed and empty, and a
 * value that was read is encoded as exactly the bytes that it was read from. */
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read one value of the kind and put it back into out. */
static void fuzz_step(unsigned kind, struct cursor *c, struct buf *out)
{
    switch (kind) {
    case 0:
        buf_put_u8(out, cursor_u8(c));
        break;
    case 1:
        buf_put_u16(out, cursor_u16(c));
        break;
    case 2:
        buf_put_u32(out, cursor_u32(c));
        break;
    case 3:
        buf_put_u64(out, cursor_u64(c));
        break;
    case 4:
        buf_put_varint(out, cursor_varint(c));
        break;
    case 5:
        buf_put_bytes(out, cursor_bytes(c));
        break;
    default:
        buf_put_slice(out, cursor_raw(c, kind));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_make(slice_make(data, size));
    struct buf out;

    buf_init(&out);
    while (!c.failed && c.n > 0) {
        unsigned kind = cursor_u8(&c);
        const uint8_t *start = c.p;

        ASSERT(c.p + c.n == data + size);
        buf_clear(&out);
        fuzz_step(kind, &c, &out);
        if (c.failed) {
            ASSERT(c.n == 0);
            ASSERT(cursor_u64(&c) == 0);
            ASSERT(cursor_bytes(&c).n == 0);
            break;
        }
        ASSERT(c.p + c.n == data + size);
        ASSERT(slice_eq(buf_slice(&out),
                        slice_make(start, (size_t)(c.p - start))));
    }
    buf_close(&out);
    return 0;
}
