/* Listeners: accepting without ever spinning or stopping.
 *
 *     listening <---------> paused (descriptor limit, LISTEN_PAUSE_MS)
 *         |                    |
 *         +------- close ------+--> closing --> freed after its callback
 *
 * The socket is ours and libuv only polls it, because libuv's own listener
 * tries accept again and again when the process has no descriptor left and its
 * one reserve does not help (the limit was lowered below what is open, or
 * another thread took the reserve), and nothing but closing it would end that.
 *
 *  I1  At the descriptor limit the reserve descriptor is given up to accept the
 *      connection, which is closed at once: the client sees a closed connection
 *      instead of waiting for ever.
 *  I2  If even that fails, the listener rests for LISTEN_PAUSE_MS; the kernel
 *      keeps the connections in the backlog meanwhile.
 *  I3  One wakeup accepts at most ACCEPTS_MAX connections, so that a flood of
 *      them does not keep the loop from the connections it has. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv_int.h"
#include "env/log.h"

#define ACCEPTS_MAX 64u
#define LISTEN_PAUSE_MS 100u
#define REFUSED_LOG_MS 1000u /* at most one line in this time */

struct env_listener {
    uv_poll_t poll;
    struct env_uv *e;
    int fd;                /* owned */
    struct env_timer rest; /* I2 */
    env_accept_cb cb;
    void *ctx;
    bool closing;
    env_close_cb close_cb; /* NULL: never handed out */
    void *close_ctx;
};

void env_uv__reserve(struct env_uv *e)
{
    if (e->reserve_fd < 0)
        e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_one(const struct env_listener *l)
{
    int fd;

    do {
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd;
}

static void log_refused(struct env_uv *e)
{
    const uint64_t now = env_now_ms(&e->env);

    e->refused++;
    if (e->refused_ms != 0 && now - e->refused_ms < REFUSED_LOG_MS)
        return;
    log_event(&e->env, ENV_LOG_WARN, "env",
              "connections refused: no file descriptors left, "
              "raise the limit (ulimit -n, LimitNOFILE=)",
              "count=%" PRIu64, e->refused);
    e->refused = 0;
    e->refused_ms = now;
}

/* I1.  True when the connection was taken and closed. */
static bool refuse_one(struct env_listener *l)
{
    struct env_uv *e = l->e;
    int fd;

    if (e->reserve_fd >= 0)
        close(e->reserve_fd);
    e->reserve_fd = -1;
    fd = accept_one(l);
    if (fd >= 0)
        close(fd);
    env_uv__reserve(e);
    if (fd < 0)
        return false;
    log_refused(e);
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void listen_start(struct env_listener *l)
{
    if (uv_poll_start(&l->poll, UV_READABLE, on_readable) != 0)
        UNREACHABLE(); /* fails only on a closing handle */
}

static void on_rested(struct env_timer *t)
{
    listen_start(t->data);
}

static void listen_rest(struct env_listener *l)
{
    uv_poll_stop(&l->poll);
    env_timer_set(&l->rest, env_now_ms(&l->e->env) + LISTEN_PAUSE_MS);
}

static void hand_over(struct env_listener *l, int fd)
{
    struct env_stream *s = env_uv__stream_new(l->e);

    if (uv_tcp_open(env_uv__stream_tcp(s), fd) != 0) {
        close(fd); /* the client is gone already */
        env_uv__stream_drop(s);
        return;
    }
    env_uv__stream_set(s);
    l->cb(l->ctx, s);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct env_listener *l = poll->data;

    (void)events;
    (void)status; /* accept says it better */
    for (unsigned i = 0; i < ACCEPTS_MAX && !l->closing; i++) {
        int fd = accept_one(l);

        if (fd >= 0) {
            hand_over(l, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM) {
            if (!refuse_one(l)) {
                listen_rest(l); /* I2 */
                return;
            }
        } else {
            /* EAGAIN: that was all.  Other errors are those of a connection
             * that broke while it waited; poll tells if there are more. */
            return;
        }
    }
}

static void listener_closed(uv_handle_t *handle)
{
    struct env_listener *l = handle->data;
    env_close_cb cb = l->close_cb;
    void *ctx = l->close_ctx;

    ASSERT(l->closing);
    ASSERT(l->e->n_listeners > 0);
    l->e->n_listeners--;
    mem_free(l);
    cb(ctx);
}

/* A bound, listening, non-blocking socket. */
static int open_socket(const struct sockaddr_storage *ss, int *ret_fd)
{
    const socklen_t len = ss->ss_family == AF_INET6
                              ? sizeof(struct sockaddr_in6)
                              : sizeof(struct sockaddr_in);
    const int on = 1;
    int fd =
        socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rv;

    if (fd < 0)
        return env_uv__errno();
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)ss, len) != 0 ||
        listen(fd, ENV_UV_BACKLOG) != 0) {
        rv = env_uv__errno();
        close(fd);
        return rv;
    }
    *ret_fd = fd;
    return 0;
}

int env_uv__listen(struct env *env, const char *host, uint16_t port,
                   env_accept_cb cb, void *ctx, struct env_listener **ret)
{
    struct env_uv *e = env_uv__of(env);
    struct sockaddr_storage ss;
    struct env_listener *l;
    int fd = -1;
    int rv;

    ASSERT(cb != NULL);
    if (!env_uv__numeric(host, port, &ss))
        return KV_EINVAL;
    rv = open_socket(&ss, &fd);
    if (rv != 0)
        return rv;
    l = MEM_NEW(struct env_listener);
    rv = uv_poll_init(&e->loop, &l->poll, fd);
    if (rv != 0) {
        mem_free(l);
        close(fd);
        return env_uv__err(rv);
    }
    l->poll.data = l;
    l->e = e;
    l->fd = fd;
    l->cb = cb;
    l->ctx = ctx;
    env_timer_init(env, &l->rest, on_rested, l);
    listen_start(l);
    e->n_listeners++;
    *ret = l;
    return 0;
}

uint16_t env_uv__listener_port(struct env *env, struct env_listener *l)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
    socklen_t len = sizeof u;

    (void)env;
    ASSERT(!l->closing);
    if (getsockname(l->fd, &u.any, &len) != 0)
        UNREACHABLE(); /* it is bound and open */
    return ntohs(u.any.sa_family == AF_INET6 ? u.in6.sin6_port : u.in.sin_port);
}

/* The socket closes at once, so that its address is free when the callback
 * runs; libuv forgets it first. */
void env_uv__listener_close(struct env *env, struct env_listener *l,
                            env_close_cb cb, void *ctx)
{
    ASSERT(l->e == env_uv__of(env));
    ASSERT(cb != NULL);
    ASSERT(!l->closing);
    l->closing = true;
    l->close_cb = cb;
    l->close_ctx = ctx;
    env_timer_stop(&l->rest);
    uv_close((uv_handle_t *)&l->poll, listener_closed);
    close(l->fd);
}
