/* Frames alone: no env, no sockets. */
#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
#include "lib/test.h"
#include "peer/frame.h"
#include "fixture.h"

/* The bytes of a sealed frame. */
static void flatten(const struct frame *f, struct buf *ret)
{
    struct slice parts[64];
    unsigned n = frame_n_parts(f);

    CHECK(n <= 64);
    CHECK_EQ(frame_parts(f, parts, 64), n);
    buf_init(ret);
    for (unsigned i = 0; i < n; i++)
        buf_put_slice(ret, parts[i]);
    CHECK_EQ(ret->len, f->bytes);
}

static struct blob *pattern(size_t n, uint8_t seed)
{
    struct blob *b = blob_new(n);

    for (size_t i = 0; i < n; i++)
        b->data[i] = (uint8_t)(seed + i * 7);
    return b;
}

/* "ab" <5000 bytes of blob from 3> "c" <10 bytes> <4096 bytes> */
static struct frame *mixed(struct buf *ret_payload)
{
    struct frame *f = frame_new(FRAME_RAFT, 7);
    struct blob *b = pattern(6000, 11);

    buf_put_str(&f->body, "ab");
    frame_put_blob(f, b, 3, 5000);
    buf_put_str(&f->body, "c");
    frame_put_blob(f, b, 100, 10);
    frame_put_blob(f, b, 0, 4096);
    buf_init(ret_payload);
    buf_put_str(ret_payload, "ab");
    buf_put(ret_payload, b->data + 3, 5000);
    buf_put_str(ret_payload, "c");
    buf_put(ret_payload, b->data + 100, 10);
    buf_put(ret_payload, b->data, 4096);
    blob_unref(b); /* the frame has its own references */
    CHECK_EQ(frame_bytes(f), FRAME_HEAD_BYTES + ret_payload->len);
    frame_seal(f);
    return f;
}

static void small_wire(struct buf *ret)
{
    struct frame *f = frame_new(FRAME_PING, 5);

    buf_put_str(&f->body, "hello");
    frame_seal(f);
    flatten(f, ret);
    frame_free(f);
}

/* Set the checksums right again after a change. */
static void reseal(struct buf *wire)
{
    raw_fix_head(buf_at(wire));
    put_u32le(buf_at(wire) + 4, crc32c(0, buf_at(wire) + 8, wire->len - 8));
}

static int decode(struct slice in)
{
    struct frame_head head;
    struct slice payload;
    size_t used;

    return frame_decode(in, &head, &payload, &used);
}

TEST(frame, what_was_built_is_what_is_decoded)
{
    struct buf wire, want;
    struct frame *f = mixed(&want);
    struct frame_head head;
    struct slice payload;
    size_t used;

    flatten(f, &wire);
    buf_put_str(&wire, "next");
    CHECK_EQ(frame_decode(buf_slice(&wire), &head, &payload, &used), 0);
    CHECK_EQ(head.kind, FRAME_RAFT);
    CHECK_EQ(head.group, 7);
    CHECK_EQ(used, wire.len - 4);
    CHECK_EQ(payload.n, want.len);
    CHECK_MEM(payload.p, buf_at(&want), want.len);
    frame_free(f);
    buf_close(&wire);
    buf_close(&want);
}

TEST(frame, large_blobs_are_spliced_and_small_ones_copied)
{
    struct frame *f = frame_new(FRAME_RAFT, 1);
    struct blob *b = pattern(FRAME_SPLICE_MIN, 1);

    frame_put_blob(f, b, 0, FRAME_SPLICE_MIN - 1);
    CHECK_EQ(f->n_parts, 0);
    CHECK_EQ(b->refs, 1);
    frame_put_blob(f, b, 0, FRAME_SPLICE_MIN);
    CHECK_EQ(f->n_parts, 1);
    CHECK_EQ(b->refs, 2);
    frame_free(f);
    CHECK_EQ(b->refs, 1);
    blob_unref(b);
}

TEST(frame, the_rest_after_any_number_of_bytes_is_what_is_left)
{
    struct buf wire, want;
    struct frame *f = mixed(&want);

    flatten(f, &wire);
    for (size_t skip = 0; skip <= f->bytes; skip++) {
        struct slice parts[8];
        unsigned n = frame_rest(f, skip, parts, 8);
        size_t at = skip;

        for (unsigned i = 0; i < n; i++) {
            CHECK(parts[i].n > 0);
            CHECK_MEM(parts[i].p, buf_at(&wire) + at, parts[i].n);
            at += parts[i].n;
        }
        CHECK_EQ(at, f->bytes);
    }
    frame_free(f);
    buf_close(&wire);
    buf_close(&want);
}

TEST(frame, rest_stops_at_the_number_of_parts_asked_for)
{
    struct buf want;
    struct frame *f = mixed(&want);
    struct slice parts[2];

    CHECK_EQ(frame_rest(f, 0, parts, 2), 2);
    CHECK_EQ(parts[0].n, FRAME_HEAD_BYTES + 2);
    CHECK_EQ(parts[1].n, 5000);
    CHECK_EQ(frame_rest(f, f->bytes, parts, 2), 0);
    frame_free(f);
    buf_close(&want);
}

