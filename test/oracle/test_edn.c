/* Histories as text: there and back, errors with their lines, and damaged files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"
#include "lib/test.h"
#include "oracle/edn.h"
#include "oracle/script.h"

#define DAMAGED_FILES 20000u

static int read_bytes(const void *p, size_t n, struct history **ret, char *why,
                      size_t cap)
{
    FILE *f = tmpfile();
    int rv;

    CHECK(f != NULL);
    CHECK(fwrite(p, 1, n, f) == n);
    rewind(f);
    rv = edn_read(f, ret, why, cap);
    fclose(f);
    return rv;
}

static void check_error(const char *text, const char *expected)
{
    struct history *h = NULL;
    char why[256] = "";

    CHECK_EQ(read_bytes(text, strlen(text), &h, why, sizeof why), KV_EPROTO);
    CHECK_STR(why, expected);
    CHECK(h == NULL);
}

/* What edn_write makes of h, NUL-terminated; the caller frees it. */
static char *written(const struct history *h)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    CHECK(f != NULL);
    edn_write(f, h);
    CHECK_EQ(fclose(f), 0);
    return text;
}

static struct slice random_bytes(struct rng *r, char *buf, size_t cap)
{
    size_t n = rng_below(r, cap);

    for (size_t i = 0; i < n; i++)
        buf[i] = (char)rng_below(r, 256);
    return slice_make(buf, n);
}

static void add_random(struct history *h, struct rng *r, uint64_t now)
{
    char key[8], arg[12], old[12], result[12];
    struct oracle_op op = { .process = (uint32_t)history_count(h),
                            .f = (enum oracle_f)rng_below(r, ORACLE_F_COUNT) };
    bool reads = op.f == ORACLE_GET || op.f == ORACLE_GETDEL;

    op.call = now;
    op.ret = now + 1 + rng_below(r, 50);
    op.outcome = (enum oracle_outcome)rng_below(r, ORACLE_UNKNOWN + 1);
    op.key = random_bytes(r, key, sizeof key);
    if (op.f == ORACLE_SET || op.f == ORACLE_SETNX || op.f == ORACLE_CAS ||
        op.f == ORACLE_APPEND)
        op.arg = random_bytes(r, arg, sizeof arg);
    if ((op.f == ORACLE_SET || op.f == ORACLE_SETNX) && rng_below(r, 2) == 0)
        op.ttl = 1 + rng_below(r, 1000);
    if (op.f == ORACLE_CAS) {
        op.expect.nil = rng_below(r, 3) == 0;
        if (!op.expect.nil)
            op.expect.bytes = random_bytes(r, old, sizeof old);
    }
    if (op.f == ORACLE_INCR)
        op.by = (int64_t)rng_u64(r);
    op.has_result = op.f != ORACLE_SET && rng_below(r, 5) > 0;
    if (reads) {
        op.result.nil = rng_below(r, 3) == 0;
        if (!op.result.nil)
            op.result.bytes = random_bytes(r, result, sizeof result);
    } else if (op.f == ORACLE_INCR || op.f == ORACLE_APPEND) {
        op.number = (int64_t)rng_u64(r);
    } else {
        op.number = (int64_t)rng_below(r, 2);
    }
    script_add(h, &op);
}

static bool same_value(struct oracle_value a, struct oracle_value b)
{
    return a.nil == b.nil && (a.nil || slice_eq(a.bytes, b.bytes));
}

static void check_same(const struct oracle_op *a, const struct oracle_op *b)
{
    bool reads = a->f == ORACLE_GET || a->f == ORACLE_GETDEL;

    CHECK_EQ(a->f, b->f);
    CHECK_EQ(a->process, b->process);
    CHECK_EQ(a->outcome, b->outcome);
    CHECK_EQ(a->call, b->call);
    CHECK_EQ(a->ret, b->ret);
    CHECK(slice_eq(a->key, b->key));
    CHECK(slice_eq(a->arg, b->arg));
    CHECK_EQ(a->by, b->by);
    CHECK_EQ(a->ttl, b->ttl);
    CHECK_EQ(a->has_result, b->has_result);
    if (a->f == ORACLE_CAS)
        CHECK(same_value(a->expect, b->expect));
    if (a->has_result && reads)
        CHECK(same_value(a->result, b->result));
    else if (a->has_result)
        CHECK_EQ(a->number, b->number);
}

