/* The simulator's world: the same seed is the same run, time is virtual, a crash
 * takes a process's memory and pending events, scripts and pauses. */
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "sim/env_sim.h"

#define N_PLAYERS 3u
#define PORT 7000

/* A process that exercises everything: it writes to its disk on a random timer and
 * sends what it wrote to the next node, which writes it too. */
struct player {
    struct env *env;
    unsigned node;
    struct env_timer timer;
    struct env_file *file;
    struct env_io io;
    struct slice part;
    uint8_t bytes[64];
    bool busy;
    struct env_stream *out;
    uint64_t got;
};

static void player_wrote(struct env_io *io)
{
    struct player *p = io->data;

    p->busy = false;
    if (p->out != NULL && io->status == 0)
        env_stream_try_write(p->env, p->out, &p->part, 1);
}

static void player_write(struct player *p)
{
    if (p->busy)
        return;
    env_random(p->env, p->bytes, sizeof p->bytes);
    p->busy = true;
    p->part = slice_make(p->bytes, sizeof p->bytes);
    p->io = (struct env_io){ .file = p->file, .parts = &p->part, .n_parts = 1,
                             .sync = true, .cb = player_wrote, .data = p };
    env_submit_write(p->env, &p->io);
}

static void player_tick(struct env_timer *t)
{
    struct player *p = t->data;

    player_write(p);
    env_wake(p->env);
}

static void player_turn(void *data)
{
    struct player *p = data;
    uint8_t r;

    env_random(p->env, &r, 1);
    env_timer_set(&p->timer, env_now_ms(p->env) + 1 + r % 20);
}

static void player_data(void *ctx, const uint8_t *bytes, size_t n)
{
    struct player *p = ctx;

    p->got += n + bytes[0];
    player_write(p);
}

static void player_end(void *ctx, int status)
{
    (void)ctx;
    (void)status;
}

static const struct env_stream_ops player_ops = { player_data, player_end };

static void player_accept(void *ctx, struct env_stream *st)
{
    struct player *p = ctx;

    env_stream_start(p->env, st, &player_ops, p);
}

static void player_dialled(void *ctx, int status, struct env_stream *st)
{
    struct player *p = ctx;

    if (status != 0)
        return;
    p->out = st;
    env_stream_start(p->env, st, &player_ops, p);
}

static void player_start(struct sim *s, unsigned node)
{
    struct env *env = sim_node_start(s, node);
    struct env_listener *l;
    struct env_dial *d;
    struct player *p;

    sim_enter(s, node);
    p = MEM_NEW(struct player);
    p->env = env;
    p->node = node;
    CHECK_EQ(env_open(env, "/file", ENV_OPEN_CREATE, &p->file), 0);
    CHECK_EQ(env_listen(env, "0.0.0.0", PORT, player_accept, p, &l), 0);
    CHECK_EQ(env_dial(env, sim_node_host(node % N_PLAYERS + 1), PORT, 1000,
                      player_dialled, p, &d),
             0);
    env_timer_init(env, &p->timer, player_tick, p);
    env_on_turn(env, player_turn, p);
    env_wake(env);
    sim_leave(s);
}

static uint64_t play(uint64_t seed, uint64_t *ret_events)
{
    struct sim *s = sim_new(seed);
    uint64_t hash;

    for (unsigned i = 1; i <= N_PLAYERS; i++)
        player_start(s, i);
    sim_run_until(s, 500000);
    sim_net_cut(s, 1, 2);
    sim_node_crash(s, 3, SIM_KEEP_MIX);
    sim_run_until(s, 700000);
    sim_net_heal(s, 1, 2);
    player_start(s, 3);
    sim_run_until(s, 1500000);
    hash = sim_hash(s);
    *ret_events = sim_events(s);
    sim_free(s);
    return hash;
}

TEST(sim_world, the_same_seed_gives_the_same_trace_hash)
{
    uint64_t events_a, events_b;

    CHECK_EQ(play(7, &events_a), play(7, &events_b));
    CHECK_EQ(events_a, events_b);
    CHECK(events_a > 1000);
}

TEST(sim_world, another_seed_gives_another_trace_hash)
{
    uint64_t events;

    CHECK(play(7, &events) != play(8, &events));
}

