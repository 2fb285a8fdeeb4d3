/* Dialling: name -> addresses -> the first one that answers.
 *
 *     resolving ---> connecting to address 1 ---> ... 2 ---> over ---> callback
 *         |                 |                        |        ^
 *         +-----------------+---- timeout, cancel ---+--------+
 *
 *  I1  A dial ends once: dial_over moves it to e->dialed, and the loop calls
 *      its callback from there, so never inside env_dial or env_dial_cancel.
 *  I2  A cancel that comes between the end and the callback still wins: the
 *      stream, if there is one, is closed.
 *  I3  A dial that is over waits for nothing.  getaddrinfo cannot be
 *      interrupted and may take half a minute, and a connect request completes
 *      only after its stream is closed; so each is an object of its own
 *      (resolve, attempt) that is orphaned and frees itself when libuv is done
 *      with it.
 *
 * A numeric host skips the resolver and its thread. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv_int.h"

/* One question to the resolver. */
struct resolve {
    uv_getaddrinfo_t req;
    struct env_dial *dial; /* NULL: orphaned */
};

/* One connect request. */
struct attempt {
    uv_connect_t req;
    struct env_dial *dial;     /* NULL: orphaned */
    struct env_stream *stream; /* owned while the dial is there */
};

struct env_dial {
    struct list link; /* e->dialed, when over */
    struct env_uv *e;
    env_dial_cb cb;
    void *ctx;
    struct env_timer timeout;
    struct resolve *resolve; /* while resolving */
    struct addrinfo *info;   /* owned: all addresses */
    struct addrinfo *next;   /* the one to try after this */
    struct attempt *attempt; /* while connecting */
    bool over;
    int status;                /* once over */
    struct env_stream *stream; /* once over, with status 0; owned */
};

bool env_uv__numeric(const char *host, uint16_t port,
                     struct sockaddr_storage *ret)
{
    union {
        struct sockaddr_storage ss;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;

    memset(&u, 0, sizeof u);
    if (uv_ip4_addr(host, port, &u.in) != 0 &&
        uv_ip6_addr(host, port, &u.in6) != 0)
        return false;
    *ret = u.ss;
    return true;
}

/* I1.  stream is NULL unless status is 0. */
static void dial_over(struct env_dial *d, int status, struct env_stream *stream)
{
    ASSERT(!d->over);
    ASSERT((status == 0) == (stream != NULL));
    d->over = true;
    d->status = status;
    d->stream = stream;
    env_timer_stop(&d->timeout);
    if (d->resolve != NULL) { /* I3 */
        d->resolve->dial = NULL;
        uv_cancel((uv_req_t *)&d->resolve->req); /* or it runs to its end */
        d->resolve = NULL;
    }
    if (d->attempt != NULL) { /* I3 */
        d->attempt->dial = NULL;
        env_uv__stream_drop(d->attempt->stream);
        d->attempt = NULL;
    }
    list_add_tail(&d->e->dialed, &d->link);
}

void env_uv__dialed(struct env_uv *e)
{
    while (!list_empty(&e->dialed)) {
        struct env_dial *d = LIST_FIRST(&e->dialed, struct env_dial, link);

        ASSERT(d->over);
        ASSERT(e->n_dials > 0);
        list_del(&d->link);
        e->n_dials--;
        uv_freeaddrinfo(d->info);
        d->cb(d->ctx, d->status, d->stream);
        mem_free(d);
    }
}

static void connect_next(struct env_dial *d, int err);

static void on_connect(uv_connect_t *req, int status)
{
    struct attempt *a = req->data;
    struct env_dial *d = a->dial;
    struct env_stream *s = a->stream;

    mem_free(a);
    if (d == NULL)
        return; /* orphaned: its stream is closing */
    ASSERT(!d->over);
    d->attempt = NULL;
    if (status != 0) {
        env_uv__stream_drop(s);
        connect_next(d, env_uv__err(status));
        return;
    }
    env_uv__stream_set(s);
    dial_over(d, 0, s);
}

static int connect_to(struct env_dial *d, const struct sockaddr *addr)
{
    struct attempt *a = MEM_NEW(struct attempt);
    int rv;

    ASSERT(d->attempt == NULL);
    a->dial = d;
    a->stream = env_uv__stream_new(d->e);
    a->req.data = a;
    rv = uv_tcp_connect(&a->req, env_uv__stream_tcp(a->stream), addr,
                        on_connect);
    if (rv != 0) {
        env_uv__stream_drop(a->stream);
        mem_free(a);
        return env_uv__err(rv);
    }
    d->attempt = a;
    return 0;
}

/* Try the addresses that are left; err is what the last one said. */
static void connect_next(struct env_dial *d, int err)
{
    ASSERT(err < 0);
    while (d->next != NULL) {
        const struct addrinfo *ai = d->next;

        d->next = ai->ai_next;
        err = connect_to(d, ai->ai_addr);
        if (err == 0)
            return;
    }
    dial_over(d, err, NULL);
}

static void on_resolved(uv_getaddrinfo_t *req, int status,
                        struct addrinfo *info)
{
    struct resolve *r = req->data;
    struct env_dial *d = r->dial;

    mem_free(r);
    if (d == NULL) { /* orphaned */
        uv_freeaddrinfo(info);
        return;
    }
    d->resolve = NULL;
    if (status != 0) {
        dial_over(d, env_uv__err(status), NULL);
        return;
    }
    d->info = d->next = info;
    connect_next(d, KV_ENOENT);
}

static int resolve_start(struct env_dial *d, const char *host, uint16_t port)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICSERV };
    struct resolve *r = MEM_NEW(struct resolve);
    char service[8];
    int rv;

    snprintf(service, sizeof service, "%u", (unsigned)port);
    r->dial = d;
    r->req.data = r;
    rv = uv_getaddrinfo(&d->e->loop, &r->req, on_resolved, host, service,
                        &hints);
    if (rv != 0) {
        mem_free(r);
        return env_uv__err(rv);
    }
    d->resolve = r;
    return 0;
}

static void on_timeout(struct env_timer *t)
{
    dial_over(t->data, KV_ETIMEDOUT, NULL);
}

int env_uv__dial(struct env *env, const char *host, uint16_t port,
                 uint64_t timeout_ms, env_dial_cb cb, void *ctx,
                 struct env_dial **ret)
{
    struct env_uv *e = env_uv__of(env);
    struct env_dial *d = MEM_NEW(struct env_dial);
    struct sockaddr_storage ss;
    int rv;

    ASSERT(cb != NULL);
    list_init(&d->link);
    d->e = e;
    d->cb = cb;
    d->ctx = ctx;
    env_timer_init(env, &d->timeout, on_timeout, d);
    env_timer_set(&d->timeout, env_now_ms(env) + timeout_ms);
    e->n_dials++;
    if (env_uv__numeric(host, port, &ss))
        rv = connect_to(d, (const struct sockaddr *)&ss);
    else
        rv = resolve_start(d, host, port);
    if (rv != 0)
        dial_over(d, rv, NULL); /* reported like any other failure */
    *ret = d;
    return 0;
}

void env_uv__dial_cancel(struct env *env, struct env_dial *d)
{
    ASSERT(d->e == env_uv__of(env));
    if (!d->over) {
        dial_over(d, KV_ECANCELED, NULL);
        return;
    }
    if (d->stream != NULL) /* I2 */
        env_uv__stream_drop(d->stream);
    d->stream = NULL;
    d->status = KV_ECANCELED;
}
