/* Connections: order of replies, pieces, limits, ends. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab.h"
#include "lib/test.h"

static struct lab lab;
static struct peer a, b;

static void start(void)
{
    lab_open(&lab);
    peer_open(&a, &lab);
}

static void finish(void)
{
    peer_close(&a);
    lab_close(&lab);
}

/* Run until the double holds n requests. */
static void wait_pending(unsigned n)
{
    while (double_pending(lab.router) != n)
        lab_run(&lab);
}

TEST(conn, replies_keep_the_order_of_commands_when_results_do_not)
{
    char text[64];

    lab_init(&lab);
    start();
    double_backwards(lab.router, true);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "SET k%d %d\r\nPING %d\r\n", i, i,
                       i);
        peer_send_str(&a, text);
    }
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "+OK\r\n$%d\r\n%d\r\n",
                       i < 10 ? 1 : 2, i);
        peer_expect(&a, text);
    }
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "GET k%d\r\n", i);
        peer_send_str(&a, text);
    }
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "$%d\r\n%d\r\n", i < 10 ? 1 : 2, i);
        peer_expect(&a, text);
    }
    finish();
}

TEST(conn, an_immediate_reply_waits_for_those_before_it)
{
    lab_init(&lab);
    start();
    double_hold(lab.router, true);
    peer_send_str(&a, "GET x\r\nPING\r\nFOO\r\n");
    wait_pending(1);
    lab_run(&lab);
    CHECK_EQ(a.in.len, 0);
    double_hold(lab.router, false);
    peer_expect(&a, "$-1\r\n+PONG\r\n-ERR unknown command 'FOO', with args "
                    "beginning with: \r\n");
    finish();
}

TEST(conn, the_version_of_a_reply_is_that_of_its_command)
{
    lab_init(&lab);
    start();
    double_hold(lab.router, true);
    peer_send_str(&a, "GET x\r\nHELLO 3 SETNAME y\r\nGET x\r\nRESET\r\n");
    wait_pending(2);
    double_hold(lab.router, false);
    peer_expect(&a, "$-1\r\n%7\r\n");
    while (strcmp(peer_line(&a), "modules") != 0)
        ;
    peer_expect(&a, "*0\r\n_\r\n+RESET\r\n");
    finish();
}

TEST(conn, a_request_may_come_byte_by_byte)
{
    static const char in[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvw\r\nGET k"
                             "\r\n";

    lab_init(&lab);
    start();
    for (size_t i = 0; i + 1 < sizeof in; i++) {
        peer_send(&a, slice_make(in + i, 1));
        lab_run(&lab);
    }
    peer_expect(&a, "+OK\r\n$2\r\nvw\r\n");
    finish();
}

TEST(conn, a_value_larger_than_all_buffers_passes)
{
    static uint8_t value[3 << 20];
    struct buf in;

    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 7 + i / 251);
    lab_init(&lab);
    start();
    buf_init(&in);
    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", sizeof value);
    buf_put(&in, value, sizeof value);
    buf_put_str(&in, "\r\nGET k\r\n");
    peer_send(&a, buf_slice(&in));
    buf_close(&in);
    peer_expect(&a, "+OK\r\n$3145728\r\n");
    while (a.in.len < sizeof value + 2)
        lab_run(&lab);
    CHECK_MEM(buf_at(&a.in), value, sizeof value);
    finish();
}

TEST(conn, quit_is_answered_last_and_closes)
{
    lab_init(&lab);
    start();
    double_hold(lab.router, true);
    peer_send_str(&a, "SET k 1\r\nGET k\r\nQUIT\r\nGET never\r\n");
    wait_pending(2);
    double_hold(lab.router, false);
    peer_expect(&a, "+OK\r\n$1\r\n1\r\n+OK\r\n");
    peer_wait_end(&a);
    CHECK_EQ(a.in.len, 0);
    finish();
}

TEST(conn, more_commands_than_the_pipeline_limit_wait_and_are_all_answered)
{
    struct buf in;

    lab_init(&lab);
    lab.cfg.pipeline_max = 4;
    start();
    double_hold(lab.router, true);
    buf_init(&in);
    for (int i = 0; i < 50; i++)
        buf_put_str(&in, "INCR n\r\n");
    peer_send(&a, buf_slice(&in));
    wait_pending(4);
    for (int i = 0; i < 5; i++)
        lab_run(&lab);
    CHECK_EQ(double_pending(lab.router), 4);
    double_hold(lab.router, false);
    for (int i = 1; i <= 50; i++) {
        char text[24];

        (void)snprintf(text, sizeof text, ":%d\r\n", i);
        peer_expect(&a, text);
    }
    buf_close(&in);
    finish();
}

