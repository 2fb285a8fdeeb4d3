/* The loop: many clients, one thread, one epoll.
 *
 * A client does one turn after the other.  A turn is one operation of the workload, or in
 * the end a batch of reads, pipelined.
 *
 *   IDLE --time has come--> calls in the history --connected--> SENT --all replies--> IDLE
 *     ^                                 |                        |
 *     +----- returns by fate, closed ---+---- lost, time-out ----+
 *
 * I1  The calls of a turn are in the history before its first byte is sent; a return
 *     is written after its reply was received.
 * I2  A process (the number in the history) has one operation at a time.  After an unknown
 *     outcome its number is never used again.
 * I3  A connection with a reply missing, late or wrong is closed.
 *
 * Half of the clients stay with one node.  The others go to another node after any
 * failure, as a client with several endpoints does.
 *
 * After the load has stopped and the open operations have ended, every key is
 * read through every node, as long as it takes up to final_s seconds: lost and
 * resurrected writes are then in the history. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "jepsen/client.h"

#define BATCH_MAX 64u           /* reads in one turn at the end */
#define EVENTS_MAX 64
#define REFUSED_PAUSE_NS (100 * NS_PER_MS) /* after an attempt that failed */
#define WAIT_MAX_NS (1000 * NS_PER_MS)

enum phase { PHASE_LOAD, PHASE_DRAIN, PHASE_FINAL, PHASE_OVER };

struct client {
    unsigned id;
    unsigned node;       /* index of the endpoint in use */
    bool fixed;
    bool sent;           /* perhaps something of the turn has left */
    unsigned n, done;    /* operations of the turn; 0, 0: idle */
    uint64_t next_at;    /* of the next turn */
    uint64_t deadline;   /* of this turn */
    struct conn conn;
    struct work_op *ops; /* BATCH_MAX of them */
    uint32_t process[BATCH_MAX];
    struct work_memory memory;
};

/* Keys that are still to be read through one node. */
struct todo {
    uint32_t *keys;
    size_t n;
};

struct loop {
    const struct options *o;
    struct run_result *res;
    int epoll;
    enum phase phase;
    uint64_t now, load_end, final_end;
    uint64_t interval;   /* ns between two operations of one client */
    uint32_t next_process;
    bool fatal;
    struct client *clients;
    struct todo todo[OPTIONS_NODES_MAX];
    struct work work;
    struct history_file history;
    struct stats stats;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int sig)
{
    (void)sig;
    stop_asked = 1;
}

uint64_t run_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- the end of an operation ---- */

static void fatal(struct loop *l, const struct client *c, const char *why)
{
    fprintf(stderr, "client: node %s: %s\n", l->o->nodes[c->node].text, why);
    history_comment(&l->history, why);
    l->fatal = true;
}

/* A read at the end has to be repeated until it is answered. */
static void read_again(struct loop *l, const struct client *c, uint32_t key)
{
    struct todo *t = &l->todo[c->node];

    t->keys[t->n++] = key;
}

/* Operation c->done of the turn has ended. */
static void op_end(struct loop *l, struct client *c, enum fate fate)
{
    struct work_op *x = &c->ops[c->done];
    static const enum oracle_outcome outcome[] = {
        [FATE_OK] = ORACLE_OK, [FATE_FAIL] = ORACLE_FAIL,
        [FATE_UNKNOWN] = ORACLE_UNKNOWN, [FATE_CROSSED] = ORACLE_UNKNOWN
    };

    ASSERT(c->done < c->n);
    x->op.outcome = outcome[fate];
    x->op.ret = fate == FATE_OK || fate == FATE_FAIL ? l->now : ORACLE_NEVER;
    if (fate != FATE_OK)
        x->op.has_result = false;
    history_return_line(&l->history, &x->op, l->now);
    if (fate == FATE_OK)
        work_remember(x, &c->memory);
    if (x->op.outcome == ORACLE_UNKNOWN) {
        c->process[c->done] = l->next_process++;
        l->work.keys[x->key].unknown++;
    }
    if (l->phase == PHASE_FINAL) {
        l->res->finals += fate == FATE_OK;
        if (fate != FATE_OK)
            read_again(l, c, x->key);
    } else {
        stats_count(&l->stats, fate, x->op.call, l->now);
    }
    c->done++;
}

