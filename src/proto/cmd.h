/* The command table: what COMMAND, COMMAND DOCS and the dispatcher need to know
 * about every command, in the terms of Redis 7. */
#ifndef KV_PROTO_CMD_H
#define KV_PROTO_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Top-level commands, X(ID, name). */
#define CMD_MAP(X)                                                             \
    X(APPEND, "append") X(ASKING, "asking") X(AUTH, "auth")                    \
    X(CLIENT, "client") X(CLUSTER, "cluster") X(COMMAND, "command")            \
    X(CONFIG, "config") X(DBSIZE, "dbsize") X(DECR, "decr")                    \
    X(DECRBY, "decrby") X(DEL, "del") X(ECHO, "echo") X(EXISTS, "exists")      \
    X(EXPIRE, "expire") X(EXPIREAT, "expireat") X(EXPIRETIME, "expiretime")    \
    X(FLUSHALL, "flushall") X(FLUSHDB, "flushdb") X(GET, "get")                \
    X(GETDEL, "getdel") X(GETEX, "getex") X(GETRANGE, "getrange")              \
    X(GETREV, "getrev") X(GETSET, "getset") X(HELLO, "hello")                  \
    X(INCR, "incr") X(INCRBY, "incrby") X(INCRBYFLOAT, "incrbyfloat")          \
    X(INFO, "info") X(KEYS, "keys") X(MGET, "mget") X(MSET, "mset")            \
    X(PERSIST, "persist") X(PEXPIRE, "pexpire") X(PEXPIREAT, "pexpireat")      \
    X(PEXPIRETIME, "pexpiretime") X(PING, "ping") X(PSETEX, "psetex")          \
    X(PTTL, "pttl") X(QUIT, "quit") X(RANDOMKEY, "randomkey")                  \
    X(READONLY, "readonly") X(READWRITE, "readwrite") X(RESET, "reset")        \
    X(SCAN, "scan") X(SELECT, "select") X(SET, "set") X(SETEX, "setex")        \
    X(SETNX, "setnx") X(SETRANGE, "setrange") X(STRLEN, "strlen")              \
    X(SUBSTR, "substr") X(TIME, "time") X(TOUCH, "touch") X(TTL, "ttl")        \
    X(TYPE, "type") X(UNLINK, "unlink") X(WAIT, "wait")

enum cmd_id {
#define X(id, name) CMD_##id,
    CMD_MAP(X)
#undef X
    CMD_COUNT,
    /* Subcommands, in no table of their own. */
    CMD_CLIENT_GETNAME = CMD_COUNT,
    CMD_CLIENT_HELP,
    CMD_CLIENT_ID,
    CMD_CLIENT_INFO,
    CMD_CLIENT_LIST,
    CMD_CLIENT_SETINFO,
    CMD_CLIENT_SETNAME,
    CMD_CLUSTER_HELP,
    CMD_CLUSTER_INFO,
    CMD_CLUSTER_KEYSLOT,
    CMD_CLUSTER_MYID,
    CMD_CLUSTER_NODES,
    CMD_CLUSTER_SHARDS,
    CMD_CLUSTER_SLOTS,
    CMD_COMMAND_COUNT,
    CMD_COMMAND_DOCS,
    CMD_COMMAND_GETKEYS,
    CMD_COMMAND_HELP,
    CMD_COMMAND_INFO,
    CMD_COMMAND_LIST,
    CMD_CONFIG_GET,
    CMD_CONFIG_HELP,
    CMD_ID_END
};

/* Flags, in the order in which COMMAND lists them. */
#define CMD_FLAG_MAP(X)                                                        \
    X(WRITE, 0, "write") X(READONLY, 1, "readonly") X(DENYOOM, 2, "denyoom")   \
    X(ADMIN, 3, "admin") X(NOSCRIPT, 4, "noscript") X(LOADING, 5, "loading")   \
    X(STALE, 6, "stale") X(FAST, 7, "fast") X(NO_AUTH, 8, "no_auth")           \
    X(ALLOW_BUSY, 9, "allow_busy")

/* ACL categories, in Redis' order. */
#define CMD_ACL_MAP(X)                                                         \
    X(KEYSPACE, 0, "keyspace") X(READ, 1, "read") X(WRITE, 2, "write")         \
    X(STRING, 3, "string") X(ADMIN, 4, "admin") X(FAST, 5, "fast")             \
    X(SLOW, 6, "slow") X(DANGEROUS, 7, "dangerous")                            \
    X(CONNECTION, 8, "connection")

