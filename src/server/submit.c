/* From an operation to its reply: command objects, submission, conversion.
 *
 * A command object holds a command's place in the order of replies while its
 * parts are in flight.  Objects are pooled with a small reply buffer each, so the hot
 * path allocates nothing.  When a result comes for the oldest command of a
 * connection its reply is written straight into the output; a result that comes
 * early is written into the command's own buffer and moved when its turn comes.
 *
 * Order of effects: all requests of a connection carry its id as their stream, and
 * the router keeps the order of one stream on one shard (router.h).  So a command
 * sees the writes pipelined before it without waiting for their replies. */
#include "server/server_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/sabotage.h"
#include "proto/reply.h"

/* Requests below it cannot hold a key or value over its limit. */
#define SMALL_REQUEST_BYTES OP_KEY_BYTES_MAX

struct cmd *cmd__new(struct rq *q)
{
    struct server *s = q->s;
    struct cmd *m;

    if (list_empty(&s->free_cmds)) {
        m = MEM_NEW(struct cmd);
        buf_init(&m->reply);
        buf_init(&m->part.bulk);
    } else {
        m = LIST_FIRST(&s->free_cmds, struct cmd, link);
        list_del(&m->link);
        s->n_free_cmds--;
    }
    m->conn = q->c;
    m->spec = q->spec;
    m->state = CMD_RUNNING;
    m->resp = q->c->resp;
    m->start_us = env_now_us(s->env);
    m->convert = cmd__reply;
    m->arg = 0;
    m->fan = NULL;
    m->scan = NULL;
    list_add_tail(&q->c->cmds, &m->link);
    q->c->n_cmds++;
    s->n_cmds++;
    q->async = true;
    return m;
}

void cmd__free(struct cmd *m)
{
    struct server *s = m->conn->server;

    ASSERT(!m->part.sent);
    ASSERT(m->conn->n_cmds > 0 && s->n_cmds > 0);
    list_del(&m->link);
    m->conn->n_cmds--;
    s->n_cmds--;
    fanout__free(m->fan);
    scan__free(m->scan);
    m->fan = NULL;
    m->scan = NULL;
    if (s->n_free_cmds >= CMD_POOL_MAX) {
        buf_close(&m->reply);
        mem_free(m);
        return;
    }
    buf_clear(&m->reply);
    buf_shrink(&m->reply, CMD_REPLY_KEEP_BYTES);
    list_add_head(&s->free_cmds, &m->link);
    s->n_free_cmds++;
}

void cmd__drop(struct cmd *m)
{
    if (m->part.sent) {
        router_cancel(m->conn->server->router, &m->part.req);
        m->part.sent = false;
    }
    m->conn->late_bytes -= m->reply.len;
    cmd__free(m);
}

void cmd__submit(struct cmd *m, struct part *p, uint32_t shard,
                 const struct op *op, router_cb cb)
{
    struct server *s = m->conn->server;

    ASSERT(!p->sent);
    p->cmd = m;
    p->shard = shard;
    p->sent = true;
    p->req.cb = cb;
    p->req.data = p;
    p->req.stream = m->conn->id;
    router_submit(s->router, &p->req, shard, op);
    env_wake(s->env);
}

struct buf *cmd__out(struct cmd *m)
{
    if (SABOTAGE(REPLY_SWAPPED))
        return &m->conn->out;
    return m->link.prev == &m->conn->cmds ? &m->conn->out : &m->reply;
}

bool part__arrived(struct part *p)
{
    ASSERT(p->sent);
    p->sent = false;
    return !p->cmd->conn->doomed;
}

void cmd__finish(struct cmd *m, struct buf *out, size_t start)
{
    struct conn *c = m->conn;
    struct server *s = c->server;

    ASSERT(m->state != CMD_DONE);
    m->state = CMD_DONE;
    server__account(s, m->spec, env_now_us(s->env) - m->start_us, out, start);
    if (out == &m->reply)
        c->late_bytes += m->reply.len;
    conn__check_output(c);
    if (out == &m->reply && m->link.prev != &c->cmds)
        return;
    conn__advance(c);
}