TEST(edn, what_is_written_is_read_back_the_same)
{
    struct rng r;

    rng_seed(&r, test_seed());
    for (unsigned i = 0; i < 300; i++) {
        struct history *h = history_new(), *back = NULL;
        char why[256] = "";
        char *text, *again;

        for (uint64_t j = 0; j < 30; j++)
            add_random(h, &r, 10 * j);
        text = written(h);
        if (read_bytes(text, strlen(text), &back, why, sizeof why) != 0)
            FAIL("%s\n%s", why, text);
        CHECK_EQ(history_count(back), history_count(h));
        for (size_t j = 0; j < history_count(h); j++)
            check_same(history_at(h, j), history_at(back, j));
        again = written(back);
        CHECK_STR(text, again);
        free(text);
        free(again);
        history_free(h);
        history_free(back);
    }
}

TEST(edn, a_swap_that_found_another_value_is_a_failure_to_other_checkers)
{
    struct oracle_op op = { .f = ORACLE_CAS,
                            .process = 3,
                            .outcome = ORACLE_OK,
                            .call = 10,
                            .ret = 20,
                            .key = slice_str("k"),
                            .arg = slice_str("new"),
                            .expect = { .nil = true },
                            .has_result = true };
    struct history *h = history_new();
    char *text;

    script_add(h, &op);
    text = written(h);
    CHECK_STR(text, "{:index 0, :type :invoke, :process 3, :f :cas, :value "
                    "[\"k\" [nil \"new\"]], :time 10}\n"
                    "{:index 1, :type :fail, :process 3, :f :cas, :value "
                    "[\"k\" [nil \"new\"]], :time 20, :error :mismatch}\n");
    free(text);
    history_free(h);
}

TEST(edn, one_process_may_have_open_calls_on_several_keys)
{
    static const char text[] =
        "{:process 1 :type :invoke :f :write :value [:a 1] :time 5}\n"
        "{:process 1 :type :invoke :f :write :value [:b 2] :time 5}\n"
        "{:process 1 :type :ok :f :write :value [:b 2] :time 9}\n"
        "{:process 1 :type :info :f :write :value [:a 1] :time 9}\n";
    struct history *h = NULL;
    char why[256] = "";

    CHECK_EQ(read_bytes(text, strlen(text), &h, why, sizeof why), 0);
    CHECK_EQ(history_count(h), 2);
    CHECK_EQ(history_at(h, 0)->outcome, ORACLE_UNKNOWN);
    CHECK_EQ(history_at(h, 1)->outcome, ORACLE_OK);
    CHECK_EQ(history_at(h, 1)->tag, 2);
    CHECK_EQ(script_verdict(h, NULL), ORACLE_LINEARIZABLE);
    history_free(h);
}

/* ---- errors ---- */

#define CALL "{:process 1 :type :invoke :f :write :value [1 2] :time 5}\n"

TEST(edn, text_that_is_no_edn_is_refused_with_its_line)
{
    check_error("\n\n{:a \"b}", "line 3: a string does not end");
    check_error("{:a 1\n :b}", "line 2: a map has a key without a value");
    check_error("; a comment\n{:a [1 2}", "line 2: '}' ends nothing");
    check_error("{:a 1", "line 1: '}' is missing");
    check_error("]", "line 1: ']' ends nothing");
    check_error("{:a \"\\q\"}", "line 1: no such escape in a string");
    check_error("{:a \"\\u12g4\"}",
                "line 1: \\u is not followed by four hex digits");
    check_error("{: 1}", "line 1: a keyword has no name");
    check_error("{:a 12x}", "line 1: \"12x\" is not a number");
    check_error("{:a 9223372036854775808}",
                "line 1: 9223372036854775808 has more than 64 bits");
    check_error("{:a #}", "line 1: '#' is not followed by a tag");
    check_error("[" CALL, "line 2: ']' is missing");
    check_error("[] {}", "line 1: something follows the vector");
    check_error("42", "line 1: not a map");
    check_error("[[[[[[[[[[[[[[[[[[[[", "line 1: forms are nested more than "
                                        "16 deep");
    check_error("{:a #b #b #b #b #b #b #b #b #b #b #b #b #b #b #b #b #b 1}",
                "line 1: forms are nested more than 16 deep");
}