/* When the next turn begins. */
static void turn_end(struct loop *l, struct client *c, bool failed)
{
    uint64_t gap = l->interval / 2 + rng_below(&l->work.rng, l->interval + 1);

    ASSERT(c->done == c->n);
    c->n = c->done = 0;
    c->sent = false;
    if (l->phase == PHASE_FINAL)
        gap = 0;
    c->next_at += gap;
    if (c->next_at < l->now)
        c->next_at = l->now;
    if (failed && c->next_at < l->now + REFUSED_PAUSE_NS)
        c->next_at = l->now + REFUSED_PAUSE_NS;
}

static void move_on(struct loop *l, struct client *c)
{
    unsigned n = l->o->n_nodes;

    if (!c->fixed && n > 1 && l->phase != PHASE_FINAL)
        c->node = (c->node + 1 + (unsigned)rng_below(&l->work.rng, n - 1)) % n;
}

/* The connection is of no use any more: end what is open on it. */
static void lost(struct loop *l, struct client *c)
{
    bool busy = c->n > 0;

    while (c->done < c->n)
        op_end(l, c, fate_of_loss(c->ops[c->done].op.f, c->sent));
    conn_close(&c->conn);
    if (busy)
        turn_end(l, c, true);
    move_on(l, c);
}

/* ---- a turn ---- */

static void send_turn(struct loop *l, struct client *c)
{
    ASSERT(c->conn.state == CONN_OPEN && !c->sent);
    for (unsigned i = 0; i < c->n; i++)
        buf_put_slice(&c->conn.out, buf_slice(&c->ops[i].request));
    c->sent = true;
    if (conn_send(&c->conn) != 0)
        lost(l, c);
}

static void turn_start(struct loop *l, struct client *c)
{
    ASSERT(c->n > 0 && c->done == 0);
    l->now = run_now();
    c->deadline = l->now + l->o->timeout_ms * NS_PER_MS;
    for (unsigned i = 0; i < c->n; i++) {
        c->ops[i].op.process = c->process[i];
        c->ops[i].op.call = l->now;
        c->ops[i].op.tag = c->node + 1;
        history_call_line(&l->history, &c->ops[i].op);
    }
    if (c->conn.state == CONN_OPEN)
        send_turn(l, c);
    else if (conn_open(&c->conn, &l->o->nodes[c->node]) != 0)
        lost(l, c);
}

/* A batch of reads for the end.  False: this client has nothing to do. */
static bool next_batch(struct loop *l, struct client *c)
{
    for (unsigned i = 0; i < l->o->n_nodes; i++) {
        unsigned node = (c->id + i) % l->o->n_nodes;
        struct todo *t = &l->todo[node];

        if (t->n == 0)
            continue;
        if (c->node != node)
            conn_close(&c->conn);
        c->node = node;
        for (c->n = 0; c->n < BATCH_MAX && t->n > 0; c->n++)
            work_read(&l->work, t->keys[--t->n], &c->ops[c->n]);
        for (unsigned k = 0; k < c->n; k++)
            if (c->process[k] == UINT32_MAX)
                c->process[k] = l->next_process++;
        return true;
    }
    return false;
}

static void turn_next(struct loop *l, struct client *c)
{
    if (l->phase == PHASE_LOAD) {
        work_next(&l->work, c->id, &c->memory, c->process[0], &c->ops[0]);
        c->n = 1;
    } else if (!next_batch(l, c)) {
        c->next_at = l->now + REFUSED_PAUSE_NS; /* others may give some back */
        return;
    }
    turn_start(l, c);
}

