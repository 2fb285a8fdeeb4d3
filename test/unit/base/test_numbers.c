/* Random numbers against published values, and the latency histogram. */
#include "base/rng.h"
#include "base/stat.h"

#include "lib/test.h"

TEST(rng, is_xoshiro256_starstar)
{
    static const uint64_t want[] = {
        11520,
        0,
        1509978240,
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
    };
    struct rng r = { .s = { 1, 2, 3, 4 } };

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        CHECK_EQ(rng_u64(&r), want[i]);
}

TEST(rng, is_seeded_by_splitmix64)
{
    struct rng r;

    rng_seed(&r, 1234567);
    CHECK_EQ(r.s[0], UINT64_C(6457827717110365317));
    CHECK_EQ(r.s[1], UINT64_C(3203168211198807973));
    CHECK_EQ(r.s[2], UINT64_C(9817491932198370423));
    CHECK_EQ(r.s[3], UINT64_C(4593380528125082431));
}

TEST(rng, the_same_seed_gives_the_same_numbers_and_zero_is_a_seed)
{
    struct rng a;
    struct rng b;

    rng_seed(&a, 0);
    rng_seed(&b, 0);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(rng_u64(&a), rng_u64(&b));
    rng_seed(&b, 1);
    CHECK(rng_u64(&a) != rng_u64(&b));
}

TEST(rng, below_stays_below_and_reaches_every_value)
{
    unsigned seen[7] = { 0 };
    struct rng r;

    rng_seed(&r, test_seed());
    CHECK_EQ(rng_below(&r, 1), 0);
    for (int i = 0; i < 7000; i++) {
        uint64_t x = rng_below(&r, 7);

        CHECK(x < 7);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++)
        CHECK(seen[i] > 700);
    for (int i = 0; i < 1000; i++)
        CHECK(rng_below(&r, UINT64_MAX) != UINT64_MAX);
}

TEST_ABORTS(rng, a_state_that_was_never_seeded_is_a_bug)
{
    struct rng r = { .s = { 0 } };

    rng_u64(&r);
}

TEST(stat, an_empty_histogram_answers_zero)
{
    static struct stat_hist h;

    CHECK_EQ(stat_hist_quantile(&h, 0.99), 0);
}

TEST(stat, small_values_are_exact)
{
    static struct stat_hist h;

    for (uint64_t v = 1; v <= 20; v++)
        stat_hist_add(&h, v);
    CHECK_EQ(stat_hist_quantile(&h, 0.0), 1);
    CHECK_EQ(stat_hist_quantile(&h, 0.05), 1);
    CHECK_EQ(stat_hist_quantile(&h, 0.5), 10);
    CHECK_EQ(stat_hist_quantile(&h, 0.95), 19);
    CHECK_EQ(stat_hist_quantile(&h, 1.0), 20);
    CHECK_EQ(h.count, 20);
    CHECK_EQ(h.sum, 210);
    CHECK_EQ(h.max, 20);
}

TEST(stat, a_single_value_is_reported_within_its_error_bound)
{
    for (uint64_t v = 1; v < UINT64_C(1) << 36; v = v * 9 / 8 + 1) {
        static const struct stat_hist empty;
        static struct stat_hist h;
        uint64_t got;

        h = empty;
        stat_hist_add(&h, v);
        stat_hist_add(&h, UINT64_C(1) << 36); /* so that max cannot help */
        got = stat_hist_quantile(&h, 0.5);
        CHECK(got >= v);
        CHECK((double)(got - v) <= 0.032 * (double)v);
    }
}

TEST(stat, quantiles_follow_the_sorted_values)
{
    static struct stat_hist h;

    for (uint64_t v = 1; v <= 100000; v++)
        stat_hist_add(&h, v);
    for (int permille = 1; permille <= 1000; permille++) {
        double truth = 100.0 * permille;
        double got = (double)stat_hist_quantile(&h, permille / 1000.0);

        CHECK(got >= truth - 1);
        CHECK(got <= truth * 1.032 + 1);
    }
}

TEST(stat, values_beyond_the_range_are_counted_in_the_last_bucket)
{
    static struct stat_hist h;

    stat_hist_add(&h, UINT64_MAX);
    stat_hist_add(&h, 0);
    CHECK_EQ(h.buckets[STAT_HIST_BUCKETS - 1], 1);
    CHECK_EQ(h.buckets[0], 1);
    CHECK_EQ(stat_hist_quantile(&h, 1.0), UINT64_MAX);
    CHECK_EQ(stat_hist_quantile(&h, 0.5), 0);
}

TEST(stat, merging_is_like_adding_everything_to_one)
{
    static struct stat_hist a;
    static struct stat_hist b;
    static struct stat_hist all;
    struct rng r;

    rng_seed(&r, test_seed());
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_u64(&r) >> rng_below(&r, 64);

        v &= (UINT64_C(1) << 36) - 1;
        stat_hist_add(i % 3 == 0 ? &a : &b, v);
        stat_hist_add(&all, v);
    }
    stat_hist_merge(&a, &b);
    CHECK_MEM(&a, &all, sizeof all);
}
