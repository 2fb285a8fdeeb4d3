/* libkv against scripted servers: what each answer, and each way of not answering,
 * means to the caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "lib/test.h"
#include "unit/client/fake_server.h"

#define TIMEOUT_MS 20000u /* never reached by a case that passes */
#define SHORT_MS 1000u    /* for the case that ends by it */

#define PING "*1\r\n$4\r\nPING\r\n"
#define GET_K "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
#define SET_KV "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"

static const char *const ping_argv[] = { "PING" };

static struct kv_client *open_at(int port, unsigned timeout_ms)
{
    struct kv_client *c;
    char text[64];

    snprintf(text, sizeof text, "127.0.0.1:%d", port);
    CHECK_EQ(kv_open(text, timeout_ms, &c), 0);
    return c;
}

static struct kv_client *open_two(int port_a, int port_b, unsigned timeout_ms)
{
    struct kv_client *c;
    char text[64];

    snprintf(text, sizeof text, "127.0.0.1:%d,127.0.0.1:%d", port_a, port_b);
    CHECK_EQ(kv_open(text, timeout_ms, &c), 0);
    return c;
}

static void check_ping(struct kv_client *c)
{
    struct kv_reply *r;

    CHECK_EQ(kv_command(c, 1, ping_argv, NULL, 1, &r), 0);
    CHECK_EQ(r->type, KV_REPLY_STATUS);
    CHECK_STR(r->str, "PONG");
    kv_reply_free(r);
}

/* The status of SET k v when the server answers `answer`. */
static int status_of(const char *answer, const char *error)
{
    struct fake_server s;
    struct kv_client *c;
    int rv;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, SET_KV, 0 },
                                                { FAKE_SEND, answer, 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    rv = kv_put(c, "k", 1, "v", 1, 0);
    if (error != NULL)
        CHECK_STR(kv_error(c), error);
    kv_close(c);
    fake_server_finish(&s);
    return rv;
}

TEST(client, an_error_reply_is_a_status_that_says_what_happened_to_the_write)
{
    CHECK_EQ(status_of("+OK\r\n", NULL), KV_CLIENT_OK);
    CHECK_EQ(status_of("-UNKNOWN deadline\r\n", "UNKNOWN deadline"),
             KV_CLIENT_EUNKNOWN);
    CHECK_EQ(status_of("-CLUSTERDOWN none\r\n", "CLUSTERDOWN none"),
             KV_CLIENT_EDOWN);
    CHECK_EQ(status_of("-BUSY full\r\n", "BUSY full"), KV_CLIENT_EBUSY);
    CHECK_EQ(status_of("-LOADING\r\n", "LOADING"), KV_CLIENT_EBUSY);
    CHECK_EQ(status_of("-ERR syntax\r\n", "ERR syntax"), KV_CLIENT_EREPLY);
    CHECK_EQ(status_of("-BUSYGROUP x\r\n", "BUSYGROUP x"), KV_CLIENT_EREPLY);
}

TEST(client, a_reply_of_an_unexpected_type_is_a_protocol_error)
{
    CHECK_EQ(status_of(":1\r\n", NULL), KV_CLIENT_EPROTO);
}

