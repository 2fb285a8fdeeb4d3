/* Clients: connections to the cluster, pipelines, time-outs, retries.
 *
 *   waiting --pause over--> dialing --connected--> up
 *      ^                       |                    |
 *      +------refused----------+                    |
 *      +---reset, end, time-out of an operation, now and then by choice
 *
 * A client keeps one connection to some node and asks what the workload tells it, up
 * to plan.pipeline actions at a time.  Replies come in the order of the
 * questions.  When one takes longer than plan.timeout_ms the client drops the connection:
 * the fate of all that was in flight is unknown, and a late reply cannot
 * be mistaken for another's.  Then it turns to any node.
 *
 * Readers, for the end of a run, are clients that stay with one node and read key after
 * key, each until it is answered.
 *
 * Memory: connections live in the arena of the client's host, all else in the
 * world's, so that ending the host's process frees the former. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kvsim/crowd.h"

#define MS 1000u
#define DIAL_MS 1000u
#define BACKOFF_MIN_MS 20u
#define BACKOFF_MS 300u
#define HOP_ONE_IN 40u  /* an idle client moves on instead of asking */
#define BURST_ONE_IN 3u /* the next action follows at once */

enum client_state { CLIENT_OFF, CLIENT_WAITING, CLIENT_DIALING, CLIENT_UP };

struct conn {
    struct client *client;   /* NULL: dropped, closing */
    struct env *env;
    struct env_stream *stream;
    struct env_write write;
    bool writing;
    struct buf in, out, sending;
};

struct client {
    struct crowd *crowd;
    unsigned id, host;
    unsigned node;           /* whom it talks to */
    bool reader;             /* stays with its node */
    size_t next_key;         /* reader */
    enum client_state state;
    struct conn *conn;       /* state up */
    struct env_timer timer;
    uint64_t wake_us;        /* next action, or end of the pause */
    struct list actions;     /* struct action: in flight, oldest first */
    unsigned n_actions;
    bool served;             /* had an answer since crowd_expect */
};

struct crowd {
    struct world *w;
    struct workload *load;
    struct rng rng;
    struct env *env[WORLD_CLIENT_HOSTS];
    struct client *clients;  /* of the load */
    struct client *readers;  /* one a node, or NULL */
    unsigned n_readers;
    bool stopped;
};

static uint64_t now(const struct client *c)
{
    return sim_now(c->crowd->w->sim);
}

/* From low to below high. */
static uint64_t between(struct client *c, uint64_t low, uint64_t high)
{
    return low + rng_below(&c->crowd->rng, high - low);
}

static void step(struct client *c);

/* Wake at time t of the world (us); the client's clock is as good as the world's. */
static void wake_at(struct client *c, uint64_t t)
{
    uint64_t ms = t <= now(c) ? 0 : (t - now(c) + MS - 1) / MS;

    env_timer_set(&c->timer, env_now_ms(c->timer.env) + ms);
}

/* ---- connections ---- */

static void on_closed(void *ctx)
{
    struct conn *k = ctx;

    buf_close(&k->in);
    buf_close(&k->out);
    buf_close(&k->sending);
    mem_free(k);
}

static void pause_for(struct client *c, uint64_t ms)
{
    c->state = CLIENT_WAITING;
    c->wake_us = now(c) + ms * MS;
    wake_at(c, c->wake_us);
}

/* Leave the connection; nobody will know what became of the actions in flight. */
static void drop(struct client *c)
{
    struct conn *k = c->conn;

    ASSERT(c->state == CLIENT_UP);
    c->conn = NULL;
    k->client = NULL;
    env_stream_close(k->env, k->stream, on_closed, k);
    while (!list_empty(&c->actions)) {
        struct action *a = LIST_FIRST(&c->actions, struct action, link);

        list_del(&a->link);
        c->n_actions--;
        workload_lost(c->crowd->load, a);
    }
    pause_for(c, between(c, BACKOFF_MIN_MS, BACKOFF_MS));
}

static void flush(struct conn *k);

static void on_written(struct env_write *wr, int status)
{
    struct conn *k = wr->data;

    k->writing = false;
    if (status == 0 && k->client != NULL)
        flush(k);
}

static void flush(struct conn *k)
{
    struct slice part = buf_slice(&k->out);
    long n;

    if (k->writing || part.n == 0)
        return;
    n = env_stream_try_write(k->env, k->stream, &part, 1);
    if (n < 0)
        return; /* `end` tells it */
    buf_consume(&k->out, (size_t)n);
    if (k->out.len == 0)
        return;
    buf_clear(&k->sending);
    buf_put_slice(&k->sending, buf_slice(&k->out));
    buf_clear(&k->out);
    part = buf_slice(&k->sending);
    k->writing = true;
    k->write.cb = on_written;
    k->write.data = k;
    (void)env_stream_write(k->env, k->stream, &k->write, &part, 1);
}