TEST(frame, cut_at_any_byte_it_asks_for_more_and_says_how_much)
{
    struct buf wire, want;
    struct frame *f = mixed(&want);

    flatten(f, &wire);
    for (size_t n = 0; n < wire.len; n++) {
        struct frame_head head;
        struct slice payload;
        size_t used = SIZE_MAX;
        /* A copy of just n bytes, so that a sanitizer sees reads beyond. */
        struct blob *cut = blob_copy(slice_make(buf_at(&wire), n));

        CHECK_EQ(frame_decode(blob_slice(cut), &head, &payload, &used),
                 KV_EAGAIN);
        CHECK_EQ(used, n < 4 ? 0 : wire.len);
        blob_unref(cut);
    }
    frame_free(f);
    buf_close(&wire);
    buf_close(&want);
}

/* Not even of the length: what would have to come is never waited for. */
TEST(frame, a_change_of_any_bit_is_refused_at_once)
{
    struct buf wire;

    small_wire(&wire);
    for (size_t bit = 0; bit < wire.len * 8; bit++) {
        uint8_t *at = buf_at(&wire) + bit / 8;
        int rv;

        *at ^= (uint8_t)(1u << bit % 8);
        rv = decode(buf_slice(&wire));
        CHECK(rv == KV_ECORRUPT || rv == KV_EPROTO || rv == KV_EVERSION);
        *at ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_EQ(decode(buf_slice(&wire)), 0);
    buf_close(&wire);
}

TEST(frame, a_changed_payload_is_corrupt)
{
    struct buf wire;

    small_wire(&wire);
    buf_at(&wire)[FRAME_HEAD_BYTES] ^= 1;
    CHECK_EQ(decode(buf_slice(&wire)), KV_ECORRUPT);
    buf_close(&wire);
}

TEST(frame, lengths_below_the_header_and_above_the_limit_are_refused)
{
    struct buf wire;

    small_wire(&wire);
    put_u32le(buf_at(&wire), FRAME_HEAD_BYTES - 5);
    CHECK_EQ(decode(buf_slice(&wire)), KV_EPROTO);
    put_u32le(buf_at(&wire), FRAME_BYTES_MAX - 3);
    CHECK_EQ(decode(buf_slice(&wire)), KV_EPROTO);
    put_u32le(buf_at(&wire), UINT32_MAX);
    CHECK_EQ(decode(slice_make(buf_at(&wire), 4)), KV_EPROTO);
    put_u32le(buf_at(&wire), FRAME_BYTES_MAX - 4);
    raw_fix_head(buf_at(&wire));
    CHECK_EQ(decode(buf_slice(&wire)), KV_EAGAIN);
    buf_close(&wire);
}

TEST(frame, another_version_is_refused_before_the_frame_is_complete)
{
    struct buf wire;

    small_wire(&wire);
    buf_at(&wire)[8] = FRAME_VERSION + 1;
    reseal(&wire);
    CHECK_EQ(decode(buf_slice(&wire)), KV_EVERSION);
    CHECK_EQ(decode(slice_make(buf_at(&wire), 9)), KV_EVERSION);
    CHECK_EQ(decode(slice_make(buf_at(&wire), 8)), KV_EAGAIN);
    buf_close(&wire);
}

TEST(frame, a_damaged_head_is_refused_before_the_frame_is_complete)
{
    struct buf wire;

    small_wire(&wire);
    buf_at(&wire)[1] ^= 0x40; /* 16 KiB more */
    CHECK_EQ(decode(slice_make(buf_at(&wire), FRAME_HEAD_BYTES - 1)),
             KV_EAGAIN);
    CHECK_EQ(decode(slice_make(buf_at(&wire), FRAME_HEAD_BYTES)), KV_ECORRUPT);
    buf_close(&wire);
}

TEST(frame, the_format_on_the_wire_is_frozen)
{
    static const uint8_t golden[] = {
        0x11, 0, 0, 0, 0x02, 0x7b, 0x47, 0x24, 1,   3,   0x2e,
        0xb9, 5, 0, 0, 0,    'h',  'e',  'l',  'l', 'o',
    };
    struct buf wire;

    small_wire(&wire);
    CHECK_EQ(wire.len, sizeof golden);
    CHECK_MEM(buf_at(&wire), golden, sizeof golden);
    buf_close(&wire);
}

TEST(frame, an_empty_payload_is_a_frame)
{
    struct frame *f = frame_new(FRAME_PING, FRAME_GROUP_NODE);
    struct slice part;

    frame_seal(f);
    CHECK_EQ(f->bytes, FRAME_HEAD_BYTES);
    CHECK_EQ(frame_parts(f, &part, 1), 1);
    CHECK_EQ(decode(part), 0);
    frame_free(f);
    frame_free(NULL);
}

TEST_ABORTS(frame, nothing_is_appended_to_a_sealed_frame)
{
    struct frame *f = frame_new(FRAME_RAFT, 1);
    struct blob *b = pattern(8, 1);

    frame_seal(f);
    frame_put_blob(f, b, 0, 8);
}
