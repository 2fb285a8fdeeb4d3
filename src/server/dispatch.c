/* From words to a handler: the checks that all commands share.
 *
 * In Redis' order: unknown command, wrong number of arguments, loading; then the
 * handler, which checks its own arguments.  Handlers either reply at once into
 * q->out or make a command object (rq__submit and friends), never both.  An
 * immediate reply that is not next in order goes to a buffer and takes its place
 * in the queue as a finished command. */
#include "server/server_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "proto/reply.h"

#define QUOTED_BYTES_MAX 128u /* of unknown words, in an error */

static const rq_handler handlers[CMD_COUNT] = {
    [CMD_APPEND] = cmd_do_append,
    [CMD_ASKING] = cmd_do_ok,
    [CMD_AUTH] = cmd_do_auth,
    [CMD_CLIENT] = cmd_do_client,
    [CMD_CLUSTER] = cmd_do_cluster,
    [CMD_COMMAND] = cmd_do_command,
    [CMD_CONFIG] = cmd_do_config,
    [CMD_DBSIZE] = cmd_do_dbsize,
    [CMD_DECR] = cmd_do_decr,
    [CMD_DECRBY] = cmd_do_decrby,
    [CMD_DEL] = cmd_do_del,
    [CMD_ECHO] = cmd_do_echo,
    [CMD_EXISTS] = cmd_do_exists,
    [CMD_EXPIRE] = cmd_do_expire,
    [CMD_EXPIREAT] = cmd_do_expire,
    [CMD_EXPIRETIME] = cmd_do_ttl,
    [CMD_FLUSHALL] = cmd_do_flush,
    [CMD_FLUSHDB] = cmd_do_flush,
    [CMD_GET] = cmd_do_get,
    [CMD_GETDEL] = cmd_do_getdel,
    [CMD_GETEX] = cmd_do_getex,
    [CMD_GETRANGE] = cmd_do_getrange,
    [CMD_GETREV] = cmd_do_getrev,
    [CMD_GETSET] = cmd_do_getset,
    [CMD_HELLO] = cmd_do_hello,
    [CMD_INCR] = cmd_do_incr,
    [CMD_INCRBY] = cmd_do_incrby,
    [CMD_INCRBYFLOAT] = cmd_do_incrbyfloat,
    [CMD_INFO] = cmd_do_info,
    [CMD_KEYS] = cmd_do_keys,
    [CMD_MGET] = cmd_do_mget,
    [CMD_MSET] = cmd_do_mset,
    [CMD_PERSIST] = cmd_do_persist,
    [CMD_PEXPIRE] = cmd_do_expire,
    [CMD_PEXPIREAT] = cmd_do_expire,
    [CMD_PEXPIRETIME] = cmd_do_ttl,
    [CMD_PING] = cmd_do_ping,
    [CMD_PSETEX] = cmd_do_setex,
    [CMD_PTTL] = cmd_do_ttl,
    [CMD_QUIT] = cmd_do_quit,
    [CMD_RANDOMKEY] = cmd_do_randomkey,
    [CMD_READONLY] = cmd_do_ok,
    [CMD_READWRITE] = cmd_do_ok,
    [CMD_RESET] = cmd_do_reset,
    [CMD_SCAN] = cmd_do_scan,
    [CMD_SELECT] = cmd_do_select,
    [CMD_SET] = cmd_do_set,
    [CMD_SETEX] = cmd_do_setex,
    [CMD_SETNX] = cmd_do_setnx,
    [CMD_SETRANGE] = cmd_do_setrange,
    [CMD_STRLEN] = cmd_do_strlen,
    [CMD_SUBSTR] = cmd_do_getrange,
    [CMD_TIME] = cmd_do_time,
    [CMD_TOUCH] = cmd_do_touch,
    [CMD_TTL] = cmd_do_ttl,
    [CMD_TYPE] = cmd_do_type,
    [CMD_UNLINK] = cmd_do_del,
    [CMD_WAIT] = cmd_do_wait,
};

void rq__syntax(struct rq *q)
{
    reply_error(q->out, "ERR syntax error");
}

void rq__not_integer(struct rq *q)
{
    reply_error(q->out, "ERR value is not an integer or out of range");
}

void rq__arity(struct rq *q)
{
    reply_error(q->out, "ERR wrong number of arguments for '%s' command",
                q->spec->name);
}

