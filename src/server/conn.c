/* One connection: input, the queue of commands, output.
 *
 *            data                                   turn (server_flush)
 *   socket --------> query --parse--> dispatch       out --write--> socket
 *                      ^                 |             ^
 *                      |              cmds (queue) ----/  in order
 *                   paused while pipeline_max commands are in flight or more
 *                   output waits than the soft limit
 *
 *   open --QUIT, end of stream, protocol error--> finishing --all sent--> closed
 *   open --output limit, write error, reset, idle--> doomed --turn--> closed
 *
 * Invariants (conn__check):
 *   1  n_cmds is the length of cmds; the head is not CMD_DONE (its reply would be
 *      out).
 *   2  late_bytes is the sum of the reply buffers of cmds.
 *   3  While `writing`, `sending` belongs to env.
 *
 * Parsing works on the bytes as they arrive, without copying them, when nothing
 * is left over from before; only an incomplete request or what a pause leaves
 * is kept in `query`. */
#include "server/server_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/reply.h"

void conn__check(const struct conn *c)
{
    size_t late = 0;
    unsigned n = 0;

    for (struct list *l = c->cmds.next; l != &c->cmds; l = l->next) {
        const struct cmd *m = CONTAINER_OF(l, struct cmd, link);

        ASSERT(m->conn == c);
        ASSERT(n > 0 || m->state != CMD_DONE);
        late += m->reply.len;
        n++;
    }
    ASSERT(n == c->n_cmds);
    ASSERT(late == c->late_bytes);
}

void conn__touch(struct conn *c)
{
    if (!list_empty(&c->dirty) || c->closing)
        return;
    list_add_tail(&c->server->dirty, &c->dirty);
    env_wake(c->server->env);
}

void conn__doom(struct conn *c)
{
    c->doomed = true;
    conn__touch(c);
}

size_t conn__output_bytes(const struct conn *c)
{
    return c->out.len + c->sending.len + c->late_bytes + c->part_bytes;
}

void conn__check_output(struct conn *c)
{
    if (conn__output_bytes(c) > c->server->cfg.output_bytes_max)
        conn__doom(c);
    else
        conn__touch(c);
}

/* Above it no further commands are read; well below the limit that closes. */
static size_t output_soft(const struct conn *c)
{
    return c->server->cfg.output_bytes_max / 4;
}

static bool must_pause(const struct conn *c)
{
    return c->n_cmds >= c->server->cfg.pipeline_max ||
           conn__output_bytes(c) > output_soft(c);
}

/* Half way down, so that a pause is worth its system calls. */
static bool may_resume(const struct conn *c)
{
    return c->n_cmds <= c->server->cfg.pipeline_max / 2 &&
           conn__output_bytes(c) <= output_soft(c) / 2;
}

/* No more input; replies still go out. */
void conn__stop_input(struct conn *c)
{
    c->finishing = true;
    if (!c->paused) {
        c->paused = true;
        env_stream_pause(c->server->env, c->stream);
    }
    conn__touch(c);
}

/* A fatal error about the input takes its place behind the replies due. */
static void input_error(struct conn *c, const char *text)
{
    struct server *s = c->server;
    struct rq q = { .c = c, .s = s, .spec = NULL };

    if (list_empty(&c->cmds)) {
        size_t start = c->out.len;

        reply_error(&c->out, "ERR %s", text);
        server__account(s, NULL, 0, &c->out, start);
    } else {
        struct cmd *m = cmd__new(&q);

        reply_error(&m->reply, "ERR %s", text);
        cmd__finish(m, &m->reply, 0);
    }
    conn__stop_input(c);
}

/* Parse and dispatch requests of `in`; returns the bytes used. */
static size_t process(struct conn *c, struct slice in)
{
    size_t done = 0;

    while (!c->finishing && !c->doomed && !must_pause(c)) {
        size_t used = 0;
        int rv = resp_request_parse(
            &c->req, slice_make(in.p + done, in.n - done), &used);

        if (rv == KV_EPROTO) {
            input_error(c, c->req.error);
            return in.n;
        }
        if (rv != 0)
            break;
        if (c->req.argc > 0)
            server__dispatch(c, c->req.argv, c->req.argc, used);
        done += used;
    }
    return done;
}

static void check_limits(struct conn *c)
{
    struct server *s = c->server;

    if (conn__output_bytes(c) > s->cfg.output_bytes_max)
        conn__doom(c);
    if (c->query.len > s->cfg.query_bytes_max && !must_pause(c) &&
        !c->finishing)
        input_error(c, "Protocol error: request exceeds the query buffer "
                       "limit");
}

/* Parse what was left over, as far as the limits allow. */
static void process_query(struct conn *c)
{
    size_t used;

    if (c->query.len == 0)
        return;
    used = process(c, buf_slice(&c->query));
    buf_consume(&c->query, used);
    buf_shrink(&c->query, CONN_QUERY_KEEP_BYTES);
}

static void keep(struct conn *c, struct slice rest)
{
    size_t need = resp_request_need(&c->req);

    if (need > c->query.len + rest.n)
        buf_reserve(&c->query, need - c->query.len);
    buf_put_slice(&c->query, rest);
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
    struct conn *c = ctx;
    struct server *s = c->server;

    s->bytes_in += n;
    c->active_us = env_now_us(s->env);
    list_del(&c->link);
    list_add_tail(&s->conns, &c->link);
    if (c->finishing || c->doomed)
        return;
    if (c->query.len == 0) {
        size_t used = process(c, slice_make(p, n));

        if (used < n)
            keep(c, slice_make(p + used, n - used));
    } else {
        keep(c, slice_make(p, n));
        process_query(c);
    }
    check_limits(c);
    if (must_pause(c) && !c->paused) {
        c->paused = true;
        env_stream_pause(s->env, c->stream);
    }
    conn__touch(c);
}

