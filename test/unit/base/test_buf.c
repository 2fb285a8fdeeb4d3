/* The byte queue, against a plain array that does the same slowly. */
#include "base/buf.h"

#include "base/codec.h"
#include "base/rng.h"
#include "lib/test.h"

TEST(buf, is_empty_and_without_memory_at_first)
{
    struct buf b;

    buf_init(&b);
    CHECK_EQ(buf_slice(&b).n, 0);
    CHECK(b.base == NULL);
    buf_put(&b, NULL, 0);
    buf_consume(&b, 0);
    buf_shrink(&b, 0);
    buf_close(&b);
}

TEST(buf, appends_and_consumes_in_order)
{
    struct buf b;

    buf_init(&b);
    buf_put_str(&b, "hello ");
    buf_put_slice(&b, slice_str("world"));
    buf_printf(&b, " %d%c", 42, '!');
    CHECK(slice_eq(buf_slice(&b), slice_str("hello world 42!")));
    buf_consume(&b, 6);
    buf_truncate(&b, 5);
    CHECK(slice_eq(buf_slice(&b), slice_str("world")));
    buf_clear(&b);
    CHECK_EQ(b.len, 0);
    buf_put_str(&b, "again");
    CHECK(slice_eq(buf_slice(&b), slice_str("again")));
    buf_close(&b);
}

TEST(buf, printf_of_a_long_text_grows)
{
    struct buf b;

    buf_init(&b);
    buf_printf(&b, "%5000d", 7);
    CHECK_EQ(b.len, 5000);
    CHECK_EQ(buf_at(&b)[4999], '7');
    buf_close(&b);
}

TEST(buf, behaves_like_an_array_under_random_use)
{
    static uint8_t model[1 << 16];
    size_t head = 0;
    size_t tail = 0;
    struct rng r;
    struct buf b;

    rng_seed(&r, test_seed());
    buf_init(&b);
    while (tail + 300 < sizeof model) {
        size_t n = (size_t)rng_below(&r, 300);
        uint8_t *p = buf_grow(&b, n);

        for (size_t i = 0; i < n; i++)
            p[i] = model[tail++] = (uint8_t)rng_u64(&r);
        n = (size_t)rng_below(&r, tail - head + 1);
        buf_consume(&b, n);
        head += n;
        if (rng_below(&r, 16) == 0)
            buf_shrink(&b, (size_t)rng_below(&r, 100));
        CHECK_EQ(b.len, tail - head);
        CHECK_MEM(buf_at(&b), model + head, b.len);
    }
    buf_close(&b);
}

TEST(buf, a_queue_in_balance_does_not_grow)
{
    uint8_t block[100] = { 0 };
    struct buf b;

    buf_init(&b);
    buf_put(&b, block, 50);
    for (int i = 0; i < 100000; i++) {
        buf_put(&b, block, sizeof block);
        buf_consume(&b, sizeof block);
    }
    CHECK(b.cap <= 1024);
    buf_close(&b);
}

TEST(buf, shrink_gives_back_and_keeps_the_content)
{
    struct buf b;

    buf_init(&b);
    buf_reserve(&b, 1 << 20);
    buf_put_str(&b, "kept");
    buf_shrink(&b, 64);
    CHECK(b.cap <= 64);
    CHECK(slice_eq(buf_slice(&b), slice_str("kept")));
    buf_consume(&b, 4);
    buf_shrink(&b, 0);
    CHECK(b.base == NULL);
    buf_close(&b);
}

TEST(buf, integers_are_little_endian)
{
    static const uint8_t want[] = { 0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04,
                                    0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09,
                                    0x08 };
    struct buf b;

    buf_init(&b);
    buf_put_u8(&b, 1);
    buf_put_u16(&b, 0x0203);
    buf_put_u32(&b, 0x04050607);
    buf_put_u64(&b, UINT64_C(0x08090a0b0c0d0e0f));
    CHECK_EQ(b.len, sizeof want);
    CHECK_MEM(buf_at(&b), want, sizeof want);
    buf_close(&b);
}

TEST_ABORTS(buf, consuming_more_than_is_held_is_a_bug)
{
    struct buf b;

    buf_init(&b);
    buf_put_str(&b, "abc");
    buf_consume(&b, 4);
}

TEST_ABORTS(buf, a_size_that_overflows_is_a_bug)
{
    struct buf b;

    buf_init(&b);
    buf_put_str(&b, "abc");
    buf_reserve(&b, SIZE_MAX);
}
