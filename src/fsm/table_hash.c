/* The table's index: linear hashing, after Litwin (1980), and scanning over it.
 *
 * The table has n = 2^level + split buckets, 0 <= split < 2^level, chained.
 * Key k lies in bucket hash(k) mod 2^(level+1) if that bucket exists, else in
 * hash(k) mod 2^level.  Growing by one bucket splits bucket `split` in two (its
 * entries differ in one more bit of the hash) and moves the mark; shrinking by
 * one undoes that.  There is no old and new table, no doubling and no pause:
 * each insertion splits at most one bucket, each removal merges at most two,
 * whatever the size, and the memory follows the number of keys closely.
 *
 *   H1  LOAD_MIN <= keys / n <= LOAD_MAX, but n never falls below 2^LEVEL_MIN.
 *   H2  Every entry is in the chain of its bucket, and in no other.
 *
 * The hash is not stored (4 bytes a key saved): splitting hashes the keys of
 * one chain again, and a lookup compares keys at once, lengths first.
 *
 * Scanning.  Reverse the bits of the hash and call the top 48 of them the key's
 * place.  A bucket that is chosen by l low bits of the hash holds just the keys
 * of one interval of 2^(48-l) places.  So the cursor is a place, one call
 * visits the bucket that the place lies in, leaves out the keys before it, and
 * goes on at the end of the interval; growing or shrinking in between only
 * makes the intervals shorter or longer.  A key that stays is visited exactly
 * once, even if the calls go to replicas whose tables have different sizes,
 * because places depend on key and seed alone. */
#include "fsm/table_int.h"

#include <string.h>
#include <xxhash.h>

#include "base/assert.h"

#define LEVEL_MIN 4 /* 16 buckets */
#define LEVEL_MAX 31

/* Keys per bucket as a fraction of 4: the more, the less memory for buckets and
 * the more entries a lookup passes. */
#define LOAD_MAX_QUARTERS 6
#define LOAD_MIN_QUARTERS 4
#define MERGES_PER_CALL 2

static uint64_t hash_key(const struct table *t, struct slice key)
{
    return XXH3_64bits_withSeed(key.p != NULL ? key.p : (const void *)"",
                                key.n, t->seed);
}

static uint32_t bucket_of(const struct table *t, uint64_t hash)
{
    uint64_t wide = hash & ((2ull << t->level) - 1);

    if (wide < t->buckets.n)
        return (uint32_t)wide;
    return (uint32_t)(hash & ((1ull << t->level) - 1));
}

void table__hash_init(struct table *t)
{
    t->level = LEVEL_MIN;
    t->split = 0;
    vec32_init(&t->buckets);
    for (unsigned i = 0; i < 1u << LEVEL_MIN; i++)
        vec32_push(&t->buckets, 0);
}

uint32_t *table__hash_find(struct table *t, struct slice key)
{
    uint32_t *link = vec32_at(&t->buckets, bucket_of(t, hash_key(t, key)));

    while (*link != 0) {
        struct entry *e = table__entry(t, *link);

        t->work.probed++;
        if (slice_eq(table__entry_key(e), key))
            break;
        link = &e->chain;
    }
    return link;
}

static void split_one(struct table *t)
{
    uint32_t from = t->split, h;
    uint64_t bit = 1ull << t->level;
    uint32_t *low, *high;

    ASSERT(t->level < LEVEL_MAX);
    vec32_push(&t->buckets, 0);
    low = vec32_at(&t->buckets, from);
    high = vec32_at(&t->buckets, t->buckets.n - 1);
    h = *low;
    *low = 0;
    while (h != 0) {
        struct entry *e = table__entry(t, h);
        uint32_t next = e->chain;
        bool up = (hash_key(t, table__entry_key(e)) & bit) != 0;

        e->chain = up ? *high : *low;
        *(up ? high : low) = h;
        t->work.relinked++;
        h = next;
    }
    if (++t->split == 1u << t->level) {
        t->level++;
        t->split = 0;
    }
}

