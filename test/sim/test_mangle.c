/* Faults of the simulated network and disk that TCP or a good day would hide. */
#include <string.h>

#include "base/buf.h"
#include "lib/test.h"
#include "peer/frame.h"
#include "sim/env_sim.h"

#define PORT 7000
#define BODY_BYTES 40u
#define FRAME_BYTES (FRAME_HEAD_BYTES + BODY_BYTES)

/* Node 1 dials, 2 listens. */
static struct sim *s;
static struct env *client_env, *server_env;
static struct env_stream *client, *server;
static struct buf got; /* by the server */
static int server_end = 1, client_end = 1;
static uint64_t last_data_at;

static void server_data(void *ctx, const uint8_t *p, size_t n)
{
    struct mem_arena *old = mem_arena_use(NULL);

    (void)ctx;
    buf_put(&got, p, n);
    last_data_at = sim_now(s);
    mem_arena_use(old);
}
static void server_ended(void *ctx, int status)
{
    (void)ctx;
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
    CHECK_EQ(status, 0);
    client = st;
    env_stream_start(client_env, st, &client_ops, NULL);
}

static void pair_open(uint64_t seed)
{
    struct env_listener *l;
    struct env_dial *d;

    s = sim_new(seed);
    sim_net_peer_port(s, PORT);
    client_env = sim_node_start(s, 1);
    server_env = sim_node_start(s, 2);
    sim_net_latency(s, SIM_EVERY, SIM_EVERY, (struct sim_latency){ 1000, 0, 0 });
    CHECK_EQ(env_listen(server_env, "0.0.0.0", PORT, accepted, NULL, &l), 0);
    CHECK_EQ(env_dial(client_env, "10.0.0.2", PORT, 5000, dialled, NULL, &d),
             0);
    sim_run_until(s, 2000);
    CHECK(client != NULL);
}

static void pair_close(void)
{
    sim_free(s);
    buf_close(&got);
}

static void send_bytes(const void *p, size_t n)
{
    struct slice part = slice_make(p, n);

    while (part.n > 0) {
        long k = env_stream_try_write(client_env, client, &part, 1);

        CHECK(k >= 0);
        part.p += k;
        part.n -= (size_t)k;
    }
}

/* A frame of this kind whose payload names it. */
static void make_frame(uint8_t kind, uint8_t name, uint8_t ret[FRAME_BYTES])
{
    memset(ret, name, FRAME_BYTES);
    memset(ret, 0, FRAME_HEAD_BYTES);
    ret[0] = FRAME_BYTES - 4;
    ret[9] = kind;
}

static void send_frames(uint8_t kind, unsigned from, unsigned n)
{
    uint8_t frame[FRAME_BYTES];

    for (unsigned i = 0; i < n; i++) {
        make_frame(kind, (uint8_t)(from + i), frame);
        send_bytes(frame, sizeof frame);
        sim_run_until(s, sim_now(s) + 50);
    }
}

/* What was received must be whole frames of this kind; how often each came. */
static void count_frames(uint8_t kind, unsigned count[256], bool *ret_in_order)
{
    unsigned last = 0;

    memset(count, 0, 256 * sizeof *count);
    *ret_in_order = true;
    CHECK_EQ(got.len % FRAME_BYTES, 0);
    for (size_t at = 0; at < got.len; at += FRAME_BYTES) {
        const uint8_t *p = buf_at(&got) + at;
        uint8_t frame[FRAME_BYTES];

        make_frame(kind, p[FRAME_HEAD_BYTES], frame);
        CHECK_MEM(p, frame, sizeof frame);
        count[p[FRAME_HEAD_BYTES]]++;
        *ret_in_order = *ret_in_order && p[FRAME_HEAD_BYTES] >= last;
        last = p[FRAME_HEAD_BYTES];
    }
}