static void part_done(struct router_req *req, const struct op_result *res)
{
    struct part *p = req->data;
    struct cmd *m = p->cmd;
    struct buf *out = cmd__out(m);
    size_t start = out->len;

    if (!part__arrived(p))
        return;
    m->convert(m, res, out);
    cmd__finish(m, out, start);
}

bool rq__key_ok(struct rq *q, struct slice key)
{
    if (key.n > 0 && key.n <= OP_KEY_BYTES_MAX)
        return true;
    reply_error(q->out, "ERR key length must be 1 to %u bytes",
                OP_KEY_BYTES_MAX);
    return false;
}

/* Values and the whole operation are within what can be replicated. */
static bool op_ok(struct rq *q, const struct op *op)
{
    size_t sum = 0;

    if (q->bytes <= SMALL_REQUEST_BYTES)
        return true;
    for (uint32_t i = 0; i < op->argc; i++) {
        if (op->argv[i].n > OP_VALUE_BYTES_MAX) {
            reply_error(q->out, "ERR string exceeds maximum allowed size "
                                "(proto-max-bulk-len)");
            return false;
        }
        sum += op->argv[i].n + 8;
    }
    if (sum + 64 <= OP_BYTES_MAX && op->argc <= OP_ARGS_MAX)
        return true;
    reply_error(q->out, "ERR command too large: at most %u bytes and %u "
                        "arguments for the keys of one shard",
                OP_BYTES_MAX, OP_ARGS_MAX);
    return false;
}

void rq__submit(struct rq *q, struct op *op, cmd_convert convert, int64_t arg)
{
    struct cmd *m;

    ASSERT(op->argc > 0);
    if (!rq__key_ok(q, op->argv[0]) || !op_ok(q, op))
        return;
    op->slot = slot_of_key(op->argv[0]);
    m = cmd__new(q);
    m->arg = arg;
    if (convert != NULL)
        m->convert = convert;
    cmd__submit(m, &m->part, directory_shard_of_slot(q->s->dir, op->slot), op,
                part_done);
}

/* A value, or a reply of many items. */
static void too_big(const struct cmd_spec *spec, struct buf *out)
{
    if (spec->id == CMD_KEYS || spec->id == CMD_MGET || spec->id == CMD_SCAN)
        reply_error(out, "ERR reply larger than %u bytes: ask for less, or "
                         "use SCAN", OP_RESULT_BYTES_MAX);
    else if (spec->id == CMD_MSET || spec->id == CMD_DEL ||
             spec->id == CMD_UNLINK)
        reply_error(out, "ERR command larger than an entry of the log "
                         "(wal.segment-bytes): use several");
    else
        reply_error(out, "ERR string exceeds maximum allowed size "
                         "(proto-max-bulk-len)");
}

/* What kept a command from being executed; NULL: nobody can tell whether it was. */
static const char *cluster_reason(int64_t err)
{
    switch (err) {
    case OP_ERR_CLUSTERDOWN:
        return "CLUSTERDOWN no leader for the shard within the deadline";
    case OP_ERR_BUSY:
    case OP_ERR_SESSION_FULL:
        return "BUSY too many requests in flight";
    case OP_ERR_LOADING:
        return "LOADING the node is reading its log";
    default:
        return NULL; /* UNKNOWN, SESSION_LOST */
    }
}

static void cluster_error(int64_t err, struct buf *out)
{
    const char *why = cluster_reason(err);

    if (why != NULL)
        reply_error(out, "%s; nothing was done; retry later", why);
    else
        reply_error(out, "UNKNOWN the write may or may not have happened: "
                         "read the key before trying again");
}

/* Other shards did their part.  The word of the part that failed (CLUSTERDOWN, BUSY)
 * says "surely not executed" to clients, so it must not stand first here. */
static void partly_error(int64_t err, struct buf *out)
{
    const char *why = cluster_reason(err);

    reply_error(out, "UNKNOWN some keys of this command were written, others "
                     "were not or perhaps not (%s): read them before trying "
                     "again", why != NULL ? why : "outcome unknown");
}

