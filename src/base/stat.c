/* A latency histogram of fixed size and bounded error.
 *
 * Bucket i of the first 32 holds the value i exactly.  After that each power
 * of two is cut into 32 buckets of equal width:
 *
 *     value 2^e + k * 2^(e-5) .. + 2^(e-5) - 1   ->   bucket 32 * (e - 4) + k
 *
 * for 5 <= e <= 36 and 0 <= k < 32, so a bucket is at most 1/32 (3.125%) of its
 * smallest value wide.  A quantile is reported as the largest value of its
 * bucket, never as less than the truth.  Values beyond the last bucket are
 * counted in it; max and sum stay exact. */
#include "base/stat.h"

#include "base/assert.h"

#define STAT_SUB_BITS 5
#define STAT_SUB (1u << STAT_SUB_BITS)

static unsigned stat_bucket(uint64_t v)
{
    unsigned e;
    unsigned i;

    if (v < STAT_SUB)
        return (unsigned)v;
    e = 63u - (unsigned)__builtin_clzll(v);
    i = STAT_SUB * (e - STAT_SUB_BITS + 1) +
        (unsigned)(v >> (e - STAT_SUB_BITS) & (STAT_SUB - 1));
    return i < STAT_HIST_BUCKETS ? i : STAT_HIST_BUCKETS - 1;
}

/* The largest value that bucket i holds. */
static uint64_t stat_bucket_top(unsigned i)
{
    unsigned shift;

    if (i < STAT_SUB)
        return i;
    shift = i / STAT_SUB - 1;
    return ((uint64_t)(STAT_SUB + i % STAT_SUB + 1) << shift) - 1;
}

void stat_hist_add(struct stat_hist *h, uint64_t us)
{
    h->buckets[stat_bucket(us)]++;
    h->count++;
    h->sum += us;
    if (us > h->max)
        h->max = us;
}

uint64_t stat_hist_quantile(const struct stat_hist *h, double q)
{
    uint64_t rank;
    uint64_t seen = 0;

    ASSERT(q >= 0.0 && q <= 1.0);
    if (h->count == 0)
        return 0;
    /* The rank is that of the smallest value with at least q of all values at
     * or below it. */
    rank = (uint64_t)(q * (double)h->count);
    if ((double)rank < q * (double)h->count)
        rank++;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < STAT_HIST_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t top = stat_bucket_top(i);

            return top < h->max ? top : h->max;
        }
    }
    return h->max;
}

void stat_hist_merge(struct stat_hist *to, const struct stat_hist *from)
{
    for (unsigned i = 0; i < STAT_HIST_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max)
        to->max = from->max;
}