/* ---- replies ---- */

static void take(struct client *c, const struct answer *r)
{
    struct action *a = LIST_FIRST(&c->actions, struct action, link);
    bool ok = false;

    if (a->n_replies == 1) {
        list_del(&a->link);
        c->n_actions--;
    }
    (void)workload_reply(c->crowd->load, a, r, &ok);
    c->served = c->served || ok;
    if (c->reader && ok)
        c->next_key++;
}

static void garbled(struct client *c, const char *what)
{
    struct slice in = buf_slice(&c->conn->in);

    world_violate(c->crowd->w, VERDICT_CORRECTNESS,
                  "node %u sent client %u %s: \"%.*s\"", c->node, c->id, what,
                  (int)(in.n < 100 ? in.n : 100), (const char *)in.p);
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct conn *k = ctx;
    struct client *c = k->client;
    struct answer r;
    long used;

    buf_put(&k->in, p, n);
    while ((used = answer_read(buf_slice(&k->in), &r)) > 0) {
        if (list_empty(&c->actions)) {
            garbled(c, "a reply to nothing");
            break;
        }
        take(c, &r);
        buf_consume(&k->in, (size_t)used);
    }
    if (used < 0)
        garbled(c, "no reply of RESP2");
    step(c);
}

static void on_end(void *ctx, int status)
{
    struct conn *k = ctx;

    (void)status;
    drop(k->client);
}

/* ---- the life of a client ---- */

static void on_dialed(void *ctx, int status, struct env_stream *stream)
{
    static const struct env_stream_ops ops = { .data = on_data, .end = on_end };
    struct client *c = ctx;
    struct conn *k;

    if (status != 0) {
        pause_for(c, between(c, BACKOFF_MIN_MS, BACKOFF_MS));
        return;
    }
    k = MEM_NEW(struct conn);
    k->client = c;
    k->env = c->timer.env;
    k->stream = stream;
    buf_init(&k->in);
    buf_init(&k->out);
    buf_init(&k->sending);
    c->conn = k;
    c->state = CLIENT_UP;
    c->wake_us = now(c);
    env_stream_start(k->env, stream, &ops, k);
    step(c);
}

static void dial(struct client *c)
{
    struct env_dial *d;

    if (!c->reader)
        c->node = 1 + (unsigned)rng_below(&c->crowd->rng,
                                          c->crowd->w->plan.nodes);
    c->state = CLIENT_DIALING;
    if (env_dial(c->timer.env, sim_node_host(c->node), WORLD_PORT, DIAL_MS,
                 on_dialed, c, &d) != 0)
        pause_for(c, BACKOFF_MS);
}

/* Skip what the cluster does not owe; false: all read. */
static bool reader_has_more(struct client *c)
{
    struct workload *l = c->crowd->load;

    while (c->next_key < workload_keys(l) && !workload_key_owed(l, c->next_key))
        c->next_key++;
    return c->next_key < workload_keys(l);
}

static struct action *next_action(struct client *c, struct buf *out)
{
    struct workload *l = c->crowd->load;

    if (!c->reader)
        return workload_next(l, c->id, c->node, out);
    return reader_has_more(c) ? workload_read(l, c->next_key, c->id, c->node,
                                              out)
                              : NULL;
}

/* Send the next action; false: there is none now. */
static bool ask(struct client *c)
{
    const struct plan *p = &c->crowd->w->plan;
    struct action *a = next_action(c, &c->conn->out);
    bool burst = !c->reader && rng_below(&c->crowd->rng, BURST_ONE_IN) == 0;

    if (!burst || a == NULL)
        c->wake_us = now(c) + between(c, 0, 2 * p->think_ms * MS + 1);
    if (a == NULL)
        return false;
    a->deadline_us = now(c) + (uint64_t)p->timeout_ms * MS;
    list_add_tail(&c->actions, &a->link);
    c->n_actions++;
    flush(c->conn);
    return true;
}

static bool overdue(const struct client *c)
{
    return !list_empty(&c->actions) &&
           LIST_FIRST(&c->actions, struct action, link)->deadline_us <= now(c);
}

static bool may_ask(const struct client *c)
{
    return c->reader ? c->n_actions == 0
                     : !c->crowd->stopped &&
                           c->n_actions < c->crowd->w->plan.pipeline;
}