TEST(edn, a_line_that_is_no_operation_is_refused)
{
    check_error("{:type :invoke}", "line 1: :process is not an integer");
    check_error("{:process 1}", "line 1: :time is not an integer");
    check_error("{:process 1 :process 2}", "line 1: :process stands twice");
    check_error("{:process -1 :time 1}", "line 1: :process is out of range");
    check_error("{:process 1 :time -1}", "line 1: :time is negative");
    check_error("{:process 1 :time 1 :type :maybe}",
                "line 1: :type is not :invoke, :ok, :fail or :info");
    check_error("{:process 1 :time 1 :type :invoke :f :txn :value [1]}",
                "line 1: there is no :f of ours");
    check_error("{:process 1 :time 1 :type :invoke :f :read :value 3}",
                "line 1: :value is not a vector");
    check_error("{:process 1 :time 1 :type :invoke :f :read :value [nil 1]}",
                "line 1: the key is not a string or an integer");
    check_error("{:process 1 :time 1 :type :invoke :f :write :value [1]}",
                "line 1: what is written is not a string or an integer");
    check_error("{:process 1 :time 1 :type :invoke :f :add :value [1 :x]}",
                "line 1: what is added is not an integer");
    check_error("{:process 1 :time 1 :type :invoke :f :cas :value [1 [2]]}",
                "line 1: the new value is not a string or an integer");
    check_error("{:process 1 :time 1 :type :invoke :f :cas :value [1 2]}",
                "line 1: the value of a :cas is [key [old new]]");
    check_error("{:process 1 :time 1 :type :invoke :f :read :value [1] "
                ":ttl 5}", "line 1: :ttl belongs to :write and :setnx");
    check_error("{:process 1 :time 1 :type :invoke :f :write :value [1 1] "
                ":ttl 0}", "line 1: :ttl is not a number of ns");
}

TEST(edn, a_return_without_its_call_is_refused)
{
    check_error("{:process 1 :type :ok :f :write :value [1 2] :time 9}",
                "line 1: process 1 returns from what it did not call");
    check_error(CALL "{:process 2 :type :ok :f :write :value [1 2] :time 9}",
                "line 2: process 2 returns from what it did not call");
    check_error(CALL "{:process 1 :type :ok :f :write :value [1 3] :time 9}",
                "line 2: it was called with another value on line 1");
    check_error(CALL "{:process 1 :type :ok :f :read :value [1 2] :time 9}",
                "line 2: process 1 returns from what it did not call");
    check_error(CALL CALL,
                "line 2: process 1 calls while its call of line 1 is open");
    check_error(CALL "{:process 1 :type :ok :f :write :value [1 2] :time 4}",
                "line 2: it returns before its call of line 1");
}

TEST(edn, a_result_that_cannot_be_is_refused)
{
    check_error(CALL "{:process 1 :type :ok :f :write :value [1 2 3] :time 9}",
                "line 2: a :write has no result");
    check_error("{:process 1 :type :invoke :f :delete :value [1] :time 1}\n"
                "{:process 1 :type :ok :f :delete :value [1 2] :time 9}",
                "line 2: the result is neither 0 nor 1");
    check_error("{:process 1 :type :invoke :f :add :value [1 1] :time 1}\n"
                "{:process 1 :type :ok :f :add :value [1 1 nil] :time 9}",
                "line 2: the result is not an integer");
    check_error("{:process 1 :type :invoke :f :read :value [1] :time 1}\n"
                "{:process 1 :type :ok :f :read :value [1 2 3] :time 9}",
                "line 2: :value is too long");
}

/* ---- damage ---- */

/* Whatever the bytes are: a history, which can be checked, or an error with a
 * line. */
static void survive(const struct buf *b)
{
    struct oracle_config cfg = oracle_defaults();
    struct history *h = NULL;
    struct oracle_report r;
    char why[256] = "";

    cfg.steps_max = 1000;
    if (read_bytes(buf_at(b), b->len, &h, why, sizeof why) != 0) {
        CHECK(h == NULL);
        CHECK(strncmp(why, "line ", 5) == 0);
        return;
    }
    oracle_check(h, &cfg, &r);
    oracle_report_close(&r);
    history_free(h);
}

static void damage(struct buf *b, struct rng *r)
{
    static const char marks[] = "{}[]()\"\\#:;,_ \n09-nu";

    for (uint64_t n = 1 + rng_below(r, 4); n > 0 && b->len > 0; n--) {
        size_t at = rng_below(r, b->len);

        switch (rng_below(r, 4)) {
        case 0:
            buf_truncate(b, at);
            break;
        case 1:
            buf_at(b)[at] ^= (uint8_t)(1u << rng_below(r, 8));
            break;
        case 2:
            buf_at(b)[at] = (uint8_t)marks[rng_below(r, sizeof marks)];
            break;
        default:
            memmove(buf_at(b) + at, buf_at(b) + at + 1, b->len - at - 1);
            buf_truncate(b, b->len - 1);
        }
    }
}

TEST(edn, damaged_files_are_errors_or_histories)
{
    struct history *h = history_new();
    struct rng r;
    char *text;

    rng_seed(&r, test_seed());
    for (uint64_t j = 0; j < 6; j++)
        add_random(h, &r, 10 * j);
    text = written(h);
    for (unsigned i = 0; i < DAMAGED_FILES; i++) {
        struct buf b;

        buf_init(&b);
        buf_put_str(&b, text);
        damage(&b, &r);
        survive(&b);
        buf_close(&b);
    }
    free(text);
    history_free(h);
}
