/* CRC-32C: the vectors of RFC 3720 appendix B.4, and both ways to compute it. */
#include "base/crc.h"

#include <string.h>

#include "base/crc_int.h"
#include "base/rng.h"
#include "lib/test.h"

typedef uint32_t (*crc_fn)(uint32_t crc, const void *p, size_t n);

static void check_vectors(crc_fn crc)
{
    static const uint8_t scsi_read[48] = {
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    };
    uint8_t block[32];

    CHECK_EQ(crc(0, "", 0), 0);
    CHECK_EQ(crc(0, "a", 1), 0xc1d04330);
    CHECK_EQ(crc(0, "123456789", 9), 0xe3069283);
    memset(block, 0, sizeof block);
    CHECK_EQ(crc(0, block, sizeof block), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    CHECK_EQ(crc(0, block, sizeof block), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        block[i] = i;
    CHECK_EQ(crc(0, block, sizeof block), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++)
        block[i] = (uint8_t)(31 - i);
    CHECK_EQ(crc(0, block, sizeof block), 0x113fdb5c);
    CHECK_EQ(crc(0, scsi_read, sizeof scsi_read), 0xd9963a56);
}

TEST(crc, has_the_values_of_rfc_3720)
{
    check_vectors(crc32c);
}

TEST(crc, the_table_has_the_values_of_rfc_3720)
{
    check_vectors(crc32c__table);
}

TEST(crc, the_instruction_has_the_values_of_rfc_3720)
{
    if (!crc32c__hw_usable())
        test_skip("this processor has no CRC-32C instruction");
    check_vectors(crc32c__hw);
}

TEST(crc, pieces_give_the_checksum_of_the_whole)
{
    uint8_t bytes[100];
    struct rng r;
    uint32_t whole;

    rng_seed(&r, test_seed());
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_u64(&r);
    whole = crc32c(0, bytes, sizeof bytes);
    for (size_t i = 0; i <= sizeof bytes; i++)
        CHECK_EQ(crc32c(crc32c(0, bytes, i), bytes + i, sizeof bytes - i),
                 whole);
}

TEST(crc, both_ways_agree_at_every_length_and_alignment)
{
    uint8_t bytes[96];
    struct rng r;

    if (!crc32c__hw_usable())
        test_skip("this processor has no CRC-32C instruction");
    rng_seed(&r, test_seed());
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_u64(&r);
    for (size_t from = 0; from < 16; from++) {
        for (size_t n = 0; n + from <= sizeof bytes; n++) {
            uint32_t seed = (uint32_t)rng_u64(&r);

            CHECK_EQ(crc32c__hw(seed, bytes + from, n),
                     crc32c__table(seed, bytes + from, n));
        }
    }
}

TEST(crc, one_flipped_bit_is_seen)
{
    uint8_t bytes[64] = { 0 };
    uint32_t sound = crc32c(0, bytes, sizeof bytes);

    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(crc32c(0, bytes, sizeof bytes) != sound);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