TEST(sim_mangle, raft_messages_come_twice_and_whole)
{
    struct sim_mangle m = { .duplicate_ppm = 500000, .late_us = 100000 };
    unsigned count[256], twice = 0;
    uint64_t doubled, overtaken;
    bool in_order;

    pair_open(3);
    sim_net_mangle(s, 1, 2, m);
    send_frames(FRAME_RAFT, 0, 100);
    sim_run_until(s, 1000000);
    count_frames(FRAME_RAFT, count, &in_order);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(count[i] == 1 || count[i] == 2);
        twice += count[i] == 2;
    }
    CHECK(twice > 20);
    sim_net_mangled(s, &doubled, &overtaken);
    CHECK_EQ(doubled, twice);
    CHECK_EQ(overtaken, 0);
    pair_close();
}

TEST(sim_mangle, raft_messages_overtake_each_other_and_none_is_lost)
{
    struct sim_mangle m = { .late_ppm = 300000, .late_us = 100000 };
    unsigned count[256];
    uint64_t doubled, overtaken;
    bool in_order;

    pair_open(4);
    sim_net_mangle(s, 1, 2, m);
    send_frames(FRAME_RAFT, 0, 100);
    sim_run_until(s, 1000000);
    count_frames(FRAME_RAFT, count, &in_order);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(count[i], 1);
    CHECK(!in_order);
    sim_net_mangled(s, &doubled, &overtaken);
    CHECK_EQ(doubled, 0);
    CHECK(overtaken > 5);
    pair_close();
}

TEST(sim_mangle, other_frames_keep_their_order)
{
    struct sim_mangle m = { .duplicate_ppm = 500000,
                            .late_ppm = 500000,
                            .late_us = 100000 };
    unsigned count[256];
    bool in_order;

    pair_open(5);
    sim_net_mangle(s, 1, 2, m);
    send_frames(FRAME_FORWARD, 0, 100);
    sim_run_until(s, 1000000);
    count_frames(FRAME_FORWARD, count, &in_order);
    CHECK(in_order);
    CHECK_EQ(got.len, 100 * FRAME_BYTES);
    pair_close();
}

TEST(sim_mangle, switching_it_on_within_a_frame_waits_for_the_next)
{
    struct sim_mangle m = { .duplicate_ppm = 1000000, .late_us = 1000 };
    uint8_t frame[FRAME_BYTES];
    unsigned count[256];
    bool in_order;

    pair_open(6);
    make_frame(FRAME_RAFT, 1, frame);
    send_bytes(frame, 10);
    sim_run_until(s, sim_now(s) + 5000);
    sim_net_mangle(s, 1, 2, m);
    send_bytes(frame + 10, sizeof frame - 10);
    send_frames(FRAME_RAFT, 2, 3);
    sim_run_until(s, sim_now(s) + 5000);
    sim_net_mangle(s, 1, 2, (struct sim_mangle){ .late_us = 0 });
    send_frames(FRAME_RAFT, 5, 3);
    sim_run_until(s, 1000000);
    count_frames(FRAME_RAFT, count, &in_order);
    CHECK_EQ(count[1], 1);
    CHECK_EQ(count[2], 2);
    CHECK_EQ(count[4], 2);
    CHECK_EQ(count[5], 1);
    CHECK_EQ(count[7], 1);
    pair_close();
}

TEST(sim_mangle, what_is_late_when_its_reader_ends_is_lost)
{
    struct sim_mangle m = { .late_ppm = 1000000, .late_us = 100000 };

    pair_open(7);
    sim_net_mangle(s, 1, 2, m);
    send_frames(FRAME_RAFT, 0, 100);
    sim_node_crash(s, 2, SIM_KEEP_NONE);
    sim_run_until(s, 1000000);
    CHECK_EQ(client_end, KV_ECONN);
    pair_close();
}

/* ---- losses, delays ---- */

