/* Streams: connected TCP sockets, accepted (env_uv_listen.c) or dialled
 * (env_uv_dial.c).
 *
 *     open --start--> reading <--pause, resume--> paused
 *       |                |  end (once)              |
 *       +------close-----+--------------------------+--> closing --> freed
 *
 *  I1  All streams read into one buffer of the env.  That is safe because
 *      `data` runs before libuv reads again, and the bytes are borrowed for
 *      that call.
 *  I2  `end` is delivered at most once, and nothing is read after it.
 *  I3  Once close was called neither `data` nor `end` runs; pending writes
 *      complete with KV_ECANCELED, then the close callback runs.  libuv gives
 *      that order: it flushes the write queue of a closing stream before its
 *      close callback. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv_int.h"

/* Parts of one call that fit on the stack; more are allocated. */
#define BUFS_ON_STACK 64u
/* Parts of one writev of try_write. */
#define TRY_BUFS_MAX 256u

struct env_stream {
    uv_tcp_t tcp;
    struct env_uv *e;
    const struct env_stream_ops *ops; /* NULL until started */
    void *ctx;
    unsigned n_writes;     /* pending */
    bool ended;            /* I2 */
    bool closing;          /* I3 */
    env_close_cb close_cb; /* NULL for a stream that no caller has seen */
    void *close_ctx;
};

/* What env_write.impl holds. */
struct write_impl {
    uv_write_t req;
    struct env_stream *stream;
};
_Static_assert(sizeof(struct write_impl) <=
                   sizeof(((struct env_write *)0)->impl),
               "env_write.impl is too small");

/* ---- streams ---- */

struct env_stream *env_uv__stream_new(struct env_uv *e)
{
    struct env_stream *s = MEM_NEW(struct env_stream);

    if (uv_tcp_init(&e->loop, &s->tcp) != 0)
        UNREACHABLE(); /* without an address family it takes no resource */
    s->tcp.data = s;
    s->e = e;
    e->n_streams++;
    return s;
}

uv_tcp_t *env_uv__stream_tcp(struct env_stream *s)
{
    return &s->tcp;
}

/* Both fail only when the other end is gone already, which the first read or
 * write will tell. */
void env_uv__stream_set(struct env_stream *s)
{
    uv_tcp_nodelay(&s->tcp, 1);
    uv_tcp_keepalive(&s->tcp, 1, ENV_UV_KEEPALIVE_S);
}

static void stream_closed(uv_handle_t *handle)
{
    struct env_stream *s = handle->data;
    env_close_cb cb = s->close_cb;
    void *ctx = s->close_ctx;

    ASSERT(s->n_writes == 0);
    if (cb != NULL) {
        ASSERT(s->e->n_streams > 0);
        s->e->n_streams--;
    }
    mem_free(s);
    if (cb != NULL)
        cb(ctx);
}

/* For a stream that no caller has: it counts as given back at once, because
 * nobody could wait for its end. */
void env_uv__stream_drop(struct env_stream *s)
{
    ASSERT(!s->closing);
    ASSERT(s->e->n_streams > 0);
    s->e->n_streams--;
    s->closing = true;
    uv_close((uv_handle_t *)&s->tcp, stream_closed);
}

void env_uv__stream_close(struct env *env, struct env_stream *s,
                          env_close_cb cb, void *ctx)
{
    ASSERT(s->e == env_uv__of(env));
    ASSERT(cb != NULL);
    ASSERT(!s->closing);
    s->close_cb = cb;
    s->close_ctx = ctx;
    s->closing = true;
    uv_close((uv_handle_t *)&s->tcp, stream_closed);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    struct env_stream *s = handle->data;

    (void)hint;
    *ret = uv_buf_init((char *)s->e->read_buf, ENV_UV_READ_BYTES); /* I1 */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct env_stream *s = stream->data;

    ASSERT(!s->closing);
    ASSERT(!s->ended);
    if (n > 0) {
        s->ops->data(s->ctx, (const uint8_t *)buf->base, (size_t)n);
        return;
    }
    if (n == 0)
        return; /* nothing there after all */
    s->ended = true;
    uv_read_stop(stream);
    s->ops->end(s->ctx, env_uv__err((int)n));
}