/* Take the replies that are there. */
static void replies(struct loop *l, struct client *c)
{
    struct resp_item item;
    enum fate fate;
    bool expected, failed = false;
    char why[400];
    int rv;

    while ((rv = conn_item(&c->conn, &item)) == 0) {
        if (c->n == 0) {
            fatal(l, c, "bytes that nobody asked for");
            lost(l, c);
            return;
        }
        if (!work_reply(&l->work, &c->ops[c->done], &item, &fate, &expected,
                        why, sizeof why))
            continue;
        l->res->unexpected += !expected;
        l->res->crossed += fate == FATE_CROSSED;
        if (!expected || fate == FATE_CROSSED)
            fatal(l, c, why);
        failed = failed || fate != FATE_OK;
        op_end(l, c, fate);
        if (fate == FATE_CROSSED || !expected) {
            lost(l, c);
            return;
        }
        if (c->done == c->n) {
            turn_end(l, c, failed);
            if (failed) {
                conn_close(&c->conn);
                move_on(l, c);
                return;
            }
        }
    }
    if (rv != KV_EAGAIN) {
        fatal(l, c, "not a reply of the Redis protocol");
        lost(l, c);
    }
}

static void ready(struct loop *l, struct client *c)
{
    bool was_open = c->conn.state == CONN_OPEN;
    int rv;

    if (c->conn.state == CONN_CLOSED)
        return;
    rv = conn_ready(&c->conn);
    l->now = run_now();
    if (c->conn.state == CONN_OPEN)
        replies(l, c); /* also those before the end of the stream */
    if (c->conn.state == CONN_CLOSED)
        return;
    if (rv != 0) {
        lost(l, c);
        return;
    }
    if (!was_open && c->n > 0)
        send_turn(l, c);
}

/* ---- the loop ---- */

static void client_tick(struct loop *l, struct client *c)
{
    if (c->n > 0 && l->now >= c->deadline) {
        lost(l, c);
        return;
    }
    if (c->n == 0 && l->now >= c->next_at &&
        (l->phase == PHASE_LOAD ||
         (l->phase == PHASE_FINAL && l->now < l->final_end)))
        turn_next(l, c);
}

/* Nanoseconds until some client has to do something. */
static uint64_t next_wait(const struct loop *l)
{
    uint64_t at = l->now + WAIT_MAX_NS;

    if (l->phase == PHASE_LOAD && l->load_end < at)
        at = l->load_end;
    for (unsigned i = 0; i < l->o->clients; i++) {
        const struct client *c = &l->clients[i];
        uint64_t t = c->n > 0 ? c->deadline : c->next_at;

        if (t < at && (c->n > 0 || l->phase != PHASE_DRAIN))
            at = t;
    }
    return at > l->now ? at - l->now : 0;
}

static bool all_idle(const struct loop *l)
{
    for (unsigned i = 0; i < l->o->clients; i++)
        if (l->clients[i].n > 0)
            return false;
    return true;
}

static size_t left(const struct loop *l)
{
    size_t n = 0;

    for (unsigned i = 0; i < l->o->n_nodes; i++)
        n += l->todo[i].n;
    return n;
}

static void final_start(struct loop *l)
{
    uint32_t n = l->work.n_keys;

    l->phase = PHASE_FINAL;
    l->final_end = l->now + l->o->final_s * NS_PER_S;
    l->res->keys = n;
    for (unsigned i = 0; i < l->o->n_nodes && n > 0; i++) {
        l->todo[i].keys = mem_alloc(n * sizeof *l->todo[i].keys);
        for (uint32_t k = 0; k < n; k++)
            l->todo[i].keys[l->todo[i].n++] = n - 1 - k;
    }
    for (unsigned i = 0; i < l->o->clients; i++)
        l->clients[i].next_at = l->now;
}