/* What there is to do for a client that is connected. */
static void step_up(struct client *c)
{
    bool done = c->reader ? !reader_has_more(c) : c->crowd->stopped;
    uint64_t next = UINT64_MAX;

    if (overdue(c)) {
        world_note(c->crowd->w, "client %u gives up on node %u", c->id,
                   c->node);
        drop(c);
        return;
    }
    if (done && c->n_actions == 0) {
        drop(c);
        c->state = CLIENT_OFF;
        env_timer_stop(&c->timer);
        return;
    }
    if (!c->reader && c->n_actions == 0 && c->wake_us <= now(c) &&
        rng_below(&c->crowd->rng, HOP_ONE_IN) == 0) {
        drop(c);
        return;
    }
    while (may_ask(c) && (c->reader || c->wake_us <= now(c)) && ask(c))
        ;
    if (may_ask(c))
        next = c->wake_us;
    if (!list_empty(&c->actions)) {
        uint64_t t = LIST_FIRST(&c->actions, struct action, link)->deadline_us;

        next = t < next ? t : next;
    }
    if (next != UINT64_MAX)
        wake_at(c, next);
}

static void step(struct client *c)
{
    switch (c->state) {
    case CLIENT_OFF:
    case CLIENT_DIALING:
        break;
    case CLIENT_WAITING:
        if (!c->reader && c->crowd->stopped)
            c->state = CLIENT_OFF;
        else if (c->wake_us <= now(c))
            dial(c);
        else
            wake_at(c, c->wake_us);
        break;
    case CLIENT_UP:
        step_up(c);
        break;
    }
}

static void on_timer(struct env_timer *t)
{
    step(t->data);
}

/* ---- the crowd ---- */

struct crowd *crowd_new(struct world *w)
{
    struct crowd *c = MEM_NEW(struct crowd);

    c->w = w;
    c->load = workload_new(w);
    rng_seed(&c->rng, rng_mix(w->plan.seed ^ UINT64_C(0xc70d)));
    for (unsigned i = 0; i < WORLD_CLIENT_HOSTS; i++)
        c->env[i] = sim_node_start(w->sim, WORLD_CLIENT_HOST + i);
    return c;
}

static void lose_actions(struct client *c)
{
    while (!list_empty(&c->actions)) {
        struct action *a = LIST_FIRST(&c->actions, struct action, link);

        list_del(&a->link);
        workload_lost(c->crowd->load, a);
    }
}

void crowd_free(struct crowd *c)
{
    for (unsigned i = 0; i < WORLD_CLIENT_HOSTS; i++)
        sim_node_crash(c->w->sim, WORLD_CLIENT_HOST + i, SIM_KEEP_ALL);
    for (unsigned i = 0; c->clients != NULL && i < c->w->plan.clients; i++)
        lose_actions(&c->clients[i]);
    for (unsigned i = 0; i < c->n_readers; i++)
        lose_actions(&c->readers[i]);
    workload_free(c->load);
    mem_free(c->clients);
    mem_free(c->readers);
    mem_free(c);
}

static void client_start(struct crowd *crowd, struct client *c, unsigned id)
{
    unsigned at = id % WORLD_CLIENT_HOSTS;

    c->crowd = crowd;
    c->id = id;
    c->host = WORLD_CLIENT_HOST + at;
    list_init(&c->actions);
    sim_enter(crowd->w->sim, c->host);
    env_timer_init(crowd->env[at], &c->timer, on_timer, c);
    pause_for(c, between(c, 0, BACKOFF_MS));
    sim_leave(crowd->w->sim);
}

void crowd_start(struct crowd *c)
{
    unsigned n = c->w->plan.clients;

    ASSERT(c->clients == NULL);
    c->clients = mem_calloc(n, sizeof *c->clients);
    for (unsigned i = 0; i < n; i++)
        client_start(c, &c->clients[i], i);
}

void crowd_stop(struct crowd *c)
{
    c->stopped = true;
}

bool crowd_idle(const struct crowd *c)
{
    for (unsigned i = 0; i < c->w->plan.clients; i++)
        if (c->clients[i].state != CLIENT_OFF)
            return false;
    return true;
}

void crowd_expect(struct crowd *c)
{
    for (unsigned i = 0; i < c->w->plan.clients; i++)
        c->clients[i].served = false;
}

bool crowd_served(const struct crowd *c)
{
    for (unsigned i = 0; i < c->w->plan.clients; i++)
        if (!c->clients[i].served)
            return false;
    return true;
}

void crowd_read_all(struct crowd *c)
{
    ASSERT(c->readers == NULL);
    c->readers = mem_calloc(c->w->plan.nodes, sizeof *c->readers);
    for (unsigned i = 1; i <= c->w->plan.nodes; i++) {
        struct client *r = &c->readers[c->n_readers];

        if (c->w->host[i].refused)
            continue;
        r->reader = true;
        r->node = i;
        client_start(c, r, c->w->plan.clients + c->n_readers);
        c->n_readers++;
    }
}

bool crowd_read_all_done(const struct crowd *c)
{
    for (unsigned i = 0; i < c->n_readers; i++)
        if (c->readers[i].state != CLIENT_OFF)
            return false;
    return true;
}