/* What a command does with its keys (flags of a key specification). */
#define CMD_KEY_MAP(X)                                                         \
    X(RO, 0, "RO") X(RW, 1, "RW") X(OW, 2, "OW") X(RM, 3, "RM")                \
    X(ACCESS, 4, "access") X(UPDATE, 5, "update") X(INSERT, 6, "insert")       \
    X(DELETE, 7, "delete") X(VARIABLE, 8, "variable_flags")

/* Hints for clients and proxies. */
#define CMD_TIP_MAP(X)                                                         \
    X(NONDET, 0, "nondeterministic_output")                                    \
    X(NONDET_ORDER, 1, "nondeterministic_output_order")                        \
    X(ALL_SHARDS, 2, "request_policy:all_shards")                              \
    X(MULTI_SHARD, 3, "request_policy:multi_shard")                            \
    X(SPECIAL_REQ, 4, "request_policy:special")                                \
    X(ALL_OK, 5, "response_policy:all_succeeded")                              \
    X(SUM, 6, "response_policy:agg_sum") X(MIN, 7, "response_policy:agg_min")  \
    X(SPECIAL_RES, 8, "response_policy:special")

enum cmd_flag {
#define X(id, bit, name) CMD_F_##id = 1 << bit,
    CMD_FLAG_MAP(X)
#undef X
};
enum cmd_acl {
#define X(id, bit, name) CMD_ACL_##id = 1 << bit,
    CMD_ACL_MAP(X)
#undef X
};
enum cmd_key_flag {
#define X(id, bit, name) CMD_KEY_##id = 1 << bit,
    CMD_KEY_MAP(X)
#undef X
};
enum cmd_tip {
#define X(id, bit, name) CMD_TIP_##id = 1 << bit,
    CMD_TIP_MAP(X)
#undef X
};

struct cmd_spec {
    const char *name;       /* lower case; "client|id" for a subcommand */
    enum cmd_id id;
    int arity;              /* words, the name included; -n: at least n */
    unsigned flags;         /* CMD_F_* */
    int first, last, step;  /* keys by position; 0: none; last -1: to the end */
    unsigned acl;           /* CMD_ACL_* */
    unsigned key_flags;     /* CMD_KEY_*; 0: no keys */
    unsigned tips;          /* CMD_TIP_* */
    const char *group;      /* "string", "generic", "connection", ... */
    const char *since;      /* of Redis, or "kvmesh 0.1.0" in words */
    const char *complexity;
    const char *summary;
    const char *syntax;     /* arguments after the name; see cmd_put_arguments */
    const struct cmd_spec *subs; /* subcommands, by name; NULL: none */
    unsigned n_subs;
};

/* All top-level commands, sorted by name: entry i has id i. */
extern const struct cmd_spec cmd_table[CMD_COUNT];

/* Lookup by name, without regard to case: one hash, no string comparison.
 * The index is built once and owned by its user (no global mutable state). */
#define CMD_INDEX_SIZE 256u
struct cmd_index {
    struct {
        uint64_t lo, hi;              /* the name packed into 16 bytes */
        const struct cmd_spec *spec;  /* NULL: free */
    } slots[CMD_INDEX_SIZE];
};
void cmd_index_init(struct cmd_index *ix);
const struct cmd_spec *cmd_find(const struct cmd_index *ix, struct slice name);

/* The subcommand of a container, or NULL. */
const struct cmd_spec *cmd_find_sub(const struct cmd_spec *spec,
                                    struct slice name);

static inline bool cmd_arity_ok(const struct cmd_spec *s, uint32_t argc)
{
    return s->arity >= 0 ? argc == (uint32_t)s->arity
                         : argc >= (uint32_t)-s->arity;
}

/* One entry of COMMAND INFO, and one pair of COMMAND DOCS (name, then the map). */
void cmd_put_info(struct buf *b, int resp, const struct cmd_spec *s);
void cmd_put_docs(struct buf *b, int resp, const struct cmd_spec *s);

/* The "arguments" of COMMAND DOCS, derived from a syntax line:
 *   lower case word: an argument;  UPPER CASE: a token, which takes the argument
 *   after it;  [ ]: optional;  a | b: one of;  "..." after a term: repeated. */
unsigned cmd_put_arguments(struct buf *b, int resp, const char *syntax);

#endif
