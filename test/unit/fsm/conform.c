/* See conform.h.  The random parts compare the engine with a model that is too
 * simple to be wrong: an array of 600 keys, looked up by number. */
#include "conform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/slot.h"

#include "lib/test.h"

#define S(text) slice_make(text, sizeof(text) - 1)

static void put(struct engine *e, struct slice key, struct slice value,
                int64_t deadline, uint64_t revision)
{
    struct engine_view v = { .key = key, .value = value,
                             .deadline_ms = deadline, .revision = revision };

    e->ops->put(e, &v);
}

static void put_plain(struct engine *e, struct slice key, struct slice value)
{
    put(e, key, value, ENGINE_NO_DEADLINE, 1);
}

static bool get(struct engine *e, struct slice key, struct engine_view *v)
{
    return e->ops->get(e, key, false, v);
}

static bool has(struct engine *e, struct slice key)
{
    struct engine_view v;

    return get(e, key, &v);
}

static void close_engine(struct engine *e)
{
    e->ops->check(e, true);
    e->ops->free(e);
}

/* "key:N" in a buffer of the caller's. */
static struct slice name(char out[32], unsigned i)
{
    int n = snprintf(out, 32, "key:%u", i);

    return slice_make(out, (size_t)n);
}

void conform_basics(engine_new_fn make)
{
    struct engine *e = make(1);
    struct engine_stats st;
    struct engine_view v;

    CHECK(!has(e, S("k")));
    CHECK(!e->ops->remove(e, S("k")));
    CHECK(!e->ops->earliest(e, &v));
    CHECK(!e->ops->coldest(e, &v));
    CHECK(!e->ops->random(e, 7, &v));
    put(e, S("k"), S("v\0w"), 77, 9);
    CHECK(get(e, S("k"), &v));
    CHECK(slice_eq(v.key, S("k")));
    CHECK(slice_eq(v.value, S("v\0w")));
    CHECK_EQ(v.deadline_ms, 77);
    CHECK_EQ(v.revision, 9);
    CHECK(!has(e, S("k2")) && !has(e, S("")) && !has(e, S("K")));
    put(e, S(""), S(""), ENGINE_NO_DEADLINE, 1ull << 60);
    CHECK(get(e, S(""), &v));
    CHECK_EQ(v.value.n, 0);
    CHECK_EQ(v.revision, 1ull << 60);
    e->ops->stats(e, &st);
    CHECK_EQ(st.keys, 2);
    CHECK_EQ(st.keys_with_deadline, 1);
    CHECK(e->ops->remove(e, S("k")));
    CHECK(!has(e, S("k")));
    e->ops->flush(e);
    CHECK(!has(e, S("")));
    e->ops->stats(e, &st);
    CHECK_EQ(st.keys, 0);
    close_engine(e);
}

/* Lengths at which layouts may change, and their neighbours. */
static const size_t lengths[] = { 0,    1,    7,    8,     9,     80,   239,
                                  240,  254,  255,  256,   257,   511,  512,
                                  985,  990,  991,  992,   1000,  1002, 1003,
                                  1023, 1024, 1025, 16384, 65535, 65536 };
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static const struct {
    int64_t deadline;
    uint64_t revision;
} numbers[] = { { ENGINE_NO_DEADLINE, 1 },
                { 5, 1 },
                { (1ll << 48) - 1, (1ull << 48) - 1 },
                { 1ll << 48, 3 },
                { ENGINE_NO_DEADLINE, 1ull << 48 },
                { ENGINE_NO_DEADLINE - 1, UINT64_MAX } };
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static void check_is(struct engine *e, struct slice key, struct slice value,
                     size_t n)
{
    struct engine_view v;

    CHECK(get(e, key, &v));
    CHECK(slice_eq(v.key, key));
    CHECK(slice_eq(v.value, value));
    CHECK_EQ(v.deadline_ms, numbers[n].deadline);
    CHECK_EQ(v.revision, numbers[n].revision);
}

