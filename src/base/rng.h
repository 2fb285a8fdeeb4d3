/* Deterministic pseudo-random numbers (xoshiro256**, seeded by splitmix64);
 * seeds come from env. Not for secrets. */
#ifndef KV_BASE_RNG_H
#define KV_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1, unbiased; n > 0 */
uint64_t rng_mix(uint64_t x);                  /* splitmix64 finaliser */

#endif
