#include "base/assert.h"
#include "unit/router/lab.h"

static struct lab *lab_of(struct env *e)
{
    return CONTAINER_OF(e, struct lab, env);
}

static uint64_t op_now_us(struct env *e)
{
    return lab_of(e)->now_ms * 1000;
}

static void op_timer_stop(struct env *e, struct env_timer *t)
{
    if (heap_contains(&t->node))
        heap_remove(&lab_of(e)->timers, &t->node);
}

static void op_timer_set(struct env *e, struct env_timer *t, uint64_t at)
{
    op_timer_stop(e, t);
    lab_of(e)->timer_sets++;
    heap_insert(&lab_of(e)->timers, &t->node, at);
}

static void op_wake(struct env *e)
{
    lab_of(e)->woken = true;
}

static void op_random(struct env *e, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = 0;
    ((uint8_t *)p)[0] = (uint8_t)++lab_of(e)->random;
}

void env_double_init(struct lab *l)
{
    static const struct env_ops ops = { .now_us = op_now_us,
                                        .timer_set = op_timer_set,
                                        .timer_stop = op_timer_stop,
                                        .wake = op_wake,
                                        .random = op_random };

    l->env.ops = &ops;
    l->now_ms = 1000;
    heap_init(&l->timers);
}

void env_double_fire(struct lab *l)
{
    struct heap_node *h;

    while ((h = heap_min(&l->timers)) != NULL && h->key <= l->now_ms) {
        struct env_timer *t = CONTAINER_OF(h, struct env_timer, node);

        heap_remove(&l->timers, h);
        t->cb(t);
    }
}