/* From every layout to every other, the neighbours untouched. */
void conform_sizes(engine_new_fn make)
{
    static uint8_t bytes[65536 + 8];
    struct rng rng;

    rng_seed(&rng, 3);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rng_u64(&rng);
    for (size_t k = 0; k < LENGTHS; k++) {
        struct engine *e = make(k);
        struct slice key = slice_make(bytes, lengths[k]);

        put_plain(e, S("left"), S("neighbour"));
        for (unsigned round = 0; round < 300; round++) {
            size_t n = rng_below(&rng, NUMBERS);
            struct slice value = slice_make(
                bytes + rng_below(&rng, 8), lengths[rng_below(&rng, LENGTHS)]);

            put(e, key, value, numbers[n].deadline, numbers[n].revision);
            check_is(e, key, value, n);
            n = rng_below(&rng, NUMBERS);
            e->ops->set_deadline(e, key, numbers[n].deadline,
                                 numbers[n].revision);
            check_is(e, key, value, n);
            if (rng_below(&rng, 8) == 0)
                CHECK(e->ops->remove(e, key));
        }
        CHECK(has(e, S("left")));
        close_engine(e);
    }
}

void conform_own_bytes(engine_new_fn make)
{
    struct engine *e = make(1);
    struct engine_view v;
    char big[3000];

    memset(big, 'x', sizeof(big));
    put_plain(e, S("k"), slice_make(big, sizeof(big)));
    CHECK(get(e, S("k"), &v));
    v.value.n = 10; /* another layout, bytes of the old one */
    e->ops->put(e, &v);
    CHECK(get(e, S("k"), &v));
    CHECK(slice_eq(v.value, slice_make(big, 10)));
    v.value.p += 3; /* the same layout, overlapping */
    v.value.n -= 3;
    e->ops->put(e, &v);
    CHECK(get(e, S("k"), &v));
    CHECK(slice_eq(v.value, slice_make(big, 7)));
    v.deadline_ms = 9;
    e->ops->put(e, &v);
    CHECK(get(e, S("k"), &v));
    CHECK(slice_eq(v.value, slice_make(big, 7)));
    CHECK_EQ(v.deadline_ms, 9);
    close_engine(e);
}

static void check_coldest(struct engine *e, struct slice key)
{
    struct engine_view v;

    CHECK(e->ops->coldest(e, &v));
    CHECK(slice_eq(v.key, key));
}

void conform_lru(engine_new_fn make)
{
    struct engine *e = make(1);
    struct engine_view v;

    put_plain(e, S("a"), S("1"));
    put_plain(e, S("b"), S("1"));
    put_plain(e, S("c"), S("1"));
    check_coldest(e, S("a"));
    CHECK(e->ops->get(e, S("a"), false, &v));
    check_coldest(e, S("a"));
    CHECK(e->ops->get(e, S("a"), true, &v));
    check_coldest(e, S("b"));
    put_plain(e, S("b"), S("a longer value, in another object"));
    check_coldest(e, S("c"));
    e->ops->set_deadline(e, S("c"), 5, 2);
    check_coldest(e, S("a"));
    CHECK(e->ops->remove(e, S("a")));
    check_coldest(e, S("b"));
    CHECK(e->ops->remove(e, S("c")));
    CHECK(e->ops->remove(e, S("b")));
    CHECK(!e->ops->coldest(e, &v));
    close_engine(e);
}

struct timed {
    int64_t deadline;
    char key[32];
};

static int by_deadline(const void *a, const void *b)
{
    const struct timed *x = a, *y = b;

    if (x->deadline != y->deadline)
        return x->deadline < y->deadline ? -1 : 1;
    return strcmp(x->key, y->key);
}

void conform_deadlines(engine_new_fn make)
{
    enum { N = 3000 };
    static struct timed all[N];
    struct engine *e = make(1);
    struct engine_view v;
    struct rng rng;

    rng_seed(&rng, test_seed());
    for (unsigned i = 0; i < N; i++) {
        struct slice key = name(all[i].key, i);

        put_plain(e, key, S("v"));
        for (unsigned n = 0; n < 3; n++) {
            all[i].deadline = 1000 + (int64_t)rng_below(&rng, 50);
            e->ops->set_deadline(e, key, all[i].deadline, i);
        }
    }
    for (unsigned i = 0; i < N; i += 3) {
        e->ops->set_deadline(e, slice_str(all[i].key), ENGINE_NO_DEADLINE, 1);
        all[i].deadline = ENGINE_NO_DEADLINE;
    }
    e->ops->check(e, true);
    qsort(all, N, sizeof(all[0]), by_deadline);
    for (unsigned i = 0; i < N - N / 3; i++) {
        CHECK(e->ops->earliest(e, &v));
        CHECK_EQ(v.deadline_ms, all[i].deadline);
        CHECK(slice_eq(v.key, slice_str(all[i].key)));
        CHECK(e->ops->remove(e, slice_str(all[i].key)));
    }
    CHECK(!e->ops->earliest(e, &v));
    close_engine(e);
}

