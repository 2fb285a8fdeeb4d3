/* The world of the simulator: events, nodes, and the vtable that code above
 * env sees.
 *
 * sim_step takes the earliest event, moves the clock to it and runs it.  Events of
 * one instant run in the order in which they were posted; that, and one generator
 * seeded once, make a run a function of its seed.  Every event adds its time, name,
 * node and what it carries to the trace hash.
 *
 * A node is a host.  Its disk and clock live as long as the world; its process
 * (struct sim_proc) from sim_node_start to a crash.  A process's memory is one
 * arena: sim_enter and the event runner switch to it, and the simulator's own
 * functions switch back to the world's while they allocate (sim__alloc).
 *
 * W1  Virtual time never goes back.
 * W2  An event posted for a process never runs after that process has ended.
 * W3  No code of a node runs while it is paused.
 * W4  Nothing here depends on an address, the real clock or the environment
 *     (KV_SIM_LOG only copies log lines to stderr). */
#include "sim/env_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/sim_int.h"

static const struct env_ops ops = {
    .now_us = sim__now_us,
    .wall_ms = sim__wall_ms,
    .timer_set = sim__timer_set,
    .timer_stop = sim__timer_stop,
    .wake = sim__wake,
    .random = sim__random,
    .log = sim__log,
    .mkdir = sim__mkdir,
    .list = sim__list,
    .rename = sim__rename,
    .unlink = sim__unlink,
    .sync_dir = sim__sync_dir,
    .lock = sim__lock,
    .open = sim__open,
    .close = sim__close,
    .size = sim__size,
    .read = sim__read,
    .write = sim__write,
    .truncate = sim__truncate,
    .sync = sim__sync,
    .submit_write = sim__submit_write,
    .submit_read = sim__submit_read,
    .listen = sim__listen,
    .listener_port = sim__listener_port,
    .listener_close = sim__listener_close,
    .dial = sim__dial,
    .dial_cancel = sim__dial_cancel,
    .stream_start = sim__stream_start,
    .stream_pause = sim__stream_pause,
    .stream_resume = sim__stream_resume,
    .stream_try_write = sim__stream_try_write,
    .stream_write = sim__stream_write,
    .stream_peer = sim__stream_peer,
    .stream_close = sim__stream_close,
    .work = sim__work,
};

/* ---- helpers of the simulator ---- */

void *sim__alloc(size_t n)
{
    struct mem_arena *old = mem_arena_use(NULL);
    void *p = mem_calloc(1, n);

    mem_arena_use(old);
    return p;
}

void sim__note(struct sim *s, uint64_t fact)
{
    s->hash = rng_mix(s->hash ^ fact);
}

uint64_t sim__delay(struct sim *s, struct sim_latency lat, size_t bytes)
{
    uint64_t d = lat.base_us;

    if (lat.jitter_us != 0)
        d += rng_below(&s->rng, (uint64_t)lat.jitter_us + 1);
    return d + (uint64_t)lat.per_kib_us * ((bytes + 1023) / 1024);
}

struct sim_event *sim__post(struct sim *s, uint64_t delay, sim_event_cb run,
                            const char *name)
{
    struct mem_arena *old = mem_arena_use(NULL);
    struct sim_event *ev;

    if (list_empty(&s->spare)) {
        ev = MEM_NEW(struct sim_event);
    } else {
        ev = LIST_FIRST(&s->spare, struct sim_event, link);
        list_del(&ev->link);
    }
    *ev = (struct sim_event){ .run = run, .name = name };
    list_init(&ev->link);
    heap_insert(&s->events, &ev->at, s->now + delay);
    mem_arena_use(old);
    return ev;
}

struct sim_event *sim__post_proc(struct sim_proc *p, uint64_t delay,
                                 sim_event_cb run, const char *name, void *ptr)
{
    struct sim_event *ev = sim__post(p->sim, delay, run, name);

    ev->node = p->node->id;
    ev->incarnation = p->incarnation;
    ev->ptr = ptr;
    return ev;
}

/* ---- running ---- */

static bool stale(const struct sim *s, const struct sim_event *ev)
{
    const struct sim_node *n = &s->nodes[ev->node];

    return ev->incarnation != 0 &&
           (n->proc == NULL || n->proc->incarnation != ev->incarnation);
}

