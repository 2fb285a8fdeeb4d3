/* The ring: frozen, balanced, and little moves when it changes. */
#include "cluster/ring.h"

#include "lib/test.h"

#define POINTS 16384u

static uint64_t point(unsigned i)
{
    return (uint64_t)i << 50;
}

static void make(struct ring *r, unsigned nodes, unsigned heavy)
{
    ring_init(r);
    for (unsigned id = nodes; id >= 1; id--)
        ring_add(r, 7, id, id == heavy ? 2 : 1);
    ring_seal(r);
}

static void count(const struct ring *r, unsigned *ret, unsigned n)
{
    for (unsigned i = 0; i <= n; i++)
        ret[i] = 0;
    for (unsigned i = 0; i < POINTS; i++)
        ret[ring_owner(r, point(i))]++;
}

TEST(ring, hash_is_frozen)
{
    CHECK_EQ(ring_hash(0, 0, 0), 0x743df94ee4c78a2au);
    CHECK_EQ(ring_hash(1, 2, 3), 0x7c68b4906e7ea780u);
    CHECK_EQ(ring_hash(UINT64_MAX, 42, 255), 0xba2985b59b60431cu);
}

TEST(ring, shares_are_balanced_at_3_6_and_16_nodes)
{
    static const unsigned sizes[] = { 3, 6, 16 };

    for (unsigned s = 0; s < 3; s++) {
        unsigned n = sizes[s];
        unsigned shares[17];
        struct ring r;

        make(&r, n, 0);
        count(&r, shares, n);
        for (unsigned id = 1; id <= n; id++) {
            CHECK(shares[id] * n >= POINTS * 80 / 100);
            CHECK(shares[id] * n <= POINTS * 120 / 100);
        }
        ring_close(&r);
    }
}

TEST(ring, adding_a_node_moves_about_its_share_and_only_to_it)
{
    for (unsigned n = 2; n <= 12; n++) {
        struct ring before;
        struct ring after;
        unsigned moved = 0;

        make(&before, n, 0);
        make(&after, n + 1, 0);
        for (unsigned i = 0; i < POINTS; i++) {
            uint64_t was = ring_owner(&before, point(i));
            uint64_t is = ring_owner(&after, point(i));

            if (was == is)
                continue;
            CHECK_EQ(is, n + 1);
            moved++;
        }
        CHECK(moved > 0);
        CHECK(moved <= POINTS / (n + 1) + POINTS * 5 / 100);
        ring_close(&before);
        ring_close(&after);
    }
}

TEST(ring, weight_2_owns_about_twice_as_much)
{
    unsigned shares[5];
    struct ring r;

    make(&r, 4, 3);
    count(&r, shares, 4);
    CHECK(shares[3] >= POINTS * 34 / 100);
    CHECK(shares[3] <= POINTS * 46 / 100);
    ring_close(&r);
}

TEST(ring, weight_0_owns_nothing)
{
    struct ring r;

    ring_init(&r);
    ring_add(&r, 7, 1, 1);
    ring_add(&r, 7, 2, 0);
    ring_seal(&r);
    for (unsigned i = 0; i < POINTS; i += 100)
        CHECK_EQ(ring_owner(&r, point(i)), 1);
    ring_close(&r);
}

TEST(ring, the_order_of_adding_does_not_matter)
{
    struct ring a;
    struct ring b;

    make(&a, 5, 0);
    ring_init(&b);
    for (unsigned id = 1; id <= 5; id++)
        ring_add(&b, 7, id, 1);
    ring_seal(&b);
    CHECK_EQ(a.n, b.n);
    for (size_t i = 0; i < a.n; i++) {
        CHECK_EQ(a.tokens[i].token, b.tokens[i].token);
        CHECK_EQ(a.tokens[i].id, b.tokens[i].id);
    }
    ring_close(&a);
    ring_close(&b);
}

TEST(ring, a_token_claimed_twice_goes_to_the_lower_id)
{
    struct ring r;

    make(&r, 3, 0);
    for (size_t i = 0; i < r.n; i++)
        r.tokens[i].token = 1000 + i / 2;
    ring_seal(&r);
    for (size_t i = 1; i < r.n; i++)
        CHECK(r.tokens[i - 1].token < r.tokens[i].token);
    r.tokens[0] = (struct ring_token){ .token = 5, .id = 9 };
    r.tokens[1] = (struct ring_token){ .token = 5, .id = 4 };
    r.n = 2;
    ring_seal(&r);
    CHECK_EQ(r.n, 1);
    CHECK_EQ(r.tokens[0].id, 4);
    ring_close(&r);
}

TEST(ring, a_point_belongs_to_the_token_at_or_after_it_and_the_circle_closes)
{
    struct ring r;

    make(&r, 2, 0);
    for (size_t i = 0; i < r.n; i++) {
        CHECK_EQ(ring_owner(&r, r.tokens[i].token), r.tokens[i].id);
        CHECK_EQ(ring_owner(&r, r.tokens[i].token + 1),
                 r.tokens[i + 1 == r.n ? 0 : i + 1].id);
    }
    CHECK_EQ(ring_owner(&r, UINT64_MAX), r.tokens[0].id);
    ring_close(&r);
}

TEST(ring, a_walk_finds_distinct_ids_and_stops_when_there_are_no_more)
{
    uint64_t ids[5];
    struct ring r;

    make(&r, 3, 0);
    for (unsigned i = 0; i < POINTS; i += 37) {
        CHECK_EQ(ring_walk(&r, point(i), ids, 5), 3);
        CHECK(ids[0] == ring_owner(&r, point(i)));
        CHECK(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        CHECK_EQ(ring_walk(&r, point(i), ids, 2), 2);
    }
    ring_close(&r);
}

TEST(ring, an_empty_ring_has_nobody_to_walk_to)
{
    uint64_t ids[1];
    struct ring r;

    ring_init(&r);
    ring_seal(&r);
    CHECK_EQ(ring_walk(&r, 5, ids, 1), 0);
    ring_close(&r);
}
