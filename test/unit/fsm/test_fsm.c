/* The state machine as a whole: batches, digests, determinism, and a model of
 * all commands together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/slot.h"

#include "lib/test.h"
#include "machine.h"

#define S(text) slice_make(text, sizeof(text) - 1)

/* ---- batches ---- */

struct seen {
    uint64_t count;
    enum op_kind kinds[8];
    struct op_result results[8]; /* bulk not kept */
};

static void note(void *ctx, uint64_t i, const struct op *op,
                 const struct op_result *res)
{
    struct seen *s = ctx;

    CHECK_EQ(i, s->count);
    CHECK(i < 8);
    s->kinds[i] = op->kind;
    s->results[i] = *res;
    s->count++;
}

static void add(struct buf *batch, enum op_kind kind, uint32_t argc,
                struct slice *argv)
{
    struct op op = { .kind = kind, .argv = argv, .argc = argc };
    struct buf b;

    buf_init(&b);
    op_encode(&b, &op);
    op_batch_add(batch, buf_slice(&b));
    buf_close(&b);
}

TEST(fsm, a_batch_gives_one_result_per_operation_in_order)
{
    struct slice argv[2] = { S("k"), S("3") };
    struct fsm *f = fsm_new(1);
    struct seen s = { 0 };
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 500, 4);
    add(&b, OP_INCRBY, 2, argv);
    add(&b, OP_INCRBY, 2, argv);
    add(&b, OP_GETDEL, 1, argv);
    add(&b, OP_DEL, 1, argv);
    CHECK_EQ(fsm_apply(f, 3, buf_slice(&b), note, &s), 0);
    CHECK_EQ(s.count, 4);
    CHECK_EQ(s.results[0].num, 3);
    CHECK_EQ(s.results[1].num, 6);
    CHECK_EQ(s.results[2].type, OP_RES_BULK);
    CHECK_EQ(s.results[3].num, 0);
    CHECK_EQ(fsm_applied(f), 3);
    CHECK_EQ(fsm_clock_ms(f), 500);
    CHECK_EQ(fsm_revision(f), 3);
    buf_close(&b);
    fsm_free(f);
}

TEST(fsm, nobody_needs_to_wait_for_results)
{
    struct slice argv[2] = { S("k"), S("v") };
    struct fsm *f = fsm_new(1);
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 500, 1);
    add(&b, OP_SET, 2, argv);
    CHECK_EQ(fsm_apply(f, 1, buf_slice(&b), NULL, NULL), 0);
    CHECK_EQ(fsm_revision(f), 1);
    buf_close(&b);
    fsm_free(f);
}

TEST(fsm, broken_framing_changes_nothing_but_the_index)
{
    struct slice argv[2] = { S("k"), S("v") };
    struct fsm *f = fsm_new(1), *none = fsm_new(1);
    struct seen s = { 0 };
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 500, 2);
    add(&b, OP_SET, 2, argv);
    add(&b, OP_SET, 2, argv);
    for (size_t n = 0; n < b.len; n++) {
        CHECK_EQ(fsm_apply(f, n + 1, slice_make(buf_at(&b), n), note, &s),
                 KV_EPROTO);
        CHECK_EQ(fsm_applied(f), n + 1);
        CHECK_EQ(fsm_apply(none, n + 1, S(""), note, &s), KV_EPROTO);
        CHECK_EQ(fsm_digest(f), fsm_digest(none));
    }
    CHECK_EQ(s.count, 0);
    CHECK_EQ(fsm_clock_ms(f), 0);
    CHECK_EQ(fsm_apply(f, 1000, buf_slice(&b), note, &s), 0);
    CHECK_EQ(s.count, 2);
    buf_close(&b);
    fsm_free(f);
    fsm_free(none);
}

TEST(fsm, an_operation_that_does_not_decode_does_not_stop_the_others)
{
    struct slice argv[2] = { S("k"), S("v") };
    struct fsm *f = fsm_new(1);
    struct seen s = { 0 };
    struct buf b;

    buf_init(&b);
    op_batch_begin(&b, 500, 4);
    op_batch_add(&b, S("nonsense"));
    add(&b, OP_GET, 1, argv); /* only reads: has no business in the log */
    add(&b, OP_SET, 2, argv);
    op_batch_add(&b, S("\2"));
    CHECK_EQ(fsm_apply(f, 1, buf_slice(&b), note, &s), 0);
    CHECK_EQ(s.count, 4);
    CHECK_EQ(s.results[0].num, OP_ERR_BAD_OP);
    CHECK_EQ(s.kinds[0], OP_NOOP);
    CHECK_EQ(s.results[1].num, OP_ERR_BAD_OP);
    CHECK_EQ(s.results[2].type, OP_RES_OK);
    CHECK_EQ(s.results[3].num, OP_ERR_BAD_OP);
    buf_close(&b);
    fsm_free(f);
}

