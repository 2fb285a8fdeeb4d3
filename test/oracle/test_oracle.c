/* The whole checker: verdicts, counts, windows, ties, limits. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "lib/test.h"
#include "oracle/script.h"

static struct oracle_op op_of(enum oracle_f f, const char *key, const char *arg,
                              uint64_t call, uint64_t ret)
{
    return (struct oracle_op){ .f = f,
                               .outcome = ORACLE_OK,
                               .key = slice_str(key),
                               .arg = arg == NULL ? slice_make(NULL, 0)
                                                  : slice_str(arg),
                               .result = { .nil = true },
                               .expect = { .nil = true },
                               .call = call,
                               .ret = ret };
}

/* Each by a process of its own. */
static size_t add(struct history *h, struct oracle_op op)
{
    op.process = (uint32_t)history_count(h);
    return script_add(h, &op);
}

static size_t set(struct history *h, const char *key, const char *v,
                  uint64_t call, uint64_t ret)
{
    return add(h, op_of(ORACLE_SET, key, v, call, ret));
}

static size_t get(struct history *h, const char *key, const char *v,
                  uint64_t call, uint64_t ret)
{
    struct oracle_op op = op_of(ORACLE_GET, key, NULL, call, ret);

    op.has_result = true;
    op.result = script_value(v);
    return add(h, op);
}

static size_t unknown(struct history *h, struct oracle_op op)
{
    op.outcome = ORACLE_UNKNOWN;
    return add(h, op);
}

TEST(oracle, an_empty_history_is_linearizable)
{
    struct history *h = history_new();

    CHECK_EQ(script_verdict(h, NULL), ORACLE_LINEARIZABLE);
    history_free(h);
}

TEST(oracle, everything_is_counted)
{
    struct oracle_config cfg = oracle_defaults();
    struct history *h = history_new();
    struct oracle_op failed = op_of(ORACLE_SET, "b", "1", 10, 20);
    struct oracle_op open = op_of(ORACLE_SET, "c", "1", 10, 20);
    struct oracle_report r;

    failed.outcome = ORACLE_FAIL;
    open.outcome = ORACLE_OPEN;
    set(h, "a", "1", 10, 20);
    get(h, "a", "1", 30, 40);
    add(h, failed);
    add(h, open);
    unknown(h, op_of(ORACLE_SET, "c", "1", 10, 20));
    history_add_other(h);
    oracle_check(h, &cfg, &r);
    CHECK_EQ(r.verdict, ORACLE_LINEARIZABLE);
    CHECK_EQ(r.keys, 3);
    CHECK_EQ(r.ops, 5);
    CHECK_EQ(r.ok, 2);
    CHECK_EQ(r.failed, 1);
    CHECK_EQ(r.unknown, 2);
    CHECK_EQ(history_others(h), 1);
    CHECK(r.steps > 0);
    oracle_report_close(&r);
    history_free(h);
}

/* ---- windows ---- */

static void check_window(const struct history *h, const size_t *expected,
                         size_t n, const char *words)
{
    struct oracle_config cfg = oracle_defaults();
    struct oracle_report r;

    oracle_check(h, &cfg, &r);
    CHECK_EQ(r.verdict, ORACLE_VIOLATION);
    printf("%s", r.text);
    CHECK_EQ(r.n_window, n);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(r.window[i], expected[i]);
    if (strstr(r.text, words) == NULL)
        FAIL("the text does not say: %s", words);
    oracle_report_close(&r);
}

TEST(oracle, the_window_is_the_few_operations_that_contradict_each_other)
{
    struct history *h = history_new();
    size_t window[2];
    char v[16];

    for (uint64_t i = 0; i < 300; i++) {
        snprintf(v, sizeof v, "%llu", (unsigned long long)i);
        window[0] = set(h, "k", v, 100 * i + 10, 100 * i + 20);
        if (i == 200)
            window[1] = get(h, "k", "199", 100 * i + 30, 100 * i + 40);
        else
            get(h, "k", v, 100 * i + 30, 100 * i + 40);
        if (i == 200)
            break;
    }
    set(h, "k", "199", 30000, 30010); /* too late to explain it */
    check_window(h, window, 2, "states in which the last one was tried: "
                               "\"200\"");
    history_free(h);
}

TEST(oracle, a_value_that_nobody_wrote_needs_the_beginning)
{
    struct history *h = history_new();
    size_t read;

    read = get(h, "k", "x", 10, 100);
    set(h, "k", "1", 20, 30);
    get(h, "k", "1", 40, 50);
    check_window(h, &read, 1, "beginning with no such key");
    history_free(h);
}

