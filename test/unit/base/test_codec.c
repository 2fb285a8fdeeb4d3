/* Cursors: round trips, and every way in which bytes can be wrong. */
#include "base/codec.h"

#include "base/buf.h"
#include "lib/test.h"

/* The end of a whole array literal as a cursor. */
#define CURSOR(...)                                             \
    cursor_make(slice_make((const uint8_t[]){ __VA_ARGS__ },    \
                           sizeof((const uint8_t[]){ __VA_ARGS__ })))

static const uint64_t varints[] = {
    0,          1,          127,         128,        16383,
    16384,      UINT32_MAX, 1ull << 32,  1ull << 35, (1ull << 56) - 1,
    1ull << 56, 1ull << 63, UINT64_MAX,  INT64_MAX,
};
#define VARINTS (sizeof varints / sizeof varints[0])

TEST(codec, what_was_put_is_read_back)
{
    struct buf b;
    struct cursor c;

    buf_init(&b);
    buf_put_u8(&b, 0xff);
    buf_put_u16(&b, 0xfedc);
    buf_put_u32(&b, 0xfedcba98);
    buf_put_u64(&b, UINT64_C(0xfedcba9876543210));
    buf_put_bytes(&b, slice_str("value"));
    buf_put_bytes(&b, slice_str(""));
    for (size_t i = 0; i < VARINTS; i++)
        buf_put_varint(&b, varints[i]);
    c = cursor_make(buf_slice(&b));
    CHECK_EQ(cursor_u8(&c), 0xff);
    CHECK_EQ(cursor_u16(&c), 0xfedc);
    CHECK_EQ(cursor_u32(&c), 0xfedcba98);
    CHECK_EQ(cursor_u64(&c), UINT64_C(0xfedcba9876543210));
    CHECK(slice_eq(cursor_bytes(&c), slice_str("value")));
    CHECK_EQ(cursor_bytes(&c).n, 0);
    for (size_t i = 0; i < VARINTS; i++)
        CHECK_EQ(cursor_varint(&c), varints[i]);
    CHECK(cursor_done(&c));
    buf_close(&b);
}

TEST(codec, a_record_cut_anywhere_fails_and_yields_nothing_more)
{
    struct buf b;

    buf_init(&b);
    buf_put_u32(&b, 0x01020304);
    buf_put_varint(&b, 300);
    buf_put_bytes(&b, slice_str("abc"));
    buf_put_u64(&b, 5);
    for (size_t n = 0; n < b.len; n++) {
        struct cursor c = cursor_make(slice_make(buf_at(&b), n));

        cursor_u32(&c);
        cursor_varint(&c);
        cursor_bytes(&c);
        CHECK_EQ(cursor_u64(&c), 0);
        CHECK(c.failed);
        CHECK_EQ(c.n, 0);
        CHECK(!cursor_done(&c));
    }
    buf_close(&b);
}

TEST(codec, after_a_failure_every_read_is_empty)
{
    struct cursor c = CURSOR(1, 2, 3);

    CHECK_EQ(cursor_u32(&c), 0);
    CHECK_EQ(cursor_u8(&c), 0);
    CHECK_EQ(cursor_u16(&c), 0);
    CHECK_EQ(cursor_u64(&c), 0);
    CHECK_EQ(cursor_varint(&c), 0);
    CHECK_EQ(cursor_raw(&c, 1).n, 0);
    CHECK_EQ(cursor_bytes(&c).n, 0);
    CHECK(c.failed);
}

TEST(codec, a_length_beyond_the_end_is_refused)
{
    struct cursor c = CURSOR(4, 'a', 'b', 'c');
    struct cursor huge = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                0xff, 0x01, 'a');

    CHECK_EQ(cursor_bytes(&c).n, 0);
    CHECK(c.failed);
    CHECK_EQ(cursor_bytes(&huge).n, 0);
    CHECK(huge.failed);
}

TEST(codec, a_raw_read_of_everything_succeeds_and_of_one_more_fails)
{
    struct cursor c = CURSOR('a', 'b');

    CHECK_EQ(cursor_raw(&c, 0).n, 0);
    CHECK(slice_eq(cursor_raw(&c, 2), slice_str("ab")));
    CHECK(cursor_done(&c));
    CHECK_EQ(cursor_raw(&c, 0).n, 0);
    CHECK(cursor_done(&c));
    CHECK_EQ(cursor_raw(&c, SIZE_MAX).n, 0);
    CHECK(c.failed);
}

TEST(codec, an_empty_cursor_without_bytes_is_done)
{
    struct cursor c = cursor_make(slice_make(NULL, 0));

    CHECK(cursor_done(&c));
    CHECK_EQ(cursor_raw(&c, 0).n, 0);
    CHECK(cursor_done(&c));
}

TEST(codec, a_varint_longer_than_needed_is_refused)
{
    struct cursor zero = CURSOR(0x80, 0x00);
    struct cursor one = CURSOR(0x81, 0x80, 0x00);

    CHECK_EQ(cursor_varint(&zero), 0);
    CHECK(zero.failed);
    CHECK_EQ(cursor_varint(&one), 0);
    CHECK(one.failed);
}

TEST(codec, a_varint_of_more_than_64_bits_is_refused)
{
    struct cursor top = CURSOR(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                               0xff, 0x02);
    struct cursor eleven = CURSOR(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                  0x80, 0x80, 0x81, 0x00);

    CHECK_EQ(cursor_varint(&top), 0);
    CHECK(top.failed);
    CHECK_EQ(cursor_varint(&eleven), 0);
    CHECK(eleven.failed);
}

TEST(codec, trailing_bytes_are_not_done)
{
    struct cursor c = CURSOR(1, 2);

    CHECK_EQ(cursor_u8(&c), 1);
    CHECK(!c.failed);
    CHECK(!cursor_done(&c));
}
