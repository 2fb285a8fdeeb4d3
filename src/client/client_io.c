/* Sockets of the client: connecting, sending and receiving with a deadline.
 *
 * Sockets are non-blocking and every wait is a poll() up to the call's deadline,
 * so that no call takes longer than the client's timeout, whatever the network
 * does.  While requests are sent, replies are taken: a long pipeline would
 * otherwise stop for ever when both sides wait for the other one to read. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/client_int.h"

uint64_t client__now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Wait for events on fd; *ret_events says which.  1: some, 0: deadline, -1:
 * errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms,
                    short *ret_events)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        uint64_t now = client__now_ms();
        uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
        int rv = poll(&p, 1, left > 3600000 ? 3600000 : (int)left);

        if (rv < 0 && errno == EINTR)
            continue;
        *ret_events = p.revents;
        if (rv != 0 || left == 0)
            return rv;
    }
}

/* A connected socket, or -1 with errno. */
static int connect_one(const struct addrinfo *ai, uint64_t deadline_ms)
{
    int fd, err = 0, one = 1;
    socklen_t len = sizeof err;
    short events;

    fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                ai->ai_protocol);
    if (fd < 0)
        return -1;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            goto err_close;
        if (wait_for(fd, POLLOUT, deadline_ms, &events) <= 0) {
            errno = ETIMEDOUT;
            goto err_close;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
            goto err_close;
        if (err != 0) {
            errno = err;
            goto err_close;
        }
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
err_close:
    err = errno;
    close(fd);
    errno = err;
    return -1;
}

/* Try every address of one endpoint. */
static int connect_endpoint(struct kv_client *c,
                            const struct client_endpoint *e,
                            uint64_t deadline_ms)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list;
    int rv = getaddrinfo(e->host, e->port, &hints, &list);

    if (rv != 0)
        return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s", e->name,
                            gai_strerror(rv));
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        c->fd = connect_one(ai, deadline_ms);
        rv = errno;
        if (c->fd >= 0)
            break;
    }
    freeaddrinfo(list);
    if (c->fd < 0)
        return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s", e->name,
                            strerror(rv));
    return 0;
}

/* Whether the connection is as it must be between two calls: open and silent.
 * One that a restarted node closed is found here, before a write is risked on
 * it; bytes that nobody asked for would be taken for the next reply. */
static bool connection_is_fresh(const struct kv_client *c)
{
    uint8_t byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n < 0 && (errno == EAGAIN || errno == EINTR) && c->in.len == 0;
}

int client__connect(struct kv_client *c, uint64_t deadline_ms)
{
    char last[CLIENT_ERROR_MAX - 64];
    int rv = KV_CLIENT_ECONNECT;

    if (c->fd >= 0 && connection_is_fresh(c))
        return 0;
    if (c->fd >= 0)
        client__drop(c);
    snprintf(c->error, sizeof c->error, "no time left to connect");
    for (unsigned i = 0; i < c->n; i++) {
        uint64_t now = client__now_ms();
        uint64_t share;

        if (now >= deadline_ms)
            break;
        /* Leave time for the others: an endpoint may be a black hole. */
        share = (deadline_ms - now) / (c->n - i);
        rv = connect_endpoint(c, &c->endpoints[c->at], now + share);
        if (rv == 0) {
            resp_reply_init(&c->parser, CLIENT_REPLY_BYTES_MAX);
            return 0;
        }
        c->at = (c->at + 1) % c->n;
    }
    if (c->n > 1) {
        snprintf(last, sizeof last, "%.*s", (int)sizeof last - 1, c->error);
        client__fail(c, rv, "none of %u endpoints can be reached; the last: %s",
                     c->n, last);
    }
    return rv;
}

void client__drop(struct kv_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->pending = 0;
    c->sent = false;
    buf_clear(&c->out);
    buf_clear(&c->in);
    c->at = (c->at + 1) % c->n;
}

/* Take what has arrived.  0: at least one byte; KV_EAGAIN: nothing yet; else a
 * status. */
static int take_arrived(struct kv_client *c)
{
    size_t len = c->in.len;
    ssize_t n;

    if (!buf_try_reserve(&c->in, CLIENT_READ_BYTES))
        return client__fail(c, KV_CLIENT_ENOMEM, "out of memory");
    do {
        n = recv(c->fd, buf_grow(&c->in, CLIENT_READ_BYTES), CLIENT_READ_BYTES,
                 0);
        buf_truncate(&c->in, len + (n > 0 ? (size_t)n : 0));
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        return 0;
    if (n == 0)
        return client__fail(c, KV_CLIENT_ECONNECT, "%s: closed the connection",
                            kv_endpoint(c));
    if (errno == EAGAIN)
        return KV_EAGAIN;
    return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s", kv_endpoint(c),
                        strerror(errno));
}

/* Nothing more can be sent.  The server may have said why before it closed (an
 * argument too long, say): then that is the reply to be read. */
static int send_broken(struct kv_client *c, int status)
{
    (void)take_arrived(c);
    if (c->in.len == 0)
        return status;
    buf_clear(&c->out);
    return 0;
}

/* The server takes nothing at the moment: it may be waiting until we take its
 * replies, so take them. */
static int wait_to_send(struct kv_client *c, uint64_t deadline_ms)
{
    short want = c->in.len < CLIENT_REPLY_BYTES_MAX ? POLLOUT | POLLIN
                                                    : POLLOUT;
    short events;
    int rv;

    if (wait_for(c->fd, want, deadline_ms, &events) <= 0)
        return client__fail(c, KV_CLIENT_ETIMEOUT,
                            "%s: does not take the request within %u ms",
                            kv_endpoint(c), c->timeout_ms);
    if ((events & POLLIN) == 0)
        return 0;
    rv = take_arrived(c);
    return rv == KV_EAGAIN ? 0 : rv;
}

int client__send(struct kv_client *c, uint64_t deadline_ms)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);
        int rv = 0;

        if (n > 0) {
            c->sent = true;
            buf_consume(&c->out, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            rv = wait_to_send(c, deadline_ms);
        } else if (n < 0 && errno != EINTR) {
            rv = client__fail(c, KV_CLIENT_ECONNECT, "%s: %s", kv_endpoint(c),
                              strerror(errno));
        }
        if (rv == KV_CLIENT_ECONNECT)
            return send_broken(c, rv);
        if (rv != 0)
            return rv;
    }
    buf_shrink(&c->out, CLIENT_READ_BYTES);
    return 0;
}

int client__receive(struct kv_client *c, uint64_t deadline_ms)
{
    for (;;) {
        int rv = take_arrived(c);
        short events;

        if (rv != KV_EAGAIN)
            return rv;
        if (wait_for(c->fd, POLLIN, deadline_ms, &events) <= 0)
            return client__fail(c, KV_CLIENT_ETIMEOUT,
                                "%s: no answer within %u ms", kv_endpoint(c),
                                c->timeout_ms);
    }
}