TEST(oracle, an_unknown_write_that_could_have_helped_is_told)
{
    struct history *h = history_new();
    size_t window[4];

    window[0] = set(h, "k", "1", 10, 20);
    unknown(h, op_of(ORACLE_SET, "k", "2", 25, 30));
    window[1] = get(h, "k", "2", 40, 50);
    window[2] = set(h, "k", "3", 60, 70);
    get(h, "k", "3", 75, 78);
    window[3] = get(h, "k", "2", 80, 90);
    check_window(h, window, 4, "SET \"k\" \"2\" -> unknown");
    history_free(h);
}

TEST(oracle, only_the_first_bad_key_is_told_and_all_are_counted)
{
    struct oracle_config cfg = oracle_defaults();
    struct history *h = history_new();
    struct oracle_report r;

    set(h, "fine", "1", 10, 20);
    get(h, "bad1", "1", 10, 20);
    get(h, "bad2", "1", 10, 20);
    oracle_check(h, &cfg, &r);
    CHECK_EQ(r.verdict, ORACLE_VIOLATION);
    CHECK_EQ(r.violations, 2);
    CHECK(strstr(r.text, "bad1") != NULL);
    CHECK(strstr(r.text, "bad2") == NULL);
    oracle_report_close(&r);
    history_free(h);
}

TEST(oracle, the_same_history_gives_the_same_text_and_steps)
{
    struct oracle_config cfg = oracle_defaults();
    struct oracle_report a, b;
    struct history *h = history_new();

    for (uint64_t i = 0; i < 8; i++)
        set(h, "k", i % 2 == 0 ? "a" : "b", 10 + i, 100 + i);
    get(h, "k", "b", 200, 210);
    get(h, "k", "a", 220, 230);
    oracle_check(h, &cfg, &a);
    oracle_check(h, &cfg, &b);
    CHECK_EQ(a.verdict, ORACLE_VIOLATION);
    CHECK_STR(a.text, b.text);
    CHECK_EQ(a.steps, b.steps);
    oracle_report_close(&a);
    oracle_report_close(&b);
    history_free(h);
}

/* ---- ties ---- */

static enum oracle_verdict tie(bool return_first)
{
    struct oracle_op write = op_of(ORACLE_SET, "k", "1", 10, 20);
    struct oracle_op read = op_of(ORACLE_GET, "k", NULL, 20, 30);
    struct oracle_value nil = { .nil = true };
    struct history *h = history_new();
    enum oracle_verdict v;
    size_t w, r;

    read.process = 1;
    w = history_call(h, &write);
    if (return_first)
        history_return(h, w, ORACLE_OK, 20, false, nil, 0);
    r = history_call(h, &read);
    if (!return_first)
        history_return(h, w, ORACLE_OK, 20, false, nil, 0);
    history_return(h, r, ORACLE_OK, 30, true, nil, 0);
    v = script_verdict(h, NULL);
    history_free(h);
    return v;
}

TEST(oracle, events_at_the_same_time_are_in_the_order_of_recording)
{
    CHECK_EQ(tie(true), ORACLE_VIOLATION);
    CHECK_EQ(tie(false), ORACLE_LINEARIZABLE);
}

/* ---- histories that cannot be ---- */

TEST(oracle, a_process_does_one_thing_at_a_time)
{
    struct oracle_op a = op_of(ORACLE_SET, "k", "1", 10, 50);
    struct oracle_op b = op_of(ORACLE_SET, "j", "1", 20, 30);
    struct history *h = history_new();

    script_add(h, &a);
    script_add(h, &b);
    CHECK_EQ(script_verdict(h, NULL), ORACLE_BAD_HISTORY);
    history_free(h);
}

TEST(oracle, one_command_on_several_keys_is_one_thing)
{
    struct oracle_op a = op_of(ORACLE_SET, "k", "1", 10, 50);
    struct oracle_op b = op_of(ORACLE_SET, "j", "1", 10, 50);
    struct oracle_op c = op_of(ORACLE_SET, "j", "2", 60, 70);
    struct history *h = history_new();

    script_add(h, &a);
    script_add(h, &b);
    script_add(h, &c);
    CHECK_EQ(script_verdict(h, NULL), ORACLE_LINEARIZABLE);
    history_free(h);
}