void conform_digest(engine_new_fn make)
{
    struct engine *a = make(1), *b = make(2);
    struct engine_view v = { .key = S("k"), .value = S("v"),
                             .deadline_ms = 5, .revision = 7 };
    uint64_t d;

    CHECK_EQ(a->ops->digest(a), 0);
    a->ops->put(a, &v);
    d = a->ops->digest(a);
    CHECK_EQ(d, engine_key_digest(&v));
    CHECK_EQ(a->ops->slot_digest(a, slot_of_key(v.key)), d);
    CHECK_EQ(a->ops->slot_digest(a, slot_of_key(v.key) ^ 1), 0);
    CHECK_EQ(a->ops->slot_keys(a, slot_of_key(v.key)), 1);
    /* Each part counts. */
    v.revision++;
    a->ops->put(a, &v);
    CHECK(a->ops->digest(a) != d);
    v.revision--;
    v.deadline_ms++;
    a->ops->put(a, &v);
    CHECK(a->ops->digest(a) != d);
    v.deadline_ms--;
    v.value = S("w");
    a->ops->put(a, &v);
    CHECK(a->ops->digest(a) != d);
    v.value = S("v");
    a->ops->put(a, &v);
    CHECK_EQ(a->ops->digest(a), d);
    /* Order and seed do not. */
    put_plain(a, S("x"), S("1"));
    put_plain(b, S("x"), S("1"));
    b->ops->put(b, &v);
    CHECK_EQ(a->ops->digest(a), b->ops->digest(b));
    CHECK(a->ops->remove(a, S("k")));
    CHECK(a->ops->remove(a, S("x")));
    CHECK_EQ(a->ops->digest(a), 0);
    b->ops->flush(b);
    CHECK_EQ(b->ops->digest(b), 0);
    CHECK_EQ(b->ops->slot_keys(b, slot_of_key(S("k"))), 0);
    close_engine(a);
    close_engine(b);
}

struct dirt {
    unsigned n;
    char key[32];
    bool all;
};

static void on_dirty(void *ctx, struct slice key, bool all)
{
    struct dirt *d = ctx;

    CHECK(key.n < sizeof(d->key));
    if (key.n > 0)
        memcpy(d->key, key.p, key.n);
    d->key[key.n] = '\0';
    d->all = all;
    d->n++;
}

void conform_dirty(engine_new_fn make)
{
    struct engine *e = make(1);
    struct dirt d = { .n = 0 };
    struct engine_view v;

    e->dirty = on_dirty;
    e->dirty_ctx = &d;
    put_plain(e, S("a"), S("1"));
    CHECK_EQ(d.n, 1);
    CHECK_STR(d.key, "a");
    put_plain(e, S("b"), S("1"));
    put_plain(e, S("a"), S("another, longer value for this key"));
    CHECK_EQ(d.n, 3);
    CHECK_STR(d.key, "a");
    e->ops->set_deadline(e, S("b"), 5, 5);
    CHECK_EQ(d.n, 4);
    CHECK_STR(d.key, "b");
    CHECK(e->ops->get(e, S("a"), true, &v));
    CHECK(!e->ops->remove(e, S("none")));
    CHECK_EQ(d.n, 4);
    CHECK(e->ops->remove(e, S("a")));
    CHECK_EQ(d.n, 5);
    CHECK_STR(d.key, "a");
    e->ops->flush(e);
    CHECK_EQ(d.n, 6);
    CHECK(d.all);
    close_engine(e);
}

/* ---- scanning ---- */

#define SCAN_KEYS 4000u

struct tally {
    unsigned seen[SCAN_KEYS];
};

static void count_key(void *ctx, const struct engine_view *v)
{
    struct tally *t = ctx;
    unsigned i = (unsigned)atoi((const char *)v->key.p + 4);

    CHECK(i < SCAN_KEYS);
    t->seen[i]++;
}