void env_uv__stream_resume(struct env *env, struct env_stream *s)
{
    int rv;

    (void)env;
    ASSERT(s->ops != NULL);
    ASSERT(!s->closing);
    if (s->ended)
        return;
    rv = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    ASSERT(rv == 0 || rv == UV_EALREADY);
}

void env_uv__stream_pause(struct env *env, struct env_stream *s)
{
    (void)env;
    ASSERT(s->ops != NULL);
    ASSERT(!s->closing);
    uv_read_stop((uv_stream_t *)&s->tcp);
}

void env_uv__stream_start(struct env *env, struct env_stream *s,
                          const struct env_stream_ops *ops, void *ctx)
{
    ASSERT(s->ops == NULL);
    ASSERT(ops->data != NULL);
    ASSERT(ops->end != NULL);
    s->ops = ops;
    s->ctx = ctx;
    env_uv__stream_resume(env, s);
}

static void to_bufs(uv_buf_t *bufs, const struct slice *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bufs[i].base = (char *)(uintptr_t)parts[i].p;
        bufs[i].len = parts[i].n;
    }
}

static size_t parts_bytes(const struct slice *parts, unsigned n)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += parts[i].n;
    return bytes;
}

long env_uv__stream_try_write(struct env *env, struct env_stream *s,
                              const struct slice *parts, unsigned n)
{
    long total = 0;

    (void)env;
    ASSERT(!s->closing);
    ASSERT(s->n_writes == 0);
    while (n > 0) {
        uv_buf_t bufs[TRY_BUFS_MAX];
        unsigned m = n < TRY_BUFS_MAX ? n : TRY_BUFS_MAX;
        int rv;

        to_bufs(bufs, parts, m);
        rv = uv_try_write((uv_stream_t *)&s->tcp, bufs, m);
        if (rv == UV_EAGAIN)
            break;
        if (rv < 0) /* what was taken counts; the error will come again */
            return total > 0 ? total : KV_ECONN;
        total += rv;
        if ((size_t)rv < parts_bytes(parts, m))
            break;
        parts += m;
        n -= m;
    }
    return total;
}

static void on_written(uv_write_t *req, int status)
{
    struct env_write *w = req->data;
    struct write_impl *impl = (struct write_impl *)(void *)&w->impl;
    struct env_stream *s = impl->stream;

    ASSERT(s->n_writes > 0);
    s->n_writes--;
    if (status == UV_ECANCELED)
        w->cb(w, KV_ECANCELED);
    else
        w->cb(w, status == 0 ? 0 : KV_ECONN);
}

int env_uv__stream_write(struct env *env, struct env_stream *s,
                         struct env_write *w, const struct slice *parts,
                         unsigned n)
{
    struct write_impl *impl = (struct write_impl *)(void *)&w->impl;
    uv_buf_t on_stack[BUFS_ON_STACK];
    uv_buf_t *bufs = on_stack;
    int rv;

    (void)env;
    ASSERT(!s->closing);
    ASSERT(w->cb != NULL);
    ASSERT(n > 0);
    if (n > BUFS_ON_STACK)
        bufs = mem_alloc(n * sizeof *bufs);
    to_bufs(bufs, parts, n);
    impl->stream = s;
    impl->req.data = w;
    rv = uv_write(&impl->req, (uv_stream_t *)&s->tcp, bufs, n, on_written);
    if (bufs != on_stack)
        mem_free(bufs); /* libuv has its own copy */
    if (rv != 0)
        return KV_ECONN; /* w->cb will not run */
    s->n_writes++;
    return 0;
}

static void format_address(const struct sockaddr_storage *ss, char *buf,
                           size_t n)
{
    char ip[64] = "?";
    unsigned port = 0;

    if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)ss;

        uv_ip6_name(in6, ip, sizeof ip);
        port = ntohs(in6->sin6_port);
        snprintf(buf, n, "[%s]:%u", ip, port);
        return;
    }
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)ss;

        uv_ip4_name(in, ip, sizeof ip);
        port = ntohs(in->sin_port);
    }
    snprintf(buf, n, "%s:%u", ip, port);
}

void env_uv__stream_peer(struct env *env, struct env_stream *s, char *buf,
                         size_t n)
{
    struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
    int len = sizeof ss;

    (void)env;
    ASSERT(n > 0);
    /* A connection that is gone already has no address: "?:0". */
    if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&ss, &len) != 0)
        ss.ss_family = AF_UNSPEC;
    format_address(&ss, buf, n);
}
