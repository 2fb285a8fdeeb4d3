/* How connections begin: listeners and dials.
 *
 *   client                       server
 *   dial  ---- SYN, latency ----> listener there? accept(stream)
 *   cb(0, stream) <--- SYN-ACK ---      (bytes the server writes follow it)
 *   cb(KV_ECONN)  <--- RST --------  no process, or nobody listens
 *
 * A SYN or SYN-ACK on a way that is cut, or to a host without power, is lost and sent
 * again every SIM_SYN_RETRY_US until the dial's own deadline, which ends it
 * with KV_ETIMEDOUT.
 *
 * L1  A dial's callback runs once, from an event.
 * L2  A dial that ends after the server accepted resets the server's stream. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_int.h"

struct env_listener {
    struct list link; /* sim_proc.listeners */
    uint16_t port;
    bool closing;
    env_accept_cb cb;
    void *ctx;
    env_close_cb close_cb;
    void *close_ctx;
};

struct env_dial {
    struct list link; /* sim_proc.dials */
    struct list all;  /* sim_net.dials */
    struct sim_proc *proc; /* NULL: its process knows the result, or is gone */
    unsigned to;
    uint16_t port;
    bool done; /* its result is on the way */
    int status;
    struct sim_conn *conn; /* accepted by the server */
    env_dial_cb cb;
    void *ctx;
    unsigned events; /* posted ones that name it */
};

static void dial_syn(struct sim *s, struct sim_event *ev);

/* ---- listeners ---- */

static struct env_listener *find_listener(struct sim_proc *p, uint16_t port)
{
    struct list *at;

    for (at = p->listeners.next; at != &p->listeners; at = at->next) {
        struct env_listener *l = CONTAINER_OF(at, struct env_listener, link);

        if (l->port == port && !l->closing)
            return l;
    }
    return NULL;
}

int sim__listen(struct env *e, const char *host, uint16_t port,
                env_accept_cb cb, void *ctx, struct env_listener **ret)
{
    struct sim_proc *p = sim__proc(e);
    struct env_listener *l;

    ASSERT(cb != NULL);
    if (port == 0 || (strcmp(host, "0.0.0.0") != 0 &&
                      strcmp(host, sim_node_host(p->node->id)) != 0))
        return KV_EINVAL;
    if (find_listener(p, port) != NULL)
        return KV_EADDRINUSE;
    l = SIM_NEW(struct env_listener);
    l->port = port;
    l->cb = cb;
    l->ctx = ctx;
    list_add_tail(&p->listeners, &l->link);
    *ret = l;
    return 0;
}

uint16_t sim__listener_port(struct env *e, struct env_listener *l)
{
    (void)e;
    return l->port;
}

static void listener_closed(struct sim *s, struct sim_event *ev)
{
    struct env_listener *l = ev->ptr;
    env_close_cb cb = l->close_cb;
    void *ctx = l->close_ctx;

    (void)s;
    list_del(&l->link);
    mem_free(l);
    if (cb != NULL)
        cb(ctx);
}

void sim__listener_close(struct env *e, struct env_listener *l,
                         env_close_cb cb, void *ctx)
{
    ASSERT(!l->closing);
    l->closing = true;
    l->close_cb = cb;
    l->close_ctx = ctx;
    sim__post_proc(sim__proc(e), 0, listener_closed, "listener closed", l);
}

/* ---- dials ---- */

static void dial_post(struct env_dial *d, unsigned node, uint64_t delay,
                      sim_event_cb run, const char *name)
{
    struct sim_event *ev = sim__post(d->proc->sim, delay, run, name);

    ev->node = node;
    ev->ptr = d;
    d->events++;
}

static void dial_release(struct env_dial *d)
{
    ASSERT(d->events > 0);
    if (--d->events > 0 || d->proc != NULL)
        return;
    list_del(&d->all);
    mem_free(d);
}

static void dial_result(struct sim *s, struct sim_event *ev)
{
    struct env_dial *d = ev->ptr;
    struct sim_conn *c = d->conn;

    (void)s;
    if (d->proc == NULL) {
        dial_release(d);
        return;
    }
    if (d->status != 0 && c != NULL)
        sim__conn_abandon(c); /* L2 */
    d->conn = NULL;
    list_del(&d->link);
    d->proc = NULL;
    d->cb(d->ctx, d->status, d->status == 0 ? sim__conn_end(c, 0) : NULL);
    dial_release(d);
}