TEST(fsm, many_keys_in_one_operation_are_one_change)
{
    enum { N = 30000 };
    struct slice *argv = mem_calloc(N, sizeof(*argv));
    char (*text)[16] = mem_calloc(N, sizeof(*text));
    struct op op = { .kind = OP_MSET, .argv = argv, .argc = N };
    struct machine m;

    machine_init(&m);
    for (unsigned i = 0; i < N; i++) {
        int n = snprintf(text[i], sizeof(text[i]), "%u", i);

        argv[i] = slice_make(text[i], (size_t)n);
    }
    CHECK_STR(machine_op(&m, &op), "OK");
    CHECK_EQ(fsm_revision(m.f), 1);
    CHECK_STR(say(&m, "DBSIZE"), "int 15000");
    op.kind = OP_DEL;
    CHECK_STR(machine_op(&m, &op), "int 15000");
    CHECK_EQ(fsm_revision(m.f), 2);
    machine_close(&m);
    mem_free(text);
    mem_free(argv);
}

TEST(fsm, a_read_kind_that_writes_is_refused)
{
    struct machine m;
    struct slice argv[2] = { S("k"), S("v") };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    struct op_result res;

    machine_init(&m);
    fsm_read(m.f, &op, 0, &res);
    CHECK_EQ(res.type, OP_RES_ERR);
    CHECK_EQ(res.num, OP_ERR_BAD_OP);
    machine_close(&m);
}

TEST(fsm, a_value_is_read_without_a_copy)
{
    struct slice argv[1] = { S("k") };
    struct op op = { .kind = OP_GET, .argv = argv, .argc = 1 };
    struct op_result one, two;
    struct machine m;

    machine_init(&m);
    CHECK_STR(say(&m, "SET k v"), "OK");
    fsm_read(m.f, &op, 0, &one);
    fsm_read(m.f, &op, 0, &two);
    CHECK(one.bulk.p == two.bulk.p);
    machine_close(&m);
}

TEST_ABORTS(fsm, an_index_that_was_applied_already_is_a_bug)
{
    struct fsm *f = fsm_new(1);

    (void)fsm_apply(f, 5, S(""), NULL, NULL);
    (void)fsm_apply(f, 5, S(""), NULL, NULL);
}

/* ---- determinism ---- */

#define KEYS 60u

static const char *const writes[] = {
    "SET @ v~",          "SET @ ~ +NX",       "SET @ ~ +XX +GET",
    "SET @ ~ +REL=40",   "SET @ ~ +KEEPTTL",  "SETRANGE @ 3 x~",
    "APPEND @ ~",        "INCRBY @ ~",        "INCRBYFLOAT @ 0.~",
    "DEL @ other~",      "GETDEL @",           "GETEX @ +REL=~",
    "EXPIRE @ +REL=~",   "EXPIRE @ +REL=~ +GT", "EXPIRE @ +REL=~ +LT",
    "EXPIRE @ +ABS=~",   "PERSIST @",          "MSET @ ~",
    "TICK",                "SET @ ~ +REL=15",
};
static const char *const reads[] = {
    "GET @", "MGET @ other", "STRLEN @", "TTL @", "EXISTS @",
    "TOUCH @", "RANDOMKEY", "KEYS *@*", "GETREV @", "DBSIZE",
};

#define PICK(rng, list) \
    (list)[rng_below((rng), sizeof(list) / sizeof((list)[0]))]

/* The template with a random key for @ and a random number for ~. */
static void fill(char out[128], const char *template, struct rng *rng)
{
    size_t n = 0;

    for (; *template != '\0'; template++) {
        CHECK(n < 100);
        if (*template == '@')
            n += (size_t)snprintf(out + n, 128 - n, "k%u",
                                  (unsigned)rng_below(rng, KEYS));
        else if (*template == '~')
            n += (size_t)snprintf(out + n, 128 - n, "%u",
                                  (unsigned)rng_below(rng, 100));
        else
            out[n++] = *template;
    }
    out[n] = '\0';
}