static void phase_advance(struct loop *l)
{
    if (l->fatal || stop_asked)
        l->phase = PHASE_OVER;
    else if (l->phase == PHASE_LOAD && l->now >= l->load_end)
        l->phase = PHASE_DRAIN;
    else if (l->phase == PHASE_DRAIN && all_idle(l))
        final_start(l);
    else if (l->phase == PHASE_FINAL && all_idle(l) &&
             (left(l) == 0 || l->now >= l->final_end))
        l->phase = PHASE_OVER;
}

static void loop_run(struct loop *l)
{
    struct epoll_event events[EVENTS_MAX];

    while (l->phase != PHASE_OVER) {
        uint64_t ns = next_wait(l);
        int n = epoll_wait(l->epoll, events, EVENTS_MAX,
                           (int)((ns + NS_PER_MS - 1) / NS_PER_MS));

        for (int i = 0; i < n; i++)
            ready(l, events[i].data.ptr);
        l->now = run_now();
        stats_advance(&l->stats, l->now);
        for (unsigned i = 0; i < l->o->clients; i++)
            client_tick(l, &l->clients[i]);
        phase_advance(l);
    }
}

static void clients_init(struct loop *l)
{
    l->clients = mem_calloc(l->o->clients, sizeof *l->clients);
    for (unsigned i = 0; i < l->o->clients; i++) {
        struct client *c = &l->clients[i];

        c->id = i;
        c->node = i % l->o->n_nodes;
        c->fixed = (i / l->o->n_nodes) % 2 == 1;
        c->ops = mem_calloc(BATCH_MAX, sizeof *c->ops);
        c->next_at = l->now + rng_below(&l->work.rng, l->interval + 1);
        memset(c->process, 0xff, sizeof c->process);
        c->process[0] = l->next_process++;
        conn_init(&c->conn, l->epoll, c);
    }
}

static void clients_close(struct loop *l)
{
    for (unsigned i = 0; i < l->o->clients; i++) {
        struct client *c = &l->clients[i];

        conn_free(&c->conn);
        for (unsigned k = 0; k < BATCH_MAX; k++)
            work_op_close(&c->ops[k]);
        mem_free(c->ops);
    }
    mem_free(l->clients);
    for (unsigned i = 0; i < l->o->n_nodes; i++)
        mem_free(l->todo[i].keys);
}

/* What is still open is unknown for ever. */
static void close_open_ops(struct loop *l)
{
    for (unsigned i = 0; i < l->o->clients; i++) {
        struct client *c = &l->clients[i];

        while (c->done < c->n)
            op_end(l, c, fate_of_loss(c->ops[c->done].op.f, c->sent));
    }
}

static int exit_status(struct loop *l, bool written)
{
    struct run_result *r = l->res;

    r->ok = l->stats.total_ok;
    r->fail = l->stats.total_fail;
    r->info = l->stats.total_info;
    r->unread = left(l);
    if (!written)
        return 1;
    if (l->fatal)
        return 3;
    if (stop_asked)
        return 5;
    return r->unread > 0 ? 4 : 0;
}

int run(const struct options *o, struct run_result *ret)
{
    struct loop l = { .o = o, .res = ret, .now = run_now() };
    struct sigaction sa = { .sa_handler = on_signal };
    bool written;
    int status;

    *ret = (struct run_result){ .ok = 0 };
    l.interval = NS_PER_S * o->clients / o->rate;
    l.load_end = l.now + o->seconds * NS_PER_S;
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.epoll < 0 || history_open(&l.history, o->history) != 0 ||
        stats_open(&l.stats, o->stats, l.now) != 0) {
        fprintf(stderr, "client: cannot write %s or %s: %s\n", o->history,
                o->stats, strerror(errno));
        return 1;
    }
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    work_init(&l.work, o);
    clients_init(&l);
    loop_run(&l);
    close_open_ops(&l);
    written = stats_close(&l.stats, l.now) == 0;
    written = history_close(&l.history) == 0 && written;
    status = exit_status(&l, written);
    clients_close(&l);
    work_close(&l.work);
    close(l.epoll);
    return status;
}
