/* Simulated connections: order, cuts, resets, back-pressure. */
#include <string.h>

#include "base/buf.h"
#include "lib/test.h"
#include "sim/env_sim.h"

#define PORT 7000

/* A pair of nodes: 1 dials, 2 listens. */
static struct sim *s;
static struct env *client_env, *server_env;
static struct env_stream *client, *server;
static int dial_status = 1;
static uint64_t dialled_at;
static struct buf got;       /* by the server */
static int server_end = 1, client_end = 1;
static unsigned data_calls;

static void server_data(void *ctx, const uint8_t *p, size_t n)
{
    struct mem_arena *old = mem_arena_use(NULL); /* got is the test's */

    (void)ctx;
    CHECK(n > 0);
    CHECK(server_end == 1);
    data_calls++;
    buf_put(&got, p, n);
    mem_arena_use(old);
}
static void server_ended(void *ctx, int status)
{
    (void)ctx;
    CHECK(server_end == 1);
    server_end = status;
}
static void client_data(void *ctx, const uint8_t *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
}
static void client_ended(void *ctx, int status)
{
    (void)ctx;
    CHECK(client_end == 1);
    client_end = status;
}
static const struct env_stream_ops server_ops = { server_data, server_ended };
static const struct env_stream_ops client_ops = { client_data, client_ended };

static void accepted(void *ctx, struct env_stream *st)
{
    (void)ctx;
    server = st;
    env_stream_start(server_env, st, &server_ops, NULL);
}
static void dialled(void *ctx, int status, struct env_stream *st)
{
    (void)ctx;
    CHECK(dial_status == 1);
    dial_status = status;
    dialled_at = sim_now(s);
    client = st;
    if (status == 0)
        env_stream_start(client_env, st, &client_ops, NULL);
}

static struct env_dial *dial(const char *host, uint64_t timeout_ms)
{
    struct env_dial *d;

    dial_status = 1;
    CHECK_EQ(env_dial(client_env, host, PORT, timeout_ms, dialled, NULL, &d),
             0);
    CHECK_EQ(dial_status, 1);
    return d;
}

static void pair_open(uint64_t seed)
{
    struct env_listener *l;

    s = sim_new(seed);
    client_env = sim_node_start(s, 1);
    server_env = sim_node_start(s, 2);
    sim_net_latency(s, SIM_EVERY, SIM_EVERY, (struct sim_latency){ 1000, 0, 0 });
    CHECK_EQ(env_listen(server_env, "0.0.0.0", PORT, accepted, NULL, &l), 0);
    dial("10.0.0.2", 5000);
    sim_run_until(s, 2000);
    CHECK_EQ(dial_status, 0);
    CHECK_EQ(dialled_at, 2000);
}

static void pair_close(void)
{
    sim_free(s);
    buf_close(&got);
}

static void send_text(const char *text)
{
    struct slice part = slice_str(text);

    while (part.n > 0) {
        long n = env_stream_try_write(client_env, client, &part, 1);

        CHECK(n >= 0);
        part.p += n;
        part.n -= (size_t)n;
    }
}

static void check_got(const char *text)
{
    CHECK_EQ(got.len, strlen(text));
    CHECK_MEM(buf_at(&got), text, got.len);
}