/* What only this replica is asked; its reader's clock is wrong as well. */
static void disturb(struct machine *m, struct rng *rng)
{
    int64_t now = m->now;
    char line[128];

    fill(line, PICK(rng, reads), rng);
    m->now = now + (int64_t)rng_below(rng, 100000);
    (void)say(m, line);
    m->now = now;
}

static void write_some(struct machine *m, struct rng *rng, uint64_t seq)
{
    char line[128];
    uint64_t back = rng_below(rng, 8);

    fill(line, PICK(rng, writes), rng);
    m->now += (int64_t)rng_below(rng, 20) - 2;
    if (m->now < 1)
        m->now = 1;
    /* Now and then a repeat, a late copy, or the end of a session. */
    if (rng_below(rng, 50) == 0)
        (void)say(m, "SESSION_DROP #3");
    else
        (void)say_as(m, 3 + rng_below(rng, 2),
                     seq > back ? seq - back : seq, seq > 20 ? seq - 20 : 1,
                     line);
}

TEST(fsm, the_same_log_gives_the_same_digest_at_each_index_whatever_is_read)
{
    struct machine a, b;
    struct rng rng, quiet;
    struct slice batch;
    struct cursor log;
    size_t done = 0;

    rng_seed(&rng, test_seed());
    rng_seed(&quiet, test_seed() + 1);
    machine_init(&a);
    machine_init(&b);
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        write_some(&a, &rng, seq);
        for (uint64_t n = rng_below(&quiet, 3); n > 0; n--)
            disturb(&a, &quiet);
        log = cursor_make(slice_make(buf_at(&a.log) + done, a.log.len - done));
        while (log.n > 0) {
            batch = cursor_bytes(&log);
            machine_apply(&b, batch);
            b.now = a.now;
            if (rng_below(&quiet, 5) == 0)
                disturb(&b, &quiet);
        }
        done = a.log.len;
        CHECK_EQ(fsm_digest(a.f), fsm_digest(b.f));
        CHECK_EQ(fsm_next_deadline(a.f), fsm_next_deadline(b.f));
        CHECK_EQ(fsm_revision(a.f), fsm_revision(b.f));
    }
    for (unsigned s = 0; s < SLOT_COUNT; s++)
        CHECK_EQ(fsm_slot_digest(a.f, (uint16_t)s),
                 fsm_slot_digest(b.f, (uint16_t)s));
    CHECK(fsm_revision(a.f) > 5000);
    machine_close(&a);
    machine_close(&b);
}

TEST(fsm, the_digest_tells_states_apart)
{
    static const char *const lines[] = {
        "SET k v", "SET k w", "SET j v", "SET k v +REL=5", "NOOP",
    };
    uint64_t digests[5];

    for (unsigned i = 0; i < 5; i++) {
        struct machine m;

        machine_init(&m);
        (void)say(&m, lines[i]);
        digests[i] = fsm_digest(m.f);
        for (unsigned j = 0; j < i; j++)
            CHECK(digests[i] != digests[j]);
        machine_close(&m);
    }
}

/* The digest moves with the clock: replicas that disagree about time are found
 * before a key expires on one of them. */
TEST(fsm, the_digest_covers_the_clock)
{
    struct machine a, b;

    machine_init(&a);
    machine_init(&b);
    b.now++;
    (void)say(&a, "NOOP");
    (void)say(&b, "NOOP");
    CHECK(fsm_digest(a.f) != fsm_digest(b.f));
    machine_close(&a);
    machine_close(&b);
}

/* ---- all commands against a model ---- */

struct mkey {
    bool there;
    char value[4096];
    size_t n;
    int64_t deadline; /* INT64_MAX: none */
    uint64_t revision;
};

static struct mkey model[KEYS];
static uint64_t model_revision;

static void model_expire(int64_t clock)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (model[i].there && model[i].deadline <= clock)
            model[i].there = false;
}

static void model_set(struct mkey *k, const char *value, int64_t deadline)
{
    k->there = true;
    k->n = strlen(value);
    memcpy(k->value, value, k->n + 1);
    k->deadline = deadline;
    k->revision = ++model_revision;
}

