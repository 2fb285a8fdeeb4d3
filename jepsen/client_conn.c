/* One connection of a client: never blocks, never waits.
 *
 *   CLOSED --conn_open--> CONNECTING --writable--> OPEN
 *      ^----------------------+-----------conn_close or lost--+
 *
 * I1  A connection that failed is closed with all its bytes, so that a late reply
 *     cannot be taken for the reply to a later request.
 * I2  epoll is asked for writability only while there is something to write. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "jepsen/client.h"

#define CONN_READ_BYTES 65536u
#define CONN_BULK_BYTES_MAX (16u << 20)

void conn_init(struct conn *c, int epoll, void *owner)
{
    *c = (struct conn){ .state = CONN_CLOSED, .fd = -1, .epoll = epoll,
                        .owner = owner };
    buf_init(&c->in);
    buf_init(&c->out);
}

static void watch(struct conn *c, int op, bool write)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c->owner };

    if (write)
        e.events |= EPOLLOUT;
    ASSERT(epoll_ctl(c->epoll, op, c->fd, &e) == 0);
    c->want_write = write;
}

int conn_open(struct conn *c, const struct endpoint *to)
{
    int one = 1;

    ASSERT(c->state == CONN_CLOSED);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (const struct sockaddr *)&to->addr, sizeof to->addr) != 0 &&
        errno != EINPROGRESS) {
        close(c->fd);
        c->fd = -1;
        return -1;
    }
    c->state = CONN_CONNECTING;
    resp_reply_init(&c->parser, CONN_BULK_BYTES_MAX);
    watch(c, EPOLL_CTL_ADD, true);
    return 0;
}

void conn_close(struct conn *c)
{
    if (c->state != CONN_CLOSED) {
        ASSERT(c->fd >= 0);
        close(c->fd); /* epoll forgets it */
        c->fd = -1;
    }
    c->state = CONN_CLOSED;
    buf_clear(&c->in);
    buf_clear(&c->out);
}

void conn_free(struct conn *c)
{
    conn_close(c);
    buf_close(&c->in);
    buf_close(&c->out);
}

int conn_send(struct conn *c)
{
    ASSERT(c->state == CONN_OPEN);
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -1;
        buf_consume(&c->out, (size_t)n);
    }
    if (c->want_write != (c->out.len > 0))
        watch(c, EPOLL_CTL_MOD, c->out.len > 0);
    return 0;
}

static int receive(struct conn *c)
{
    for (;;) {
        size_t held = c->in.len;
        ssize_t n = recv(c->fd, buf_grow(&c->in, CONN_READ_BYTES),
                         CONN_READ_BYTES, 0);

        buf_truncate(&c->in, held + (n > 0 ? (size_t)n : 0));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
        if ((size_t)n < CONN_READ_BYTES)
            return 0;
    }
}

int conn_ready(struct conn *c)
{
    int err = 0;
    socklen_t len = sizeof err;

    if (c->state == CONN_CONNECTING) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0)
            return -1;
        c->state = CONN_OPEN;
    }
    ASSERT(c->state == CONN_OPEN);
    if (conn_send(c) != 0)
        return -1;
    return receive(c);
}

int conn_item(struct conn *c, struct resp_item *ret)
{
    size_t used = 0;
    int rv = resp_reply_next(&c->parser, buf_slice(&c->in), ret, &used);

    /* The bytes stay where they are until more are received. */
    if (rv == 0)
        buf_consume(&c->in, used);
    return rv;
}