static void run_event(struct sim *s, struct sim_event *ev)
{
    struct mem_arena *old;

    sim__note(s, s->now);
    sim__note(s, crc32c(ev->node, ev->name, strlen(ev->name)));
    s->n_events++;
    s->event_node = ev->node;
    s->running = true;
    old = mem_arena_use(ev->node == 0 ? NULL : &s->nodes[ev->node].arena);
    ev->run(s, ev);
    mem_arena_use(old);
    s->running = false;
    if (s->on_event != NULL)
        s->on_event(s->on_event_ctx);
}

bool sim_step(struct sim *s)
{
    struct heap_node *min = heap_min(&s->events);
    struct sim_event *ev;
    struct sim_node *n;

    ASSERT(!s->running);
    ASSERT(s->entered == 0);
    if (min == NULL)
        return false;
    ev = CONTAINER_OF(min, struct sim_event, at);
    ASSERT(min->key >= s->now); /* W1 */
    s->at_this_instant = min->key == s->now ? s->at_this_instant + 1 : 0;
    ASSERT(s->at_this_instant < SIM_SPIN_MAX);
    s->now = min->key;
    heap_remove(&s->events, min);
    n = &s->nodes[ev->node];
    if (ev->node != 0 && n->paused_until > s->now) { /* W3 */
        heap_insert(&s->events, &ev->at, n->paused_until);
        return true;
    }
    if (!stale(s, ev)) /* W2 */
        run_event(s, ev);
    list_add_tail(&s->spare, &ev->link);
    return true;
}

void sim_run_until(struct sim *s, uint64_t t)
{
    struct heap_node *min;

    ASSERT(t >= s->now);
    while ((min = heap_min(&s->events)) != NULL && min->key <= t)
        sim_step(s);
    s->now = t;
}

bool sim_run_while(struct sim *s, sim_cond cond, void *ctx, uint64_t limit)
{
    struct heap_node *min;

    while (cond(ctx)) {
        min = heap_min(&s->events);
        if (min == NULL || min->key > limit)
            return false;
        sim_step(s);
    }
    return true;
}

struct script {
    sim_cb cb;
    void *ctx;
};

static void run_script(struct sim *s, struct sim_event *ev)
{
    struct script *call = ev->ptr;

    /* A script may crash nodes and step into them, as a test does. */
    s->running = false;
    call->cb(call->ctx);
    mem_free(call);
}

void sim_at(struct sim *s, uint64_t t, sim_cb cb, void *ctx)
{
    struct script *call = SIM_NEW(struct script);
    struct sim_event *ev;

    *call = (struct script){ .cb = cb, .ctx = ctx };
    ev = sim__post(s, t > s->now ? t - s->now : 0, run_script, "script");
    ev->ptr = call;
}

void sim_on_event(struct sim *s, sim_cb cb, void *ctx)
{
    s->on_event = cb;
    s->on_event_ctx = ctx;
}

unsigned sim_event_node(const struct sim *s)
{
    return s->event_node;
}

void sim_on_log(struct sim *s, sim_log_cb cb, void *ctx)
{
    s->on_log = cb;
    s->on_log_ctx = ctx;
}

/* ---- nodes ---- */

static struct sim_node *node_of(struct sim *s, unsigned node)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    return &s->nodes[node];
}

const char *sim_node_host(unsigned node)
{
    static char names[SIM_NODES_MAX + 1][16];

    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    snprintf(names[node], sizeof names[node], "10.0.0.%u", node);
    return names[node];
}

struct env *sim_node_start(struct sim *s, unsigned node)
{
    struct sim_node *n = node_of(s, node);
    struct sim_proc *p;

    ASSERT(n->proc == NULL);
    ASSERT(n->arena.count == 0);
    p = SIM_NEW(struct sim_proc);
    p->env.ops = &ops;
    p->env.log_level = ENV_LOG_INFO;
    p->sim = s;
    p->node = n;
    p->incarnation = ++n->incarnations;
    /* Not from the world's generator: what a process draws does not depend on
     * what the network did before it began. */
    for (unsigned i = 0; i < SIM_STREAMS; i++)
        rng_seed(&p->rng[i], s->seed ^ rng_mix((uint64_t)node << 40 |
                                               (uint64_t)i << 32 |
                                               p->incarnation));
    list_init(&p->files);
    list_init(&p->dials);
    list_init(&p->listeners);
    list_init(&p->works);
    sim__clock_start(p);
    n->proc = p;
    if (n->dark) {
        n->dark = false;
        sim__net_lit(s, node);
    }
    sim__note(s, node);
    return &p->env;
}