/* Keys below SCAN_KEYS / 4 stay; the others come and go in bursts between the
 * calls, so that the engine grows and shrinks meanwhile. */
static void churn(struct engine *e, struct rng *rng)
{
    bool grow = rng_below(rng, 2) == 0;
    char text[32];

    for (uint64_t n = rng_below(rng, 200); n > 0; n--) {
        unsigned i = (unsigned)rng_below(rng, SCAN_KEYS * 3 / 4) +
                     SCAN_KEYS / 4;

        if (grow)
            put_plain(e, name(text, i), S("v"));
        else
            (void)e->ops->remove(e, name(text, i));
    }
}

void conform_scan(engine_new_fn make)
{
    static struct tally t;
    struct rng rng;
    char text[32];

    rng_seed(&rng, test_seed());
    for (unsigned round = 0; round < 10; round++) {
        struct engine *e = make(rng_u64(&rng));
        uint64_t cursor = 0;

        memset(&t, 0, sizeof(t));
        for (unsigned i = 0; i < SCAN_KEYS / 4; i++)
            put_plain(e, name(text, i), S("v"));
        do {
            cursor = e->ops->scan(e, cursor, count_key, &t);
            CHECK(cursor < 1ull << ENGINE_CURSOR_BITS);
            churn(e, &rng);
        } while (cursor != 0);
        for (unsigned i = 0; i < SCAN_KEYS / 4; i++)
            CHECK_EQ(t.seen[i], 1);
        close_engine(e);
    }
}

void conform_scan_replicas(engine_new_fn make)
{
    static struct tally t;
    struct engine *e[2] = { make(7), make(7) };
    uint64_t cursor = 0;
    struct rng rng;
    char text[32];

    rng_seed(&rng, test_seed());
    memset(&t, 0, sizeof(t));
    for (unsigned i = 0; i < SCAN_KEYS / 4; i++) {
        put_plain(e[0], name(text, i), S("v"));
        put_plain(e[1], name(text, SCAN_KEYS / 4 - 1 - i), S("v"));
    }
    /* The second is three times as large. */
    for (unsigned i = SCAN_KEYS / 4; i < SCAN_KEYS; i++)
        put_plain(e[1], name(text, i), S("v"));
    do {
        unsigned i = (unsigned)rng_below(&rng, 2);

        cursor = e[i]->ops->scan(e[i], cursor, count_key, &t);
    } while (cursor != 0);
    for (unsigned i = 0; i < SCAN_KEYS / 4; i++)
        CHECK_EQ(t.seen[i], 1);
    /* Any cursor is taken, and leads to the end. */
    for (unsigned i = 0; i < 1000; i++) {
        unsigned calls = 0;

        cursor = rng_u64(&rng);
        do
            cursor = e[0]->ops->scan(e[0], cursor, count_key, &t);
        while (cursor != 0 && ++calls < SCAN_KEYS);
        CHECK_EQ(cursor, 0);
    }
    close_engine(e[0]);
    close_engine(e[1]);
}

void conform_random(engine_new_fn make)
{
    struct engine *e = make(1);
    static unsigned hits[100];
    struct engine_view v;
    struct rng rng;
    char text[32];

    rng_seed(&rng, 1);
    for (unsigned i = 0; i < 100; i++)
        put_plain(e, name(text, i), S("v"));
    for (unsigned i = 0; i < 20000; i++) {
        CHECK(e->ops->random(e, rng_u64(&rng), &v));
        hits[atoi((const char *)v.key.p + 4)]++;
    }
    for (unsigned i = 0; i < 100; i++)
        CHECK(hits[i] > 0);
    CHECK(e->ops->random(e, UINT64_MAX, &v));
    CHECK(e->ops->random(e, 0, &v));
    close_engine(e);
}

/* ---- against a model ---- */

#define MODEL_KEYS 600u
#define MODEL_VALUE_MAX 1500u

struct model_key {
    bool there;
    uint8_t value[MODEL_VALUE_MAX];
    size_t n;
    int64_t deadline;
    uint64_t revision;
};

static struct model_key model[MODEL_KEYS];

static struct engine_view model_view(unsigned i, char text[32])
{
    return (struct engine_view){
        .key = name(text, i),
        .value = slice_make(model[i].value, model[i].n),
        .deadline_ms = model[i].deadline,
        .revision = model[i].revision,
    };
}

