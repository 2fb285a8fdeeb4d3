/* The parts of jepsen/client, the load generator.  client.c has the overview.
 *
 *   options   what the command line says
 *   work      which operation comes next, its bytes, what its reply means
 *   fate      what the end of an attempt says about the operation
 *   history   one line for each call and each return (EDN)
 *   stats     one line for each second (load.tsv)
 *   conn      one connection, non-blocking
 *   run       the loop: clients, time-outs, the final reads
 *
 * Times are nanoseconds of CLOCK_MONOTONIC; one thread. */
#ifndef KV_JEPSEN_CLIENT_H
#define KV_JEPSEN_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/rng.h"
#include "oracle/oracle.h"
#include "proto/resp.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

/* ---- options ---- */

#define OPTIONS_NODES_MAX 16
#define OPTIONS_CLIENTS_MAX 1000
#define OPTIONS_CLIENTS_PER_KEY 10 /* what the checker can bear, see README.md */
#define OPTIONS_UNKNOWN_PER_KEY 4

enum workload { WORK_REGISTER, WORK_COUNTER, WORK_SET, WORK_APPEND };

struct endpoint {
    char text[32]; /* "10.0.0.1:6379" */
    struct sockaddr_in addr;
};

struct options {
    struct endpoint nodes[OPTIONS_NODES_MAX];
    unsigned n_nodes;
    enum workload workload;
    unsigned seconds;     /* of load; the final reads come after it */
    unsigned rate;        /* operations a second, of all clients */
    unsigned clients;
    unsigned keys;        /* in use at a time */
    unsigned ops_per_key; /* then a new key takes its place; also after
                           * OPTIONS_UNKNOWN_PER_KEY unknown outcomes */
    unsigned timeout_ms;  /* of one operation, connecting included */
    unsigned final_s;     /* longest wait for the final reads */
    uint64_t seed;
    const char *history, *stats; /* files; stats may be NULL: none */
};

/* 0, or -1 with a sentence in why. */
int options_parse(int argc, char **argv, struct options *ret, char *why,
                  size_t n);
/* "a:1,b:2" with numeric addresses. */
int options_nodes(const char *list, struct options *o, char *why, size_t n);
extern const char options_usage[];

/* ---- fate ---- */

enum fate {
    FATE_OK,
    FATE_FAIL,    /* surely did not happen */
    FATE_UNKNOWN, /* may happen at any time from its call on, or never */
    FATE_CROSSED  /* a reply that cannot be the one to this request */
};

/* The connection failed or the time was up; sent: perhaps some byte of the
 * request has left. */
enum fate fate_of_loss(enum oracle_f f, bool sent);
/* An error reply.  *ret_expected: a loaded or broken cluster may say this; if not,
 * the run is to be judged a failure whatever the history says. */
enum fate fate_of_error(enum oracle_f f, struct slice text,
                        bool *ret_expected);

/* ---- work ---- */

#define WORK_TEXT_MAX 80

/* What a client last read, for its next compare-and-set. */
struct work_memory {
    bool known;           /* key and value are of a reply */
    uint32_t key;
    bool nil;
    char value[WORK_TEXT_MAX];
    bool rev_known;
    int64_t rev;          /* 0: absent */
};

/* One operation in flight.  Does not move while it is: op points into it. */
struct work_op {
    struct oracle_op op;
    uint32_t key;               /* number */
    char key_text[WORK_TEXT_MAX], arg_text[WORK_TEXT_MAX];
    char expect_text[WORK_TEXT_MAX];
    struct buf request;         /* what is sent */
    unsigned replies;           /* that it takes: 1, or 3 for a read with revision */
    unsigned got;               /* of them */
    struct buf result;          /* bytes of the value read */
    bool refused;               /* some reply was an error that says not executed */
    int64_t rev[2];             /* before and after the value */
};

struct work_key {
    uint32_t ops;     /* begun on it */
    uint32_t unknown; /* of them, outcomes */
};

