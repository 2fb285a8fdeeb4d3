/* Commands about the connection itself.
 *
 * There are no passwords yet: AUTH and HELLO AUTH answer as a Redis without one,
 * whose user "default" accepts any password. */
#include "server/server_int.h"

#include <string.h>

#include "base/mem.h"
#include "proto/reply.h"

void cmd_do_ok(struct rq *q)
{
    reply_simple(q->out, "OK");
}

void cmd_do_ping(struct rq *q)
{
    if (q->argc > 2)
        rq__arity(q);
    else if (q->argc == 2)
        reply_bulk(q->out, q->argv[1]);
    else
        buf_put(q->out, "+PONG\r\n", 7);
}

void cmd_do_echo(struct rq *q)
{
    reply_bulk(q->out, q->argv[1]);
}

void cmd_do_quit(struct rq *q)
{
    reply_simple(q->out, "OK");
    conn__stop_input(q->c);
}

static void set_text(char **text, struct slice s)
{
    mem_free(*text);
    *text = NULL;
    if (s.n == 0)
        return;
    *text = mem_alloc(s.n + 1);
    memcpy(*text, s.p, s.n);
    (*text)[s.n] = '\0';
}

void cmd_do_reset(struct rq *q)
{
    struct slice none = { NULL, 0 };

    q->c->resp = 2;
    set_text(&q->c->name, none);
    reply_simple(q->out, "RESET");
}

void cmd_do_select(struct rq *q)
{
    int64_t db;

    if (!rq__int(q, q->argv[1], &db))
        return;
    if (db == 0)
        reply_simple(q->out, "OK");
    else
        reply_error(q->out, "ERR DB index is out of range");
}

static bool auth_ok(struct rq *q, struct slice user)
{
    if (slice_eq(user, slice_str("default")))
        return true;
    reply_error(q->out, "WRONGPASS invalid username-password pair or user is "
                        "disabled.");
    return false;
}

void cmd_do_auth(struct rq *q)
{
    if (q->argc > 3)
        rq__syntax(q);
    else if (q->argc == 2)
        reply_error(q->out, "ERR AUTH <password> called without any password "
                            "configured for the default user. Are you sure "
                            "your configuration is correct?");
    else if (auth_ok(q, q->argv[1]))
        reply_simple(q->out, "OK");
}

static bool printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    return true;
}

/* A name for `what`; replies with an error if it is none. */
static bool name_ok(struct rq *q, const char *what, struct slice name)
{
    if (!printable(name)) {
        reply_error(q->out, "ERR %s cannot contain spaces, newlines or "
                            "special characters.", what);
        return false;
    }
    if (name.n > CONN_NAME_BYTES_MAX) {
        reply_error(q->out, "ERR %s cannot be longer than %u bytes.", what,
                    CONN_NAME_BYTES_MAX);
        return false;
    }
    return true;
}

/* ---- HELLO ---- */

static void reply_hello(struct rq *q)
{
    struct buf *b = q->out;
    int resp = q->c->resp;

    reply_map(b, resp, 7);
    reply_bulk_str(b, "server");
    reply_bulk_str(b, "redis");
    reply_bulk_str(b, "version");
    reply_bulk_str(b, SERVER_REDIS_VERSION);
    reply_bulk_str(b, "proto");
    reply_int(b, resp);
    reply_bulk_str(b, "id");
    reply_int(b, (int64_t)q->c->id);
    reply_bulk_str(b, "mode");
    reply_bulk_str(b, "cluster");
    reply_bulk_str(b, "role");
    reply_bulk_str(b, "master");
    reply_bulk_str(b, "modules");
    reply_array(b, 0);
}

/* HELLO [version [AUTH user password] [SETNAME name]] */
void cmd_do_hello(struct rq *q)
{
    int64_t version = q->c->resp;

    if (q->argc > 1 && !resp_int64(q->argv[1], &version)) {
        reply_error(q->out, "ERR Protocol version is not an integer or out "
                            "of range");
        return;
    }
    if (version < 2 || version > 3) {
        reply_error(q->out, "NOPROTO unsupported protocol version");
        return;
    }
    for (uint32_t i = 2; i < q->argc; i++) {
        uint32_t more = q->argc - 1 - i;

        if (rq__is(q->argv[i], "auth") && more >= 2) {
            if (!auth_ok(q, q->argv[i + 1]))
                return;
            i += 2;
        } else if (rq__is(q->argv[i], "setname") && more >= 1) {
            if (!name_ok(q, "Client names", q->argv[i + 1]))
                return;
            set_text(&q->c->name, q->argv[++i]);
        } else {
            reply_error(q->out, "ERR Syntax error in HELLO option '%.*s'",
                        (int)(q->argv[i].n > 128 ? 128 : q->argv[i].n),
                        (const char *)q->argv[i].p);
            return;
        }
    }
    q->c->resp = (int)version;
    reply_hello(q);
}

/* ---- CLIENT ---- */

static const char *text_or_empty(const char *s)
{
    return s != NULL ? s : "";
}

