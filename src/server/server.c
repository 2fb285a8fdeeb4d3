/* The server: listener, connections, statistics over all of them.
 *
 * Life of a command:
 *
 *   bytes -> conn (resp_request) -> dispatch (table, checks) -> handler
 *     handler -> reply at once
 *             -> op -> router -> result -> convert -> reply
 *   replies -> in order of arrival -> out -> one write per turn
 *
 * Invariants:
 *   1  A command occupies its place from dispatch to reply: replies leave in the
 *      order of the commands, whatever the order of their results.
 *   2  Nothing is closed or freed inside a callback of another layer: connections
 *      are doomed there and closed by server_flush or server_close.
 *   3  What a client can make us hold is bounded: unparsed input by
 *      query_bytes_max, commands in flight by pipeline_max (then its reads pause),
 *      output by output_bytes_max (then it is closed), clients by clients_max.
 *
 * server_close: every connection is closed and every command in flight canceled at
 * once; the callback comes when env has confirmed the last one. */
#include "server/server_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/log.h"
#include "proto/reply.h"

#define ACCEPT_REFUSAL "-ERR max number of clients reached\r\n"

/* A stream that was never made a connection: refused. */
static void refused_closed(void *ctx)
{
    server__conn_closed(ctx);
}

static void refuse(struct server *s, struct env_stream *stream)
{
    struct slice text = slice_str(ACCEPT_REFUSAL);

    s->rejected++;
    /* What the socket does not take of one short line is not worth keeping. */
    (void)env_stream_try_write(s->env, stream, &text, 1);
    s->closing++;
    env_stream_close(s->env, stream, refused_closed, s);
}

static void accepted(void *ctx, struct env_stream *stream)
{
    struct server *s = ctx;

    s->connections++;
    if (s->n_conns >= s->cfg.clients_max || s->closed) {
        refuse(s, stream);
        return;
    }
    s->n_conns++;
    (void)conn__new(s, stream);
}

static void sample_rates(struct server *s, uint64_t now)
{
    double sec = (double)(now - s->rate_us) / 1e6;

    if (sec < 0.1)
        return;
    s->ops_per_s = (double)(s->commands - s->rate_commands) / sec;
    s->in_kib_per_s = (double)(s->bytes_in - s->rate_in) / sec / 1024;
    s->out_kib_per_s = (double)(s->bytes_out - s->rate_out) / sec / 1024;
    s->rate_us = now;
    s->rate_commands = s->commands;
    s->rate_in = s->bytes_in;
    s->rate_out = s->bytes_out;
}

/* Close connections that have been silent for too long. */
static void close_idle(struct server *s, uint64_t now)
{
    uint64_t limit = s->cfg.idle_timeout_ms * 1000;

    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *c = CONTAINER_OF(l, struct conn, link);

        if (now - c->active_us < limit)
            break;
        if (c->n_cmds == 0)
            conn__doom(c);
    }
}

static void cron(struct env_timer *t)
{
    struct server *s = t->data;
    uint64_t now = env_now_us(s->env);

    sample_rates(s, now);
    if (s->cfg.idle_timeout_ms > 0)
        close_idle(s, now);
    env_timer_set(t, env_now_ms(s->env) + SERVER_CRON_MS);
}

static void init_lists(struct server *s)
{
    list_init(&s->conns);
    list_init(&s->dirty);
    list_init(&s->free_cmds);
    buf_init(&s->late);
}

static void free_server(struct server *s)
{
    while (!list_empty(&s->free_cmds)) {
        struct cmd *m = LIST_FIRST(&s->free_cmds, struct cmd, link);

        list_del(&m->link);
        buf_close(&m->reply);
        mem_free(m);
    }
    for (unsigned i = 0; i < CMD_ID_END; i++)
        mem_free(s->stats[i].hist);
    buf_close(&s->late);
    mem_free(s->scratch);
    mem_free(s->config_file);
    mem_free(s->host);
    mem_free(s);
}

int server_open(struct env *env, const struct server_config *cfg,
                struct router *router, struct directory *dir,
                const struct server_info_ops *info, void *ctx,
                struct server **ret)
{
    struct server *s = MEM_NEW(struct server);
    uint64_t seed;
    int rv;

    ASSERT(cfg->clients_max > 0 && cfg->pipeline_max > 0);
    ASSERT(cfg->output_bytes_max > 0 && cfg->args_max > 0);
    ASSERT(cfg->query_bytes_max > cfg->bulk_bytes_max);
    ASSERT(info != NULL && dir != NULL);
    s->env = env;
    s->cfg = *cfg;
    s->host = mem_strdup(cfg->host);
    s->config_file = mem_strdup(cfg->config_file ? cfg->config_file : "");
    s->cfg.host = s->host;
    s->cfg.config_file = s->config_file;
    s->router = router;
    s->dir = dir;
    s->info = info;
    s->info_ctx = ctx;
    s->start_us = s->rate_us = env_now_us(env);
    s->start_wall_ms = env_wall_ms(env);
    init_lists(s);
    cmd_index_init(&s->index);
    env_random(env, &seed, sizeof seed);
    rng_seed(&s->rng, seed);
    env_timer_init(env, &s->cron, cron, s);
    rv = env_listen(env, s->host, cfg->port, accepted, s, &s->listener);
    if (rv != 0) {
        free_server(s);
        return rv;
    }
    s->port = env_listener_port(env, s->listener);
    env_timer_set(&s->cron, env_now_ms(env) + SERVER_CRON_MS);
    *ret = s;
    return 0;
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

void server_flush(struct server *s)
{
    struct list turn;

    list_init(&turn);
    list_splice(&turn, &s->dirty);
    while (!list_empty(&turn)) {
        struct conn *c = LIST_FIRST(&turn, struct conn, dirty);

        list_del(&c->dirty);
        conn__turn(c);
    }
}

void server__conn_closed(struct server *s)
{
    ASSERT(s->closing > 0);
    s->closing--;
    if (s->closed && s->closing == 0) {
        env_close_cb cb = s->close_cb;
        void *ctx = s->close_ctx;

        ASSERT(list_empty(&s->conns));
        free_server(s);
        cb(ctx);
    }
}

/* A client that goes on sending would keep the node from ever being idle. */
void server_drain(struct server *s)
{
    if (s->listener == NULL)
        return;
    s->closing++;
    env_listener_close(s->env, s->listener, refused_closed, s);
    s->listener = NULL;
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *c = CONTAINER_OF(l, struct conn, link);

        if (!c->finishing && !c->doomed)
            conn__stop_input(c);
    }
}

bool server_idle(const struct server *s)
{
    if (s->n_cmds > 0)
        return false;
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *c = CONTAINER_OF(l, struct conn, link);

        if (c->out.len > 0 || c->writing)
            return false;
    }
    return true;
}

/* The last confirmation may have come before anything was left to close: a
 * timer makes sure that the callback does not run inside server_close. */
static void close_later(struct env_timer *t)
{
    server__conn_closed(t->data);
}

void server_close(struct server *s, env_close_cb cb, void *ctx)
{
    ASSERT(!s->closed);
    s->closed = true;
    s->close_cb = cb;
    s->close_ctx = ctx;
    s->closing++;
    server_drain(s);
    while (!list_empty(&s->conns))
        conn__close(LIST_FIRST(&s->conns, struct conn, link));
    ASSERT(s->n_cmds == 0);
    env_timer_stop(&s->cron);
    env_timer_init(s->env, &s->cron, close_later, s);
    env_timer_set(&s->cron, env_now_ms(s->env));
}
