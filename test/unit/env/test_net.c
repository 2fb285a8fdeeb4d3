/* Listeners and streams of env_uv. */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "env/env_uv.h"
#include "lib/test.h"
#include "unit/env/until.h"

/* One end of a connection. */
struct end {
    struct until *u;
    struct env_stream *s;
    struct buf in;
    unsigned n_in; /* bytes */
    unsigned n_ended;
    int status;
    unsigned n_closed;
};

struct fx {
    struct until u;
    struct env_listener *l;
    uint16_t port;
    struct end srv, cli;
    unsigned n_accepted, n_dialed, n_closed;
};

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct end *x = ctx;

    CHECK(n > 0);
    CHECK_EQ(x->n_ended, 0);
    CHECK(x->s != NULL);
    buf_put(&x->in, p, n);
    x->n_in += (unsigned)n;
}

static void on_end(void *ctx, int status)
{
    struct end *x = ctx;

    CHECK(x->s != NULL);
    x->n_ended++;
    x->status = status;
}

static const struct env_stream_ops ops = { .data = on_data, .end = on_end };

static void count_closed(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void end_close(struct end *x)
{
    if (x->s == NULL)
        return;
    env_stream_close(x->u->env, x->s, count_closed, &x->n_closed);
    CHECK_EQ(x->n_closed, 0); /* not inside the call */
    x->s = NULL;
    until(x->u, &x->n_closed, 1);
}

static void on_accept(void *ctx, struct env_stream *s)
{
    struct fx *fx = ctx;

    CHECK(fx->srv.s == NULL);
    fx->srv.s = s;
    fx->n_accepted++;
}

static void on_dialed(void *ctx, int status, struct env_stream *s)
{
    struct fx *fx = ctx;

    CHECK_EQ(status, 0);
    fx->cli.s = s;
    fx->n_dialed++;
}

static void listen_open(struct fx *fx)
{
    memset(fx, 0, sizeof *fx);
    until_open(&fx->u);
    fx->srv.u = fx->cli.u = &fx->u;
    CHECK_EQ(env_listen(fx->u.env, "127.0.0.1", 0, on_accept, fx, &fx->l), 0);
    fx->port = env_listener_port(fx->u.env, fx->l);
    CHECK(fx->port != 0);
}

/* Both ends connected, neither started. */
static void pair_open(struct fx *fx)
{
    struct env_dial *d;

    listen_open(fx);
    CHECK_EQ(
        env_dial(fx->u.env, "127.0.0.1", fx->port, 60000, on_dialed, fx, &d),
        0);
    CHECK_EQ(fx->n_dialed, 0);
    until(&fx->u, &fx->n_dialed, 1);
    until(&fx->u, &fx->n_accepted, 1);
}

static void start(struct end *x)
{
    env_stream_start(x->u->env, x->s, &ops, x);
}

static void fx_close(struct fx *fx)
{
    end_close(&fx->cli);
    end_close(&fx->srv);
    env_listener_close(fx->u.env, fx->l, count_closed, &fx->n_closed);
    CHECK_EQ(fx->n_closed, 0);
    until(&fx->u, &fx->n_closed, 1);
    buf_close(&fx->cli.in);
    buf_close(&fx->srv.in);
    until_close(&fx->u);
}

static long try_str(struct end *x, const char *s)
{
    struct slice part = slice_str(s);

    return env_stream_try_write(x->u->env, x->s, &part, 1);
}

/* ---- connections ---- */

TEST(env_net, bytes_arrive_in_order_and_the_end_after_them)
{
    struct fx fx;

    pair_open(&fx);
    start(&fx.srv);
    start(&fx.cli);
    CHECK_EQ(try_str(&fx.cli, "hello "), 6);
    CHECK_EQ(try_str(&fx.cli, "world"), 5);
    CHECK_EQ(try_str(&fx.srv, "yes"), 3);
    end_close(&fx.cli);
    until(&fx.u, &fx.srv.n_ended, 1);
    CHECK_EQ(fx.srv.in.len, 11);
    CHECK_MEM(buf_at(&fx.srv.in), "hello world", 11);
    until_settled(&fx.u);
    CHECK_EQ(fx.srv.n_ended, 1);
    fx_close(&fx);
}

TEST(env_net, an_orderly_end_is_eof_and_a_reset_is_econn)
{
    const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct fx fx;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    pair_open(&fx);
    start(&fx.srv);
    end_close(&fx.cli);
    until(&fx.u, &fx.srv.n_ended, 1);
    CHECK_EQ(fx.srv.status, KV_EEOF);
    end_close(&fx.srv);

    fx.srv.n_ended = fx.srv.n_closed = 0;
    in.sin_port = htons(fx.port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    until(&fx.u, &fx.n_accepted, 2);
    start(&fx.srv);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    until(&fx.u, &fx.srv.n_ended, 1);
    CHECK_EQ(fx.srv.status, KV_ECONN);
    fx_close(&fx);
}

TEST(env_net, a_paused_stream_delivers_nothing_until_it_is_resumed)
{
    struct fx fx;

    pair_open(&fx);
    start(&fx.srv);
    env_stream_pause(fx.u.env, fx.srv.s);
    env_stream_pause(fx.u.env, fx.srv.s); /* harmless */
    CHECK_EQ(try_str(&fx.cli, "x"), 1);
    end_close(&fx.cli);
    until_settled(&fx.u);
    CHECK_EQ(fx.srv.n_in, 0);
    CHECK_EQ(fx.srv.n_ended, 0);
    env_stream_resume(fx.u.env, fx.srv.s);
    env_stream_resume(fx.u.env, fx.srv.s); /* harmless */
    until(&fx.u, &fx.srv.n_ended, 1);
    CHECK_EQ(fx.srv.n_in, 1);
    env_stream_resume(fx.u.env, fx.srv.s); /* after the end: nothing */
    until_settled(&fx.u);
    CHECK_EQ(fx.srv.n_ended, 1);
    fx_close(&fx);
}

struct pauser {
    struct end *x;
    unsigned n;
};

static void pause_at_once(void *ctx, const uint8_t *p, size_t n)
{
    struct pauser *z = ctx;

    (void)p;
    z->n += (unsigned)n;
    env_stream_pause(z->x->u->env, z->x->s);
}

static void no_end(void *ctx, int status)
{
    (void)ctx;
    FAIL("end(%d)", status);
}

static const struct env_stream_ops pause_ops = { .data = pause_at_once,
                                                 .end = no_end };

TEST(env_net, pausing_inside_the_data_callback_holds_back_the_rest)
{
    enum { N = 200 * 1024 };
    struct fx fx;
    struct pauser z;
    struct slice part = slice_make(mem_calloc(1, N), N);
    long wrote;

    pair_open(&fx);
    z = (struct pauser){ .x = &fx.srv };
    env_stream_start(fx.u.env, fx.srv.s, &pause_ops, &z);
    wrote = env_stream_try_write(fx.u.env, fx.cli.s, &part, 1);
    CHECK(wrote > 65536);
    until_settled(&fx.u);
    CHECK(z.n > 0);
    CHECK(z.n <= 65536); /* one read */
    fx_close(&fx);
    mem_free((void *)(uintptr_t)part.p);
}

/* ---- writing ---- */

TEST(env_net, try_write_takes_what_fits_and_then_nothing)
{
    enum { N = 16 << 20 };
    struct fx fx;
    struct slice part = slice_make(mem_calloc(1, N), N);
    long first, more;

    pair_open(&fx);
    first = env_stream_try_write(fx.u.env, fx.cli.s, &part, 1);
    CHECK(first > 0);
    CHECK(first < N);
    do {
        more = env_stream_try_write(fx.u.env, fx.cli.s, &part, 1);
        first += more;
    } while (more > 0);
    CHECK_EQ(more, 0);
    start(&fx.srv);
    until(&fx.u, &fx.srv.n_in, (unsigned)first);
    CHECK_EQ(fx.srv.n_in, first);
    fx_close(&fx);
    mem_free((void *)(uintptr_t)part.p);
}

TEST(env_net, try_write_sends_any_number_of_parts)
{
    enum { N = 1000 };
    struct fx fx;
    struct slice parts[N];
    uint8_t bytes[N];

    pair_open(&fx);
    for (unsigned i = 0; i < N; i++) {
        bytes[i] = (uint8_t)(i * 3);
        parts[i] = slice_make(&bytes[i], 1);
    }
    start(&fx.srv);
    CHECK_EQ(env_stream_try_write(fx.u.env, fx.cli.s, parts, N), N);
    until(&fx.u, &fx.srv.n_in, N);
    CHECK_MEM(buf_at(&fx.srv.in), bytes, N);
    fx_close(&fx);
}

struct sent {
    struct env_write w;
    char *trace; /* appends its name here */
    char name;
    unsigned *n;
    int status;
};

static void on_sent(struct env_write *w, int status)
{
    struct sent *s = w->data;

    s->status = status;
    s->trace[strlen(s->trace)] = s->name;
    ++*s->n;
}

static void sent_init(struct sent *s, char name, char *trace, unsigned *n)
{
    *s = (struct sent){ .name = name, .trace = trace, .n = n, .status = 1 };
    s->w.cb = on_sent;
    s->w.data = s;
}

TEST(env_net, queued_writes_go_out_whole_and_in_order)
{
    enum { N = 3 << 20, PARTS = 300 };
    struct fx fx;
    uint8_t *bytes = mem_alloc(N);
    struct slice parts[PARTS];
    struct sent s[3];
    char trace[8] = "";
    unsigned n = 0;

    for (size_t i = 0; i < N; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 1000);
    pair_open(&fx);
    start(&fx.srv);
    for (unsigned k = 0; k < 3; k++) { /* a third each, in many parts */
        const uint8_t *from = bytes + k * (N / 3);

        for (unsigned i = 0; i < PARTS; i++)
            parts[i] = slice_make(from + i * (N / 3 / PARTS), N / 3 / PARTS);
        parts[PARTS - 1].n += N / 3 % PARTS;
        sent_init(&s[k], (char)('a' + k), trace, &n);
        CHECK_EQ(env_stream_write(fx.u.env, fx.cli.s, &s[k].w, parts, PARTS),
                 0);
        CHECK_EQ(n, 0);
        memset(parts, 0, sizeof parts); /* the array was copied */
    }
    until(&fx.u, &n, 3);
    until(&fx.u, &fx.srv.n_in, N / 3 * 3);
    CHECK_STR(trace, "abc");
    CHECK_EQ(s[0].status, 0);
    CHECK_EQ(s[2].status, 0);
    CHECK_MEM(buf_at(&fx.srv.in), bytes, N / 3 * 3);
    fx_close(&fx);
    mem_free(bytes);
}

struct closed {
    char *trace;
    unsigned *n;
};

static void on_closed(void *ctx)
{
    struct closed *c = ctx;

    c->trace[strlen(c->trace)] = 'C';
    ++*c->n;
}

TEST(env_net, closing_cancels_pending_writes_before_its_own_callback)
{
    enum { N = 16 << 20 };
    struct fx fx;
    struct slice part = slice_make(mem_calloc(1, N), N);
    struct sent s[2];
    char trace[8] = "";
    unsigned n = 0;
    struct closed c = { trace, &n };

    pair_open(&fx); /* nobody reads at the other end */
    for (unsigned i = 0; i < 2; i++) {
        sent_init(&s[i], (char)('a' + i), trace, &n);
        CHECK_EQ(env_stream_write(fx.u.env, fx.cli.s, &s[i].w, &part, 1), 0);
    }
    start(&fx.cli);
    env_stream_close(fx.u.env, fx.cli.s, on_closed, &c);
    fx.cli.s = NULL; /* on_data and on_end would notice */
    CHECK_EQ(n, 0);
    until(&fx.u, &n, 3);
    CHECK_STR(trace, "abC");
    CHECK_EQ(s[0].status, KV_ECANCELED);
    CHECK_EQ(s[1].status, KV_ECANCELED);
    fx_close(&fx);
    mem_free((void *)(uintptr_t)part.p);
}

TEST(env_net, writing_to_a_peer_that_is_gone_fails_with_econn)
{
    struct fx fx;
    struct slice part = slice_str("x");
    struct sent s;
    char trace[8] = "";
    unsigned n = 0;
    long rv;

    pair_open(&fx);
    CHECK_EQ(try_str(&fx.cli, "unread"), 6); /* so that closing resets */
    until_settled(&fx.u);
    end_close(&fx.srv);
    do {
        until_settled(&fx.u);
        rv = env_stream_try_write(fx.u.env, fx.cli.s, &part, 1);
    } while (rv == 1);
    CHECK_EQ(rv, KV_ECONN);
    sent_init(&s, 'a', trace, &n);
    CHECK_EQ(env_stream_write(fx.u.env, fx.cli.s, &s.w, &part, 1), 0);
    CHECK_EQ(n, 0);
    until(&fx.u, &n, 1);
    CHECK_EQ(s.status, KV_ECONN);
    fx_close(&fx);
}

TEST(env_net, the_peer_of_a_stream_is_its_address_and_port)
{
    struct fx fx;
    char want[32], got[32];

    pair_open(&fx);
    snprintf(want, sizeof want, "127.0.0.1:%u", (unsigned)fx.port);
    env_stream_peer(fx.u.env, fx.cli.s, got, sizeof got);
    CHECK_STR(got, want);
    fx_close(&fx);
}

TEST(env_net, an_ipv6_listener_names_its_peers_in_brackets)
{
    struct fx fx = { .n_accepted = 0 };
    struct env_dial *d;
    char got[64], want[64];
    int rv;

    until_open(&fx.u);
    fx.srv.u = fx.cli.u = &fx.u;
    rv = env_listen(fx.u.env, "::1", 0, on_accept, &fx, &fx.l);
    if (rv != 0) {
        until_close(&fx.u);
        test_skip("no IPv6 loopback here");
    }
    fx.port = env_listener_port(fx.u.env, fx.l);
    CHECK_EQ(env_dial(fx.u.env, "::1", fx.port, 60000, on_dialed, &fx, &d), 0);
    until(&fx.u, &fx.n_dialed, 1);
    until(&fx.u, &fx.n_accepted, 1);
    snprintf(want, sizeof want, "[::1]:%u", (unsigned)fx.port);
    env_stream_peer(fx.u.env, fx.cli.s, got, sizeof got);
    CHECK_STR(got, want);
    fx_close(&fx);
}

/* ---- listeners ---- */

TEST(env_net, an_address_in_use_or_not_numeric_is_refused)
{
    struct fx fx;
    struct env_listener *other;

    listen_open(&fx);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", fx.port, on_accept, &fx, &other),
             KV_EADDRINUSE);
    CHECK_EQ(env_listen(fx.u.env, "localhost", 0, on_accept, &fx, &other),
             KV_EINVAL);
    CHECK_EQ(env_listen(fx.u.env, "192.0.2.1", 0, on_accept, &fx, &other),
             KV_EINVAL); /* no address of this machine */
    fx_close(&fx);
}

TEST(env_net, an_address_is_free_again_once_its_listener_has_closed)
{
    struct fx fx;
    unsigned n = 0;

    pair_open(&fx); /* with a connection, as a restart would have */
    env_listener_close(fx.u.env, fx.l, count_closed, &n);
    until(&fx.u, &n, 1);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", fx.port, on_accept, &fx, &fx.l),
             0);
    fx_close(&fx);
}