static void on_end(void *ctx, int status)
{
    struct conn *c = ctx;

    if (status != KV_EEOF) {
        conn__doom(c);
        return;
    }
    /* Replies to what came before are still wanted (printf ... | nc).  What a
     * pause left unparsed is dispatched by conn__turn as it gets room. */
    c->ended = true;
    conn__touch(c);
}

static const struct env_stream_ops stream_ops = { .data = on_data,
                                                  .end = on_end };

static void written(struct env_write *w, int status)
{
    struct conn *c = w->data;

    c->writing = false;
    buf_clear(&c->sending);
    buf_shrink(&c->sending, CONN_OUT_KEEP_BYTES);
    if (status != 0)
        c->doomed = true;
    conn__touch(c);
}

struct conn *conn__new(struct server *s, struct env_stream *stream)
{
    struct conn *c = MEM_NEW(struct conn);

    c->server = s;
    c->stream = stream;
    c->id = ++s->next_id;
    c->resp = 2;
    c->born_us = c->active_us = env_now_us(s->env);
    c->write.cb = written;
    c->write.data = c;
    resp_request_init(&c->req,
                      (struct resp_limits){
                          .bulk_bytes_max = s->cfg.bulk_bytes_max,
                          .args_max = s->cfg.args_max });
    buf_init(&c->query);
    buf_init(&c->out);
    buf_init(&c->sending);
    list_init(&c->cmds);
    list_init(&c->dirty);
    list_add_tail(&s->conns, &c->link);
    env_stream_peer(s->env, stream, c->peer, sizeof c->peer);
    env_stream_start(s->env, stream, &stream_ops, c);
    return c;
}

void conn__advance(struct conn *c)
{
    while (!list_empty(&c->cmds)) {
        struct cmd *m = LIST_FIRST(&c->cmds, struct cmd, link);

        if (m->state != CMD_DONE)
            break;
        buf_put_slice(&c->out, buf_slice(&m->reply));
        c->late_bytes -= m->reply.len;
        cmd__free(m);
    }
    conn__touch(c);
}

/* Hand the output over: what the socket takes now, the rest to env. */
static void write_out(struct conn *c)
{
    struct server *s = c->server;
    struct slice part = buf_slice(&c->out);
    struct buf swap;
    long n;

    if (c->writing || c->out.len == 0)
        return;
    n = env_stream_try_write(s->env, c->stream, &part, 1);
    if (n < 0) {
        c->doomed = true;
        return;
    }
    s->bytes_out += (uint64_t)n;
    buf_consume(&c->out, (size_t)n);
    if (c->out.len == 0) {
        buf_shrink(&c->out, CONN_OUT_KEEP_BYTES);
        return;
    }
    swap = c->sending;
    c->sending = c->out;
    c->out = swap;
    part = buf_slice(&c->sending);
    if (env_stream_write(s->env, c->stream, &c->write, &part, 1) != 0) {
        c->doomed = true;
        return;
    }
    s->bytes_out += part.n;
    c->writing = true;
}

/* Submit the next part of commands that go shard by shard. */
static void run_again(struct conn *c)
{
    for (struct list *l = c->cmds.next; l != &c->cmds;) {
        struct cmd *m = CONTAINER_OF(l, struct cmd, link);

        l = l->next;
        if (m->state == CMD_AGAIN)
            scan__again(m);
    }
}

/* Read on if there was a pause and there is room again. */
static void resume(struct conn *c)
{
    if (c->finishing || !may_resume(c))
        return;
    if (c->paused || c->ended) {
        process_query(c);
        check_limits(c);
    }
    if (c->ended && !must_pause(c)) {
        conn__stop_input(c);
    } else if (c->paused && !must_pause(c) && !c->finishing) {
        c->paused = false;
        env_stream_resume(c->server->env, c->stream);
    }
}

static bool all_sent(const struct conn *c)
{
    return c->n_cmds == 0 && c->out.len == 0 && !c->writing;
}

void conn__turn(struct conn *c)
{
#ifdef KV_DEBUG
    conn__check(c);
#endif
    if (c->again) {
        c->again = false;
        run_again(c);
    }
    if (!c->doomed)
        resume(c);
    if (!c->doomed)
        write_out(c);
    if (conn__output_bytes(c) > c->server->cfg.output_bytes_max)
        c->doomed = true;
    if (c->doomed || (c->finishing && all_sent(c)))
        conn__close(c);
    else if (!c->finishing && (c->paused || c->ended) && may_resume(c))
        conn__touch(c);
}

static void closed(void *ctx)
{
    struct conn *c = ctx;
    struct server *s = c->server;

    resp_request_close(&c->req);
    buf_close(&c->query);
    buf_close(&c->out);
    buf_close(&c->sending);
    mem_free(c->name);
    mem_free(c->lib_name);
    mem_free(c->lib_ver);
    mem_free(c);
    server__conn_closed(s);
}

void conn__close(struct conn *c)
{
    struct server *s = c->server;

    ASSERT(!c->closing);
    c->closing = true;
    while (!list_empty(&c->cmds))
        cmd__drop(LIST_FIRST(&c->cmds, struct cmd, link));
    list_del(&c->dirty);
    list_del(&c->link);
    ASSERT(s->n_conns > 0);
    s->n_conns--;
    s->closing++;
    env_stream_close(s->env, c->stream, closed, c);
}
