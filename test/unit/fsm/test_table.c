/* The memory engine: the conformance suite, and what only this engine
 * promises. */
#include "fsm/table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "fsm/table_slab.h"
#include "fsm/vec32.h"

#include "conform.h"
#include "lib/test.h"

TEST(table, holds_what_was_put)
{
    conform_basics(table_new);
}

TEST(table, goes_from_every_layout_to_every_other)
{
    conform_sizes(table_new);
}

TEST(table, takes_its_own_bytes_back)
{
    conform_own_bytes(table_new);
}

TEST(table, keeps_the_exact_lru_order)
{
    conform_lru(table_new);
}

TEST(table, gives_deadlines_in_order_and_ties_by_key)
{
    conform_deadlines(table_new);
}

TEST(table, digests_content_and_nothing_else)
{
    conform_digest(table_new);
}

TEST(table, reports_each_change_once)
{
    conform_dirty(table_new);
}

TEST(table, scan_visits_every_lasting_key_once_while_others_come_and_go)
{
    conform_scan(table_new);
}

TEST(table, scan_goes_on_at_a_replica_of_another_size)
{
    conform_scan_replicas(table_new);
}

TEST(table, random_reaches_every_key)
{
    conform_random(table_new);
}

TEST(table, agrees_with_a_model_over_100000_random_operations)
{
    conform_model(table_new);
}

/* ---- its own promises ---- */

/* Sixteen bytes; the slots are those of one shard of sixteen. */
static struct slice number_key(char out[32], unsigned i)
{
    snprintf(out, 32, "{%04u}%010u", i % 1024, i);
    return slice_make(out, 16);
}

static void put_number(struct engine *e, unsigned i, int64_t deadline)
{
    uint8_t value[64] = { 0 };
    char key[32];
    struct engine_view v = { .key = number_key(key, i),
                             .value = slice_make(value, sizeof(value)),
                             .deadline_ms = deadline,
                             .revision = i };

    e->ops->put(e, &v);
}

static void remove_number(struct engine *e, unsigned i)
{
    char key[32];

    CHECK(e->ops->remove(e, number_key(key, i)));
}

static uint64_t bytes_of(struct engine *e)
{
    struct engine_stats st;

    e->ops->stats(e, &st);
    return st.bytes;
}

TEST(table, a_key_of_16_and_64_bytes_takes_at_most_120_with_a_deadline)
{
    struct engine *e = table_new(1);

    for (unsigned i = 0; i < 300000; i++) {
        put_number(e, i, 1000000 + i);
        /* At every size that a shard of a sixteenth of a million keys passes:
         * no bad moment in between. */
        if (i >= 62500 && i % 500 == 0) {
            printf("%u: %.2f\n", i, (double)bytes_of(e) / (i + 1));
            CHECK(bytes_of(e) <= 120ull * (i + 1));
        }
    }
    e->ops->free(e);
}

TEST(table, a_key_of_16_and_64_bytes_takes_at_most_112_without)
{
    struct engine *e = table_new(1);

    for (unsigned i = 0; i < 300000; i++)
        put_number(e, i, ENGINE_NO_DEADLINE);
    CHECK(bytes_of(e) <= 112ull * 300000);
    e->ops->free(e);
}

TEST(table, gives_memory_back_when_keys_leave)
{
    struct engine *e = table_new(1);
    uint64_t empty = bytes_of(e), full;

    for (unsigned i = 0; i < 50000; i++)
        put_number(e, i, i);
    full = bytes_of(e);
    for (unsigned i = 0; i < 49000; i++)
        remove_number(e, i);
    CHECK(bytes_of(e) < full / 10);
    for (unsigned i = 49000; i < 50000; i++)
        remove_number(e, i);
    CHECK(bytes_of(e) < empty + (64u << 10));
    e->ops->check(e, true);
    e->ops->free(e);
}

/* The most that one of the next n calls relinked, probed and sifted. */
struct worst {
    uint64_t relinked, probed, sifted;
};

static void note(struct engine *e, struct table_work *before, struct worst *w)
{
    struct table_work now;

    table_get_work(e, &now);
    if (now.relinked - before->relinked > w->relinked)
        w->relinked = now.relinked - before->relinked;
    if (now.probed - before->probed > w->probed)
        w->probed = now.probed - before->probed;
    if (now.sifted - before->sifted > w->sifted)
        w->sifted = now.sifted - before->sifted;
    *before = now;
}