static void proc_free(struct sim_node *n)
{
    struct sim_proc *p = n->proc;

    sim__clock_stop(p);
    n->proc = NULL;
    mem_free(p);
}

static void node_end(struct sim *s, unsigned node, enum sim_keep keep,
                     bool dark)
{
    struct sim_node *n = node_of(s, node);

    ASSERT(!s->running);
    ASSERT(s->entered == 0);
    ASSERT(n->proc != NULL);
    n->dark = dark;
    sim__net_drop_proc(n->proc, dark);
    sim__work_drop_proc(n->proc);
    sim__disk_drop_proc(n->proc);
    sim__disk_crash(n, keep);
    proc_free(n);
    n->paused_until = 0;
    mem_arena_drop(&n->arena);
    sim__note(s, (uint64_t)node << 8 | keep);
}

void sim_node_crash(struct sim *s, unsigned node, enum sim_keep keep)
{
    node_end(s, node, keep, false);
}

void sim_node_power_off(struct sim *s, unsigned node, enum sim_keep keep)
{
    node_end(s, node, keep, true);
}

void sim_node_exit(struct sim *s, unsigned node)
{
    struct sim_node *n = node_of(s, node);
    struct sim_proc *p = n->proc;

    ASSERT(!s->running);
    ASSERT(p != NULL);
    ASSERT(heap_min(&p->timers) == NULL);
    ASSERT(list_empty(&p->files));
    ASSERT(list_empty(&p->dials));
    ASSERT(list_empty(&p->listeners));
    ASSERT(list_empty(&p->works));
    ASSERT(p->n_streams == 0);
    ASSERT(n->arena.count == 0);
    proc_free(n);
}

void sim_node_pause(struct sim *s, unsigned node, uint64_t t)
{
    node_of(s, node)->paused_until = t;
}

bool sim_node_up(const struct sim *s, unsigned node)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    return s->nodes[node].proc != NULL;
}

unsigned sim_node_of(const struct env *env)
{
    const struct sim_proc *p = (const struct sim_proc *)env;

    ASSERT(env->ops == &ops);
    return p->node->id;
}

void sim_enter(struct sim *s, unsigned node)
{
    ASSERT(s->entered == 0);
    ASSERT(!s->running);
    s->entered = node;
    mem_arena_use(&node_of(s, node)->arena);
}

void sim_leave(struct sim *s)
{
    ASSERT(s->entered != 0);
    s->entered = 0;
    mem_arena_use(NULL);
}

size_t sim_node_blocks(const struct sim *s, unsigned node)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    return s->nodes[node].arena.count;
}

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = SIM_NEW(struct sim);
    const char *log = getenv("KV_SIM_LOG");

    s->seed = seed;
    rng_seed(&s->rng, seed);
    heap_init(&s->events);
    list_init(&s->spare);
    sim__net_init(&s->net);
    s->log_stderr = log != NULL && log[0] == '1';
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        struct sim_node *n = &s->nodes[i];

        n->sim = s;
        n->id = i;
        n->work_lat = (struct sim_latency){ .base_us = 50, .jitter_us = 50 };
        mem_arena_init(&n->arena);
        sim__disk_init(&n->disk);
        buf_init(&n->log);
    }
    return s;
}

void sim_free(struct sim *s)
{
    struct heap_node *min;

    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        if (s->nodes[i].proc != NULL)
            sim_node_crash(s, i, SIM_KEEP_ALL);
    }
    while ((min = heap_min(&s->events)) != NULL) {
        struct sim_event *ev = CONTAINER_OF(min, struct sim_event, at);

        heap_remove(&s->events, min);
        if (ev->run == run_script)
            mem_free(ev->ptr);
        list_add_tail(&s->spare, &ev->link);
    }
    while (!list_empty(&s->spare)) {
        struct sim_event *ev = LIST_FIRST(&s->spare, struct sim_event, link);

        list_del(&ev->link);
        mem_free(ev);
    }
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        sim__disk_close(&s->nodes[i].disk);
        buf_close(&s->nodes[i].log);
    }
    sim__net_close(s);
    heap_close(&s->events);
    mem_free(s);
}

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

uint64_t sim_hash(const struct sim *s)
{
    return s->hash;
}

uint64_t sim_events(const struct sim *s)
{
    return s->n_events;
}

struct rng *sim_rng(struct sim *s)
{
    return &s->rng;
}