TEST(conn, a_client_that_does_not_read_is_paused_and_loses_nothing)
{
    struct buf in;
    size_t total = 0, want;

    lab_init(&lab);
    lab.cfg.pipeline_max = 10;
    lab.cfg.output_bytes_max = 1u << 20;
    start();
    buf_init(&in);
    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000\r\n");
    for (int i = 0; i < 10000; i++)
        buf_put_u8(&in, 'v');
    buf_put_str(&in, "\r\n");
    peer_send(&a, buf_slice(&in));
    peer_expect(&a, "+OK\r\n");
    buf_clear(&in);
    for (int i = 0; i < 3000; i++)
        buf_put_str(&in, "GET k\r\n");
    peer_stop_reading(&a);
    peer_send(&a, buf_slice(&in));
    for (int i = 0; i < 50; i++)
        lab_run(&lab);
    CHECK(!a.ended);
    peer_read_on(&a);
    want = 3000 * (8 + 10000 + 2);
    while (total < want && !a.ended) {
        lab_run(&lab);
        total += a.in.len;
        buf_clear(&a.in);
    }
    CHECK_EQ(total, want);
    buf_close(&in);
    finish();
}

TEST(conn, output_over_the_limit_closes_the_connection)
{
    enum { VALUE_BYTES = 4 << 20 };
    struct buf in;

    lab_init(&lab);
    lab.cfg.output_bytes_max = 1 << 20;
    start();
    buf_init(&in);
    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", VALUE_BYTES);
    memset(buf_grow(&in, VALUE_BYTES), 'v', VALUE_BYTES);
    buf_put_str(&in, "\r\n");
    peer_send(&a, buf_slice(&in));
    peer_expect(&a, "+OK\r\n");
    double_hold(lab.router, true);
    peer_stop_reading(&a);
    peer_send_str(&a, "GET k\r\nGET k\r\nGET k\r\nGET k\r\n");
    wait_pending(4);
    double_hold(lab.router, false);
    wait_pending(0);
    lab_run(&lab);
    peer_read_on(&a);
    peer_wait_end(&a);
    CHECK(a.in.len < 4 * (size_t)VALUE_BYTES);
    buf_close(&in);
    finish();
}

/* They all come in one turn, before any can be sent: those that no longer count
 * are dropped unconverted, and so are not commands that were answered. */
TEST(conn, results_after_the_output_limit_are_dropped)
{
    enum { VALUE_BYTES = 1 << 20, GETS = 40 };
    struct buf in;

    lab_init(&lab);
    lab.cfg.output_bytes_max = 2 << 20;
    lab.cfg.pipeline_max = GETS + 1;
    start();
    buf_init(&in);
    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", VALUE_BYTES);
    memset(buf_grow(&in, VALUE_BYTES), 'v', VALUE_BYTES);
    buf_put_str(&in, "\r\n");
    peer_send(&a, buf_slice(&in));
    peer_expect(&a, "+OK\r\n");
    double_hold(lab.router, true);
    buf_clear(&in);
    for (int i = 0; i < GETS; i++)
        buf_put_str(&in, "GET k\r\n");
    peer_send(&a, buf_slice(&in));
    wait_pending(GETS);
    double_hold(lab.router, false);
    peer_wait_end(&a);
    peer_open(&b, &lab);
    peer_send_str(&b, "INFO commandstats\r\n");
    (void)peer_line(&b);
    CHECK_STR(peer_line(&b), "# Commandstats");
    CHECK(strncmp(peer_line(&b), "cmdstat_get:calls=2,", 20) == 0);
    peer_close(&b);
    buf_close(&in);
    finish();
}

/* As many arguments as one operation can have: each pair is two of them. */
TEST(conn, mset_takes_all_the_pairs_that_fit_an_operation)
{
    struct buf in;

    lab_init(&lab);
    lab.cfg.args_max = OP_ARGS_MAX + 8;
    start();
    buf_init(&in);
    for (uint32_t n = OP_ARGS_MAX / 2; n <= OP_ARGS_MAX / 2 + 1; n++) {
        buf_printf(&in, "*%u\r\n$4\r\nMSET\r\n", 2 * n + 1);
        for (uint32_t i = 0; i < n; i++)
            buf_printf(&in, "$5\r\n%05u\r\n$1\r\nv\r\n", i);
    }
    peer_send(&a, buf_slice(&in));
    peer_expect(&a, "+OK\r\n");
    peer_expect(&a, "-ERR command too large: at most 33554432 bytes and "
                    "32768 keys\r\n");
    buf_close(&in);
    finish();
}

