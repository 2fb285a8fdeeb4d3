/* xoshiro256** by Blackman and Vigna, seeded through splitmix64 as its authors
 * recommend: a seed of any value, zero too, gives a usable state. */
#include "base/rng.h"

#include "base/assert.h"

static uint64_t rng_rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t rng_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x;
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        r->s[i] = rng_mix(seed);
    }
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rng_rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    ASSERT((s[0] | s[1] | s[2] | s[3]) != 0); /* never seeded */
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t reject;
    uint64_t x;

    ASSERT(n > 0);
    /* 2^64 mod n: that many of the lowest values would make some results
     * likelier than others. */
    reject = (UINT64_MAX - n + 1) % n;
    do
        x = rng_u64(r);
    while (x < reject);
    return x % n;
}
