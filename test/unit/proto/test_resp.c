/* The request parser: one table of inputs with what must come out, and every
 * input is fed whole, byte by byte and cut at each place. */
#include "proto/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

#define BULK_MAX 1000u
#define ARGS_MAX 20u

static const struct resp_limits limits = { .bulk_bytes_max = BULK_MAX,
                                           .args_max = ARGS_MAX };

/* Requests come out as "word|word;" and an error as "!text". */
static void describe(struct buf *out, const struct resp_request *r)
{
    for (uint32_t i = 0; i < r->argc; i++) {
        if (i > 0)
            buf_put_u8(out, '|');
        buf_put_slice(out, r->argv[i]);
    }
    buf_put_u8(out, ';');
}

/* Feed `in` in pieces that end at `cut`, at every `step`, and at the end.  The
 * bytes are copied to a fresh place for each call: nothing may be remembered by
 * address. */
static void feed(struct slice in, size_t cut, size_t step, struct buf *out)
{
    struct resp_request r;
    size_t begin = 0, have = 0;
    int rv = KV_EAGAIN;

    resp_request_init(&r, limits);
    while (have < in.n && rv != KV_EPROTO) {
        have = have < cut && have + step > cut ? cut : have + step;
        if (have > in.n)
            have = in.n;
        for (;;) {
            size_t used = 0, n = have - begin;
            uint8_t *copy = malloc(n + 1);

            CHECK(copy != NULL);
            memcpy(copy, in.p + begin, n);
            rv = resp_request_parse(&r, slice_make(copy, n), &used);
            if (rv == 0) {
                describe(out, &r);
                CHECK(used > 0 && used <= n);
                begin += used;
            }
            free(copy);
            if (rv != 0)
                break;
        }
    }
    if (rv == KV_EPROTO) {
        size_t used = 0;

        buf_printf(out, "!%s", r.error);
        CHECK_EQ(resp_request_parse(&r, in, &used), KV_EPROTO);
    } else if (begin < in.n) {
        buf_printf(out, "...");
    }
    buf_put_u8(out, '\0');
    resp_request_close(&r);
}

static void check_input(struct slice in, const char *want)
{
    struct buf out;

    buf_init(&out);
    feed(in, 0, in.n, &out);
    CHECK_STR((const char *)buf_at(&out), want);
    buf_clear(&out);
    feed(in, 0, 1, &out);
    CHECK_STR((const char *)buf_at(&out), want);
    for (size_t cut = 1; cut < in.n && in.n < 300; cut++) {
        buf_clear(&out);
        feed(in, cut, in.n, &out);
        CHECK_STR((const char *)buf_at(&out), want);
    }
    buf_close(&out);
}

static void check_str(const char *in, const char *want)
{
    check_input(slice_str(in), want);
}

