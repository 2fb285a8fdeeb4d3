/* Dialling with env_uv, and signals. */
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "env/env_uv.h"
#include "lib/test.h"
#include "unit/env/until.h"

struct fx {
    struct until u;
    struct env_dial *d;
    unsigned n_over, n_accepted, n_closed;
    int status;
    struct env_stream *s;
};

static void on_over(void *ctx, int status, struct env_stream *s)
{
    struct fx *fx = ctx;

    CHECK((status == 0) == (s != NULL));
    fx->n_over++;
    fx->status = status;
    fx->s = s;
}

static void count_closed(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void dial(struct fx *fx, const char *host, uint16_t port,
                 uint64_t timeout_ms)
{
    CHECK_EQ(env_dial(fx->u.env, host, port, timeout_ms, on_over, fx, &fx->d),
             0);
    CHECK_EQ(fx->n_over, 0); /* not inside the call */
}

static void fx_open(struct fx *fx)
{
    memset(fx, 0, sizeof *fx);
    until_open(&fx->u);
}

static void fx_close(struct fx *fx)
{
    if (fx->s != NULL) {
        env_stream_close(fx->u.env, fx->s, count_closed, &fx->n_closed);
        until(&fx->u, &fx->n_closed, 1);
    }
    CHECK_EQ(fx->n_over, 1);
    until_close(&fx->u);
}

/* A bound socket; its port in *ret. */
static int bound_socket(uint16_t *ret)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&in, len), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret = ntohs(in.sin_port);
    return fd;
}

/* A port that answers nobody: it listens, its backlog is full, and the kernel
 * drops what comes. */
struct mute {
    int fd[4];
    uint16_t port;
};

static void mute_open(struct mute *m)
{
    struct sockaddr_in in = { .sin_family = AF_INET };

    m->fd[0] = bound_socket(&m->port);
    CHECK_EQ(listen(m->fd[0], 0), 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(m->port);
    for (int i = 1; i < 4; i++) {
        m->fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        CHECK(m->fd[i] >= 0);
        (void)connect(m->fd[i], (struct sockaddr *)&in, sizeof in);
    }
}

static void mute_close(struct mute *m)
{
    for (int i = 0; i < 4; i++)
        close(m->fd[i]);
}

TEST(env_dial, a_port_where_nobody_listens_refuses)
{
    struct fx fx;
    uint16_t port;
    int fd = bound_socket(&port);

    fx_open(&fx);
    dial(&fx, "127.0.0.1", port, 60000);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, KV_ECONN);
    close(fd);
    fx_close(&fx);
}

TEST(env_dial, a_peer_that_does_not_answer_times_out)
{
    struct fx fx;
    struct mute m;

    mute_open(&m);
    fx_open(&fx);
    dial(&fx, "127.0.0.1", m.port, 20);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, KV_ETIMEDOUT);
    fx_close(&fx);
    mute_close(&m);
}

TEST(env_dial, a_canceled_dial_says_so_once_and_not_inside_the_call)
{
    struct fx fx;
    struct mute m;

    mute_open(&m);
    fx_open(&fx);
    dial(&fx, "127.0.0.1", m.port, 60000);
    env_dial_cancel(fx.u.env, fx.d);
    CHECK_EQ(fx.n_over, 0);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, KV_ECANCELED);
    until_settled(&fx.u);
    fx_close(&fx);
    mute_close(&m);
}

TEST(env_dial, a_cancel_while_the_name_is_looked_up_does_not_wait_for_it)
{
    struct fx fx;

    fx_open(&fx);
    dial(&fx, "localhost", 1, 60000);
    env_dial_cancel(fx.u.env, fx.d);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, KV_ECANCELED);
    fx_close(&fx);
}

static void cancel_on_accept(void *ctx, struct env_stream *s)
{
    struct fx *fx = ctx;

    fx->n_accepted++;
    env_stream_close(fx->u.env, s, count_closed, &fx->n_closed);
    if (fx->n_over == 0)
        env_dial_cancel(fx->u.env, fx->d);
}

/* The kernel has connected both ends when accept runs, so the cancel comes
 * between the end of the dial and its callback, or just before that. */