static void merge_one(struct table *t)
{
    uint32_t h;
    uint32_t *to;

    if (t->split == 0) {
        t->level--;
        t->split = 1u << t->level;
    }
    t->split--;
    h = vec32_pop(&t->buckets);
    to = vec32_at(&t->buckets, t->split);
    while (*to != 0) {
        to = &table__entry(t, *to)->chain;
        t->work.relinked++;
    }
    *to = h;
}

void table__hash_adapt(struct table *t)
{
    uint64_t quarters = t->keys * 4;

    if (quarters > (uint64_t)t->buckets.n * LOAD_MAX_QUARTERS)
        split_one(t);
    for (unsigned i = 0; i < MERGES_PER_CALL; i++) {
        if (quarters >= (uint64_t)t->buckets.n * LOAD_MIN_QUARTERS ||
            t->buckets.n <= 1u << LEVEL_MIN)
            break;
        merge_one(t);
    }
    ASSERT(t->buckets.n == (1u << t->level) + t->split);
}

/* ---- scanning ---- */

#define PLACE_SHIFT (64 - ENGINE_CURSOR_BITS)

static uint64_t reverse_bits(uint64_t x)
{
    x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
    x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
    x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(x);
}

static uint64_t place_of(const struct table *t, struct slice key)
{
    return reverse_bits(hash_key(t, key)) >> PLACE_SHIFT;
}

/* How many low bits of the hash choose this bucket. */
static uint32_t bucket_bits(const struct table *t, uint32_t bucket)
{
    bool twice = bucket < t->split || bucket >= 1u << t->level;

    return twice ? t->level + 1 : t->level;
}

uint64_t table__hash_scan(const struct table *t, uint64_t cursor,
                          engine_visit_cb cb, void *ctx)
{
    uint64_t place = cursor & ((1ull << ENGINE_CURSOR_BITS) - 1);
    uint32_t bucket = bucket_of(t, reverse_bits(place << PLACE_SHIFT));
    uint64_t step = 1ull << (ENGINE_CURSOR_BITS - bucket_bits(t, bucket));
    uint32_t h = *vec32_at(&t->buckets, bucket);

    while (h != 0) {
        const struct entry *e = table__entry(t, h);
        struct engine_view v;

        table__entry_view(e, &v);
        if ((place & (step - 1)) == 0 || place_of(t, v.key) >= place)
            cb(ctx, &v);
        h = e->chain;
    }
    return ((place & ~(step - 1)) + step) & ((1ull << ENGINE_CURSOR_BITS) - 1);
}

/* A bucket by the high half of r, an entry of it by the low half; buckets
 * without entries are passed over.  H1 keeps them few, so this is short. */
uint32_t table__hash_random(const struct table *t, uint64_t r)
{
    uint32_t bucket = (uint32_t)((r >> 32) * t->buckets.n >> 32);
    uint32_t n = 0, h, pick;

    if (t->keys == 0)
        return 0;
    while (*vec32_at(&t->buckets, bucket) == 0)
        bucket = bucket + 1 == t->buckets.n ? 0 : bucket + 1;
    for (h = *vec32_at(&t->buckets, bucket); h != 0; n++)
        h = table__entry(t, h)->chain;
    h = *vec32_at(&t->buckets, bucket);
    for (pick = (uint32_t)((r & UINT32_MAX) * n >> 32); pick > 0; pick--)
        h = table__entry(t, h)->chain;
    ASSERT(h != 0);
    return h;
}

void table__hash_check(const struct table *t)
{
    uint64_t found = 0;

    for (uint32_t b = 0; b < t->buckets.n; b++) {
        uint32_t h = *vec32_at(&t->buckets, b);

        while (h != 0) {
            const struct entry *e = table__entry(t, h);

            uint64_t hash = hash_key(t, table__entry_key(e));

            ASSERT(bucket_of(t, hash) == b); /* H2 */
            ASSERT(++found <= t->keys);
            h = e->chain;
        }
    }
    ASSERT(found == t->keys);
    ASSERT(t->keys * 4 <= (uint64_t)t->buckets.n * LOAD_MAX_QUARTERS); /* H1 */
    ASSERT(t->buckets.n <= 1u << LEVEL_MIN ||
           t->keys * 4 >= (uint64_t)t->buckets.n * LOAD_MIN_QUARTERS);
}