static int connect_raw(uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    CHECK(fd >= 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)connect(fd, (struct sockaddr *)&in, sizeof in);
    return fd;
}

/* The lowest descriptor that is free, and so the limit that leaves none. */
static rlim_t next_fd(void)
{
    int fd = dup(0);

    CHECK(fd >= 0);
    close(fd);
    return (rlim_t)fd;
}

static void count_accepts(void *ctx, struct env_stream *s)
{
    struct fx *fx = ctx;

    fx->n_accepted++;
    env_stream_close(fx->u.env, s, count_closed, &fx->n_closed);
}

TEST(env_net, at_the_descriptor_limit_new_connections_are_closed)
{
    struct fx fx = { .n_accepted = 0 };
    struct rlimit limit, old;
    int fd[3];
    char c;

    until_open(&fx.u);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", 0, count_accepts, &fx, &fx.l),
             0);
    fx.port = env_listener_port(fx.u.env, fx.l);
    for (int i = 0; i < 3; i++)
        fd[i] = connect_raw(fx.port);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = next_fd();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    until_settled(&fx.u);
    CHECK_EQ(fx.n_accepted, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(read(fd[i], &c, 1), 0); /* end of file, not waiting */
        close(fd[i]);
    }
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    fd[0] = connect_raw(fx.port);
    until(&fx.u, &fx.n_closed, 1);
    CHECK_EQ(fx.n_accepted, 1); /* it has not stopped listening */
    close(fd[0]);
    env_listener_close(fx.u.env, fx.l, count_closed, &fx.n_closed);
    until(&fx.u, &fx.n_closed, 2);
    until_close(&fx.u);
}

TEST(env_net, a_limit_below_what_is_open_makes_the_listener_rest_not_spin)
{
    struct fx fx = { .n_accepted = 0 };
    struct rlimit limit, old;
    int fd;

    until_open(&fx.u);
    CHECK_EQ(env_listen(fx.u.env, "127.0.0.1", 0, count_accepts, &fx, &fx.l),
             0);
    fx.port = env_listener_port(fx.u.env, fx.l);
    fd = connect_raw(fx.port);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    until_settled(&fx.u); /* comes back: the loop is alive */
    CHECK_EQ(fx.n_accepted, 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    until(&fx.u, &fx.n_closed, 1); /* and serves what had to wait */
    CHECK_EQ(fx.n_accepted, 1);
    close(fd);
    env_listener_close(fx.u.env, fx.l, count_closed, &fx.n_closed);
    until(&fx.u, &fx.n_closed, 2);
    until_close(&fx.u);
}

TEST_ABORTS(env_net, freeing_an_env_with_an_open_stream_is_refused)
{
    struct fx fx;

    pair_open(&fx);
    end_close(&fx.cli);
    env_uv_free(fx.u.env);
}
