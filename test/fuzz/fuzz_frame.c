/* What a peer's bytes can do to the frame decoder and the handshake.
 *
 * Input: one byte of options, then a byte stream as it would arrive.  With bit
 * 0 the checksums of each complete frame are set right first, because a fuzzer
 * does not find CRCs; without it, they are the fuzzer's.
 *
 *  P1  Nothing is read beyond the input (the sanitizer watches).
 *  P2  A prefix of a stream decodes to the same frame or asks for more, and
 *      what it asks for is never more than FRAME_BYTES_MAX.
 *  P3  A frame that decodes, built again from its head and payload, is the same
 *      bytes.
 *  P4  The handshake's decoders accept what their encoders make of what they
 *      accepted. */
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
#include "peer/link_int.h"

#define FIX_CHECKSUM 1u
#define PREFIXES_MAX 256u /* frames up to this size are cut at every byte */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds)
        abort();
}

/* Set the checksums of the frame at p right, if its n bytes hold it whole. */
static void fix_checksum(uint8_t *p, size_t n)
{
    size_t bytes;
    uint32_t head;

    if (n < FRAME_HEAD_BYTES)
        return;
    bytes = (size_t)get_u32le(p) + 4;
    if (bytes < FRAME_HEAD_BYTES || bytes > n)
        return;
    head = crc32c(crc32c(crc32c(0, p, 4), p + 8, 2), p + 12, 4);
    put_u16le(p + 10, (uint16_t)(head >> 16 ^ head));
    put_u32le(p + 4, crc32c(0, p + 8, bytes - 8));
}

static void check_prefix(struct slice in, size_t bytes)
{
    struct frame_head head;
    struct slice payload;
    size_t used = SIZE_MAX;
    int rv = frame_decode(in, &head, &payload, &used);

    must(rv == KV_EAGAIN); /* P2: it was good when it was whole */
    must(used == (in.n < 4 ? 0 : bytes));
}

static void check_rebuild(const struct frame_head *head, struct slice payload,
                          struct slice whole)
{
    struct frame *f = frame_new(head->kind, head->group);

    buf_put_slice(&f->body, payload);
    frame_seal(f);
    must(slice_eq(buf_slice(&f->body), whole)); /* P3 */
    frame_free(f);
}

static void check_hello(struct slice payload)
{
    struct link_hello h, again;
    struct frame *f;

    if (link__hello_decode(payload, &h) != 0)
        return;
    f = link__hello_frame(&h);
    must(link__hello_decode(slice_make(buf_at(&f->body) + FRAME_HEAD_BYTES,
                                       f->body.len - FRAME_HEAD_BYTES),
                            &again) == 0); /* P4 */
    must(again.cluster_id == h.cluster_id);
    must(again.receiver_id == h.receiver_id);
    must(again.features == h.features);
    frame_free(f);
}

static void check_ack(struct slice payload)
{
    struct link_ack a, again;
    struct frame *f;

    if (link__ack_decode(payload, &a) != 0)
        return;
    must(link__refusal_text(a.refusal) != NULL);
    if ((a.version == 0) != (a.refusal != LINK_ACCEPTED))
        return; /* nothing our encoder says */
    f = link__ack_frame(&a);
    must(link__ack_decode(slice_make(buf_at(&f->body) + FRAME_HEAD_BYTES,
                                     f->body.len - FRAME_HEAD_BYTES),
                          &again) == 0); /* P4 */
    must(again.node_id == a.node_id);
    must(again.refusal == a.refusal);
    frame_free(f);
}

/* Decode the frame at the front of in; returns its size, or 0 when the stream
 * ends here or its connection would be closed. */
static size_t check_front(struct slice in)
{
    struct frame_head head;
    struct slice payload;
    size_t used = 0;
    int rv = frame_decode(in, &head, &payload, &used);

    if (rv == KV_EAGAIN) {
        must(used == 0 || (used > in.n && used <= FRAME_BYTES_MAX)); /* P2 */
        return 0;
    }
    if (rv != 0) {
        must(rv == KV_EPROTO || rv == KV_EVERSION || rv == KV_ECORRUPT);
        return 0;
    }
    must(used >= FRAME_HEAD_BYTES);
    must(used <= in.n);
    must(payload.n == used - FRAME_HEAD_BYTES);
    for (size_t n = 0; n < used && n < PREFIXES_MAX; n++)
        check_prefix(slice_make(in.p, n), used);
    check_rebuild(&head, payload, slice_make(in.p, used));
    check_hello(payload);
    check_ack(payload);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *stream;
    struct slice in;
    size_t used;

    if (size < 2)
        return 0;
    stream = malloc(size - 1); /* exactly: P1 */
    if (stream == NULL)
        return 0;
    memcpy(stream, data + 1, size - 1);
    in = slice_make(stream, size - 1);
    do {
        if (data[0] & FIX_CHECKSUM)
            fix_checksum(stream + (in.p - stream), in.n);
        used = check_front(in);
        in = slice_make(in.p + used, in.n - used);
    } while (used > 0);
    free(stream);
    return 0;
}
