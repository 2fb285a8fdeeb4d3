/* A laboratory for routers: several real ones in one process and one virtual
 * time, around doubles of what they talk to.
 *
 *   env_double.c    clock, timers, wake, random
 *   links_double.c  links_is_up, links_send: frames lie in one queue until they
 *                   are delivered; a link can be down, full, or held
 *   shard_double.c  shardset_find, shard_submit, ...: requests wait until the test
 *                   says what becomes of them; a shared model executes writes once */
#ifndef KV_TEST_UNIT_ROUTER_LAB_H
#define KV_TEST_UNIT_ROUTER_LAB_H

#include "base/heap.h"
#include "base/list.h"
#include "cluster/directory.h"
#include "router/forward.h"
#include "router/router.h"

#define LAB_NODES_MAX 6
#define LAB_SHARDS 4u
#define LAB_LOG_MAX 16384

/* What the replicated state machine of a shard has executed. */
struct lab_log {
    struct lab_entry {
        uint64_t origin, seq;
        uint64_t tag;       /* the number that is the operation's key */
    } e[LAB_LOG_MAX];
    unsigned n;
    uint64_t retries;       /* answered from here */
    struct { uint64_t origin, low; } low[LAB_NODES_MAX * 2];
};

/* A replica on a node. */
struct shard {
    struct lab *lab;
    unsigned node;          /* index */
    uint32_t id;
    struct list queue;      /* struct shard_req */
    unsigned n;
    uint64_t durable_term;
    bool open;              /* executes what it has, each turn */
};

struct shardset {
    struct shard shards[LAB_SHARDS];
};

struct links {
    struct lab *lab;
    unsigned node;
    bool up[LAB_NODES_MAX];   /* from this node to that */
    bool full[LAB_NODES_MAX]; /* links_send says KV_EBUSY */
    unsigned n_sent;          /* frames accepted */
};

struct lab_frame {
    struct list link;
    unsigned from, to;
    size_t n;
    uint8_t data[];
};

struct lab {
    struct env env;
    uint64_t now_ms;
    struct heap timers;
    uint64_t timer_sets;
    uint64_t random;
    bool woken;
    bool in_submit;           /* a callback now is a mistake */
    bool hold_net;            /* frames are not delivered */
    unsigned n;
    struct directory *dir;
    struct router_config cfg; /* of routers to be started */
    struct router *rt[LAB_NODES_MAX];
    struct links links[LAB_NODES_MAX];
    struct shardset shards[LAB_NODES_MAX];
    struct list net;          /* lab_frame, oldest first */
    struct lab_log log[LAB_SHARDS];
};

/* One request of a test. */
struct lab_req {
    struct router_req r;
    struct lab *lab;
    uint64_t tag;
    unsigned answers;         /* calls of the callback */
    enum op_result_type type;
    int64_t num;
};

/* Nodes 1..n on indexes 0..n-1, links up, no leader known. */
void lab_init(struct lab *l, unsigned nodes);
void lab_start(struct lab *l, unsigned node);   /* its router, again after a stop */
void lab_close(struct lab *l);
/* Turns and deliveries until nothing happens any more without time passing. */
void lab_run(struct lab *l);
void lab_turn(struct lab *l);
/* Let time pass, with everything that happens meanwhile. */
void lab_advance(struct lab *l, uint64_t ms);
/* Node `leader` leads the shard and all of `nodes` (bits) hear of it. */
void lab_lead(struct lab *l, uint32_t shard, unsigned leader, unsigned nodes);
#define LAB_ALL 0xffu
void lab_submit_write(struct lab *l, unsigned node, struct lab_req *q, uint32_t shard, uint64_t tag);
void lab_submit_read(struct lab *l, unsigned node, struct lab_req *q, uint32_t shard);

/* env_double.c */
void env_double_init(struct lab *l);
void env_double_fire(struct lab *l);            /* timers that are due */

/* links_double.c */
void links_double_set(struct lab *l, unsigned from, unsigned to, bool up);
void links_double_deliver(struct lab *l);       /* all that is under way */
unsigned links_double_drop(struct lab *l, unsigned from, unsigned to); /* how many */

/* shard_double.c */
void shard_double_init(struct lab *l);
struct shard *shard_double(struct lab *l, unsigned node, uint32_t shard);
/* Execute the first n requests waiting here. */
void shard_double_execute(struct shard *s, unsigned n);
void shard_double_execute_last(struct shard *s);
/* Execute the first n, but lose their answers: they stay where they are. */
void shard_double_execute_silently(struct shard *s, unsigned n);
/* Answer everything, or the first n, waiting here with err. */
void shard_double_reject(struct shard *s, enum op_err err);
void shard_double_reject_first(struct shard *s, unsigned n, enum op_err err);
/* The i-th request waiting here, decoded; argv is the caller's. */
void shard_double_peek(struct shard *s, unsigned i, struct op *ret, struct slice argv[4]);

#endif
