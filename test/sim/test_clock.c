/* Timers, the turn and clocks of a simulated process. */
#include <string.h>

#include "lib/test.h"
#include "sim/env_sim.h"

#define LOG_MAX 64

/* What happened, in order, one letter each. */
static char seen[LOG_MAX];

static void see(char c)
{
    size_t n = strlen(seen);

    CHECK(n + 1 < LOG_MAX);
    seen[n] = c;
    seen[n + 1] = 0;
}

static void timer_letter(struct env_timer *t)
{
    see(*(const char *)t->data);
}

static char letters[] = "abcdefgh";

static void timer_letter_init(struct env *env, struct env_timer *t, unsigned i)
{
    env_timer_init(env, t, timer_letter, &letters[i]);
}

TEST(sim_clock, timers_fire_by_deadline_and_ties_in_the_order_of_setting)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    uint64_t now = env_now_ms(env);
    struct env_timer t[4];

    for (unsigned i = 0; i < 4; i++)
        timer_letter_init(env, &t[i], i);
    env_timer_set(&t[0], now + 30);
    env_timer_set(&t[1], now + 10);
    env_timer_set(&t[2], now + 20);
    env_timer_set(&t[3], now + 10);
    sim_run_until(s, 9999);
    CHECK_STR(seen, "");
    sim_run_until(s, 10000);
    CHECK_STR(seen, "bd");
    sim_run_until(s, 30000);
    CHECK_STR(seen, "bdca");
    sim_free(s);
}

TEST(sim_clock, a_timer_can_be_moved_and_stopped)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    uint64_t now = env_now_ms(env);
    struct env_timer t[3];

    for (unsigned i = 0; i < 3; i++) {
        timer_letter_init(env, &t[i], i);
        env_timer_set(&t[i], now + 10 + i);
    }
    env_timer_set(&t[0], now + 50);
    env_timer_stop(&t[1]);
    env_timer_stop(&t[1]);
    CHECK(!env_timer_armed(&t[1]));
    CHECK(env_timer_armed(&t[0]));
    sim_run_until(s, 49999);
    CHECK_STR(seen, "c");
    sim_run_until(s, 50000);
    CHECK_STR(seen, "ca");
    sim_free(s);
}

static void timer_again(struct env_timer *t)
{
    see('t');
    if (strlen(seen) < 3)
        env_timer_set(t, 0);
}

TEST(sim_clock, a_past_deadline_fires_at_once_but_never_inside_the_call)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_timer t;

    env_timer_init(env, &t, timer_again, NULL);
    env_timer_set(&t, 0);
    CHECK_STR(seen, "");
    sim_run_until(s, 0);
    CHECK_STR(seen, "ttt");
    sim_free(s);
}

static void turn(void *data)
{
    (void)data;
    see('T');
}

static void timer_wakes(struct env_timer *t)
{
    see(*(const char *)t->data);
    env_wake(t->env);
}

static void script_letter(void *ctx)
{
    see(*(const char *)ctx);
}

TEST(sim_clock, the_turn_runs_once_after_what_was_ready)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    uint64_t now = env_now_ms(env);
    struct env_timer t[2];

    env_on_turn(env, turn, NULL);
    for (unsigned i = 0; i < 2; i++) {
        env_timer_init(env, &t[i], timer_wakes, &letters[i]);
        env_timer_set(&t[i], now + 10);
    }
    sim_at(s, 10000, script_letter, &letters[7]);
    sim_run_until(s, 20000);
    CHECK_STR(seen, "abhT");
    sim_free(s);
}

TEST(sim_clock, a_busy_loop_collects_what_arrives_before_its_turn)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    uint64_t now = env_now_ms(env);
    struct env_timer t[2];

    sim_turn_us(s, 1, 5000);
    env_on_turn(env, turn, NULL);
    for (unsigned i = 0; i < 2; i++) {
        env_timer_init(env, &t[i], timer_wakes, &letters[i]);
        env_timer_set(&t[i], now + 10 + i);
    }
    sim_run_until(s, 14999);
    CHECK_STR(seen, "ab");
    sim_run_until(s, 15000);
    CHECK_STR(seen, "abT");
    sim_free(s);
}

TEST(sim_clock, a_paused_node_runs_nothing_until_it_resumes)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_timer t;

    timer_letter_init(env, &t, 0);
    env_timer_set(&t, env_now_ms(env) + 10);
    sim_node_pause(s, 1, 700000);
    sim_run_until(s, 699999);
    CHECK_STR(seen, "");
    sim_run_until(s, 700000);
    CHECK_STR(seen, "a");
    sim_free(s);
}

TEST(sim_clock, no_timer_of_a_crashed_process_fires)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    struct env_timer t;

    timer_letter_init(env, &t, 0);
    env_timer_set(&t, env_now_ms(env) + 10);
    sim_node_crash(s, 1, SIM_KEEP_NONE);
    sim_node_start(s, 1);
    sim_run_until(s, 100000);
    CHECK_STR(seen, "");
    sim_free(s);
}

TEST(sim_clock, a_fast_clock_fires_early_and_a_slow_one_late)
{
    struct sim *s = sim_new(1);
    struct env *fast = sim_node_start(s, 1);
    struct env *slow = sim_node_start(s, 2);
    uint64_t fast_us = env_now_us(fast);
    struct env_timer t[2];

    timer_letter_init(fast, &t[0], 0);
    timer_letter_init(slow, &t[1], 1);
    env_timer_set(&t[0], env_now_ms(fast) + 1000);
    env_timer_set(&t[1], env_now_ms(slow) + 1000);
    sim_clock_drift(s, 1, 250000);
    sim_clock_drift(s, 2, -200000);
    sim_run_until(s, 799999);
    CHECK_STR(seen, "");
    sim_run_until(s, 800000);
    CHECK_STR(seen, "a");
    CHECK_EQ(env_now_us(fast) - fast_us, 1000000);
    sim_run_until(s, 1249999);
    CHECK_STR(seen, "a");
    sim_run_until(s, 1250000);
    CHECK_STR(seen, "ab");
    sim_free(s);
}

TEST(sim_clock, the_wall_clock_jumps_and_the_monotonic_one_does_not)
{
    struct sim *s = sim_new(1);
    struct env *env = sim_node_start(s, 1);
    int64_t wall = env_wall_ms(env);
    uint64_t mono = env_now_us(env);

    sim_clock_jump(s, 1, -3600000);
    CHECK_EQ(env_wall_ms(env), wall - 3600000);
    CHECK_EQ(env_now_us(env), mono);
    sim_run_until(s, 5000000);
    CHECK_EQ(env_wall_ms(env), wall - 3600000 + 5000);
    CHECK_EQ(env_now_us(env), mono + 5000000);
    sim_free(s);
}

TEST(sim_clock, processes_draw_different_random_bytes)
{
    struct sim *s = sim_new(1);
    uint8_t a[16], b[16];

    env_random(sim_node_start(s, 1), a, sizeof a);
    sim_node_crash(s, 1, SIM_KEEP_NONE);
    env_random(sim_node_start(s, 1), b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    sim_free(s);
}
