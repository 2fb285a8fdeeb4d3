/* The digest of one key, shared by all engines.
 *
 * It covers everything that is replicated of a key: key, value, deadline,
 * revision. Chaining the seeds keeps the pieces apart ("ab" + "c" is not "a" +
 * "bc"), and no seed is secret or random: digests are compared between nodes
 * and stored in snapshots. */
#include "fsm/engine.h"

#include <xxhash.h>

#include "base/codec.h"

#define DIGEST_SEED 0x6b766d6573680001u

static uint64_t hash(struct slice s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.p != NULL ? s.p : (const void *)"", s.n,
                                seed);
}

uint64_t engine_key_digest(const struct engine_view *v)
{
    uint8_t numbers[16];

    put_u64le(numbers, (uint64_t)v->deadline_ms);
    put_u64le(numbers + 8, v->revision);
    return hash(slice_make(numbers, sizeof(numbers)),
                hash(v->value, hash(v->key, DIGEST_SEED)));
}
