/* The heap and the map, against models. */
#include "base/heap.h"
#include "base/map.h"

#include <string.h>

#include "base/rng.h"
#include "lib/test.h"

TEST(heap, gives_the_smallest_key_first)
{
    static const uint64_t keys[] = { 5, 3, 9, 1, 7, 0, UINT64_MAX, 2 };
    struct heap_node nodes[8] = { { 0 } };
    uint64_t last = 0;
    struct heap h;

    heap_init(&h);
    CHECK(heap_min(&h) == NULL);
    for (size_t i = 0; i < 8; i++)
        heap_insert(&h, &nodes[i], keys[i]);
    for (size_t i = 0; i < 8; i++) {
        struct heap_node *n = heap_min(&h);

        CHECK(n->key >= last);
        last = n->key;
        heap_remove(&h, n);
        CHECK(!heap_contains(n));
    }
    CHECK(heap_min(&h) == NULL);
    heap_close(&h);
}

TEST(heap, equal_keys_leave_in_the_order_they_came)
{
    struct heap_node nodes[100] = { { 0 } };
    struct heap h;

    heap_init(&h);
    for (size_t i = 0; i < 100; i++)
        heap_insert(&h, &nodes[i], i % 2);
    for (size_t i = 0; i < 100; i++) {
        size_t want = i < 50 ? 2 * i : 2 * (i - 50) + 1;

        CHECK(heap_min(&h) == &nodes[want]);
        heap_remove(&h, heap_min(&h));
    }
    heap_close(&h);
}

TEST(heap, a_node_set_again_goes_behind_its_equals)
{
    struct heap_node a = { 0 };
    struct heap_node b = { 0 };
    struct heap h;

    heap_init(&h);
    heap_insert(&h, &a, 1);
    heap_insert(&h, &b, 1);
    heap_remove(&h, &a);
    heap_insert(&h, &a, 1);
    CHECK(heap_min(&h) == &b);
    heap_close(&h);
}

/* The first of the nodes in the heap, found by looking at all. */
static struct heap_node *heap_model_min(struct heap_node *nodes, size_t n)
{
    struct heap_node *min = NULL;

    for (size_t i = 0; i < n; i++) {
        struct heap_node *x = &nodes[i];

        if (!heap_contains(x))
            continue;
        if (min == NULL || x->key < min->key ||
            (x->key == min->key && x->seq < min->seq))
            min = x;
    }
    return min;
}

TEST(heap, random_inserts_and_removals_keep_the_order)
{
    struct heap_node nodes[64] = { { 0 } };
    struct heap h;
    struct rng r;

    rng_seed(&r, test_seed());
    heap_init(&h);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &nodes[rng_below(&r, 64)];

        if (heap_contains(n))
            heap_remove(&h, n);
        else
            heap_insert(&h, n, rng_below(&r, 20));
        CHECK(heap_min(&h) == heap_model_min(nodes, 64));
    }
    heap_close(&h);
}

TEST_ABORTS(heap, removing_a_node_that_is_not_in_it_is_a_bug)
{
    struct heap_node n = { 0 };
    struct heap h;

    heap_init(&h);
    heap_remove(&h, &n);
}

TEST_ABORTS(heap, inserting_a_node_twice_is_a_bug)
{
    struct heap_node n = { 0 };
    struct heap h;

    heap_init(&h);
    heap_insert(&h, &n, 1);
    heap_insert(&h, &n, 2);
}

TEST(map, is_empty_at_first)
{
    size_t it = 0;
    uint64_t key;
    struct map m;

    map_init(&m);
    CHECK(map_get(&m, 0) == NULL);
    CHECK(map_del(&m, 0) == NULL);
    CHECK(map_next(&m, &it, &key) == NULL);
    map_close(&m);
}

TEST(map, put_replaces_and_returns_the_old_value)
{
    int a;
    int b;
    struct map m;

    map_init(&m);
    CHECK(map_put(&m, 0, &a) == NULL);
    CHECK(map_put(&m, 0, &b) == &a);
    CHECK(map_get(&m, 0) == &b);
    CHECK_EQ(m.n, 1);
    CHECK(map_del(&m, 0) == &b);
    CHECK(map_del(&m, 0) == NULL);
    CHECK_EQ(m.n, 0);
    map_close(&m);
}

#define MODEL_KEYS 512

/* Iteration yields each member once. */
static void check_iteration(const struct map *m, char *const *model)
{
    bool seen[MODEL_KEYS] = { false };
    uint64_t key = 0;
    size_t n = 0;
    size_t it = 0;
    void *value;

    while ((value = map_next(m, &it, &key)) != NULL) {
        CHECK(key < MODEL_KEYS);
        CHECK(!seen[key]);
        CHECK(model[key] == value);
        seen[key] = true;
        n++;
    }
    CHECK_EQ(n, m->n);
}

TEST(map, random_use_agrees_with_an_array)
{
    static char values[MODEL_KEYS];
    char *model[MODEL_KEYS] = { NULL };
    struct map m;
    struct rng r;

    rng_seed(&r, test_seed());
    map_init(&m);
    for (int step = 0; step < 50000; step++) {
        size_t key = (size_t)rng_below(&r, MODEL_KEYS);

        if (rng_below(&r, 2) == 0) {
            CHECK(map_put(&m, key, &values[key]) == model[key]);
            model[key] = &values[key];
        } else {
            CHECK(map_del(&m, key) == model[key]);
            model[key] = NULL;
        }
        key = (size_t)rng_below(&r, MODEL_KEYS);
        CHECK(map_get(&m, key) == model[key]);
        if (step % 1000 == 0)
            check_iteration(&m, model);
    }
    map_close(&m);
}

TEST(map, the_order_of_iteration_does_not_depend_on_addresses)
{
    static char low[200];
    static char high[200];
    struct map a;
    struct map b;
    size_t at = 0;
    size_t bt = 0;
    uint64_t akey = 0;
    uint64_t bkey = 0;

    map_init(&a);
    map_init(&b);
    for (size_t i = 0; i < 200; i++) {
        map_put(&a, i * 977, &low[i]);
        map_put(&b, i * 977, &high[199 - i]);
    }
    for (size_t i = 0; i < 200; i++) {
        CHECK(map_next(&a, &at, &akey) != NULL);
        CHECK(map_next(&b, &bt, &bkey) != NULL);
        CHECK_EQ(akey, bkey);
    }
    map_close(&a);
    map_close(&b);
}

TEST_ABORTS(map, a_null_value_is_a_bug)
{
    struct map m;

    map_init(&m);
    map_put(&m, 1, NULL);
}
