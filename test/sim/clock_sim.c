/* Clocks, timers, the turn, randomness and the log of a simulated process.
 *
 * The monotonic clock of a process starts at an arbitrary whole second and runs
 * at the node's rate: base + (t - since) * (1 + ppm / 10^6) at world time t.  A change
 * of rate starts a new line from where the old one was, so it never goes back.
 *
 * Timers of a process are in its own heap, by deadline in its milliseconds; the
 * world knows one event, for the earliest.  When it fires, all timers that are due
 * run in order, but not those set meanwhile: they get an event of their own.  Posted
 * events cannot be taken back; timer_gen tells the one that counts.
 *
 * The turn is an event too, posted by the first env_wake: whatever else is ready
 * at that instant was posted before it and runs before it. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/sim_int.h"

#define PPM 1000000

/* ---- clocks ---- */

static uint64_t mono_at(const struct sim_proc *p, uint64_t t)
{
    uint64_t d = t - p->mono_since;
    uint64_t rate = (uint64_t)(PPM + p->node->drift_ppm);

    ASSERT(t >= p->mono_since);
    return p->mono_base + d / PPM * rate + d % PPM * rate / PPM;
}

/* The first world time, not before now, at which the clock shows mono. */
static uint64_t world_at(const struct sim_proc *p, uint64_t mono)
{
    uint64_t now = p->sim->now;
    uint64_t at = mono_at(p, now);
    uint64_t t;

    if (mono <= at)
        return now;
    t = now + (uint64_t)((double)(mono - at) * PPM /
                         (double)(PPM + p->node->drift_ppm));
    while (mono_at(p, t) < mono)
        t++;
    while (t > now && mono_at(p, t - 1) >= mono)
        t--;
    return t;
}

uint64_t sim__now_us(struct env *e)
{
    const struct sim_proc *p = sim__proc(e);

    return mono_at(p, p->sim->now);
}

int64_t sim__wall_ms(struct env *e)
{
    const struct sim_node *n = sim__proc(e)->node;
    int64_t t = (int64_t)n->sim->now;

    return SIM_WALL_EPOCH_MS + n->wall_offset_ms +
           (t + t / PPM * n->drift_ppm) / 1000;
}

void sim_clock_jump(struct sim *s, unsigned node, int64_t ms)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    s->nodes[node].wall_offset_ms += ms;
}

void sim_turn_us(struct sim *s, unsigned node, uint32_t us)
{
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        if (node == SIM_EVERY || node == i)
            s->nodes[i].turn_us = us;
    }
}

/* ---- timers ---- */

static void timers_fire(struct sim *s, struct sim_event *ev);

static void timers_post(struct sim_proc *p)
{
    struct heap_node *min = heap_min(&p->timers);
    uint64_t t;

    if (min == NULL)
        return;
    t = world_at(p, min->key * 1000);
    if (p->timer_at != 0 && p->timer_at <= t)
        return;
    p->timer_at = t == 0 ? 1 : t;
    sim__post_proc(p, t - p->sim->now, timers_fire, "timer", p)->arg =
        ++p->timer_gen;
}

static void timers_fire(struct sim *s, struct sim_event *ev)
{
    struct sim_proc *p = ev->ptr;
    uint64_t end = p->timers.next_seq;
    uint64_t now_ms = mono_at(p, s->now) / 1000;
    struct heap_node *min;

    if (ev->arg != p->timer_gen)
        return;
    p->timer_at = 0;
    while ((min = heap_min(&p->timers)) != NULL && min->key <= now_ms) {
        struct env_timer *t = CONTAINER_OF(min, struct env_timer, node);

        if (min->seq >= end)
            break;
        heap_remove(&p->timers, min);
        t->cb(t);
    }
    timers_post(p);
}

void sim__timer_set(struct env *e, struct env_timer *t, uint64_t deadline_ms)
{
    struct sim_proc *p = sim__proc(e);
    struct mem_arena *old = mem_arena_use(NULL);

    ASSERT(t->env == e);
    ASSERT(t->cb != NULL);
    if (heap_contains(&t->node))
        heap_remove(&p->timers, &t->node);
    heap_insert(&p->timers, &t->node, deadline_ms);
    mem_arena_use(old);
    timers_post(p);
}

void sim__timer_stop(struct env *e, struct env_timer *t)
{
    if (heap_contains(&t->node))
        heap_remove(&sim__proc(e)->timers, &t->node);
}

void sim__clock_start(struct sim_proc *p)
{
    heap_init(&p->timers);
    p->mono_since = p->sim->now;
    p->mono_base = (1 + rng_below(&p->rng[0], 1000)) * PPM;
}

void sim__clock_stop(struct sim_proc *p)
{
    heap_close(&p->timers);
}

void sim_clock_drift(struct sim *s, unsigned node, int32_t ppm)
{
    struct sim_node *n = &s->nodes[node];
    struct sim_proc *p = n->proc;

    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    ASSERT(ppm > -PPM && ppm < PPM);
    if (p != NULL) {
        p->mono_base = mono_at(p, s->now);
        p->mono_since = s->now;
    }
    n->drift_ppm = ppm;
    if (p != NULL) {
        p->timer_at = 0;
        p->timer_gen++;
        timers_post(p);
    }
}

/* ---- the turn ---- */

static void turn_run(struct sim *s, struct sim_event *ev)
{
    struct sim_proc *p = ev->ptr;

    (void)s;
    p->turn_posted = false;
    if (p->env.turn != NULL)
        p->env.turn(p->env.turn_data);
}

void sim__wake(struct env *e)
{
    struct sim_proc *p = sim__proc(e);

    if (p->turn_posted)
        return;
    p->turn_posted = true;
    sim__post_proc(p, p->node->turn_us, turn_run, "turn", p);
}

/* ---- randomness, log ---- */

/* Requests of each size have a stream of their own, so that one more draw in one
 * layer does not shift what the others get, and transcripts stay the same. */
void sim__random(struct env *e, void *buf, size_t n)
{
    struct sim_proc *p = sim__proc(e);
    struct rng *r = &p->rng[n < SIM_STREAMS ? n : 0];
    uint8_t *to = buf;

    while (n > 0) {
        uint64_t x = rng_u64(r);
        size_t k = n < sizeof x ? n : sizeof x;

        memcpy(to, &x, k);
        to += k;
        n -= k;
    }
}

void sim__log(struct env *e, enum env_log_level level, const char *line)
{
    struct sim_proc *p = sim__proc(e);
    struct sim_node *n = p->node;
    struct mem_arena *old = mem_arena_use(NULL);

    buf_printf(&n->log, "%s\n", line);
    if (n->log.len > SIM_LOG_BYTES_MAX)
        buf_consume(&n->log, n->log.len - SIM_LOG_BYTES_MAX);
    if (p->sim->on_log != NULL)
        p->sim->on_log(p->sim->on_log_ctx, n->id, line);
    mem_arena_use(old);
    sim__note(p->sim, crc32c((uint32_t)level, line, strlen(line)));
    if (p->sim->log_stderr)
        fprintf(stderr, "[%10.3f ms node %u] %s\n",
                (double)p->sim->now / 1000.0, n->id, line);
}

const char *sim_node_log(struct sim *s, unsigned node)
{
    struct buf *b = &s->nodes[node].log;

    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    /* Terminated, not counted. */
    buf_put_u8(b, 0);
    buf_truncate(b, b->len - 1);
    return (const char *)buf_at(b);
}