void cmd__error(struct cmd *m, int64_t err, bool partly, struct buf *out)
{
    if (partly) {
        partly_error(err, out);
        return;
    }
    switch (err) {
    case OP_ERR_NOT_INTEGER:
        reply_error(out, "ERR value is not an integer or out of range");
        break;
    case OP_ERR_OVERFLOW:
        reply_error(out, "ERR increment or decrement would overflow");
        break;
    case OP_ERR_NOT_FLOAT:
        reply_error(out, "ERR value is not a valid float");
        break;
    case OP_ERR_NAN:
        reply_error(out, "ERR increment would produce NaN or Infinity");
        break;
    case OP_ERR_TOO_BIG:
        too_big(m->spec, out);
        break;
    case OP_ERR_OFFSET:
        reply_error(out, "ERR offset is out of range");
        break;
    case OP_ERR_EXPIRE:
        reply_error(out, "ERR invalid expire time in '%s' command",
                    m->spec->name);
        break;
    case OP_ERR_BAD_OP:
        reply_error(out, "ERR the shard's leader does not know this "
                         "operation: it runs an older version");
        break;
    default:
        cluster_error(err, out);
    }
}

static void put_items(struct cmd *m, struct slice items, struct buf *out)
{
    struct cursor c = cursor_make(items);
    struct slice item;
    uint64_t n = 0;
    bool nil;

    while (op_items_next(&c, &nil, &item))
        n++;
    reply_array(out, n);
    c = cursor_make(items);
    while (op_items_next(&c, &nil, &item)) {
        if (nil)
            reply_nil(out, m->resp);
        else
            reply_bulk(out, item);
    }
}

void cmd__reply(struct cmd *m, const struct op_result *res, struct buf *out)
{
    switch (res->type) {
    case OP_RES_OK:
        buf_put(out, "+OK\r\n", 5);
        break;
    case OP_RES_NIL:
        reply_nil(out, m->resp);
        break;
    case OP_RES_INT:
    case OP_RES_PAIR:
        reply_int(out, res->num);
        break;
    case OP_RES_BULK:
        reply_bulk(out, res->bulk);
        break;
    case OP_RES_ARRAY:
    case OP_RES_SCAN:
        put_items(m, res->bulk, out);
        break;
    case OP_RES_ERR:
        cmd__error(m, res->num, false, out);
        break;
    default:
        cmd__error(m, OP_ERR_BAD_OP, false, out);
    }
}

struct slice *server__scratch(struct server *s, size_t n)
{
    if (n > s->scratch_cap) {
        s->scratch_cap = n < 64 ? 64 : n;
        s->scratch =
            mem_realloc(s->scratch, s->scratch_cap * sizeof *s->scratch);
    }
    return s->scratch;
}

/* Count an error by its first word, for INFO errorstats. */
static void count_error(struct server *s, const uint8_t *p, size_t n)
{
    char prefix[sizeof s->errors[0].prefix];
    size_t len = 0;

    while (len < n && len + 1 < sizeof prefix && p[len] > ' ')
        len++;
    memcpy(prefix, p, len);
    prefix[len] = '\0';
    s->n_errors++;
    for (unsigned i = 0; i < SERVER_ERRORS_MAX; i++) {
        if (s->errors[i].count > 0 && strcmp(s->errors[i].prefix, prefix) != 0)
            continue;
        memcpy(s->errors[i].prefix, prefix, len + 1);
        s->errors[i].count++;
        return;
    }
}

void server__account(struct server *s, const struct cmd_spec *spec,
                     uint64_t usec, const struct buf *out, size_t start)
{
    bool failed = out->len > start && buf_at(out)[start] == '-';
    struct cmd_stat *st;

    if (failed)
        count_error(s, buf_at(out) + start + 1, out->len - start - 1);
    if (spec == NULL)
        return;
    st = &s->stats[spec->id];
    st->calls++;
    st->usec += usec;
    st->failed += failed;
    if (st->hist == NULL)
        st->hist = MEM_NEW(struct stat_hist);
    stat_hist_add(st->hist, usec);
}