TEST(conn, a_request_over_the_query_limit_is_refused)
{
    lab_init(&lab);
    lab.cfg.bulk_bytes_max = 1000;
    lab.cfg.query_bytes_max = 2000;
    start();
    peer_send_str(&a, "*9\r\n");
    for (int i = 0; i < 3; i++) {
        char bulk[1000];

        memset(bulk, 'x', sizeof bulk);
        peer_send_str(&a, "$1000\r\n");
        peer_send(&a, slice_make(bulk, sizeof bulk));
        peer_send_str(&a, "\r\n");
    }
    peer_expect(&a, "-ERR Protocol error: request exceeds the query buffer "
                    "limit\r\n");
    peer_wait_end(&a);
    finish();
}

TEST(conn, too_many_clients_are_told_so)
{
    lab_init(&lab);
    lab.cfg.clients_max = 1;
    start();
    peer_send_str(&a, "PING\r\n");
    peer_expect(&a, "+PONG\r\n");
    peer_open(&b, &lab);
    peer_expect(&b, "-ERR max number of clients reached\r\n");
    peer_wait_end(&b);
    peer_close(&b);
    peer_close(&a);
    peer_open(&a, &lab);
    peer_send_str(&a, "PING\r\n");
    peer_expect(&a, "+PONG\r\n");
    finish();
}

TEST(conn, a_client_that_leaves_cancels_what_it_had_in_flight)
{
    lab_init(&lab);
    start();
    peer_open(&b, &lab);
    double_hold(lab.router, true);
    /* Unread bytes make the close a reset. */
    peer_stop_reading(&b);
    peer_send_str(&b, "PING\r\nGET a\r\nMGET a b c d e f\r\nSCAN 0\r\n");
    while (double_pending(lab.router) < 4)
        lab_run(&lab);
    lab_run(&lab);
    CHECK(!server_idle(lab.server));
    peer_close(&b);
    wait_pending(0);
    CHECK(double_canceled(lab.router) >= 4);
    double_hold(lab.router, false);
    peer_send_str(&a, "PING\r\n");
    peer_expect(&a, "+PONG\r\n");
    CHECK(server_idle(lab.server));
    finish();
}

TEST(conn, closing_the_server_cancels_and_closes_all)
{
    lab_init(&lab);
    start();
    double_hold(lab.router, true);
    peer_send_str(&a, "GET a\r\nMSET a 1 b 2 c 3\r\n");
    while (double_pending(lab.router) < 2)
        lab_run(&lab);
    server_drain(lab.server);
    finish();
}

TEST(conn, a_draining_server_answers_what_is_in_flight_and_takes_nothing_new)
{
    lab_init(&lab);
    start();
    double_hold(lab.router, true);
    peer_send_str(&a, "SET k 1\r\nGET k\r\n");
    wait_pending(2);
    server_drain(lab.server);
    peer_send_str(&a, "SET k 2\r\n");
    for (int i = 0; i < 10; i++)
        lab_run(&lab);
    CHECK_EQ(double_pending(lab.router), 2);
    CHECK(!server_idle(lab.server));
    double_hold(lab.router, false);
    peer_expect(&a, "+OK\r\n$1\r\n1\r\n");
    peer_wait_end(&a);
    CHECK(server_idle(lab.server));
    finish();
}

TEST(conn, a_draining_server_closes_idle_connections)
{
    lab_init(&lab);
    start();
    peer_send_str(&a, "PING\r\n");
    peer_expect(&a, "+PONG\r\n");
    server_drain(lab.server);
    peer_wait_end(&a);
    CHECK(server_idle(lab.server));
    finish();
}

TEST(conn, a_silent_connection_is_closed_after_the_idle_timeout)
{
    lab_init(&lab);
    lab.cfg.idle_timeout_ms = 1;
    start();
    peer_wait_end(&a);
    finish();
}

TEST(conn, keys_wait_while_the_node_loads)
{
    lab_init(&lab);
    start();
    lab.loading = true;
    peer_send_str(&a, "GET k\r\nHELLO x\r\n");
    peer_expect(&a, "-LOADING the node is reading its log; nothing was done; "
                    "retry later\r\n-ERR Protocol version is not an integer "
                    "or out of range\r\n");
    lab.loading = false;
    peer_send_str(&a, "GET k\r\n");
    peer_expect(&a, "$-1\r\n");
    finish();
}

/* As `printf ... | nc -N` does: everything is sent and the sending side closed before
 * the first reply, with more commands than may be in flight. */
