#include "unit/env/until.h"

#include "env/env_uv.h"
#include "lib/test.h"

static void on_tick(struct env_timer *t)
{
    struct until *u = t->data;

    if (*u->value >= u->target)
        env_uv_stop(u->env);
    else
        env_timer_set(t, env_now_ms(u->env) + 1);
}

void until_open(struct until *u)
{
    *u = (struct until){ .value = NULL };
    CHECK_EQ(env_uv_open(&u->env), 0);
    env_timer_init(u->env, &u->tick, on_tick, u);
}

void until_close(struct until *u)
{
    env_uv_free(u->env);
}

void until(struct until *u, const unsigned *value, unsigned target)
{
    u->value = value;
    u->target = target;
    env_timer_set(&u->tick, 0);
    env_uv_run(u->env);
    CHECK(*value >= target);
}

struct settle {
    struct env_timer t;
    unsigned n;
};

static void on_settle(struct env_timer *t)
{
    struct settle *s = t->data;

    s->n++;
    env_timer_set(t, env_now_ms(t->env) + 1);
}

void until_settled(struct until *u)
{
    struct settle s = { .n = 0 };

    env_timer_init(u->env, &s.t, on_settle, &s);
    env_timer_set(&s.t, 0);
    until(u, &s.n, 10);
    env_timer_stop(&s.t);
}
