/* Timers, the clock and the turn of env_uv, and the shared timer queue. */
#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv.h"
#include "env/timerq.h"
#include "lib/test.h"

/* What happened, in order, as letters. */
struct trace {
    struct env *env;
    char text[64];
    unsigned n;
};

static void note(struct trace *tr, char c)
{
    CHECK(tr->n + 1 < sizeof tr->text);
    tr->text[tr->n++] = c;
    tr->text[tr->n] = '\0';
}

static void open_env(struct trace *tr)
{
    *tr = (struct trace){ .n = 0 };
    CHECK_EQ(env_uv_open(&tr->env), 0);
}

static void stop_timer(struct env_timer *t)
{
    env_uv_stop(t->env);
}

/* Let the loop block at least once. */
static void run_a_little(struct trace *tr)
{
    struct env_timer stop;

    env_timer_init(tr->env, &stop, stop_timer, NULL);
    env_timer_set(&stop, env_now_ms(tr->env) + 3);
    env_uv_run(tr->env);
}

/* ---- timers ---- */

struct named {
    struct env_timer t;
    struct trace *tr;
    char name;
    bool last;
};

static void fire(struct env_timer *t)
{
    struct named *n = t->data;

    CHECK(!env_timer_armed(t));
    note(n->tr, n->name);
    if (n->last)
        env_uv_stop(n->tr->env);
}

static void named_set(struct named *n, struct trace *tr, char name,
                      uint64_t deadline_ms)
{
    n->tr = tr;
    n->name = name;
    env_timer_init(tr->env, &n->t, fire, n);
    env_timer_set(&n->t, deadline_ms);
}

TEST(env_timer, timers_fire_by_deadline_then_by_time_of_setting)
{
    struct trace tr;
    struct named n[5] = { 0 };
    uint64_t now;

    open_env(&tr);
    now = env_now_ms(tr.env);
    named_set(&n[0], &tr, 'e', now + 4);
    n[0].last = true;
    named_set(&n[1], &tr, 'b', now + 2);
    named_set(&n[2], &tr, 'c', now + 2);
    named_set(&n[3], &tr, 'a', now + 1);
    named_set(&n[4], &tr, 'd', now + 2);
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "abcde");
    CHECK(env_now_ms(tr.env) >= now + 4);
    env_uv_free(tr.env);
}

TEST(env_timer, a_stopped_timer_never_fires_and_stopping_twice_is_harmless)
{
    struct trace tr;
    struct named n[3] = { 0 };

    open_env(&tr);
    named_set(&n[0], &tr, 'x', 0);
    named_set(&n[1], &tr, 'y', env_now_ms(tr.env) + 2);
    named_set(&n[2], &tr, 'z', env_now_ms(tr.env) + 3);
    n[2].last = true;
    env_timer_stop(&n[0].t);
    env_timer_stop(&n[0].t);
    env_timer_stop(&n[1].t);
    CHECK(!env_timer_armed(&n[0].t));
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "z");
    env_uv_free(tr.env);
}

TEST(env_timer, setting_an_armed_timer_again_moves_it)
{
    struct trace tr;
    struct named n[2] = { 0 };
    uint64_t now;

    open_env(&tr);
    now = env_now_ms(tr.env);
    named_set(&n[0], &tr, 'a', now + 1);
    named_set(&n[1], &tr, 'b', now + 2);
    env_timer_set(&n[0].t, now + 5);
    n[0].last = true;
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "ba");
    CHECK(env_now_ms(tr.env) >= now + 5);
    env_uv_free(tr.env);
}

TEST(env_timer, a_nearer_deadline_shortens_a_wait_that_is_under_way)
{
    struct trace tr;
    struct named n[3] = { 0 };

    open_env(&tr);
    named_set(&n[0], &tr, 'x', env_now_ms(tr.env) + 3600 * 1000);
    named_set(&n[1], &tr, 'a', env_now_ms(tr.env) + 1);
    n[1].last = true;
    env_uv_run(tr.env); /* the loop now waits for x */
    named_set(&n[2], &tr, 'b', env_now_ms(tr.env) + 1);
    n[2].last = true;
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "ab");
    env_timer_stop(&n[0].t);
    env_uv_free(tr.env);
}