TEST(env_dial, a_cancel_that_comes_after_the_connection_still_wins)
{
    struct fx fx;
    struct env_listener *l;

    fx_open(&fx);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", 0, cancel_on_accept, &fx, &l),
             0);
    dial(&fx, "127.0.0.1", env_listener_port(fx.u.env, l), 60000);
    until(&fx.u, &fx.n_over, 1);
    until(&fx.u, &fx.n_closed, 1);
    CHECK_EQ(fx.n_accepted, 1);
    CHECK_EQ(fx.status, KV_ECANCELED);
    env_listener_close(fx.u.env, l, count_closed, &fx.n_closed);
    until(&fx.u, &fx.n_closed, 2);
    fx_close(&fx);
}

static void cancel_timer(struct env_timer *t)
{
    struct fx *fx = t->data;

    CHECK_EQ(fx->n_over, 0);
    env_dial_cancel(fx->u.env, fx->d);
}

/* On loopback the kernel connects at once, and timers run after poll and before
 * the callbacks of dials. */
TEST(env_dial, a_stream_that_nobody_wants_any_more_is_closed)
{
    struct fx fx;
    struct env_timer t;
    uint16_t port;
    int fd = bound_socket(&port);
    int other;
    char c;

    CHECK_EQ(listen(fd, 4), 0);
    fx_open(&fx);
    dial(&fx, "127.0.0.1", port, 60000);
    env_timer_init(fx.u.env, &t, cancel_timer, &fx);
    env_timer_set(&t, 0);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, KV_ECANCELED);
    other = accept(fd, NULL, NULL);
    CHECK(other >= 0);
    until_settled(&fx.u);
    CHECK_EQ(read(other, &c, 1), 0); /* end of file */
    close(other);
    close(fd);
    fx_close(&fx);
}

static void take_it(void *ctx, struct env_stream *s)
{
    struct fx *fx = ctx;

    fx->n_accepted++;
    env_stream_close(fx->u.env, s, count_closed, &fx->n_closed);
}

/* localhost may have ::1 first, where nobody listens: the next is tried. */
TEST(env_dial, a_name_is_looked_up_and_each_of_its_addresses_tried)
{
    struct fx fx;
    struct env_listener *l;

    fx_open(&fx);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", 0, take_it, &fx, &l), 0);
    dial(&fx, "localhost", env_listener_port(fx.u.env, l), 60000);
    until(&fx.u, &fx.n_over, 1);
    CHECK_EQ(fx.status, 0);
    until(&fx.u, &fx.n_closed, 1);
    env_listener_close(fx.u.env, l, count_closed, &fx.n_closed);
    until(&fx.u, &fx.n_closed, 2);
    fx.n_closed = 0;
    fx_close(&fx);
}

TEST(env_dial, a_name_that_does_not_exist_fails)
{
    struct fx fx;

    fx_open(&fx);
    dial(&fx, "no-such-host.invalid", 1, 60000);
    until(&fx.u, &fx.n_over, 1);
    /* Without a name server the resolver cannot know that it is missing. */
    CHECK(fx.status == KV_ENOENT || fx.status == KV_ECONN);
    fx_close(&fx);
}

TEST_ABORTS(env_dial, freeing_an_env_with_a_dial_under_way_is_refused)
{
    struct fx fx;

    fx_open(&fx);
    dial(&fx, "127.0.0.1", 1, 60000);
    env_uv_free(fx.u.env);
}

/* ---- signals ---- */

struct signals {
    unsigned n;
    int last;
};

static void on_signal(void *ctx, int signum)
{
    struct signals *s = ctx;

    s->n++;
    s->last = signum;
}

TEST(env_signal, a_signal_runs_its_callback_on_the_loop)
{
    struct until u;
    struct signals a = { 0 }, b = { 0 };

    until_open(&u);
    CHECK_EQ(env_uv_on_signal(u.env, SIGUSR1, on_signal, &a), 0);
    CHECK_EQ(env_uv_on_signal(u.env, SIGUSR2, on_signal, &b), 0);
    CHECK_EQ(env_uv_on_signal(u.env, SIGKILL, on_signal, &b), KV_EINVAL);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(a.n, 0);
    until(&u, &a.n, 1);
    CHECK_EQ(a.last, SIGUSR1);
    CHECK_EQ(b.n, 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    until(&u, &b.n, 1);
    until_close(&u);
}
