/* The reader of replies. */
#include "kvsim/answer.h"
#include "lib/test.h"

static long read_text(const char *s, struct answer *ret)
{
    return answer_read(slice_str(s), ret);
}

/* s is one whole reply, and no prefix of it is. */
static struct answer whole(const char *s)
{
    struct answer a;

    for (size_t n = 0; n < strlen(s); n++)
        CHECK_EQ(answer_read(slice_make(s, n), &a), 0);
    CHECK_EQ(read_text(s, &a), (long)strlen(s));
    return a;
}

static void refused(const char *s)
{
    struct answer a;

    if (read_text(s, &a) != -1)
        FAIL("taken for a reply: %s", s);
}

TEST(answer, simple_strings_and_errors)
{
    struct answer a = whole("+OK\r\n");

    CHECK_EQ(a.type, ANSWER_SIMPLE);
    CHECK(slice_eq(a.text, slice_str("OK")));
    a = whole("-BUSY too many\r\n");
    CHECK_EQ(a.type, ANSWER_ERROR);
    CHECK(slice_eq(a.text, slice_str("BUSY too many")));
}

TEST(answer, numbers)
{
    CHECK_EQ(whole(":0\r\n").num, 0);
    CHECK_EQ(whole(":-17\r\n").num, -17);
    CHECK_EQ(whole(":123456789012345678\r\n").num, 123456789012345678);
}

TEST(answer, bulk_strings)
{
    struct answer a = whole("$5\r\na\r\nb!\r\n");

    CHECK_EQ(a.type, ANSWER_BULK);
    CHECK(slice_eq(a.text, slice_make("a\r\nb!", 5)));
    CHECK_EQ(whole("$0\r\n\r\n").text.n, 0);
    CHECK_EQ(whole("$-1\r\n").type, ANSWER_NIL);
}

TEST(answer, arrays_of_bulk_strings)
{
    struct answer a = whole("*3\r\n$1\r\nx\r\n$-1\r\n$2\r\nyz\r\n");

    CHECK_EQ(a.type, ANSWER_ARRAY);
    CHECK_EQ(a.n_items, 3);
    CHECK(slice_eq(a.item[0].text, slice_str("x")));
    CHECK(a.item[1].nil);
    CHECK(slice_eq(a.item[2].text, slice_str("yz")));
    CHECK_EQ(whole("*0\r\n").n_items, 0);
}

TEST(answer, takes_one_reply_of_many)
{
    struct answer a;

    CHECK_EQ(read_text(":1\r\n:2\r\n", &a), 4);
    CHECK_EQ(a.num, 1);
}

TEST(answer, refuses_what_is_not_exactly_right)
{
    refused("OK\r\n");
    refused("+OK\n");
    refused("+O\rK\r\n");
    refused(":\r\n");
    refused(":-\r\n");
    refused(":01\r\n");
    refused(":1a\r\n");
    refused(":1234567890123456789\r\n");
    refused("$-2\r\n");
    refused("$3\r\nabcd\r\n");
    refused("$9999999999\r\n");
    refused("*-1\r\n");
    refused("*9\r\n");
    refused("*1\r\n:1\r\n");
    refused("*1\r\n$1\r\nab\r\n");
}