TEST(oracle, a_call_that_never_ended_leaves_its_process_stuck)
{
    struct oracle_op a = op_of(ORACLE_SET, "k", "1", 10, 50);
    struct oracle_op b = op_of(ORACLE_SET, "k", "2", 60, 70);
    struct history *h = history_new();

    a.outcome = ORACLE_OPEN;
    script_add(h, &a);
    script_add(h, &b);
    CHECK_EQ(script_verdict(h, NULL), ORACLE_BAD_HISTORY);
    history_free(h);
}

TEST(oracle, a_return_before_its_call_is_no_history)
{
    struct history *h = history_new();

    set(h, "k", "1", 10, 9);
    CHECK_EQ(script_verdict(h, NULL), ORACLE_BAD_HISTORY);
    history_free(h);
}

/* ---- limits ---- */

/* Thirty keys with eight clients each, every tenth write of unknown outcome:
 * about a step for an operation, far from steps_max. */
static struct history *load(struct rng *r)
{
    struct history *h = history_new();

    for (unsigned k = 0; k < 30; k++) {
        uint64_t free_at[8] = { 0 };
        unsigned value = 0;
        char key[16], text[16];

        snprintf(key, sizeof key, "k%u", k);
        for (uint64_t now = 10; now < 700; now += 10) {
            unsigned c = (unsigned)rng_below(r, 8);

            if (free_at[c] > now)
                continue;
            free_at[c] = now + 5 + 10 * rng_below(r, 8);
            snprintf(text, sizeof text, "%u", value);
            if (rng_below(r, 2) == 0) {
                get(h, key, value == 0 ? NULL : text, now, free_at[c]);
                continue;
            }
            snprintf(text, sizeof text, "%u", ++value);
            set(h, key, text, now, free_at[c]);
            if (rng_below(r, 5) == 0)
                unknown(h, op_of(ORACLE_SET, key, "never", now, now + 3));
        }
    }
    return h;
}

TEST(oracle, a_run_of_the_simulator_takes_a_few_steps_an_operation)
{
    struct oracle_config cfg = oracle_defaults();
    struct oracle_report r;
    struct history *h;
    struct rng rng;

    rng_seed(&rng, test_seed());
    h = load(&rng);
    oracle_check(h, &cfg, &r);
    printf("%zu operations, %llu steps\n", r.ops, (unsigned long long)r.steps);
    CHECK_EQ(r.verdict, ORACLE_LINEARIZABLE);
    CHECK(r.ops > 900);
    CHECK(r.unknown > 50);
    CHECK(r.steps < 10 * r.ops);
    oracle_report_close(&r);
    history_free(h);
}

TEST(oracle, a_key_that_takes_too_many_steps_is_undecided)
{
    struct oracle_config cfg = oracle_defaults();
    struct history *h = history_new();
    struct oracle_report r;

    cfg.steps_max = 50;
    for (uint64_t i = 0; i < 60; i++)
        add(h, op_of(ORACLE_DEL, "hard", NULL, 10, 100));
    get(h, "hard", "x", 200, 210);
    set(h, "easy", "1", 10, 20);
    oracle_check(h, &cfg, &r);
    CHECK_EQ(r.verdict, ORACLE_UNDECIDED);
    CHECK_EQ(r.undecided, 1);
    CHECK(r.steps <= 60);
    oracle_report_close(&r);
    history_free(h);
}

TEST(oracle, a_violation_outranks_an_undecided_key)
{
    struct oracle_config cfg = oracle_defaults();
    struct history *h = history_new();

    cfg.steps_max = 50;
    for (uint64_t i = 0; i < 60; i++)
        add(h, op_of(ORACLE_DEL, "hard", NULL, 10, 100));
    get(h, "hard", "x", 200, 210);
    get(h, "wrong", "1", 10, 20);
    CHECK_EQ(script_verdict(h, &cfg), ORACLE_VIOLATION);
    history_free(h);
}

TEST(oracle, an_operation_is_told_in_words)
{
    struct oracle_op op = op_of(ORACLE_CAS, "k", "n\"w", 1, 2);
    char text[64], small[8];

    op.has_result = true;
    op.number = 1;
    oracle_op_text(&op, text, sizeof text);
    CHECK_STR(text, "CAS \"k\" nil \"n\\\"w\" -> 1");
    oracle_op_text(&op, small, sizeof small);
    CHECK_STR(small, "CAS \"k\"");
}

TEST_ABORTS(oracle, an_operation_does_not_return_twice)
{
    struct oracle_op op = op_of(ORACLE_SET, "k", "1", 1, 2);
    struct oracle_value nil = { .nil = true };
    struct history *h = history_new();

    script_add(h, &op);
    history_return(h, 0, ORACLE_OK, 3, false, nil, 0);
}