static int64_t some_deadline(struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        return ENGINE_NO_DEADLINE;
    case 1:
        return (int64_t)rng_below(rng, 1ull << 62);
    default:
        return (int64_t)rng_below(rng, 1000);
    }
}

static void model_put(struct engine *e, struct rng *rng, unsigned i)
{
    struct model_key *k = &model[i];
    struct engine_view v;
    char text[32];

    k->there = true;
    k->n = rng_below(rng, rng_below(rng, 10) == 0 ? MODEL_VALUE_MAX : 100);
    for (size_t b = 0; b < k->n; b++)
        k->value[b] = (uint8_t)(i + b + k->n);
    k->deadline = some_deadline(rng);
    k->revision++;
    v = model_view(i, text);
    e->ops->put(e, &v);
}

static void model_step(struct engine *e, struct rng *rng, bool shrink)
{
    unsigned i = (unsigned)rng_below(rng, MODEL_KEYS);
    uint64_t what = rng_below(rng, 10);
    struct engine_view v, want;
    char text[32];

    if (what < (shrink ? 2u : 5u)) {
        model_put(e, rng, i);
    } else if (what < 6) {
        CHECK_EQ(e->ops->remove(e, name(text, i)), model[i].there);
        model[i].there = false;
    } else if (what == 6 && model[i].there) {
        model[i].deadline = some_deadline(rng);
        model[i].revision++;
        e->ops->set_deadline(e, name(text, i), model[i].deadline,
                             model[i].revision);
    } else {
        CHECK_EQ(e->ops->get(e, name(text, i), true, &v), model[i].there);
        want = model_view(i, text);
        if (model[i].there) {
            CHECK(slice_eq(v.value, want.value));
            CHECK_EQ(v.deadline_ms, want.deadline_ms);
            CHECK_EQ(v.revision, want.revision);
        }
    }
}

/* Everything that can be said of the whole, recomputed from the model. */
static void model_compare(struct engine *e)
{
    static uint64_t slot_keys[SLOT_COUNT], slot_digest[SLOT_COUNT];
    uint64_t digest = 0, keys = 0, timed = 0;
    int64_t earliest = ENGINE_NO_DEADLINE;
    struct engine_stats st;
    struct engine_view v;
    char text[32];

    memset(slot_keys, 0, sizeof(slot_keys));
    memset(slot_digest, 0, sizeof(slot_digest));
    for (unsigned i = 0; i < MODEL_KEYS; i++) {
        uint16_t slot;

        if (!model[i].there)
            continue;
        v = model_view(i, text);
        slot = slot_of_key(v.key);
        slot_keys[slot]++;
        slot_digest[slot] += engine_key_digest(&v);
        digest += engine_key_digest(&v);
        keys++;
        timed += v.deadline_ms != ENGINE_NO_DEADLINE;
        if (v.deadline_ms < earliest)
            earliest = v.deadline_ms;
    }
    for (unsigned s = 0; s < SLOT_COUNT; s++) {
        CHECK_EQ(e->ops->slot_keys(e, (uint16_t)s), slot_keys[s]);
        CHECK_EQ(e->ops->slot_digest(e, (uint16_t)s), slot_digest[s]);
    }
    CHECK_EQ(e->ops->digest(e), digest);
    e->ops->stats(e, &st);
    CHECK_EQ(st.keys, keys);
    CHECK_EQ(st.keys_with_deadline, timed);
    CHECK_EQ(e->ops->earliest(e, &v), timed > 0);
    if (timed > 0)
        CHECK_EQ(v.deadline_ms, earliest);
    e->ops->check(e, true);
}

void conform_model(engine_new_fn make)
{
    struct rng rng;
    struct engine *e;

    rng_seed(&rng, test_seed());
    memset(model, 0, sizeof(model));
    e = make(rng_u64(&rng));
    for (unsigned i = 0; i < 100000; i++) {
        model_step(e, &rng, i / 10000 % 2 == 1);
        if (i % 2000 == 0)
            model_compare(e);
        if (rng_below(&rng, 30000) == 0) {
            e->ops->flush(e);
            for (unsigned k = 0; k < MODEL_KEYS; k++)
                model[k].there = false;
        }
    }
    model_compare(e);
    close_engine(e);
}