static void dial_end(struct env_dial *d, int status, uint64_t delay)
{
    if (d->done)
        return;
    d->done = true;
    d->status = status;
    dial_post(d, d->proc->node->id, delay, dial_result, "dialled");
}

/* The server's answer travels; when its way is cut it is sent again. */
static void dial_answer(struct sim *s, struct sim_event *ev)
{
    struct env_dial *d = ev->ptr;

    if (d->proc != NULL && !d->done) {
        unsigned me = d->proc->node->id;
        uint64_t t = sim__net_delay(s, d->to, me, 0);

        if (sim__net_dead(s, d->to, me) || sim__net_lost(s, d->to, me))
            dial_post(d, 0, SIM_SYN_RETRY_US, dial_answer, "syn-ack again");
        else
            dial_end(d, d->conn != NULL ? 0 : KV_ECONN, t);
    }
    dial_release(d);
}

/* The SYN is at the server's host.  What the server writes before the client
 * knows of the stream waits for the client to start it. */
static void dial_arrive(struct sim *s, struct sim_event *ev)
{
    struct env_dial *d = ev->ptr;
    struct sim_proc *server = s->nodes[d->to].proc;
    struct env_listener *l = NULL;
    struct sim_conn *c = NULL;

    if (d->proc == NULL || d->done) {
        dial_release(d);
        return;
    }
    if (server != NULL)
        l = find_listener(server, d->port);
    if (l != NULL)
        c = d->conn = sim__conn_new(d->proc, server, d->port);
    dial_post(d, 0, 0, dial_answer, "syn-ack");
    dial_release(d);
    if (l != NULL)
        l->cb(l->ctx, sim__conn_end(c, 1));
}

static void dial_syn(struct sim *s, struct sim_event *ev)
{
    struct env_dial *d = ev->ptr;

    if (d->proc != NULL && !d->done) {
        unsigned me = d->proc->node->id;
        uint64_t t = sim__net_delay(s, me, d->to, 0);

        if (sim__net_dead(s, me, d->to) || sim__net_lost(s, me, d->to))
            dial_post(d, 0, SIM_SYN_RETRY_US, dial_syn, "syn again");
        else
            dial_post(d, d->to, t, dial_arrive, "syn");
    }
    dial_release(d);
}

static void dial_timeout(struct sim *s, struct sim_event *ev)
{
    struct env_dial *d = ev->ptr;

    (void)s;
    if (d->proc != NULL)
        dial_end(d, KV_ETIMEDOUT, 0);
    dial_release(d);
}

static unsigned resolve(const char *host)
{
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        if (strcmp(host, sim_node_host(i)) == 0)
            return i;
    }
    return 0;
}

int sim__dial(struct env *e, const char *host, uint16_t port,
              uint64_t timeout_ms, env_dial_cb cb, void *ctx,
              struct env_dial **ret)
{
    struct sim_proc *p = sim__proc(e);
    struct env_dial *d = SIM_NEW(struct env_dial);

    ASSERT(cb != NULL);
    d->proc = p;
    d->to = resolve(host);
    d->port = port;
    d->cb = cb;
    d->ctx = ctx;
    list_add_tail(&p->dials, &d->link);
    list_add_tail(&p->sim->net.dials, &d->all);
    if (d->to == 0) {
        dial_end(d, KV_ENOENT, 0);
    } else {
        dial_post(d, 0, 0, dial_syn, "dial");
        dial_post(d, p->node->id, timeout_ms * 1000, dial_timeout,
                  "dial deadline");
    }
    *ret = d;
    return 0;
}

void sim__dial_cancel(struct env *e, struct env_dial *d)
{
    ASSERT(d->proc == sim__proc(e));
    if (d->done)
        d->status = KV_ECANCELED;
    else
        dial_end(d, KV_ECANCELED, 0);
}

void sim__net_drop_dials(struct sim_proc *p)
{
    while (!list_empty(&p->dials)) {
        struct env_dial *d = LIST_FIRST(&p->dials, struct env_dial, link);

        /* The conn's own end is dropped with the process's others. */
        list_del(&d->link);
        d->proc = NULL;
        d->conn = NULL;
        ASSERT(d->events > 0);
    }
    while (!list_empty(&p->listeners)) {
        struct env_listener *l =
            LIST_FIRST(&p->listeners, struct env_listener, link);

        list_del(&l->link);
        mem_free(l);
    }
}

void sim__dials_close(struct sim *s)
{
    while (!list_empty(&s->net.dials)) {
        struct env_dial *d = LIST_FIRST(&s->net.dials, struct env_dial, all);

        list_del(&d->all);
        mem_free(d);
    }
}
