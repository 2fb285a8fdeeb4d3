/* The typed calls of libkv, and what kv_open takes for endpoints. */
#include <stdio.h>
#include <string.h>

#include "kv.h"
#include "lib/test.h"
#include "unit/client/fake_server.h"

#define TIMEOUT_MS 20000u

static struct kv_client *open_at(int port)
{
    struct kv_client *c;
    char text[64];

    snprintf(text, sizeof text, "localhost:%d", port);
    CHECK_EQ(kv_open(text, TIMEOUT_MS, &c), 0);
    return c;
}

static void one_answer(struct fake_server *s, const char *request,
                       const char *answer)
{
    fake_server_start(s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                               { FAKE_EXPECT, request, 0 },
                                               { FAKE_SEND, answer, 0 },
                                               { FAKE_HOLD, NULL, 0 },
                                               { FAKE_END, NULL, 0 } });
}

TEST(calls, get_tells_an_absent_key_from_an_empty_value)
{
    struct fake_server s;
    struct kv_client *c;
    char *value;
    size_t len;

    fake_server_start(
        &s, (struct fake_step[]){
                { FAKE_ACCEPT, NULL, 0 },
                { FAKE_EXPECT, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", 0 },
                { FAKE_SEND, "$-1\r\n", 0 },
                { FAKE_EXPECT, "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n", 0 },
                { FAKE_SEND, "$0\r\n\r\n", 0 },
                { FAKE_HOLD, NULL, 0 },
                { FAKE_END, NULL, 0 } });
    c = open_at(s.port);
    CHECK_EQ(kv_get(c, "a", 1, &value, &len), 0);
    CHECK(value == NULL);
    CHECK_EQ(kv_get(c, "b", 1, &value, &len), 0);
    CHECK(value != NULL);
    CHECK_EQ(len, 0);
    kv_free(value);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(calls, put_sends_the_time_to_live_in_milliseconds)
{
    struct fake_server s;
    struct kv_client *c;

    one_answer(&s, "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nPX\r\n"
                   "$4\r\n1500\r\n", "+OK\r\n");
    c = open_at(s.port);
    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 1500), 0);
    kv_close(c);
    fake_server_finish(&s);
}

static int put_if(const char *answer)
{
    struct fake_server s;
    struct kv_client *c;
    int done = -1;

    one_answer(&s, "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$5\r\nIFREV\r\n"
                   "$1\r\n7\r\n", answer);
    c = open_at(s.port);
    CHECK_EQ(kv_put_if_revision(c, "k", 1, "v", 1, 7, &done), 0);
    kv_close(c);
    fake_server_finish(&s);
    return done;
}

TEST(calls, put_if_revision_tells_whether_it_was_done)
{
    CHECK_EQ(put_if("+OK\r\n"), 1);
    CHECK_EQ(put_if("$-1\r\n"), 0);
}

TEST(calls, del_tells_whether_the_key_existed)
{
    struct fake_server s;
    struct kv_client *c;
    int existed = -1;

    one_answer(&s, "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n", ":0\r\n");
    c = open_at(s.port);
    CHECK_EQ(kv_del(c, "k", 1, &existed), 0);
    CHECK_EQ(existed, 0);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(calls, the_revision_of_an_absent_key_is_zero)
{
    struct fake_server s;
    struct kv_client *c;
    uint64_t rev = 9;

    one_answer(&s, "*2\r\n$6\r\nGETREV\r\n$1\r\nk\r\n", "$-1\r\n");
    c = open_at(s.port);
    CHECK_EQ(kv_revision(c, "k", 1, &rev), 0);
    CHECK_EQ(rev, 0);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(calls, a_command_without_arguments_is_refused_before_it_is_sent)
{
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;
    const char *argv[] = { "PING" };

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_SYNC, NULL, 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port);
    CHECK_EQ(kv_command(c, 0, argv, NULL, 1, &r), KV_CLIENT_EINVAL);
    fake_server_wait(&s);
    kv_close(c);
    fake_server_finish(&s);
}

static int open_status(const char *endpoints)
{
    struct kv_client *c = NULL;
    int rv = kv_open(endpoints, TIMEOUT_MS, &c);

    kv_close(c);
    return rv;
}

TEST(calls, endpoints_are_hosts_and_ports_between_commas)
{
    static const char *const good[] = { "h", "h:1", "h:65535", "[::1]",
                                        "[::1]:7001", "a:1,b:2,c" };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK_EQ(open_status(good[i]), 0);
}

TEST(calls, one_bad_endpoint_refuses_the_whole_list)
{
    static const char *const bad[] = {
        "",     ":1",     "h:",       "h:0",    "h:65536", "h:x",  "h:1:2",
        "::1",  "[::1",   "[::1]7",   "[]:1",   "a:1,",    ",a:1", "a:1,,b:2",
        "a b:1", "h:-1",  "h:999999", "a:1, b",
    };
    char long_host[300];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(open_status(bad[i]), KV_CLIENT_EINVAL);
    memset(long_host, 'h', sizeof long_host - 1);
    long_host[sizeof long_host - 1] = '\0';
    CHECK_EQ(open_status(long_host), KV_CLIENT_EINVAL);
    CHECK_EQ(open_status(NULL), KV_CLIENT_EINVAL);
}

TEST(calls, each_status_has_a_text)
{
    for (int s = KV_CLIENT_EREPLY; s <= KV_CLIENT_ENOMEM; s++)
        CHECK(strcmp(kv_status_text(s), "unknown status") != 0);
    CHECK_STR(kv_status_text(0), "ok");
    CHECK_STR(kv_status_text(1), "unknown status");
}
