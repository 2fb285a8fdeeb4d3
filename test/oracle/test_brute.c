/* The search against brute force, on random small histories.
 *
 * Operations and times are drawn; then each gets a result by guessing, in six of ten
 * histories until the operations so far are linearizable.  Both verdicts must
 * come up often, or nothing was compared.  Calls are at even times and returns at
 * odd ones: ties have tests of their own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "lib/test.h"
#include "oracle/script.h"

#define HISTORIES 6000u
#define OPS_MAX 6u
#define TIME_SPAN 24u

struct kind {
    const char *name;
    enum oracle_f f[10];
    size_t n;
    bool ttl;
    bool up; /* INCR only counts up */
};

static const char *const words[] = { "a", "b", "7", "ab", "" };

static bool chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

static const char *word(struct rng *r)
{
    return words[rng_below(r, sizeof words / sizeof words[0])];
}

static struct oracle_op random_op(struct rng *r, const struct kind *k)
{
    struct oracle_op op = { .f = k->f[rng_below(r, k->n)] };

    op.call = 2 * rng_below(r, TIME_SPAN / 2);
    op.ret = op.call + 1 + 2 * rng_below(r, 5);
    op.key = slice_str("k");
    op.arg = slice_str(word(r));
    op.expect = script_value(chance(r, 20) ? NULL : word(r));
    op.by = (int64_t)rng_below(r, 3) - (k->up ? -1 : 1);
    if (k->ttl && chance(r, 60))
        op.ttl = 1 + rng_below(r, 10);
    if (op.f != ORACLE_SET && op.f != ORACLE_SETNX)
        op.ttl = 0;
    op.outcome = chance(r, 25)  ? ORACLE_UNKNOWN
                 : chance(r, 5) ? ORACLE_FAIL
                                : ORACLE_OK;
    return op;
}

/* Give op a result that it might have had. */
static void guess(struct rng *r, struct oracle_op *op)
{
    static const char *const seen[] = { "a", "b", "7", "ab", "aa",
                                        "1", "2", "3", "" };

    op->has_result = op->f != ORACLE_SET && !chance(r, 10);
    if (op->f == ORACLE_GET || op->f == ORACLE_GETDEL)
        op->result = script_value(
            chance(r, 40) ? NULL
                          : seen[rng_below(r, sizeof seen / sizeof seen[0])]);
    else if (op->f == ORACLE_APPEND)
        op->number = (int64_t)(op->arg.n + rng_below(r, 4));
    else if (op->f == ORACLE_INCR)
        op->number = (int64_t)rng_below(r, 5) - 1 + (chance(r, 20) ? 6 : 0);
    else
        op->number = (int64_t)rng_below(r, 2);
}

/* Results by guessing, from the first to the last. */
static struct history *random_history(struct rng *r, const struct kind *k,
                                      const struct oracle_config *cfg)
{
    struct oracle_op ops[OPS_MAX];
    size_t n = 2 + rng_below(r, OPS_MAX - 1);
    bool good = chance(r, 60);
    struct history *h = NULL;

    for (size_t i = 0; i < n; i++) {
        ops[i] = random_op(r, k);
        ops[i].process = (uint32_t)i;
    }
    for (size_t i = 1; i <= n; i++) {
        for (unsigned tries = 0; tries < 12; tries++) {
            guess(r, &ops[i - 1]);
            history_free(h);
            h = history_new();
            for (size_t j = 0; j < i; j++)
                script_add(h, &ops[j]);
            if (!good || brute_check(h, cfg))
                break;
        }
    }
    return h;
}

static void show(const struct history *h)
{
    for (size_t i = 0; i < history_count(h); i++) {
        const struct oracle_op *op = history_at(h, i);
        char text[200];

        oracle_op_text(op, text, sizeof text);
        printf("[%" PRIu64 " .. %" PRIu64 "] %s\n", op->call, op->ret, text);
    }
}

static void compare(const struct kind *k, uint64_t salt)
{
    struct oracle_config cfg = oracle_defaults();
    size_t verdicts[2] = { 0, 0 };
    struct rng r;

    rng_seed(&r, test_seed() ^ salt);
    for (size_t i = 0; i < HISTORIES; i++) {
        struct history *h;
        bool good;

        cfg.early = k->ttl ? rng_below(&r, 3) : 0;
        cfg.late = k->ttl && i % 2 == 0 ? rng_below(&r, 6) : ORACLE_NEVER;
        h = random_history(&r, k, &cfg);
        good = brute_check(h, &cfg);
        if (script_verdict(h, &cfg) !=
            (good ? ORACLE_LINEARIZABLE : ORACLE_VIOLATION)) {
            show(h);
            FAIL("%s, history %zu (early %" PRIu64 ", late %" PRIu64
                 "): all orders say %s",
                 k->name, i, cfg.early, cfg.late, good ? "good" : "bad");
        }
        verdicts[good]++;
        history_free(h);
    }
    printf("%s: %zu bad, %zu good\n", k->name, verdicts[0], verdicts[1]);
    CHECK(verdicts[0] > HISTORIES / 10);
    CHECK(verdicts[1] > HISTORIES / 10);
}

TEST(brute, registers_with_deletes_and_compare_and_set)
{
    compare(&(struct kind){ .name = "register",
                            .f = { ORACLE_GET, ORACLE_GET, ORACLE_SET,
                                   ORACLE_SETNX, ORACLE_CAS, ORACLE_DEL,
                                   ORACLE_GETDEL },
                            .n = 7 }, 1);
}

TEST(brute, counters)
{
    compare(&(struct kind){ .name = "counter",
                            .f = { ORACLE_GET, ORACLE_INCR, ORACLE_INCR,
                                   ORACLE_SET, ORACLE_DEL },
                            .n = 5 }, 2);
}

TEST(brute, counters_that_only_count_up)
{
    compare(&(struct kind){ .name = "counter up",
                            .f = { ORACLE_GET, ORACLE_INCR, ORACLE_INCR },
                            .n = 3,
                            .up = true }, 8);
}

TEST(brute, lists_by_append)
{
    compare(&(struct kind){ .name = "append",
                            .f = { ORACLE_GET, ORACLE_APPEND, ORACLE_APPEND },
                            .n = 3 }, 3);
    compare(&(struct kind){ .name = "append and delete",
                            .f = { ORACLE_GET, ORACLE_APPEND, ORACLE_APPEND,
                                   ORACLE_DEL, ORACLE_SET },
                            .n = 5 }, 4);
}

TEST(brute, keys_with_deadlines)
{
    compare(&(struct kind){ .name = "deadlines",
                            .f = { ORACLE_GET, ORACLE_GET, ORACLE_SET,
                                   ORACLE_SETNX, ORACLE_PERSIST, ORACLE_DEL },
                            .n = 6,
                            .ttl = true }, 5);
}

TEST(brute, everything_at_once)
{
    struct kind k = { .name = "all",
                      .f = { ORACLE_GET, ORACLE_SET, ORACLE_SETNX, ORACLE_CAS,
                             ORACLE_DEL, ORACLE_INCR, ORACLE_APPEND,
                             ORACLE_GETDEL, ORACLE_PERSIST, ORACLE_GET },
                      .n = 10 };

    compare(&k, 6);
    k.ttl = true;
    compare(&k, 7);
}