TEST(env_timer, a_deadline_at_the_end_of_time_does_no_harm)
{
    struct trace tr;
    struct named n[2] = { 0 };

    open_env(&tr);
    named_set(&n[0], &tr, 'x', UINT64_MAX);
    named_set(&n[1], &tr, 'y', UINT64_MAX - 1);
    run_a_little(&tr);
    CHECK_EQ(tr.n, 0);
    env_timer_stop(&n[0].t);
    run_a_little(&tr); /* y alone sets the wait */
    CHECK_EQ(tr.n, 0);
    env_timer_stop(&n[1].t);
    env_uv_free(tr.env);
}

struct again {
    struct env_timer t;
    struct trace *tr;
    unsigned left;
};

static void fire_again(struct env_timer *t)
{
    struct again *a = t->data;

    note(a->tr, 'r');
    if (--a->left == 0)
        env_uv_stop(a->tr->env);
    else
        env_timer_set(t, 0);
}

static void turn_note(void *data)
{
    struct trace *tr = data;

    note(tr, 'T');
    env_wake(tr->env);
}

TEST(env_timer, a_deadline_in_the_past_fires_once_per_turn_not_at_once)
{
    struct trace tr;
    struct again a = { .left = 3, .tr = &tr };

    open_env(&tr);
    env_on_turn(tr.env, turn_note, &tr);
    env_wake(tr.env);
    env_timer_init(tr.env, &a.t, fire_again, &a);
    env_timer_set(&a.t, 0);
    CHECK_EQ(tr.n, 0);
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "rTrTrT");
    env_uv_free(tr.env);
}

TEST_ABORTS(env_timer, freeing_an_env_with_an_armed_timer_is_refused)
{
    struct trace tr;
    struct named n = { 0 };

    open_env(&tr);
    named_set(&n, &tr, 'x', 0);
    env_uv_free(tr.env);
}

/* ---- the shared queue ---- */

struct queued {
    struct env_timer t;
    struct timerq *q;
    unsigned *order;
    unsigned fired_as;
    bool set_another;
    struct queued *other;
};

static void queued_fire(struct env_timer *t)
{
    struct queued *x = t->data;

    x->fired_as = ++*x->order;
    if (x->other != NULL)
        timerq_set(x->q, &x->other->t, 0);
}

TEST(timerq, a_run_fires_only_what_was_set_before_it)
{
    struct timerq q;
    unsigned order = 0;
    struct queued a = { .q = &q, .order = &order };
    struct queued b = { .q = &q, .order = &order };
    struct queued c = { .q = &q, .order = &order };
    uint64_t next;

    timerq_init(&q);
    CHECK(!timerq_next(&q, &next));
    a.t = (struct env_timer){ .cb = queued_fire, .data = &a };
    b.t = (struct env_timer){ .cb = queued_fire, .data = &b };
    c.t = (struct env_timer){ .cb = queued_fire, .data = &c };
    a.other = &c;
    timerq_set(&q, &b.t, 7);
    timerq_set(&q, &a.t, 5);
    CHECK(timerq_next(&q, &next));
    CHECK_EQ(next, 5);
    CHECK_EQ(timerq_run(&q, 4), 0);
    CHECK_EQ(timerq_run(&q, 7), 1); /* a; c is new and stands before b */
    CHECK_EQ(a.fired_as, 1);
    CHECK_EQ(timerq_run(&q, 7), 2);
    CHECK_EQ(c.fired_as, 2);
    CHECK_EQ(b.fired_as, 3);
    CHECK_EQ(timerq_run(&q, UINT64_MAX), 0);
    timerq_close(&q);
}

/* ---- the turn ---- */

struct turns {
    struct trace *tr;
    unsigned left; /* turns that wake again */
    struct env_work work;
    bool submit; /* work in the first turn */
};

static void on_turn(void *data)
{
    struct turns *t = data;

    note(t->tr, 'T');
    if (t->submit) {
        t->submit = false;
        env_work_submit(t->tr->env, &t->work);
    }
    if (t->left > 0) {
        t->left--;
        env_wake(t->tr->env);
        env_wake(t->tr->env);
        note(t->tr, 't');
        return;
    }
    env_uv_stop(t->tr->env);
}

