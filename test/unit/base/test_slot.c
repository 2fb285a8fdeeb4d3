/* Key to slot: vectors that must never change (base/slot.h). */
#include "base/slot.h"

#include "lib/test.h"

static unsigned slot_of(const char *key)
{
    return slot_of_key(slice_str(key));
}

TEST(slot, crc16_of_the_check_string_is_that_of_xmodem)
{
    CHECK_EQ(slot_crc16(slice_str("123456789")), 0x31c3);
    CHECK_EQ(slot_crc16(slice_str("")), 0);
}

TEST(slot, known_keys_have_the_slots_that_redis_gives_them)
{
    CHECK_EQ(slot_of("foo"), 12182);
    CHECK_EQ(slot_of("bar"), 5061);
    CHECK_EQ(slot_of("hello"), 866);
    CHECK_EQ(slot_of("123456789"), 12739);
    CHECK_EQ(slot_of(""), 0);
}

TEST(slot, keys_with_the_same_tag_share_a_slot)
{
    CHECK_EQ(slot_of("{user1000}.following"), slot_of("{user1000}.followers"));
    CHECK_EQ(slot_of("{user1000}.following"), slot_of("user1000"));
    CHECK_EQ(slot_of("a{foo}b{bar}"), slot_of("foo"));
    CHECK_EQ(slot_of("foo{bar}{zap}"), slot_of("bar"));
}

TEST(slot, an_empty_tag_means_the_whole_key)
{
    CHECK_EQ(slot_of("foo{}{bar}"),
             slot_crc16(slice_str("foo{}{bar}")) % SLOT_COUNT);
    CHECK_EQ(slot_of("{}"), slot_crc16(slice_str("{}")) % SLOT_COUNT);
}

TEST(slot, a_tag_reaches_to_the_first_closing_brace_only)
{
    CHECK_EQ(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    CHECK_EQ(slot_of("foo{bar"), slot_crc16(slice_str("foo{bar")) % SLOT_COUNT);
    CHECK_EQ(slot_of("foo}{bar"),
             slot_crc16(slice_str("foo}{bar")) % SLOT_COUNT);
}

TEST(slot, bytes_that_are_no_text_count_like_others)
{
    static const uint8_t key[] = { 0x00, '{', 0xff, 0x00, '}', 0x80 };
    static const uint8_t tag[] = { 0xff, 0x00 };

    CHECK_EQ(slot_of_key(slice_make(key, sizeof key)),
             slot_crc16(slice_make(tag, sizeof tag)) % SLOT_COUNT);
}
