/* Sockets of the client: connecting, sending and receiving with a deadline.
 *
 * Sockets are non-blocking and every wait is a poll() up to the call's deadline,
 * so that no call takes longer than the client's timeout, whatever the network
 * does. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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

/* Wait for events on fd.  1: ready, 0: deadline, -1: errno. */
static int wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        uint64_t now = client__now_ms();
        uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
        int rv = poll(&p, 1, left > 3600000 ? 3600000 : (int)left);

        if (rv < 0 && errno == EINTR)
            continue;
        if (rv != 0 || left == 0)
            return rv;
    }
}

/* A connected socket, or -1 with errno. */
static int connect_one(const struct addrinfo *ai, uint64_t deadline_ms)
{
    int fd, err = 0, one = 1;
    socklen_t len = sizeof err;

    fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                ai->ai_protocol);
    if (fd < 0)
        return -1;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            goto err_close;
        if (wait_for(fd, POLLOUT, deadline_ms) <= 0) {
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
        if (c->fd >= 0)
            break;
    }
    rv = errno;
    freeaddrinfo(list);
    if (c->fd < 0)
        return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s", e->name,
                            strerror(rv));
    return 0;
}

int client__connect(struct kv_client *c)
{
    uint64_t deadline = client__now_ms() + c->timeout_ms;
    int rv = KV_CLIENT_ECONNECT;

    for (unsigned i = 0; i < c->n; i++) {
        uint64_t now = client__now_ms();
        uint64_t share;

        if (now >= deadline)
            break;
        /* Leave time for the others: an endpoint may be a black hole. */
        share = (deadline - now) / (c->n - i);
        rv = connect_endpoint(c, &c->endpoints[c->at], now + share);
        if (rv == 0) {
            resp_reply_init(&c->parser, CLIENT_REPLY_BYTES_MAX);
            buf_clear(&c->in);
            c->pending = 0;
            return 0;
        }
        c->at = (c->at + 1) % c->n;
    }
    return rv;
}

void client__drop(struct kv_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->pending = 0;
    buf_clear(&c->out);
    buf_clear(&c->in);
    c->at = (c->at + 1) % c->n;
}

int client__send(struct kv_client *c, uint64_t deadline_ms)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);

        if (n > 0) {
            buf_consume(&c->out, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s",
                                kv_endpoint(c), strerror(errno));
        if (wait_for(c->fd, POLLOUT, deadline_ms) <= 0)
            return client__fail(c, KV_CLIENT_ETIMEOUT,
                                "%s: does not take the request within %u ms",
                                kv_endpoint(c), c->timeout_ms);
    }
    return 0;
}

int client__receive(struct kv_client *c, uint64_t deadline_ms)
{
    size_t len = c->in.len;

    for (;;) {
        uint8_t *p = buf_grow(&c->in, CLIENT_READ_BYTES);
        ssize_t n = recv(c->fd, p, CLIENT_READ_BYTES, 0);

        buf_truncate(&c->in, len + (n > 0 ? (size_t)n : 0));
        if (n > 0)
            return 0;
        if (n == 0)
            return client__fail(c, KV_CLIENT_ECONNECT,
                                "%s: closed the connection", kv_endpoint(c));
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return client__fail(c, KV_CLIENT_ECONNECT, "%s: %s",
                                kv_endpoint(c), strerror(errno));
        if (wait_for(c->fd, POLLIN, deadline_ms) <= 0)
            return client__fail(c, KV_CLIENT_ETIMEOUT,
                                "%s: no answer within %u ms", kv_endpoint(c),
                                c->timeout_ms);
    }
}
