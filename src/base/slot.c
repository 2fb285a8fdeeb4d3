/* Key to slot, as in the Redis Cluster specification ("Keys distribution
 * model" and "Hash tags").
 *
 * The checksum is CRC-16/XMODEM: polynomial 0x1021, preset 0, not reflected.
 * The hash tag is what stands between the first '{' and the first '}' after it,
 * if that is at least one byte; otherwise the whole key counts.  Clients compute
 * the same to find the node, so this never changes. */
#include "base/slot.h"

#include "base/assert.h"

_Static_assert((SLOT_COUNT & (SLOT_COUNT - 1)) == 0, "the modulus is a mask");

/* Four bits a step: a table of 32 bytes stays in the cache whatever else the
 * request touches. */
static const uint16_t slot_crc16_table[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

uint16_t slot_crc16(struct slice s)
{
    unsigned crc = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned byte = s.p[i];

        crc = (crc << 4 ^ slot_crc16_table[(crc >> 12 ^ byte >> 4) & 15]);
        crc = (crc << 4 ^ slot_crc16_table[(crc >> 12 ^ byte) & 15]);
    }
    return (uint16_t)crc;
}

/* The bytes of key that decide its slot. */
static struct slice slot_tag(struct slice key)
{
    const uint8_t *open;
    const uint8_t *close;
    size_t after;

    if (key.n == 0)
        return key;
    open = memchr(key.p, '{', key.n);
    if (open == NULL)
        return key;
    open++;
    after = key.n - (size_t)(open - key.p);
    close = memchr(open, '}', after);
    if (close == NULL || close == open)
        return key;
    return slice_make(open, (size_t)(close - open));
}

uint16_t slot_of_key(struct slice key)
{
    uint16_t slot = slot_crc16(slot_tag(key)) & (SLOT_COUNT - 1);

    ASSERT(slot < SLOT_COUNT);
    return slot;
}