static void count(void *ctx)
{
    (*(unsigned *)ctx)++;
}

TEST(sim_world, scripts_run_at_their_time_in_the_order_they_were_given)
{
    struct sim *s = sim_new(1);
    unsigned early = 0, late = 0;

    sim_at(s, 2000, count, &late);
    sim_at(s, 1000, count, &early);
    CHECK(sim_step(s));
    CHECK_EQ(sim_now(s), 1000);
    CHECK_EQ(early, 1);
    CHECK_EQ(late, 0);
    sim_run_until(s, 5000);
    CHECK_EQ(late, 1);
    CHECK_EQ(sim_now(s), 5000);
    CHECK(!sim_step(s));
    sim_free(s);
}

static bool below_three(void *ctx)
{
    return *(unsigned *)ctx < 3;
}

TEST(sim_world, run_while_stops_at_the_condition_and_at_the_limit)
{
    struct sim *s = sim_new(1);
    unsigned n = 0;

    for (unsigned i = 1; i <= 5; i++)
        sim_at(s, i * 1000, count, &n);
    CHECK(!sim_run_while(s, below_three, &n, 2000));
    CHECK_EQ(n, 2);
    CHECK(sim_run_while(s, below_three, &n, 9000));
    CHECK_EQ(sim_now(s), 3000);
    sim_free(s);
}

TEST(sim_world, a_crash_frees_what_the_process_had_allocated)
{
    struct sim *s = sim_new(1);

    sim_node_start(s, 2);
    sim_enter(s, 2);
    for (unsigned i = 0; i < 10; i++)
        mem_alloc(100);
    sim_leave(s);
    CHECK_EQ(sim_node_blocks(s, 2), 10);
    sim_node_crash(s, 2, SIM_KEEP_NONE);
    CHECK_EQ(sim_node_blocks(s, 2), 0);
    CHECK(!sim_node_up(s, 2));
    sim_free(s);
}

TEST(sim_world, memory_in_use_is_that_of_the_process_that_asks)
{
    struct sim *s = sim_new(1);

    sim_node_start(s, 1);
    sim_node_start(s, 2);
    sim_enter(s, 1);
    mem_alloc(100);
    CHECK_EQ(mem_used(), 100);
    sim_leave(s);
    sim_enter(s, 2);
    CHECK_EQ(mem_used(), 0);
    mem_free(mem_try_alloc(10));
    CHECK_EQ(mem_used(), 0);
    sim_leave(s);
    sim_free(s);
}

TEST_ABORTS(sim_world, an_orderly_exit_with_memory_left_is_a_leak)
{
    struct sim *s = sim_new(1);

    sim_node_start(s, 1);
    sim_enter(s, 1);
    mem_alloc(1);
    sim_leave(s);
    sim_node_exit(s, 1);
}

static void spin(void *data)
{
    env_wake(data);
}

TEST_ABORTS(sim_world, a_turn_that_always_asks_for_another_is_found)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);

    env_on_turn(env, spin, env);
    env_wake(env);
    sim_run_until(s, 1000);
}

static void work_run(struct env_work *w)
{
    *(unsigned *)w->data += 1;
}
static void work_done(struct env_work *w)
{
    *(unsigned *)w->data += 10;
}

TEST(sim_world, background_work_runs_then_reports_later)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    unsigned n = 0;
    struct env_work w = { .run = work_run, .done = work_done, .data = &n };

    sim_work_latency(s, 1, (struct sim_latency){ 3000, 0, 0 });
    env_work_submit(env, &w);
    CHECK_EQ(n, 0);
    sim_run_until(s, 2999);
    CHECK_EQ(n, 0);
    sim_run_until(s, 3000);
    CHECK_EQ(n, 11);
    sim_free(s);
}

TEST(sim_world, the_log_of_a_node_outlives_its_process)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);

    env->ops->log(env, ENV_LOG_INFO, "first life");
    sim_node_crash(s, 1, SIM_KEEP_NONE);
    env = sim_node_start(s, 1);
    env->ops->log(env, ENV_LOG_INFO, "second life");
    CHECK_STR(sim_node_log(s, 1), "first life\nsecond life\n");
    sim_free(s);
}