/* One write on the machine and, done in the most obvious way, on the model. */
static void model_write(struct machine *m, struct rng *rng, int64_t clock)
{
    unsigned i = (unsigned)rng_below(rng, KEYS);
    unsigned n = (unsigned)rng_below(rng, 1000);
    struct mkey *k = &model[i];
    char line[128], want[4200], number[32];

    snprintf(number, sizeof(number), "%u", n);
    switch (rng_below(rng, 7)) {
    case 0:
        snprintf(line, sizeof(line), "SET k%u %u +REL=%u", i, n, n + 1);
        snprintf(want, sizeof(want), "OK");
        model_set(k, number, clock + n + 1);
        break;
    case 1:
        snprintf(line, sizeof(line), "SET k%u %u +NX", i, n);
        snprintf(want, sizeof(want), k->there ? "nil" : "OK");
        if (!k->there)
            model_set(k, number, INT64_MAX);
        break;
    case 2:
        snprintf(line, sizeof(line), "GETDEL k%u", i);
        snprintf(want, sizeof(want), k->there ? "bulk %s" : "nil", k->value);
        model_revision += k->there;
        k->there = false;
        break;
    case 3:
        snprintf(line, sizeof(line), "APPEND k%u %u", i, n);
        if (!k->there)
            model_set(k, number, INT64_MAX);
        else if (k->n > 4000)
            return;
        else {
            snprintf(want, sizeof(want), "%s%s", k->value, number);
            model_set(k, want, k->deadline);
        }
        snprintf(want, sizeof(want), "int %zu", k->n);
        break;
    case 4:
        snprintf(line, sizeof(line), "EXPIRE k%u +REL=%u", i, n);
        snprintf(want, sizeof(want), "int %d", k->there);
        if (k->there)
            k->revision = ++model_revision;
        k->there = k->there && n > 0;
        k->deadline = clock + n;
        break;
    case 5:
        snprintf(line, sizeof(line), "SET k%u %u k%u +IFEQ", i, n, n);
        snprintf(want, sizeof(want), "nil");
        break;
    default:
        snprintf(line, sizeof(line), "PERSIST k%u", i);
        snprintf(want, sizeof(want), "int %d",
                 k->there && k->deadline != INT64_MAX);
        if (k->there && k->deadline != INT64_MAX)
            k->revision = ++model_revision;
        k->deadline = INT64_MAX;
        break;
    }
    CHECK_STR(say(m, line), want);
}

static void model_check(struct machine *m, int64_t clock)
{
    char line[64], want[4200];

    for (unsigned i = 0; i < KEYS; i++) {
        const struct mkey *k = &model[i];

        snprintf(line, sizeof(line), "GET k%u", i);
        snprintf(want, sizeof(want), k->there ? "bulk %s" : "nil", k->value);
        CHECK_STR(say(m, line), want);
        snprintf(line, sizeof(line), "TTL k%u", i);
        snprintf(want, sizeof(want), "pair %lld %lld",
                 !k->there                   ? -2ll
                 : k->deadline == INT64_MAX ? -1ll
                                             : (long long)k->deadline,
                 (long long)clock);
        CHECK_STR(say(m, line), want);
        snprintf(line, sizeof(line), "GETREV k%u", i);
        snprintf(want, sizeof(want), "int %lld",
                 k->there ? (long long)k->revision : 0);
        CHECK_STR(say(m, line), want);
    }
}

TEST(fsm, agrees_with_a_model_over_100000_random_writes)
{
    struct machine m;
    struct rng rng;

    rng_seed(&rng, test_seed());
    machine_init(&m);
    for (unsigned i = 0; i < 100000; i++) {
        m.now += (int64_t)rng_below(&rng, 10);
        model_expire(m.now);
        /* The model forgets at once; whether and when TICK comes must not
         * matter, except that its own changes have a revision. */
        if (rng_below(&rng, 20) == 0 &&
            strcmp(say(&m, "TICK"), "int 0") != 0)
            model_revision++;
        model_write(&m, &rng, m.now);
        /* An overwritten expired key is one change, not two; a refused write on
         * one is none. */
        CHECK_EQ(fsm_revision(m.f), model_revision);
        if (i % 500 == 0)
            model_check(&m, m.now);
        buf_clear(&m.log);
    }
    fsm_check(m.f);
    machine_close(&m);
}