TEST(sim_net, bytes_arrive_in_order_in_pieces_of_any_size)
{
    static char text[4096];
    struct sim_latency jitter = { 1000, 5000, 0 };

    for (size_t i = 0; i + 1 < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    pair_open(5);
    sim_net_latency(s, 1, 2, jitter);
    for (unsigned i = 0; i < 20; i++) {
        send_text(text);
        sim_run_until(s, sim_now(s) + 100);
    }
    sim_run_until(s, 1000000);
    CHECK_EQ(got.len, 20 * strlen(text));
    for (unsigned i = 0; i < 20; i++)
        CHECK_MEM(buf_at(&got) + i * strlen(text), text, strlen(text));
    CHECK(data_calls > 20);
    pair_close();
}

TEST(sim_net, a_dial_to_nobody_is_refused_after_a_round_trip)
{
    pair_open(1);
    dial("10.0.0.3", 5000);
    sim_run_until(s, 3999);
    CHECK_EQ(dial_status, 1);
    sim_run_until(s, 4000);
    CHECK_EQ(dial_status, KV_ECONN);
    dial("nowhere", 5000);
    sim_run_until(s, 4000);
    CHECK_EQ(dial_status, KV_ENOENT);
    pair_close();
}

TEST(sim_net, a_dial_over_a_cut_link_times_out)
{
    pair_open(1);
    sim_net_cut(s, 2, 1);
    dial("10.0.0.2", 500);
    sim_run_until(s, 501999);
    CHECK_EQ(dial_status, 1);
    sim_run_until(s, 502000);
    CHECK_EQ(dial_status, KV_ETIMEDOUT);
    sim_net_heal(s, 2, 1);
    sim_run_until(s, 600000);
    /* The server had accepted: its end is reset. */
    CHECK_EQ(server_end, KV_ECONN);
    pair_close();
}

TEST(sim_net, a_canceled_dial_ends_once)
{
    struct env_dial *d;

    pair_open(1);
    d = dial("10.0.0.2", 500);
    env_dial_cancel(client_env, d);
    sim_run_until(s, 1000000);
    CHECK_EQ(dial_status, KV_ECANCELED);
    pair_close();
}

TEST(sim_net, a_cut_direction_holds_bytes_until_it_heals)
{
    pair_open(1);
    send_text("before ");
    sim_run_until(s, 10000);
    sim_net_cut(s, 1, 2);
    send_text("during ");
    sim_run_until(s, 500000);
    check_got("before ");
    sim_net_heal(s, 1, 2);
    send_text("after");
    sim_run_until(s, 500999);
    check_got("before ");
    sim_run_until(s, 502000);
    check_got("before during after");
    pair_close();
}

TEST(sim_net, bytes_under_way_when_the_link_is_cut_are_held_too)
{
    pair_open(1);
    send_text("text");
    sim_run_until(s, 2500);
    sim_net_cut(s, 1, 2);
    sim_run_until(s, 100000);
    check_got("");
    sim_net_heal(s, 1, 2);
    sim_run_until(s, 200000);
    check_got("text");
    pair_close();
}

TEST(sim_net, the_other_direction_still_works_when_one_is_cut)
{
    pair_open(1);
    sim_net_cut(s, 2, 1);
    send_text("text");
    sim_run_until(s, 100000);
    check_got("text");
    pair_close();
}

static void closed(void *ctx)
{
    *(bool *)ctx = true;
}

TEST(sim_net, a_close_lets_the_bytes_before_it_arrive)
{
    bool done = false;

    pair_open(1);
    send_text("last words");
    env_stream_close(client_env, client, closed, &done);
    CHECK(!done);
    sim_run_until(s, 2000);
    CHECK(done);
    sim_run_until(s, 100000);
    check_got("last words");
    CHECK_EQ(server_end, KV_EEOF);
    CHECK_EQ(client_end, 1);
    pair_close();
}

TEST(sim_net, a_crash_resets_the_peer_after_the_latency)
{
    pair_open(1);
    sim_node_crash(s, 2, SIM_KEEP_NONE);
    sim_run_until(s, 2999);
    CHECK_EQ(client_end, 1);
    sim_run_until(s, 3000);
    CHECK_EQ(client_end, KV_ECONN);
    CHECK_EQ(env_stream_try_write(client_env, client,
                                  &(struct slice){ (const uint8_t *)"x", 1 },
                                  1),
             KV_ECONN);
    pair_close();
}

TEST(sim_net, a_host_without_power_says_nothing_until_it_is_back)
{
    pair_open(1);
    sim_node_power_off(s, 2, SIM_KEEP_NONE);
    send_text("anyone?");
    dial("10.0.0.2", 100);
    sim_run_until(s, 1000000);
    CHECK_EQ(client_end, 1);
    CHECK_EQ(dial_status, KV_ETIMEDOUT);
    server_env = sim_node_start(s, 2);
    sim_run_until(s, 2000000);
    CHECK_EQ(client_end, KV_ECONN);
    check_got("");
    pair_close();
}

TEST(sim_net, what_a_host_had_not_sent_when_it_lost_power_never_arrives)
{
    pair_open(1);
    sim_net_cut(s, 1, 2);
    send_text("never");
    sim_node_power_off(s, 1, SIM_KEEP_NONE);
    sim_run_until(s, 1000000);
    sim_net_heal(s, 1, 2);
    sim_node_start(s, 1);
    sim_run_until(s, 2000000);
    check_got("");
    pair_close();
}

TEST(sim_net, a_reset_ends_both_sides_after_the_bytes_before_it)
{
    pair_open(1);
    send_text("text");
    sim_net_reset(s, 1, 2);
    sim_run_until(s, 10000);
    CHECK_EQ(client_end, KV_ECONN);
    CHECK_EQ(server_end, KV_ECONN);
    check_got("text");
    pair_close();
}

TEST(sim_net, writing_to_a_closed_end_is_answered_by_a_reset)
{
    bool done = false;

    pair_open(1);
    env_stream_close(server_env, server, closed, &done);
    sim_run_until(s, 10000);
    CHECK_EQ(client_end, KV_EEOF);
    send_text("too late");
    sim_run_until(s, 20000);
    CHECK_EQ(env_stream_try_write(client_env, client,
                                  &(struct slice){ (const uint8_t *)"x", 1 },
                                  1),
             KV_ECONN);
    pair_close();
}

/* ---- back-pressure ---- */

static int write_status = 1;

static void written(struct env_write *w, int status)
{
    (void)w;
    CHECK(write_status == 1);
    write_status = status;
}

TEST(sim_net, a_reader_that_pauses_blocks_the_writer)
{
    static uint8_t bytes[64 << 10];
    struct slice part = slice_make(bytes, sizeof bytes);
    struct env_write w = { .cb = written };

    pair_open(1);
    env_stream_pause(server_env, server);
    /* The window is four times that. */
    for (unsigned i = 0; i < 5; i++) {
        write_status = 1;
        CHECK_EQ(env_stream_write(client_env, client, &w, &part, 1), 0);
        CHECK_EQ(write_status, 1);
        sim_run_until(s, sim_now(s) + 100000);
        CHECK_EQ(write_status, i < 4 ? 0 : 1);
    }
    CHECK_EQ(got.len, 0);
    env_stream_resume(server_env, server);
    CHECK_EQ(got.len, 0);
    sim_run_until(s, sim_now(s) + 100000);
    CHECK_EQ(write_status, 0);
    CHECK_EQ(got.len, 5 * sizeof bytes);
    pair_close();
}

TEST(sim_net, a_close_cancels_the_writes_that_wait_before_it_ends)
{
    static uint8_t bytes[300 << 10];
    struct slice part = slice_make(bytes, sizeof bytes);
    struct env_write w = { .cb = written };
    bool done = false;

    pair_open(1);
    env_stream_pause(server_env, server);
    CHECK_EQ(env_stream_write(client_env, client, &w, &part, 1), 0);
    sim_run_until(s, 50000);
    env_stream_close(client_env, client, closed, &done);
    CHECK_EQ(write_status, 1);
    CHECK(sim_step(s));
    CHECK_EQ(write_status, KV_ECANCELED);
    CHECK(!done);
    sim_run_until(s, 50000);
    CHECK(done);
    pair_close();
}

TEST(sim_net, a_slow_line_takes_its_time_for_each_byte)
{
    static uint8_t bytes[100 << 10];
    struct slice part = slice_make(bytes, sizeof bytes);
    struct env_write w = { .cb = written };

    pair_open(1);
    sim_net_latency(s, 1, 2, (struct sim_latency){ 1000, 0, 1000 });
    CHECK_EQ(env_stream_write(client_env, client, &w, &part, 1), 0);
    sim_run_until(s, 2000 + 100000);
    CHECK(got.len < sizeof bytes);
    sim_run_until(s, 2000 + 101000);
    CHECK_EQ(got.len, sizeof bytes);
    pair_close();
}

static void wire(void *ctx, uint64_t stream, unsigned from, unsigned to,
                 struct slice bytes, bool delivered)
{
    size_t *n = ctx;

    CHECK(stream != 0);
    CHECK_EQ(from, 1);
    CHECK_EQ(to, 2);
    n[delivered] += bytes.n;
}

TEST(sim_net, the_wire_shows_bytes_when_sent_and_when_delivered)
{
    size_t n[2] = { 0, 0 };

    pair_open(1);
    sim_on_wire(s, wire, n);
    send_text("text");
    CHECK_EQ(n[0], 4);
    CHECK_EQ(n[1], 0);
    sim_run_until(s, 10000);
    CHECK_EQ(n[1], 4);
    pair_close();
}

TEST(sim_net, a_port_is_taken_until_its_listener_is_closed)
{
    struct env_listener *l;
    bool done = false;

    s = sim_new(1);
    server_env = sim_node_start(s, 2);
    CHECK_EQ(env_listen(server_env, "10.0.0.2", PORT, accepted, NULL, &l), 0);
    CHECK_EQ(env_listen(server_env, "0.0.0.0", PORT, accepted, NULL, &l),
             KV_EADDRINUSE);
    CHECK_EQ(env_listen(server_env, "10.0.0.3", PORT, accepted, NULL, &l),
             KV_EINVAL);
    env_listener_close(server_env, l, closed, &done);
    CHECK(!done);
    sim_run_until(s, 1);
    CHECK(done);
    CHECK_EQ(env_listen(server_env, "0.0.0.0", PORT, accepted, NULL, &l), 0);
    pair_close();
}