TEST(sim_ways, loss_delays_what_follows_and_loses_nothing)
{
    static char text[2001];

    memset(text, 'x', sizeof text - 1);
    pair_open(8);
    sim_net_peer_port(s, 0);
    sim_net_loss(s, 1, 2, 300000);
    for (unsigned i = 0; i < 20; i++) {
        send_bytes(text, 100);
        sim_run_until(s, sim_now(s) + 100);
    }
    sim_run_until(s, 60000000);
    CHECK_EQ(got.len, 2000);
    CHECK(last_data_at > 2000 + SIM_RTO_US);
    pair_close();
}

TEST(sim_ways, a_long_tail_holds_up_some_segments)
{
    pair_open(9);
    sim_net_peer_port(s, 0);
    sim_net_tail(s, 1, 2, 1000000, 500000);
    send_bytes("text", 4);
    sim_run_until(s, 2999);
    CHECK_EQ(got.len, 0);
    sim_run_until(s, 600000);
    CHECK_EQ(got.len, 4);
    pair_close();
}

TEST(sim_ways, an_abort_cuts_anywhere_and_tells_both_ends)
{
    static uint8_t bytes[1000];
    bool cut = false;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        pair_open(seed);
        sim_net_peer_port(s, 0);
        send_bytes(bytes, sizeof bytes);
        sim_net_abort(s, 1, 2);
        sim_run_until(s, 100000);
        CHECK_EQ(client_end, KV_ECONN);
        CHECK_EQ(server_end, KV_ECONN);
        CHECK(got.len <= sizeof bytes);
        cut = cut || (got.len > 0 && got.len < sizeof bytes);
        pair_close();
        client_end = server_end = 1;
    }
    CHECK(cut);
}

TEST(sim_ways, of_a_half_open_connection_one_end_knows_nothing)
{
    pair_open(11);
    sim_net_peer_port(s, 0);
    CHECK_EQ(sim_net_half_open(s, 2, 1, 1000000), 1);
    send_bytes("lost", 4);
    sim_run_until(s, 900000);
    CHECK_EQ(server_end, KV_ECONN);
    CHECK_EQ(client_end, 1);
    CHECK_EQ(got.len, 0);
    sim_run_until(s, 1000000);
    send_bytes("who is there?", 13);
    sim_run_until(s, 2000000);
    CHECK_EQ(client_end, KV_ECONN);
    CHECK_EQ(got.len, 0);
    pair_close();
}

/* ---- disk ---- */

static void written(struct env_io *io)
{
    *(uint64_t *)io->data = sim_now(s);
}

static void count_file(void *ctx, const char *path, uint64_t bytes)
{
    CHECK_STR(path, "file");
    *(uint64_t *)ctx += bytes;
}

TEST(sim_ways, a_disk_has_spikes_and_tells_its_files)
{
    static const uint8_t byte = 1;
    struct slice part = slice_make(&byte, 1);
    struct env_file *f;
    uint64_t slow = 0, bytes = 0;

    s = sim_new(12);
    client_env = sim_node_start(s, 1);
    CHECK_EQ(env_open(client_env, "file", ENV_OPEN_CREATE, &f), 0);
    sim_disk_spikes(s, 1, 500000, 1000000);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t begun = sim_now(s), done = 0;
        struct env_io io = { .file = f, .parts = &part, .n_parts = 1,
                             .sync = true, .cb = written, .data = &done };

        env_submit_write(client_env, &io);
        sim_run_until(s, begun + 2000000);
        CHECK(done != 0);
        slow += done - begun > 10000;
    }
    CHECK(slow > 10 && slow < 40);
    sim_disk_files(s, 1, count_file, &bytes);
    CHECK_EQ(bytes, 1);
    CHECK_EQ(sim_disk_used(s, 1), 1);
    CHECK_EQ(sim_disk_copy(s, 1, "none", "copy"), KV_ENOENT);
    CHECK_EQ(sim_disk_copy(s, 1, "file", "copy"), 0);
    sim_node_crash(s, 1, SIM_KEEP_NONE);
    CHECK_EQ(sim_disk_peek(s, 1, "copy", 0, &bytes, 8), 1);
    CHECK_EQ((uint8_t)bytes, 1);
    sim_free(s);
}