TEST(client, an_answer_that_is_not_resp_is_a_protocol_error_and_drops_the_server)
{
    struct fake_server s;
    struct kv_client *c;
    char *value;
    size_t len;

    fake_server_start(&s, (struct fake_step[]){
                              { FAKE_ACCEPT, NULL, 0 },
                              { FAKE_EXPECT, GET_K, 0 },
                              { FAKE_SEND, "HTTP/1.1 400 Bad Request\r\n", 0 },
                              { FAKE_HOLD, NULL, 0 },
                              { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_get(c, "k", 1, &value, &len), KV_CLIENT_EPROTO);
    CHECK_STR(kv_endpoint(c), "");
    CHECK(strstr(kv_error(c), "not RESP") != NULL);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, nesting_without_end_is_a_protocol_error)
{
    char deep[4 * 40 + 1] = "";

    for (int i = 0; i < 40; i++)
        memcpy(deep + 4 * i, "*1\r\n", 5);
    CHECK_EQ(status_of(deep, NULL), KV_CLIENT_EPROTO);
}

TEST(client, a_break_before_the_reply_makes_a_write_unknown_and_is_not_repeated)
{
    struct fake_server a, b;
    struct kv_client *c;

    fake_server_start(&a, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, SET_KV, 0 },
                                                { FAKE_CLOSE, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    fake_server_start(&b, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_two(a.port, b.port, TIMEOUT_MS);
    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 0), KV_CLIENT_EUNKNOWN);
    check_ping(c); /* the next call, at the next endpoint: no SET before it */
    kv_close(c);
    fake_server_finish(&a);
    fake_server_finish(&b);
}

TEST(client, a_break_before_the_reply_repeats_a_read_at_the_next_endpoint)
{
    struct fake_server a, b;
    struct kv_client *c;
    char *value;
    size_t len;

    fake_server_start(&a, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, GET_K, 0 },
                                                { FAKE_SEND, "$5\r\nva", 0 },
                                                { FAKE_CLOSE, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    fake_server_start(&b,
                      (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                            { FAKE_EXPECT, GET_K, 0 },
                                            { FAKE_SEND, "$1\r\nw\r\n", 0 },
                                            { FAKE_HOLD, NULL, 0 },
                                            { FAKE_END, NULL, 0 } });
    c = open_two(a.port, b.port, TIMEOUT_MS);
    CHECK_EQ(kv_get(c, "k", 1, &value, &len), 0);
    CHECK_STR(value, "w");
    kv_free(value);
    kv_close(c);
    fake_server_finish(&a);
    fake_server_finish(&b);
}

TEST(client, an_endpoint_that_refuses_is_passed_over_for_writes_too)
{
    struct fake_server s;
    struct kv_client *c;
    char name[64];

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, SET_KV, 0 },
                                                { FAKE_SEND, "+OK\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_two(fake_closed_port(), s.port, TIMEOUT_MS);
    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 0), 0);
    snprintf(name, sizeof name, "127.0.0.1:%d", s.port);
    CHECK_STR(kv_endpoint(c), name);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, no_endpoint_at_all_is_a_write_surely_not_executed)
{
    struct kv_client *c = open_two(fake_closed_port(), fake_closed_port(),
                                   TIMEOUT_MS);

    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 0), KV_CLIENT_ECONNECT);
    CHECK(strstr(kv_error(c), "none of 2 endpoints") != NULL);
    CHECK_STR(kv_endpoint(c), "");
    kv_close(c);
}

TEST(client, a_timeout_drops_the_connection_so_that_a_late_reply_finds_nobody)
{
    struct fake_server s;
    struct kv_client *c;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, SET_KV, 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, SHORT_MS);
    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 0), KV_CLIENT_ETIMEOUT);
    CHECK(strstr(kv_error(c), "no answer within 1000 ms") != NULL);
    check_ping(c);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, a_connection_closed_while_idle_is_not_risked_for_a_write)
{
    struct fake_server s;
    struct kv_client *c;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_CLOSE, NULL, 0 },
                                                { FAKE_SYNC, NULL, 0 },
                                                { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, SET_KV, 0 },
                                                { FAKE_SEND, "+OK\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    check_ping(c);
    fake_server_wait(&s);
    CHECK_EQ(kv_put(c, "k", 1, "v", 1, 0), 0);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, bytes_that_nobody_asked_for_drop_the_connection)
{
    struct fake_server s;
    struct kv_client *c;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_SEND, "+STALE\r\n", 0 },
                                                { FAKE_SYNC, NULL, 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    check_ping(c);
    fake_server_wait(&s);
    check_ping(c);
    kv_close(c);
    fake_server_finish(&s);
}

/* One PING, answered with `answer`; the reply belongs to the caller. */
static struct kv_reply *reply_to_ping(enum fake_op op, const char *answer)
{
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING, 0 },
                                                { op, answer, 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_command(c, 1, ping_argv, NULL, 1, &r), 0);
    kv_close(c);
    fake_server_finish(&s);
    return r;
}

static void check_nested(enum fake_op op)
{
    struct kv_reply *r = reply_to_ping(
        op, "*5\r\n:-7\r\n$-1\r\n*2\r\n$2\r\na\r\r\n*0\r\n"
            "%1\r\n+k\r\n#t\r\n,1.5\r\n");

    CHECK_EQ(r->type, KV_REPLY_ARRAY);
    CHECK_EQ(r->elements, 5);
    CHECK_EQ(r->element[0]->type, KV_REPLY_INTEGER);
    CHECK_EQ(r->element[0]->integer, -7);
    CHECK_EQ(r->element[1]->type, KV_REPLY_NIL);
    CHECK_EQ(r->element[2]->elements, 2);
    CHECK_STR(r->element[2]->element[0]->str, "a\r");
    CHECK_EQ(r->element[2]->element[1]->type, KV_REPLY_ARRAY);
    CHECK_EQ(r->element[2]->element[1]->elements, 0);
    CHECK_EQ(r->element[3]->elements, 2);
    CHECK_EQ(r->element[3]->element[1]->type, KV_REPLY_BOOL);
    CHECK_EQ(r->element[3]->element[1]->integer, 1);
    CHECK_EQ(r->element[4]->type, KV_REPLY_DOUBLE);
    CHECK_STR(r->element[4]->str, "1.5");
    kv_reply_free(r);
}

