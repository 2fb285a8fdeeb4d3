/* What the files of src/server share.  See README.md for the life of a command. */
#ifndef KV_SERVER_SERVER_INT_H
#define KV_SERVER_SERVER_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/stat.h"
#include "proto/cmd.h"
#include "proto/op.h"
#include "proto/resp.h"
#include "server/server.h"

/* What clients are told: the features that they infer from it are here. */
#define SERVER_REDIS_VERSION "7.2.4"
#define CONN_NAME_BYTES_MAX 256u     /* CLIENT SETNAME, SETINFO */
#define CONN_QUERY_KEEP_BYTES 8192u  /* kept by an idle connection */
#define CONN_OUT_KEEP_BYTES 16384u
#define CMD_POOL_MAX 4096u           /* command objects kept for reuse */
#define CMD_REPLY_KEEP_BYTES 1024u   /* reply buffer kept with one of them */
#define SERVER_CRON_MS 1000u         /* idle timeouts, rates */
#define SERVER_ERRORS_MAX 32u        /* kinds of errors counted for INFO */

struct conn;
struct cmd;
struct fanout;

/* One operation of one shard: a command, or the part of it for that shard. */
struct part {
    struct router_req req;
    struct cmd *cmd;
    uint32_t shard;
    bool sent;                /* submitted, and cb has not run */
    enum op_result_type type; /* fan-out: the result, kept until all are there */
    int64_t num, num2;
    struct buf bulk;
};

/* Turn the result of a command's only part into its reply. */
typedef void (*cmd_convert)(struct cmd *m, const struct op_result *res,
                            struct buf *out);

enum cmd_state {
    CMD_RUNNING, /* parts in flight */
    CMD_AGAIN,   /* waits for the end of the turn to submit its next part */
    CMD_DONE     /* reply complete, waits for those before it */
};

/* A command whose reply is not out yet. */
struct cmd {
    struct list link;          /* in conn->cmds, in order of arrival */
    struct conn *conn;
    const struct cmd_spec *spec;
    enum cmd_state state;
    int resp;                  /* protocol version when it arrived */
    uint64_t start_us;
    cmd_convert convert;
    int64_t arg;               /* convert's */
    struct buf reply;          /* what cannot be appended to the output yet */
    struct part part;          /* the only part, unless fan != NULL */
    struct fanout *fan;        /* owned; see fanout.c */
    struct scan *scan;         /* owned; see cmd_scan.c */
};

/* A connection. */
struct conn {
    struct server *server;
    struct env_stream *stream;
    struct list link;          /* server->conns, longest idle first */
    struct list dirty;         /* server->dirty, or alone */
    uint64_t id;
    int resp;
    struct resp_request req;
    struct buf query;          /* received, not parsed */
    struct buf out;            /* replies not handed to env */
    struct buf sending;        /* handed over, until write.cb */
    struct env_write write;
    bool writing;
    struct list cmds;          /* struct cmd, oldest first */
    unsigned n_cmds;
    size_t late_bytes;         /* in the reply buffers of cmds */
    size_t part_bytes;         /* in results of parts that wait for others */
    bool paused;               /* no reads: back-pressure */
    bool ended;                /* the client sends no more */
    bool finishing;            /* nothing more is dispatched; replies go out */
    bool again;                /* a command is CMD_AGAIN */
    bool doomed;               /* to be closed at the end of the turn */
    bool closing;              /* env_stream_close was called */
    uint64_t born_us, active_us;
    const struct cmd_spec *last; /* for CLIENT LIST */
    char *name, *lib_name, *lib_ver; /* owned; NULL: not set */
    char peer[80];
};

struct cmd_stat {
    uint64_t calls, usec, rejected, failed;
    struct stat_hist *hist;    /* owned; NULL before the first call */
};

struct error_stat {
    char prefix[24];
    uint64_t count;
};

struct server {
    struct env *env;
    struct server_config cfg;
    char *host, *config_file;  /* owned copies behind cfg */
    struct router *router;
    struct directory *dir;
    const struct server_info_ops *info;
    void *info_ctx;
    struct env_listener *listener; /* NULL: not accepting */
    uint16_t port;             /* listened on */
    unsigned closing;          /* close callbacks to come, listener included */
    bool closed;
    env_close_cb close_cb;
    void *close_ctx;
    struct list conns, dirty;
    unsigned n_conns;
    uint64_t next_id;
    unsigned n_cmds;           /* of all connections */
    struct list free_cmds;
    unsigned n_free_cmds;
    struct cmd_index index;
    struct rng rng;
    struct env_timer cron;
    uint64_t start_us;
    int64_t start_wall_ms;
    struct slice *scratch;     /* owned: argument lists being put together */
    size_t scratch_cap;
    struct buf late;           /* reply of a command that may not be next */
    struct cmd_stat stats[CMD_ID_END];
    struct error_stat errors[SERVER_ERRORS_MAX];
    uint64_t n_errors, commands, connections, rejected, bytes_in, bytes_out;
    uint64_t rate_us, rate_commands, rate_in, rate_out; /* last sample */
    double ops_per_s, in_kib_per_s, out_kib_per_s;
};

/* ---- a command being dispatched ---- */

struct rq {
    struct conn *c;
    struct server *s;
    const struct cmd_spec *spec;
    struct slice *argv;       /* borrowed for the call */
    uint32_t argc;
    size_t bytes;             /* of the whole request */
    struct buf *out;          /* where an immediate reply goes */
    bool async;               /* a cmd was made: out stays untouched */
};