TEST(env_turn, a_wake_in_the_turn_asks_for_one_more_after_it)
{
    struct trace tr;
    struct turns t = { .tr = &tr, .left = 2 };

    open_env(&tr);
    env_on_turn(tr.env, on_turn, &t);
    env_wake(tr.env);
    CHECK_EQ(tr.n, 0); /* not inside the call */
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "TtTtT");
    env_uv_free(tr.env);
}

TEST(env_turn, without_a_wake_no_turn_runs)
{
    struct trace tr;
    struct turns t = { .tr = &tr };

    open_env(&tr);
    env_on_turn(tr.env, on_turn, &t);
    run_a_little(&tr);
    CHECK_EQ(tr.n, 0);
    env_uv_free(tr.env);
}

static void wake_timer(struct env_timer *t)
{
    struct trace *tr = t->data;

    note(tr, 'a');
    env_wake(t->env);
}

TEST(env_turn, one_turn_follows_all_callbacks_that_were_ready)
{
    struct trace tr;
    struct turns t = { .tr = &tr };
    struct env_timer timers[3];

    open_env(&tr);
    env_on_turn(tr.env, on_turn, &t);
    for (int i = 0; i < 3; i++) {
        env_timer_init(tr.env, &timers[i], wake_timer, &tr);
        env_timer_set(&timers[i], 0);
    }
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "aaaT");
    env_uv_free(tr.env);
}

static void work_nothing(struct env_work *w)
{
    (void)w;
}

/* Turns that always wake again must still let a completion through; the turn
 * in which the completion was seen is the last. */
static void work_seen(struct env_work *w)
{
    struct turns *t = w->data;

    note(t->tr, 'w');
    t->left = 0;
}

static void busy_turn(void *data)
{
    struct turns *t = data;

    if (t->submit) {
        t->submit = false;
        env_work_submit(t->tr->env, &t->work);
    }
    if (t->left > 0)
        env_wake(t->tr->env);
    else
        env_uv_stop(t->tr->env);
}

TEST(env_turn, turns_that_always_wake_again_do_not_starve_io)
{
    struct trace tr;
    struct turns t = { .tr = &tr, .left = 1, .submit = true };

    open_env(&tr);
    t.work =
        (struct env_work){ .run = work_nothing, .done = work_seen, .data = &t };
    env_on_turn(tr.env, busy_turn, &t);
    env_wake(tr.env);
    env_uv_run(tr.env);
    CHECK_STR(tr.text, "w");
    env_uv_free(tr.env);
}

/* ---- clocks and randomness ---- */

static void clock_turn(void *data)
{
    struct trace *tr = data;
    uint64_t a = env_now_us(tr->env);

    CHECK(env_now_us(tr->env) >= a);
    CHECK_EQ(env_now_us(tr->env), a); /* cached inside a turn */
    CHECK_EQ(env_now_ms(tr->env), a / 1000);
    env_uv_stop(tr->env);
}

TEST(env_clock, time_stands_still_inside_a_turn_and_never_goes_back)
{
    struct trace tr;
    uint64_t before;

    open_env(&tr);
    before = env_now_us(tr.env);
    env_on_turn(tr.env, clock_turn, &tr);
    env_wake(tr.env);
    env_uv_run(tr.env);
    CHECK(env_now_us(tr.env) >= before);
    CHECK(env_wall_ms(tr.env) > INT64_C(1577836800000)); /* 2020 */
    env_uv_free(tr.env);
}

TEST(env_random, two_draws_differ_and_every_byte_is_filled)
{
    struct trace tr;
    uint8_t a[512] = { 0 }, b[512] = { 0 };
    unsigned zeros = 0;

    open_env(&tr);
    env_random(tr.env, a, sizeof a);
    env_random(tr.env, b, sizeof b);
    for (unsigned i = 0; i < sizeof a; i++)
        zeros += a[i] == 0;
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(zeros < 64); /* 2 expected */
    env_uv_free(tr.env);
}
