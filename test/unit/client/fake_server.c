/* The scripted server of the client's tests.  A mismatch ends the script and is
 * reported by fake_server_finish, in the thread of the test. */
#include "unit/client/fake_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/test.h"

#define CHUNK 65536u

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static bool wrong(struct fake_server *s, const char *what, const char *text)
{
    snprintf(s->error, sizeof s->error, "%s: '%.400s'", what, text);
    return false;
}

static bool accept_one(struct fake_server *s)
{
    int one = 1;

    s->conn = accept(s->listener, NULL, NULL);
    if (s->conn < 0)
        return wrong(s, "accept", "no connection came");
    setsockopt(s->conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return true;
}

static bool expect(struct fake_server *s, const char *text)
{
    char got[512] = "";
    size_t n = strlen(text), have = 0;

    while (have < n) {
        ssize_t r = recv(s->conn, got + have, n - have, 0);

        if (r <= 0)
            return wrong(s, "the client closed after", got);
        have += (size_t)r;
        if (memcmp(got, text, have) != 0)
            return wrong(s, "unexpected request", got);
    }
    return true;
}

static bool send_all(struct fake_server *s, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(s->conn, p, n, MSG_NOSIGNAL);

        if (r <= 0)
            return wrong(s, "send", "the client closed");
        p += r;
        n -= (size_t)r;
    }
    return true;
}

static bool drip(struct fake_server *s, const char *text)
{
    for (; *text != '\0'; text++)
        if (!send_all(s, text, 1))
            return false;
    return true;
}

static bool big(struct fake_server *s, enum fake_op op, size_t n)
{
    static char chunk[CHUNK];

    memset(chunk, 'x', sizeof chunk);
    while (n > 0) {
        size_t some = n < CHUNK ? n : CHUNK;
        ssize_t r = op == FAKE_SEND_BIG
                        ? send(s->conn, chunk, some, MSG_NOSIGNAL)
                        : recv(s->conn, chunk, some, 0);

        if (r <= 0)
            return wrong(s, "large transfer", "the client closed");
        n -= (size_t)r;
    }
    return true;
}

static bool hold(struct fake_server *s)
{
    char got[65] = "";
    ssize_t r = recv(s->conn, got, sizeof got - 1, 0);

    return r > 0 ? wrong(s, "more than expected", got) : true;
}

static void close_conn(struct fake_server *s)
{
    if (s->conn >= 0)
        close(s->conn);
    s->conn = -1;
}

static bool do_step(struct fake_server *s, const struct fake_step *step)
{
    switch (step->op) {
    case FAKE_ACCEPT:
        close_conn(s);
        return accept_one(s);
    case FAKE_EXPECT:
        return expect(s, step->text);
    case FAKE_SEND:
        return send_all(s, step->text, strlen(step->text));
    case FAKE_DRIP:
        return drip(s, step->text);
    case FAKE_SEND_BIG:
    case FAKE_EXPECT_BIG:
        return big(s, step->op, step->n);
    case FAKE_CLOSE:
        close_conn(s);
        return true;
    case FAKE_SYNC:
        sem_post(&s->sync);
        return true;
    case FAKE_HOLD:
        return hold(s);
    case FAKE_END:
        break;
    }
    return false;
}

static void *fake_main(void *arg)
{
    struct fake_server *s = arg;
    const struct fake_step *step = s->steps;

    while (step->op != FAKE_END && do_step(s, step))
        step++;
    close_conn(s);
    return NULL;
}

void fake_server_start(struct fake_server *s, const struct fake_step *steps)
{
    size_t n = 0;

    memset(s, 0, sizeof *s);
    s->conn = -1;
    for (; steps[n].op != FAKE_END; n++) {
        CHECK(n + 1 < FAKE_STEPS_MAX);
        s->steps[n] = steps[n];
    }
    CHECK_EQ(sem_init(&s->sync, 0, 0), 0);
    s->listener = listen_somewhere(&s->port);
    CHECK_EQ(listen(s->listener, 16), 0);
    CHECK_EQ(pthread_create(&s->thread, NULL, fake_main, s), 0);
}

void fake_server_wait(struct fake_server *s)
{
    while (sem_wait(&s->sync) != 0)
        continue;
}

void fake_server_finish(struct fake_server *s)
{
    /* A script that still waits for a connection fails here. */
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    sem_destroy(&s->sync);
    CHECK_STR(s->error, "");
}

int fake_closed_port(void)
{
    int port;

    close(listen_somewhere(&port));
    return port;
}