void conn__describe(const struct conn *c, struct buf *out)
{
    const struct server *s = c->server;
    uint64_t now = env_now_us(s->env);
    size_t waiting = conn__output_bytes(c);

    buf_printf(out,
               "id=%llu addr=%s laddr=%s:%u fd=-1 name=%s age=%llu idle=%llu "
               "flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=%zu "
               "qbuf-free=%zu argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%zu "
               "oll=%u omem=%zu tot-mem=%zu events=%s cmd=%s user=default "
               "redir=-1 resp=%d lib-name=%s lib-ver=%s\n",
               (unsigned long long)c->id, c->peer, s->cfg.host, s->port,
               text_or_empty(c->name),
               (unsigned long long)((now - c->born_us) / 1000000),
               (unsigned long long)((now - c->active_us) / 1000000),
               c->query.len, c->query.cap - c->query.len, waiting, c->n_cmds,
               waiting, sizeof *c + c->query.cap + c->out.cap + c->sending.cap,
               c->paused ? "w" : "r", c->last ? c->last->name : "NULL",
               c->resp, text_or_empty(c->lib_name), text_or_empty(c->lib_ver));
}

static bool is_client_type(struct slice w, bool *ret_normal)
{
    *ret_normal = rq__is(w, "normal");
    return *ret_normal || rq__is(w, "master") || rq__is(w, "replica") ||
           rq__is(w, "slave") || rq__is(w, "pubsub");
}

static void describe_all(const struct server *s, struct buf *out)
{
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next)
        conn__describe(CONTAINER_OF(l, struct conn, link), out);
}

static void describe_id(const struct server *s, int64_t id, struct buf *out)
{
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        const struct conn *c = CONTAINER_OF(l, struct conn, link);

        if (c->id == (uint64_t)id)
            conn__describe(c, out);
    }
}

/* CLIENT LIST [TYPE type | ID id ...] -> text; false: replied with an error. */
static bool client_list(struct rq *q, struct buf *text)
{
    bool normal = true;

    if (q->argc == 4 && rq__is(q->argv[2], "type")) {
        if (!is_client_type(q->argv[3], &normal)) {
            reply_error(q->out, "ERR Unknown client type '%.*s'",
                        (int)(q->argv[3].n > 128 ? 128 : q->argv[3].n),
                        (const char *)q->argv[3].p);
            return false;
        }
        if (normal)
            describe_all(q->s, text);
        return true;
    }
    if (q->argc > 3 && rq__is(q->argv[2], "id")) {
        for (uint32_t i = 3; i < q->argc; i++) {
            int64_t id;

            if (!resp_int64(q->argv[i], &id) || id <= 0) {
                reply_error(q->out, "ERR Invalid client ID");
                return false;
            }
            describe_id(q->s, id, text);
        }
        return true;
    }
    if (q->argc != 2) {
        rq__syntax(q);
        return false;
    }
    describe_all(q->s, text);
    return true;
}

static void client_setinfo(struct rq *q)
{
    struct conn *c = q->c;
    bool name = rq__is(q->argv[2], "lib-name");

    if (!name && !rq__is(q->argv[2], "lib-ver")) {
        reply_error(q->out, "ERR Unrecognized option '%.*s'",
                    (int)(q->argv[2].n > 128 ? 128 : q->argv[2].n),
                    (const char *)q->argv[2].p);
        return;
    }
    if (!name_ok(q, name ? "lib-name" : "lib-ver", q->argv[3]))
        return;
    set_text(name ? &c->lib_name : &c->lib_ver, q->argv[3]);
    reply_simple(q->out, "OK");
}

static void client_getname(struct rq *q)
{
    if (q->c->name == NULL)
        reply_nil(q->out, q->c->resp);
    else
        reply_bulk_str(q->out, q->c->name);
}

static void client_setname(struct rq *q)
{
    if (!name_ok(q, "Client names", q->argv[2]))
        return;
    set_text(&q->c->name, q->argv[2]);
    reply_simple(q->out, "OK");
}

static void client_text(struct rq *q)
{
    struct buf text;

    buf_init(&text);
    if (q->spec->id == CMD_CLIENT_INFO) {
        conn__describe(q->c, &text);
        reply_verbatim(q->out, q->c->resp, "txt", buf_slice(&text));
    } else if (client_list(q, &text)) {
        reply_verbatim(q->out, q->c->resp, "txt", buf_slice(&text));
    }
    buf_close(&text);
}

void cmd_do_client(struct rq *q)
{
    unsigned id = q->spec->id;

    if (id == CMD_CLIENT_ID)
        reply_int(q->out, (int64_t)q->c->id);
    else if (id == CMD_CLIENT_GETNAME)
        client_getname(q);
    else if (id == CMD_CLIENT_SETNAME)
        client_setname(q);
    else if (id == CMD_CLIENT_SETINFO)
        client_setinfo(q);
    else if (id == CMD_CLIENT_HELP)
        rq__help(q, CMD_CLIENT);
    else
        client_text(q);
}