struct work {
    const struct options *o;
    struct rng rng;
    struct work_key *keys; /* all ever used, by number */
    uint32_t n_keys, cap_keys;
    uint32_t *slots;       /* numbers of the keys in use */
    uint64_t unique;       /* last number given to a value */
};

void work_init(struct work *w, const struct options *o);
void work_close(struct work *w);
void work_op_close(struct work_op *x);
/* The next operation of a client: fills x, but for process and call. */
void work_next(struct work *w, unsigned client, const struct work_memory *m,
               uint32_t process, struct work_op *x);
/* A plain read of a key. */
void work_read(struct work *w, uint32_t key, struct work_op *x);
/* One reply.  True when it was the last one of x: then *ret_fate is set, and the results
 * in x->op for FATE_OK.  Anything else than what x can be answered is FATE_CROSSED,
 * with a sentence in why. */
bool work_reply(struct work *w, struct work_op *x, const struct resp_item *item,
                enum fate *ret_fate, bool *ret_expected, char *why, size_t n);
/* Keep what an operation that ended well has shown. */
void work_remember(const struct work_op *x, struct work_memory *m);
/* Whether the bytes of a reply can be a value of that key (client_value.c). */
bool work_value_fits(const struct work *w, const struct work_op *x,
                     struct slice v);
void work_value_make(struct work *w, const struct work_op *x, uint32_t process,
                     char *ret, size_t n);
int64_t work_counter_step(uint32_t key);

/* ---- history ---- */

struct history_file {
    FILE *f;
    uint64_t index; /* of the next line */
};

int history_open(struct history_file *h, const char *path);
void history_call_line(struct history_file *h, const struct oracle_op *op);
void history_return_line(struct history_file *h, const struct oracle_op *op,
                         uint64_t time);
void history_comment(struct history_file *h, const char *text);
/* 0, or -1 if anything could not be written. */
int history_close(struct history_file *h);

/* ---- stats ---- */

struct stats {
    FILE *f;            /* NULL: none */
    uint64_t start;     /* of second 0 */
    uint64_t second;    /* being counted */
    unsigned long ok, fail, info; /* of it */
    uint32_t *us;       /* latencies of its ok operations */
    size_t n_us, cap_us;
    unsigned long total_ok, total_fail, total_info;
};

int stats_open(struct stats *s, const char *path, uint64_t start);
/* Write the lines of all seconds that have ended by now. */
void stats_advance(struct stats *s, uint64_t now);
void stats_count(struct stats *s, enum fate fate, uint64_t call, uint64_t now);
int stats_close(struct stats *s, uint64_t now);

/* ---- conn ---- */

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_OPEN };

struct conn {
    enum conn_state state;
    int fd, epoll;
    bool want_write; /* what epoll was told */
    struct buf in, out;
    struct resp_reply parser;
    void *owner;     /* epoll's data */
};

void conn_init(struct conn *c, int epoll, void *owner);
/* Begin to connect.  -1: refused at once (state is CONN_CLOSED). */
int conn_open(struct conn *c, const struct endpoint *to);
void conn_close(struct conn *c); /* any state; forgets all bytes */
void conn_free(struct conn *c);
/* The socket is ready in some way: finish connecting, send, receive.  -1: lost. */
int conn_ready(struct conn *c);
/* Send what is in out, as far as it goes.  -1: lost. */
int conn_send(struct conn *c);
/* The next item of a reply.  KV_EAGAIN: none yet; KV_EPROTO, KV_E2BIG: not RESP. */
int conn_item(struct conn *c, struct resp_item *ret);

/* ---- run ---- */

struct run_result {
    unsigned long ok, fail, info, finals, unread, unexpected, crossed;
    uint32_t keys;
};

/* The whole run.  Returns the exit status (client.c lists them). */
int run(const struct options *o, struct run_result *ret);
uint64_t run_now(void);

#endif
