/* The reply parser: every type, nesting, cuts at each byte, limits. */
#include "proto/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "lib/test.h"

static void describe(struct buf *out, const struct resp_item *it)
{
    for (unsigned i = 0; i < it->depth; i++)
        buf_put_u8(out, '.');
    buf_put_u8(out, (uint8_t)"+-:$_,#(=*%~>|"[it->type]);
    switch (it->type) {
    case RESP_INT:
    case RESP_BOOL:
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_SET:
    case RESP_PUSH:
    case RESP_ATTRIBUTE:
        buf_printf(out, "%lld", (long long)it->num);
        break;
    case RESP_DOUBLE:
        buf_printf(out, "%g", it->dbl);
        break;
    case RESP_VERBATIM:
        buf_printf(out, "%s:", it->fmt);
        buf_put_slice(out, it->str);
        break;
    case RESP_SIMPLE:
    case RESP_ERROR:
    case RESP_BULK:
    case RESP_BIG:
        buf_put_slice(out, it->str);
        break;
    case RESP_NULL:
        break;
    }
    buf_put_str(out, it->last ? "\n" : " ");
}

static void feed(struct slice in, size_t step, struct buf *out)
{
    struct resp_reply r;
    size_t begin = 0, have = 0;
    int rv = KV_EAGAIN;

    resp_reply_init(&r, 100);
    while (have < in.n && (rv == KV_EAGAIN || rv == 0)) {
        have = have + step > in.n ? in.n : have + step;
        do {
            struct resp_item it;
            size_t used = 0, n = have - begin;
            uint8_t *copy = malloc(n + 1);

            CHECK(copy != NULL);
            memcpy(copy, in.p + begin, n);
            rv = resp_reply_next(&r, slice_make(copy, n), &it, &used);
            if (rv == 0) {
                describe(out, &it);
                begin += used;
            }
            free(copy);
        } while (rv == 0);
    }
    if (rv != KV_EAGAIN) {
        buf_printf(out, "!%s", kv_errname(rv));
        CHECK_EQ(resp_reply_next(&r, in, &(struct resp_item){ 0 }, &have),
                 KV_EPROTO);
    } else if (begin < in.n) {
        buf_put_str(out, "...");
    }
    buf_put_u8(out, '\0');
}

static void check_reply(const char *in, const char *want)
{
    struct buf out;

    buf_init(&out);
    for (size_t step = 1; step <= strlen(in); step++) {
        buf_clear(&out);
        feed(slice_str(in), step, &out);
        CHECK_STR((const char *)buf_at(&out), want);
    }
    buf_close(&out);
}

TEST(resp_reply, scalars_of_resp2)
{
    check_reply("+OK\r\n-ERR x y\r\n:-42\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n"
                "*-1\r\n",
                "+OK\n-ERR x y\n:-42\n$a\r\n\n$\n_\n_\n");
}

TEST(resp_reply, scalars_of_resp3)
{
    check_reply("_\r\n,1.5\r\n,inf\r\n#t\r\n#f\r\n(12345678901234567890123"
                "\r\n=7\r\ntxt:abc\r\n!5\r\nERR e\r\n",
                "_\n,1.5\n,inf\n#1\n#0\n(12345678901234567890123\n=txt:abc\n"
                "-ERR e\n");
}

TEST(resp_reply, aggregates_nest)
{
    check_reply("*2\r\n*2\r\n:1\r\n*0\r\n$1\r\na\r\n+OK\r\n",
                "*2 .*2 ..:1 ..*0 .$a\n+OK\n");
    check_reply("%1\r\n+k\r\n~2\r\n:1\r\n:2\r\n>1\r\n+p\r\n",
                "%1 .+k .~2 ..:1 ..:2\n>1 .+p\n");
    check_reply("*0\r\n%0\r\n", "*0\n%0\n");
}

TEST(resp_reply, an_attribute_precedes_its_reply)
{
    check_reply("|1\r\n+ttl\r\n:3\r\n$1\r\na\r\n", "|1 .+ttl .:3 .$a\n");
}

TEST(resp_reply, an_incomplete_reply_waits)
{
    check_reply("$5\r\nabc", "...");
    check_reply("*2\r\n:1\r\n", "*2 .:1 ");
    check_reply("+OK\r", "...");
}

TEST(resp_reply, malformed_replies_are_errors)
{
    static const char *const bad[] = {
        "x\r\n",  ":a\r\n",  "$a\r\n",      "$-2\r\n",    "*-2\r\n",
        "#x\r\n", ",x\r\n",  "_x\r\n",      "(\r\n",      "$1\r\nabc\r\n",
        "+OK\n",  "%-1\r\n", "=2\r\nab\r\n", "=-1\r\n"
    };
    struct buf out;

    buf_init(&out);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t step = 1; step <= strlen(bad[i]); step++) {
            buf_clear(&out);
            feed(slice_str(bad[i]), step, &out);
            CHECK_STR((const char *)buf_at(&out), "!KV_EPROTO");
        }
    }
    buf_close(&out);
}

TEST(resp_reply, depth_and_length_have_limits)
{
    struct resp_reply r;
    struct resp_item it;
    size_t used;

    resp_reply_init(&r, 100);
    for (unsigned i = 0; i < RESP_DEPTH_MAX; i++)
        CHECK_EQ(resp_reply_next(&r, slice_str("*1\r\n"), &it, &used), 0);
    CHECK_EQ(resp_reply_next(&r, slice_str("*1\r\n"), &it, &used), KV_E2BIG);
    CHECK_EQ(resp_reply_next(&r, slice_str("+OK\r\n"), &it, &used),
             KV_EPROTO);
    resp_reply_init(&r, 100);
    CHECK_EQ(resp_reply_next(&r, slice_str("$101\r\n"), &it, &used),
             KV_E2BIG);
}