typedef void (*rq_handler)(struct rq *q);

/* dispatch.c */
void server__dispatch(struct conn *c, struct slice *argv, uint32_t argc,
                      size_t bytes);
void rq__syntax(struct rq *q);          /* -ERR syntax error */
void rq__not_integer(struct rq *q);
void rq__arity(struct rq *q);
bool rq__int(struct rq *q, struct slice s, int64_t *ret); /* or replies */
bool rq__is(struct slice word, const char *option);       /* without case */

/* submit.c: from an operation to its reply */
/* Submit op for the key argv[0] of op. Replies with an error instead if key or op
 * is over a limit.  arg is kept for convert; NULL: as cmd__reply. */
void rq__submit(struct rq *q, struct op *op, cmd_convert convert, int64_t arg);
bool rq__key_ok(struct rq *q, struct slice key);
struct cmd *cmd__new(struct rq *q);
void cmd__free(struct cmd *m);
void cmd__drop(struct cmd *m);          /* cancel what is in flight, free */
void cmd__submit(struct cmd *m, struct part *p, uint32_t shard,
                 const struct op *op, router_cb cb);
void cmd__reply(struct cmd *m, const struct op_result *res, struct buf *out);
void cmd__error(struct cmd *m, int64_t err, bool partly, struct buf *out);
/* The result of a part is here.  False: nobody waits for it any more, drop it. */
bool part__arrived(struct part *p);
struct buf *cmd__out(struct cmd *m);    /* where its reply goes now */
void cmd__finish(struct cmd *m, struct buf *out, size_t start);
void server__account(struct server *s, const struct cmd_spec *spec,
                     uint64_t usec, const struct buf *out, size_t start);
struct slice *server__scratch(struct server *s, size_t n);

/* fanout.c */
enum fan_merge { FAN_SUM, FAN_OK, FAN_VALUES, FAN_CONCAT, FAN_RANDOM };
void rq__keys(struct rq *q, enum op_kind kind, unsigned step,
              enum fan_merge merge);
void rq__all_shards(struct rq *q, const struct op *op, enum fan_merge merge);
void fanout__free(struct fanout *f);

/* cmd_scan.c */
void scan__free(struct scan *sc);
void scan__again(struct cmd *m);

/* conn.c */
struct conn *conn__new(struct server *s, struct env_stream *stream);
void conn__touch(struct conn *c);       /* look at it at the end of the turn */
void conn__turn(struct conn *c);        /* what server_flush does for it */
void conn__close(struct conn *c);
void conn__doom(struct conn *c);
size_t conn__output_bytes(const struct conn *c); /* not taken by the client */
/* The output grew: doom the connection if it is over the limit.  At once, because
 * one turn may bring a thousand results of 16 MiB each. */
void conn__check_output(struct conn *c);
void conn__stop_input(struct conn *c);
void conn__advance(struct conn *c);     /* put finished replies out in order */
void conn__check(const struct conn *c);

/* server.c */
void server__conn_closed(struct server *s);

/* text.c */
bool text__glob(struct slice pattern, struct slice s);
void text__node_id(char out[41], const struct directory *d, uint64_t node);

/* cmd_server.c */
void rq__help(struct rq *q, enum cmd_id container);

/* cmd_conn.c */
void conn__describe(const struct conn *c, struct buf *out);

/* handlers, one per command */
void cmd_do_append(struct rq *q);
void cmd_do_auth(struct rq *q);
void cmd_do_client(struct rq *q);
void cmd_do_cluster(struct rq *q);
void cmd_do_command(struct rq *q);
void cmd_do_config(struct rq *q);
void cmd_do_dbsize(struct rq *q);
void cmd_do_decr(struct rq *q);
void cmd_do_decrby(struct rq *q);
void cmd_do_del(struct rq *q);
void cmd_do_echo(struct rq *q);
void cmd_do_exists(struct rq *q);
void cmd_do_expire(struct rq *q);
void cmd_do_flush(struct rq *q);
void cmd_do_get(struct rq *q);
void cmd_do_getdel(struct rq *q);
void cmd_do_getex(struct rq *q);
void cmd_do_getrange(struct rq *q);
void cmd_do_getrev(struct rq *q);
void cmd_do_getset(struct rq *q);
void cmd_do_hello(struct rq *q);
void cmd_do_incr(struct rq *q);
void cmd_do_incrby(struct rq *q);
void cmd_do_incrbyfloat(struct rq *q);
void cmd_do_info(struct rq *q);
void cmd_do_keys(struct rq *q);
void cmd_do_mget(struct rq *q);
void cmd_do_mset(struct rq *q);
void cmd_do_ok(struct rq *q);
void cmd_do_persist(struct rq *q);
void cmd_do_ping(struct rq *q);
void cmd_do_quit(struct rq *q);
void cmd_do_randomkey(struct rq *q);
void cmd_do_reset(struct rq *q);
void cmd_do_scan(struct rq *q);
void cmd_do_select(struct rq *q);
void cmd_do_set(struct rq *q);
void cmd_do_setex(struct rq *q);
void cmd_do_setnx(struct rq *q);
void cmd_do_setrange(struct rq *q);
void cmd_do_strlen(struct rq *q);
void cmd_do_time(struct rq *q);
void cmd_do_touch(struct rq *q);
void cmd_do_ttl(struct rq *q);
void cmd_do_type(struct rq *q);
void cmd_do_wait(struct rq *q);

#endif