bool rq__int(struct rq *q, struct slice s, int64_t *ret)
{
    if (resp_int64(s, ret))
        return true;
    rq__not_integer(q);
    return false;
}

bool rq__is(struct slice word, const char *option)
{
    return slice_eq_nocase(word, option);
}

/* The part of a word that an error quotes: Redis stops at a zero byte. */
static int quoted_len(struct slice w, size_t max)
{
    const uint8_t *zero = w.n > 0 ? memchr(w.p, 0, w.n) : NULL;
    size_t n = zero != NULL ? (size_t)(zero - w.p) : w.n;

    return (int)(n < max ? n : max);
}

static void unknown_command(struct rq *q)
{
    char args[QUOTED_BYTES_MAX * 2];
    size_t len = 0;

    args[0] = '\0';
    for (uint32_t i = 1; i < q->argc && len < QUOTED_BYTES_MAX; i++) {
        struct slice w = q->argv[i];
        int n = snprintf(args + len, sizeof args - len, "'%.*s' ",
                         quoted_len(w, QUOTED_BYTES_MAX - len),
                         (const char *)w.p);

        len += (size_t)n;
    }
    reply_error(q->out, "ERR unknown command '%.*s', with args beginning "
                        "with: %s",
                quoted_len(q->argv[0], QUOTED_BYTES_MAX),
                (const char *)q->argv[0].p, args);
}

static void unknown_subcommand(struct rq *q, const struct cmd_spec *parent)
{
    char upper[32];
    size_t i;

    for (i = 0; parent->name[i] != '\0' && i + 1 < sizeof upper; i++)
        upper[i] = (char)(parent->name[i] - 32);
    upper[i] = '\0';
    reply_error(q->out, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                quoted_len(q->argv[1], QUOTED_BYTES_MAX),
                (const char *)q->argv[1].p, upper);
}

/* Find command and subcommand and check what can be checked by the table;
 * false: replied. */
static bool check(struct rq *q)
{
    struct server *s = q->s;
    const struct cmd_spec *spec = cmd_find(&s->index, q->argv[0]);

    if (spec == NULL) {
        unknown_command(q);
        return false;
    }
    if (spec->n_subs > 0 && q->argc > 1) {
        const struct cmd_spec *sub = cmd_find_sub(spec, q->argv[1]);

        if (sub == NULL) {
            unknown_subcommand(q, spec);
            return false;
        }
        spec = sub;
    }
    q->spec = spec;
    q->c->last = spec;
    if (!cmd_arity_ok(spec, q->argc)) {
        rq__arity(q);
        s->stats[spec->id].rejected++;
        return false;
    }
    if ((spec->flags & CMD_F_LOADING) == 0 && s->info->loading != NULL &&
        s->info->loading(s->info_ctx)) {
        reply_error(q->out, "LOADING the node is reading its log; nothing "
                            "was done; retry later");
        s->stats[spec->id].rejected++;
        return false;
    }
    return true;
}

static rq_handler handler_of(const struct cmd_spec *spec, struct slice name,
                             const struct cmd_index *ix)
{
    return spec->id < CMD_COUNT ? handlers[spec->id]
                                : handlers[cmd_find(ix, name)->id];
}

void server__dispatch(struct conn *c, struct slice *argv, uint32_t argc,
                      size_t bytes)
{
    struct server *s = c->server;
    bool next = list_empty(&c->cmds), ok;
    struct rq q = { .c = c, .s = s, .argv = argv, .argc = argc,
                    .bytes = bytes, .out = next ? &c->out : &s->late };
    size_t start = q.out->len;

    ASSERT(argc > 0);
    ASSERT(s->late.len == 0);
    s->commands++;
    ok = check(&q);
    if (ok)
        handler_of(q.spec, argv[0], &s->index)(&q);
    if (q.async) {
        ASSERT(s->late.len == 0);
        return;
    }
    if (next) {
        server__account(s, ok ? q.spec : NULL, 0, q.out, start);
    } else {
        struct cmd *m = cmd__new(&q);
        struct buf swap = m->reply;

        if (!ok)
            m->spec = NULL;
        m->reply = s->late;
        s->late = swap;
        cmd__finish(m, &m->reply, 0);
    }
    conn__touch(c);
}