TEST(resp, an_array_of_bulk_strings_is_a_request)
{
    check_str("*1\r\n$4\r\nPING\r\n", "PING;");
    check_str("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\nv\n\r\n",
              "SET|k|v\r\nv\n;");
    check_str("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "ECHO|;");
}

TEST(resp, bytes_of_any_value_pass_through)
{
    uint8_t in[300];
    struct resp_request r;
    size_t used = 0;
    int n = snprintf((char *)in, sizeof in, "*1\r\n$256\r\n");

    for (unsigned i = 0; i < 256; i++)
        in[n + (int)i] = (uint8_t)i;
    memcpy(in + n + 256, "\r\n", 2);
    resp_request_init(&r, limits);
    CHECK_EQ(resp_request_parse(&r, slice_make(in, (size_t)n + 258), &used),
             0);
    CHECK_EQ(r.argc, 1);
    CHECK_EQ(r.argv[0].n, 256);
    CHECK_MEM(r.argv[0].p, in + n, 256);
    CHECK_EQ(used, n + 258);
    resp_request_close(&r);
}

TEST(resp, pipelined_requests_come_out_one_by_one)
{
    check_str("*1\r\n$1\r\na\r\nget b\r\n*2\r\n$1\r\nc\r\n$1\r\nd\r\n\r\ne\n",
              "a;get|b;c|d;;e;");
}

TEST(resp, an_incomplete_request_waits)
{
    check_str("*2\r\n$3\r\nGET\r\n$3\r\nfo", "...");
    check_str("*2\r", "...");
    check_str("PING", "...");
    check_str("*1\r\n$1\r\na\r", "...");
}

TEST(resp, empty_and_negative_arrays_are_empty_requests)
{
    check_str("*0\r\n*-1\r\n\r\n  \r\nPING\r\n", ";;;;PING;");
}

TEST(resp, inline_words_are_split_at_blanks)
{
    check_str("SET  foo\tbar \r\n", "SET|foo|bar;");
    check_str("  PING\n", "PING;");
    check_str("a*b $3 *1\n", "a*b|$3|*1;");
}

TEST(resp, inline_quoting_is_that_of_redis)
{
    check_str("a \"b c\" 'd e'\n", "a|b c|d e;");
    check_str("\"\\n\\r\\t\\b\\a\\\\\\\"\\x41\\xzz\"\n",
              "\n\r\t\b\a\\\"Axzz;");
    check_str("'it\\'s' '\\n'\n", "it's|\\n;");
    check_str("\"\" ''\n", "|;");
    check_str("foo\"bar\" x\n", "foobar|x;");
}

TEST(resp, unbalanced_quotes_are_an_error)
{
    static const char *const bad[] = { "\"abc\n", "'abc\n", "\"a\"b\n",
                                       "'a'b\n",  "\"a\\\"\n", "\"a\\\n" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_str(bad[i], "!Protocol error: unbalanced quotes in request");
}

TEST(resp, a_bad_count_is_an_error)
{
    static const char *const bad[] = { "*x\r\n",  "*\r\n",  "*1x\r\n",
                                       "*21\r\n", "* 1\r\n", "*+1\r\n",
                                       "*01\r\n", "*99999999999999999999\r\n" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_str(bad[i], "!Protocol error: invalid multibulk length");
}

TEST(resp, a_bad_bulk_length_is_an_error)
{
    static const char *const bad[] = { "*1\r\n$x\r\n",  "*1\r\n$\r\n",
                                       "*1\r\n$-1\r\n", "*1\r\n$1001\r\n",
                                       "*1\r\n$1 \r\n", "*1\r\n$-0\r\n" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_str(bad[i], "!Protocol error: invalid bulk length");
}

TEST(resp, another_type_where_a_string_must_be_is_an_error)
{
    check_str("*1\r\nx4\r\n", "!Protocol error: expected '$', got 'x'");
    check_str("*1\r\n\r\n", "!Protocol error: expected '$', got ' '");
    check_str("*2\r\n$1\r\na\r\n:1\r\n",
              "!Protocol error: expected '$', got ':'");
}

TEST(resp, requests_before_an_error_are_delivered)
{
    check_str("PING\r\n*1\r\nq\r\n", "PING;!Protocol error: expected '$', "
                                     "got 'q'");
}

TEST(resp, the_limits_themselves_are_allowed)
{
    struct buf in, want;

    buf_init(&in);
    buf_init(&want);
    buf_printf(&in, "*20\r\n$1000\r\n");
    for (unsigned i = 0; i < BULK_MAX; i++) {
        buf_put_u8(&in, 'a');
        buf_put_u8(&want, 'a');
    }
    buf_put_str(&in, "\r\n");
    for (unsigned i = 1; i < ARGS_MAX; i++) {
        buf_put_str(&in, "$1\r\nb\r\n");
        buf_put_str(&want, "|b");
    }
    buf_put(&want, ";", 2);
    check_input(buf_slice(&in), (const char *)buf_at(&want));
    buf_close(&in);
    buf_close(&want);
}

/* A line of `n` bytes that begins with `head`, without and with its end. */
static void check_long_line(const char *head, const char *end, size_t n,
                            const char *want)
{
    struct buf in, out;

    buf_init(&in);
    buf_init(&out);
    buf_put_str(&in, head);
    while (in.len < n)
        buf_put_u8(&in, '1');
    buf_put_str(&in, end);
    feed(buf_slice(&in), 0, in.len, &out);
    CHECK_STR((const char *)buf_at(&out), want);
    buf_clear(&out);
    feed(buf_slice(&in), 0, 1000, &out);
    CHECK_STR((const char *)buf_at(&out), want);
    buf_close(&in);
    buf_close(&out);
}

TEST(resp, lines_without_end_are_errors)
{
    check_long_line("G", "", RESP_LINE_BYTES_MAX, "...");
    check_long_line("G", "", RESP_LINE_BYTES_MAX + 1,
                    "!Protocol error: too big inline request");
    check_long_line("G", "\r\n", RESP_LINE_BYTES_MAX + 1,
                    "!Protocol error: too big inline request");
    check_long_line("*", "", RESP_LINE_BYTES_MAX + 1,
                    "!Protocol error: too big mbulk count string");
    check_long_line("*1\r\n$", "", RESP_LINE_BYTES_MAX + 5,
                    "!Protocol error: too big bulk count string");
}

TEST(resp, an_inline_request_has_the_argument_limit_too)
{
    check_str("a a a a a a a a a a a a a a a a a a a a\n",
              "a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a|a;");
    check_str("a a a a a a a a a a a a a a a a a a a a a\n",
              "!Protocol error: too big inline request");
}

TEST(resp, an_announced_body_tells_how_much_is_needed)
{
    struct resp_request r;
    size_t used;

    resp_request_init(&r, limits);
    CHECK_EQ(resp_request_parse(&r, slice_str("*1\r\n$100\r\nab"), &used),
             KV_EAGAIN);
    CHECK_EQ(resp_request_need(&r), 10 + 100 + 2);
    resp_request_close(&r);
}

TEST(resp, announcing_arguments_takes_no_memory)
{
    struct resp_request r;
    size_t used;

    resp_request_init(&r, (struct resp_limits){ .bulk_bytes_max = 1 << 20,
                                                .args_max = 1u << 30 });
    CHECK_EQ(resp_request_parse(&r, slice_str("*1073741824\r\n$1\r\n"),
                                &used),
             KV_EAGAIN);
    CHECK_EQ(r.cap, 0);
    resp_request_close(&r);
}

TEST(resp, integers_are_read_as_strictly_as_redis_reads_them)
{
    static const char *const bad[] = {
        "",   "-",   "+1", " 1", "1 ", "01", "-0", "1.0", "0x1",
        "1a", "--1", "9223372036854775808", "-9223372036854775809",
        "99999999999999999999"
    };
    int64_t v = 0;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!resp_int64(slice_str(bad[i]), &v));
    CHECK(resp_int64(slice_str("0"), &v) && v == 0);
    CHECK(resp_int64(slice_str("-17"), &v) && v == -17);
    CHECK(resp_int64(slice_str("9223372036854775807"), &v) && v == INT64_MAX);
    CHECK(resp_int64(slice_str("-9223372036854775808"), &v) && v == INT64_MIN);
}

TEST(resp, what_is_encoded_parses_back)
{
    struct slice argv[3] = { slice_str("SET"), slice_str("k\r\n"),
                             slice_str("") };
    struct resp_request r;
    struct buf b;
    size_t used = 0;

    buf_init(&b);
    resp_request_encode(&b, argv, 3);
    resp_request_init(&r, limits);
    CHECK_EQ(resp_request_parse(&r, buf_slice(&b), &used), 0);
    CHECK_EQ(used, b.len);
    CHECK_EQ(r.argc, 3);
    for (int i = 0; i < 3; i++)
        CHECK(slice_eq(r.argv[i], argv[i]));
    resp_request_close(&r);
    buf_close(&b);
}
