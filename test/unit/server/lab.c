#include "lab.h"

#include <string.h>

#include "base/assert.h"
#include "env/env_uv.h"
#include "lib/test.h"

#define NODES "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003"

static void turn(void *data)
{
    struct lab *lab = data;

    router_turn(lab->router);
    server_flush(lab->server);
}

static bool is_loading(void *ctx)
{
    return ((struct lab *)ctx)->loading;
}

static bool peer_up(void *ctx, uint64_t node)
{
    (void)ctx;
    return node != 3;
}

static void put_info(void *ctx, const char *section, struct buf *out)
{
    (void)ctx;
    if (strcmp(section, "keyspace") == 0)
        buf_put_str(out, "db0:keys=7,expires=0,avg_ttl=0\r\n");
}

static void put_config(void *ctx,
                       void (*put)(void *arg, const char *name,
                                   const char *value),
                       void *arg)
{
    (void)ctx;
    put(arg, "wal-sync", "always");
    put(arg, "maxclients", "the server's own value is told");
}

static const struct server_info_ops info_ops = {
    .info = put_info,
    .config = put_config,
    .peer_up = peer_up,
    .loading = is_loading,
};

void lab_init(struct lab *lab)
{
    *lab = (struct lab){ .server = NULL };
    lab->cfg = (struct server_config){
        .host = "127.0.0.1",
        .clients_max = 100,
        .query_bytes_max = 40u << 20,
        .bulk_bytes_max = 20u << 20,
        .args_max = 1u << 20,
        .pipeline_max = 100,
        .output_bytes_max = 8u << 20,
        .node_id = 1,
        .instance_id = 0xabcdef,
    };
    CHECK_EQ(env_uv_open(&lab->env), 0);
}

void lab_open(struct lab *lab)
{
    char err[200];

    CHECK_EQ(directory_derive("lab", NODES, 4, 3, &lab->dir, err, sizeof err),
             0);
    lab->router = double_new(lab->env, lab->dir);
    CHECK_EQ(server_open(lab->env, &lab->cfg, lab->router, lab->dir,
                         &info_ops, lab, &lab->server),
             0);
    lab->port = server_port(lab->server);
    env_on_turn(lab->env, turn, lab);
}

void lab_open_clients(struct lab *lab, uint16_t port)
{
    lab->port = port;
}

static void closed(void *ctx)
{
    struct lab *lab = ctx;

    lab->closed = true;
    env_uv_stop(lab->env);
}

static void stop(struct env_timer *t)
{
    env_uv_stop(t->data);
}

void lab_run(struct lab *lab)
{
    struct env_timer t;

    env_timer_init(lab->env, &t, stop, lab->env);
    env_timer_set(&t, env_now_ms(lab->env) + 1);
    env_uv_run(lab->env);
    env_timer_stop(&t);
}

void lab_close(struct lab *lab)
{
    if (lab->server != NULL) {
        server_close(lab->server, closed, lab);
        CHECK(!lab->closed);
        env_on_turn(lab->env, NULL, NULL);
        while (!lab->closed)
            env_uv_run(lab->env);
        double_free(lab->router);
        directory_free(lab->dir);
    }
    env_uv_free(lab->env);
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct peer *peer = ctx;

    buf_put(&peer->in, p, n);
    env_uv_stop(peer->lab->env);
}

static void on_end(void *ctx, int status)
{
    struct peer *peer = ctx;

    (void)status;
    peer->ended = true;
    env_uv_stop(peer->lab->env);
}

static const struct env_stream_ops ops = { .data = on_data, .end = on_end };

static void dialed(void *ctx, int status, struct env_stream *stream)
{
    struct peer *p = ctx;

    CHECK_EQ(status, 0);
    p->stream = stream;
    p->connected = true;
    env_stream_start(p->lab->env, stream, &ops, p);
    env_uv_stop(p->lab->env);
}

void peer_open(struct peer *p, struct lab *lab)
{
    struct env_dial *d;

    *p = (struct peer){ .lab = lab };
    buf_init(&p->in);
    buf_init(&p->out);
    CHECK_EQ(env_dial(lab->env, "127.0.0.1", lab->port, 5000, dialed, p, &d),
             0);
    while (!p->connected)
        env_uv_run(lab->env);
}

static void peer_closed(void *ctx)
{
    struct peer *p = ctx;

    p->closed = true;
    env_uv_stop(p->lab->env);
}

void peer_close(struct peer *p)
{
    env_stream_close(p->lab->env, p->stream, peer_closed, p);
    while (!p->closed)
        env_uv_run(p->lab->env);
    buf_close(&p->in);
    buf_close(&p->out);
}

static void written(struct env_write *w, int status)
{
    struct peer *p = w->data;

    (void)status; /* the server may have closed: seen as the end of input */
    p->writing = false;
    buf_clear(&p->out);
    env_uv_stop(p->lab->env);
}

void peer_send(struct peer *p, struct slice bytes)
{
    struct slice part;

    while (p->writing)
        env_uv_run(p->lab->env);
    if (p->ended)
        return;
    buf_put_slice(&p->out, bytes);
    part = buf_slice(&p->out);
    p->write = (struct env_write){ .cb = written, .data = p };
    p->writing = true;
    if (env_stream_write(p->lab->env, p->stream, &p->write, &part, 1) != 0)
        p->writing = false;
}

void peer_send_str(struct peer *p, const char *s)
{
    peer_send(p, slice_str(s));
}

const char *peer_line(struct peer *p)
{
    static char line[1 << 20];
    const uint8_t *lf = NULL;
    size_t n;

    for (;;) {
        if (p->in.len > 0)
            lf = memchr(buf_at(&p->in), '\n', p->in.len);
        if (lf != NULL)
            break;
        if (p->ended)
            return NULL;
        env_uv_run(p->lab->env);
    }
    n = (size_t)(lf - buf_at(&p->in));
    ASSERT(n < sizeof line);
    memcpy(line, buf_at(&p->in), n);
    line[n > 0 && line[n - 1] == '\r' ? n - 1 : n] = '\0';
    buf_consume(&p->in, n + 1);
    return line;
}

void peer_expect(struct peer *p, const char *bytes)
{
    size_t n = strlen(bytes);

    while (p->in.len < n && !p->ended)
        env_uv_run(p->lab->env);
    if (p->in.len < n || memcmp(buf_at(&p->in), bytes, n) != 0)
        FAIL("expected \"%s\", got \"%.*s\"", bytes,
             (int)(p->in.len < 300 ? p->in.len : 300),
             (const char *)buf_at(&p->in));
    buf_consume(&p->in, n);
}

void peer_wait_end(struct peer *p)
{
    while (!p->ended)
        env_uv_run(p->lab->env);
}

void peer_stop_reading(struct peer *p)
{
    env_stream_pause(p->lab->env, p->stream);
}

void peer_read_on(struct peer *p)
{
    env_stream_resume(p->lab->env, p->stream);
}