TEST(conn, a_client_that_half_closes_gets_all_its_replies)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    char in[4096] = "", out[4096];
    size_t got = 0;
    ssize_t n = -1;
    int fd;

    lab_init(&lab);
    lab.cfg.pipeline_max = 4;
    lab_open(&lab);
    for (int i = 0; i < 100; i++)
        (void)strcat(in, "INCR n\r\n");
    to.sin_port = htons(lab.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQ(send(fd, in, strlen(in), 0), strlen(in));
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    while (n != 0) {
        lab_run(&lab);
        n = recv(fd, out + got, sizeof out - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    CHECK_EQ(got, 9 * 4 + 90 * 5 + 6);
    CHECK_MEM(out + got - 6, ":100\r\n", 6);
    (void)close(fd);
    lab_close(&lab);
}

/* Every line between the headings is name:value, and the sections are these. */
static void check_info(const char *command, const char *sections)
{
    char seen[300] = "";
    const char *line;
    long bytes;

    peer_send_str(&a, command);
    CHECK_EQ(sscanf(peer_line(&a), "$%ld", &bytes), 1);
    while (bytes > 0) {
        line = peer_line(&a);
        CHECK(line != NULL);
        bytes -= (long)strlen(line) + 2;
        if (line[0] == '#')
            (void)snprintf(seen + strlen(seen), sizeof seen - strlen(seen),
                           "%s", line + 1);
        else
            CHECK(line[0] == '\0' || strchr(line, ':') != NULL);
    }
    (void)peer_line(&a);
    CHECK_EQ(bytes, 0);
    CHECK_STR(seen, sections);
}

TEST(info, sections_are_those_asked_for)
{
    lab_init(&lab);
    start();
    check_info("INFO\r\n", " Server Clients Memory Persistence Stats "
                           "Replication CPU Modules Errorstats Cluster "
                           "Keyspace Raft");
    check_info("INFO all\r\n", " Server Clients Memory Persistence Stats "
                               "Replication CPU Modules Commandstats "
                               "Errorstats Latencystats Cluster Keyspace "
                               "Raft");
    check_info("INFO CPU raft\r\n", " CPU Raft");
    check_info("INFO nothing\r\n", "");
    finish();
}

TEST(info, commands_and_errors_are_counted)
{
    lab_init(&lab);
    start();
    peer_send_str(&a, "SET k v\r\nSET k v\r\nINCR k\r\nGET\r\nFOO\r\n");
    CHECK_STR(peer_line(&a), "+OK");
    CHECK_STR(peer_line(&a), "+OK");
    for (int i = 0; i < 3; i++)
        CHECK_EQ(peer_line(&a)[0], '-');
    peer_send_str(&a, "INFO commandstats errorstats\r\n");
    (void)peer_line(&a);
    CHECK_STR(peer_line(&a), "# Commandstats");
    CHECK_STR(peer_line(&a), "cmdstat_get:calls=0,usec=0,usec_per_call=0.00,"
                             "rejected_calls=1,failed_calls=0");
    CHECK(strstr(peer_line(&a), "cmdstat_incr:calls=1,") != NULL);
    CHECK(strstr(peer_line(&a), "cmdstat_set:calls=2,") != NULL);
    CHECK_STR(peer_line(&a), "");
    CHECK_STR(peer_line(&a), "# Errorstats");
    CHECK_STR(peer_line(&a), "errorstat_ERR:count=3");
    CHECK_STR(peer_line(&a), "");
    finish();
}

TEST(conn, parts_that_wait_for_others_count_as_output)
{
    enum { VALUE_BYTES = 1 << 20 };
    struct buf in;
    uint32_t shard;

    lab_init(&lab);
    lab.cfg.output_bytes_max = 2 << 20;
    start();
    buf_init(&in);
    buf_printf(&in, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", VALUE_BYTES);
    memset(buf_grow(&in, VALUE_BYTES), 'v', VALUE_BYTES);
    buf_put_str(&in, "\r\n");
    peer_send(&a, buf_slice(&in));
    peer_expect(&a, "+OK\r\n");
    buf_close(&in);
    shard = router_shard_of(lab.router, slice_str("k"));
    double_hold_shard(lab.router, shard == 0 ? 1 : 0);
    buf_init(&in);
    for (int i = 0; i < 4; i++)
        buf_put_str(&in, "MGET k a b c d e f g h i j l m n o p q r s t\r\n");
    peer_send(&a, buf_slice(&in));
    buf_close(&in);
    peer_wait_end(&a);
    finish();
}
