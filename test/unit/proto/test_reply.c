/* Reply encoders: exact bytes for RESP2 and RESP3. */
#include "proto/reply.h"

#include <math.h>
#include <string.h>

#include "lib/test.h"

static struct buf b;

static void check(const char *want)
{
    CHECK_EQ(b.len, strlen(want));
    CHECK_MEM(buf_at(&b), want, b.len);
    buf_clear(&b);
}

TEST(reply, types_that_both_versions_have)
{
    reply_simple(&b, "OK");
    check("+OK\r\n");
    reply_int(&b, INT64_MIN);
    check(":-9223372036854775808\r\n");
    reply_int(&b, 0);
    check(":0\r\n");
    reply_bulk(&b, slice_make("a\0b", 3));
    CHECK_MEM(buf_at(&b), "$3\r\na\0b\r\n", 9);
    buf_clear(&b);
    reply_bulk(&b, slice_make(NULL, 0));
    check("$0\r\n\r\n");
    reply_bulk_int(&b, 1234567);
    check("$7\r\n1234567\r\n");
    reply_array(&b, 12);
    check("*12\r\n");
}

TEST(reply, an_error_is_one_line_whatever_it_quotes)
{
    reply_error(&b, "ERR bad %s", "a\r\nb");
    check("-ERR bad a  b\r\n");
}

TEST(reply, resp2_falls_back)
{
    reply_nil(&b, 2);
    reply_nil_array(&b, 2);
    reply_map(&b, 2, 3);
    reply_set(&b, 2, 3);
    reply_double(&b, 2, 1.5);
    reply_bool(&b, 2, true);
    reply_verbatim(&b, 2, "txt", slice_str("hi"));
    check("$-1\r\n*-1\r\n*6\r\n*3\r\n$3\r\n1.5\r\n:1\r\n$2\r\nhi\r\n");
}

TEST(reply, resp3_has_types_of_its_own)
{
    reply_nil(&b, 3);
    reply_nil_array(&b, 3);
    reply_map(&b, 3, 3);
    reply_set(&b, 3, 3);
    reply_double(&b, 3, 1.5);
    reply_double(&b, 3, -INFINITY);
    reply_bool(&b, 3, false);
    reply_verbatim(&b, 3, "txt", slice_str("hi"));
    check("_\r\n_\r\n%3\r\n~3\r\n,1.5\r\n,-inf\r\n#f\r\n=6\r\ntxt:hi\r\n");
}