TEST(client, a_nested_reply_becomes_a_tree)
{
    check_nested(FAKE_SEND);
}

TEST(client, a_reply_that_comes_byte_by_byte_is_the_same_tree)
{
    check_nested(FAKE_DRIP);
}

TEST(client, pushes_are_dropped_and_attributes_give_way_to_their_reply)
{
    struct kv_reply *r = reply_to_ping(
        FAKE_SEND, ">2\r\n+message\r\n+hello\r\n"
                   "|1\r\n+ttl\r\n:5\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n");

    CHECK_EQ(r->type, KV_REPLY_ARRAY);
    CHECK_EQ(r->elements, 2);
    CHECK_EQ(r->element[0]->integer, 1);
    CHECK_EQ(r->element[1]->integer, 2);
    kv_reply_free(r);
}

TEST(client, an_announced_size_costs_no_memory_before_the_bytes_come)
{
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;

    fake_server_start(&s, (struct fake_step[]){
                              { FAKE_ACCEPT, NULL, 0 },
                              { FAKE_EXPECT, PING, 0 },
                              { FAKE_SEND, "*1000000000\r\n$500000000\r\nx", 0 },
                              { FAKE_CLOSE, NULL, 0 },
                              { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_command(c, 1, ping_argv, NULL, 0, &r), KV_CLIENT_EUNKNOWN);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, pipelined_replies_come_in_order_and_errors_are_replies)
{
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING PING, 0 },
                                                { FAKE_SEND, "-ERR a\r\n", 0 },
                                                { FAKE_SEND, ":2\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_append(c, 1, ping_argv, NULL), 0);
    CHECK_EQ(kv_append(c, 1, ping_argv, NULL), 0);
    CHECK_EQ(kv_command(c, 1, ping_argv, NULL, 1, &r), KV_CLIENT_EINVAL);
    CHECK_EQ(kv_take(c, &r), 0);
    CHECK_EQ(r->type, KV_REPLY_ERROR);
    CHECK_STR(r->str, "ERR a");
    kv_reply_free(r);
    CHECK_EQ(kv_take(c, &r), 0);
    CHECK_EQ(r->integer, 2);
    kv_reply_free(r);
    CHECK_EQ(kv_take(c, &r), KV_CLIENT_EINVAL);
    kv_close(c);
    fake_server_finish(&s);
}

TEST(client, a_break_in_a_pipeline_leaves_the_rest_unknown)
{
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;

    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_EXPECT, PING PING, 0 },
                                                { FAKE_SEND, "+PONG\r\n", 0 },
                                                { FAKE_CLOSE, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_append(c, 1, ping_argv, NULL), 0);
    CHECK_EQ(kv_append(c, 1, ping_argv, NULL), 0);
    CHECK_EQ(kv_take(c, &r), 0);
    kv_reply_free(r);
    CHECK_EQ(kv_take(c, &r), KV_CLIENT_EUNKNOWN);
    CHECK_EQ(kv_take(c, &r), KV_CLIENT_EINVAL);
    kv_close(c);
    fake_server_finish(&s);
}

#define BIG ((size_t)32 << 20)
#define ECHO_HEAD "*2\r\n$4\r\nECHO\r\n$33554432\r\n"

TEST(client, replies_are_taken_while_requests_are_sent)
{
    /* The server sends 32 MiB before it reads any of 32 MiB: a client that only
     * sent would wait for it for ever, and it for the client. */
    struct fake_server s;
    struct kv_client *c;
    struct kv_reply *r;
    char *value = malloc(BIG);
    const char *argv[] = { "ECHO", value };
    const size_t lens[] = { 4, BIG };

    CHECK(value != NULL);
    memset(value, 'x', BIG);
    fake_server_start(&s, (struct fake_step[]){ { FAKE_ACCEPT, NULL, 0 },
                                                { FAKE_SEND, "$33554432\r\n", 0 },
                                                { FAKE_SEND_BIG, NULL, BIG },
                                                { FAKE_SEND, "\r\n", 0 },
                                                { FAKE_EXPECT, ECHO_HEAD, 0 },
                                                { FAKE_EXPECT_BIG, NULL, BIG },
                                                { FAKE_EXPECT, "\r\n", 0 },
                                                { FAKE_HOLD, NULL, 0 },
                                                { FAKE_END, NULL, 0 } });
    c = open_at(s.port, TIMEOUT_MS);
    CHECK_EQ(kv_append(c, 2, argv, lens), 0);
    CHECK_EQ(kv_take(c, &r), 0);
    CHECK_EQ(r->len, BIG);
    CHECK_MEM(r->str, value, BIG);
    kv_reply_free(r);
    free(value);
    kv_close(c);
    fake_server_finish(&s);
}