TEST(table, no_single_call_does_much_work_at_any_size)
{
    enum { N = 400000 };
    struct engine *e = table_new(test_seed());
    struct table_work before = { 0 };
    struct worst w = { 0, 0, 0 };
    struct rng rng;

    rng_seed(&rng, 1);
    for (unsigned i = 0; i < N; i++) {
        put_number(e, i, (int64_t)rng_below(&rng, 1u << 30));
        note(e, &before, &w);
    }
    CHECK(before.buckets >= N * 2 / 3);
    for (unsigned i = 0; i < N; i++) {
        remove_number(e, i);
        note(e, &before, &w);
    }
    CHECK_EQ(before.buckets, 16);
    printf("relinked %llu probed %llu sifted %llu\n",
           (unsigned long long)w.relinked, (unsigned long long)w.probed,
           (unsigned long long)w.sifted);
    /* Chains are short, and the heap is ten levels deep. */
    CHECK(w.relinked <= 40);
    CHECK(w.probed <= 40);
    CHECK(w.sifted <= 25);
    e->ops->free(e);
}

TEST(table, lookups_pass_few_entries)
{
    struct engine *e = table_new(test_seed());
    struct table_work before, after;

    for (unsigned i = 0; i < 100000; i++)
        put_number(e, i, ENGINE_NO_DEADLINE);
    table_get_work(e, &before);
    for (unsigned i = 0; i < 100000; i++) {
        struct engine_view v;
        char key[32];

        CHECK(e->ops->get(e, number_key(key, i), true, &v));
    }
    table_get_work(e, &after);
    CHECK(after.probed - before.probed < 200000);
    e->ops->free(e);
}

/* ---- the slab ---- */

TEST(slab, rounds_little)
{
    for (size_t n = 1; n <= SLAB_OBJECT_MAX; n++) {
        CHECK(slab_round(n) >= n);
        CHECK(slab_round(n) <= n + 7 || slab_round(n) - n <= n / 8);
        CHECK_EQ(slab_round(slab_round(n)), slab_round(n));
    }
    CHECK_EQ(slab_round(112), 112);
    CHECK_EQ(slab_round(SLAB_OBJECT_MAX), SLAB_OBJECT_MAX);
}

TEST(slab, objects_do_not_overlap_and_pages_are_given_back)
{
    enum { N = 4000 };
    static uint32_t handles[N];
    static size_t sizes[N];
    struct slab s;
    struct rng rng;

    rng_seed(&rng, test_seed());
    slab_init(&s);
    for (unsigned round = 0; round < 40000; round++) {
        unsigned i = (unsigned)rng_below(&rng, N);

        if (handles[i] != 0) {
            const uint8_t *p = slab_at(&s, handles[i]);

            for (size_t b = 0; b < sizes[i]; b++)
                CHECK_EQ(p[b], (uint8_t)i);
            slab_free(&s, handles[i]);
            handles[i] = 0;
        } else {
            sizes[i] = 1 + rng_below(&rng, SLAB_OBJECT_MAX);
            handles[i] = slab_alloc(&s, sizes[i]);
            CHECK(handles[i] != 0);
            memset(slab_at(&s, handles[i]), (int)(uint8_t)i, sizes[i]);
        }
        if (round % 5000 == 0)
            slab_check(&s);
    }
    for (unsigned i = 0; i < N; i++)
        if (handles[i] != 0)
            slab_free(&s, handles[i]);
    slab_check(&s);
    CHECK(s.pages_held <= SLAB_CLASSES);
    slab_close(&s);
}

TEST_ABORTS(slab, freeing_handle_zero_is_a_bug)
{
    struct slab s;

    slab_init(&s);
    slab_free(&s, 0);
}

TEST_ABORTS(slab, an_object_over_the_limit_is_a_bug)
{
    struct slab s;

    slab_init(&s);
    (void)slab_alloc(&s, SLAB_OBJECT_MAX + 1);
}

/* ---- the vector ---- */

TEST(vec32, keeps_what_was_pushed_in_place)
{
    struct vec32 v;
    const uint32_t *first;

    vec32_init(&v);
    vec32_push(&v, 0);
    first = vec32_at(&v, 0);
    for (uint32_t i = 1; i < 10000; i++)
        vec32_push(&v, i);
    CHECK(vec32_at(&v, 0) == first);
    for (uint32_t i = 10000; i-- > 0;)
        CHECK_EQ(vec32_pop(&v), i);
    CHECK(vec32_bytes(&v) <= 2 * (VEC32_CHUNK * 4 + 16) + 16 * 8);
    vec32_close(&v);
}

TEST_ABORTS(vec32, popping_nothing_is_a_bug)
{
    struct vec32 v;

    vec32_init(&v);
    (void)vec32_pop(&v);
}
