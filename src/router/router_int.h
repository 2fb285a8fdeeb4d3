/* What the files of the router share; nobody else includes this. */
#ifndef KV_ROUTER_ROUTER_INT_H
#define KV_ROUTER_ROUTER_INT_H

#include "base/blob.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "router/forward.h"
#include "router/router.h"

/* While no leader is known or reachable, a shard is looked at again this often. */
#define ROUTER_RETRY_MS 25u
/* A probe that is not answered for this long is sent to the next replica. */
#define ROUTER_PROBE_MS 500u
/* Refusals followed at once by hint; after that the retry tick paces them. */
#define ROUTER_REFUSALS_FREE 2u
/* A frame of requests or results is closed when it has this many bytes. */
#define ROUTER_FRAME_BYTES (256u << 10)
/* What one peer may have in execution here; BUSY above. */
#define ROUTER_SERVE_REQS_MAX 65536u
#define ROUTER_SERVE_BYTES_MAX (256u << 20)
/* Objects kept for reuse, of each kind, and bytes kept in each buffer. */
#define ROUTER_POOL_MAX 4096u
#define ROUTER_POOL_BUF_BYTES 1024u

/* The bytes of an encoded operation.  Small ones are in a reused buffer; large ones
 * in a blob that frames refer to.  Of a blob, a frame holds bytes 4 and up only:
 * the first four, with the flags, may be changed while frames are queued. */
struct opbuf {
    struct list link;     /* in rt->opbufs while free */
    struct buf buf;       /* owned; empty if blob */
    struct blob *blob;    /* owned reference or NULL */
};

/* The requests of one stream that are unfinished in one shard. */
struct lane {
    struct list link;     /* in rt->lanes while free */
    uint64_t stream;
    unsigned reads, writes; /* released and unfinished */
    struct list out;      /* the reads of those, in order of submission */
    struct list held;     /* rq waiting for those, in order of submission */
};

/* Where a request is.  See route.c for the picture. */
enum rq_state {
    RQ_FAILED = 1, /* in rt->failed: answered next turn */
    RQ_HELD,       /* in lane->held */
    RQ_UNSENT,     /* in unsent or reads_unsent */
    RQ_LOCAL,      /* with this node's shard; in sent or reads_sent */
    RQ_QUEUED,     /* to be put into a frame at the flush; in sent or reads_sent */
    RQ_REMOTE,     /* in a frame that was handed to the link; in sent or reads_sent */
    RQ_RETURNED,   /* a write that came back; in sent until all of sent has */
    RQ_EARLY       /* a read answered before one before it; in no list but lane->out */
};

/* The router's part of a request: struct router_req.impl. */
struct rq {
    struct list link;        /* see enum rq_state */
    struct list out;         /* in peer->out while QUEUED */
    struct list by_deadline; /* in rt->deadlines, unless FAILED */
    struct rshard *shard;
    struct lane *lane;       /* NULL: no stream */
    struct list in_lane;     /* in lane->out: a released read */
    bool overtaken;          /* a read before it in the lane came back since it was sent */
    struct opbuf *op;        /* owned; NULL when FAILED */
    uint64_t deadline_ms;
    uint64_t id;             /* of this request, in frames */
    uint64_t seq;            /* writes, once released */
    uint64_t gen;            /* of the latest attempt */
    uint64_t dest;           /* node of the latest attempt */
    enum rq_state state;
    bool write;
    unsigned n_open;         /* earlier attempts that may have been executed */
    bool sent_before;        /* for the statistics */
    enum op_err failure;     /* FAILED */
    struct shard_req sreq;   /* LOCAL */
};
_Static_assert(sizeof(struct rq) <= sizeof(((struct router_req *)0)->impl),
               "struct rq fits its place");

/* What the router knows and holds of one shard. */
struct rshard {
    struct router *rt;
    uint32_t id;
    bool replica_here;
    struct shard *local;     /* found when first needed */
    uint64_t leader;         /* best knowledge; 0: unknown */
    bool ready_here;         /* this node leads and may serve reads */
    bool probing;            /* one request is out to find the leader */
    bool settling;           /* writes of an old gen are still LOCAL: send none */
    unsigned refusals;       /* in a row */
    unsigned probe_next;     /* replica to ask next */
    uint64_t probe_until_ms;
    uint64_t next_seq;       /* from 1 */
    uint64_t gen;            /* of attempts; grows when writes come back */
    uint64_t dest;           /* where the writes of this gen go */
    unsigned n_local;        /* LOCAL ones in sent */
    struct list sent, unsent;/* writes by seq; all of sent before all of unsent */
    struct list reads_sent, reads_unsent;
    struct list dirty;       /* in rt->dirty */
    struct list wait;        /* in rt->waiting, by wait_until_ms */
    uint64_t wait_until_ms;
    struct map lanes;        /* stream -> struct lane */
};

/* Another node. */
struct rpeer {
    struct router *rt;
    uint64_t id;
    struct list out;         /* rq QUEUED for it */
    /* Serving it: */
    struct list serving;     /* struct serve */
    size_t n_serving, serving_bytes;
    struct frame *results;   /* under construction, or NULL */
    bool results_lost;       /* tell it so when possible */
    uint64_t origin;         /* the process served last */
    uint64_t *refused_gen;   /* by shard: refuse writes up to this gen */
};

/* A request of a peer in execution here. */
struct serve {
    struct list link;        /* in peer->serving, or rt->serves while free */
    struct heap_node deadline; /* in rt->serve_deadlines */
    struct rpeer *peer;
    struct rshard *shard;
    struct opbuf *op;        /* owned */
    uint64_t id, gen;
    struct shard_req sreq;
};

struct pool {
    struct list free;
    unsigned n;
};

struct router {
    struct env *env;           /* borrowed, as the next four */
    struct router_config cfg;
    struct directory *dir;
    struct shardset *shards;
    struct links *links;
    uint64_t origin;           /* random for each process, see router.c */
    struct rshard *shard;      /* owned array */
    unsigned n_shards;
    struct rpeer *peers;       /* owned array, by id order; this node included */
    unsigned n_peers;
    struct list dirty;         /* rshards to dispatch */
    struct list waiting;       /* rshards waiting for the retry tick */
    struct list failed;        /* rq to be answered in the next turn */
    struct list deadlines;     /* rq by deadline: all have the same time to live */
    struct rq **by_id;         /* owned: low half of an id -> request */
    uint32_t *free_ids;        /* owned stack of unused places in by_id */
    uint32_t n_free_ids, ids_cap;
    uint32_t id_serial;
    size_t n_pending, pending_bytes;
    struct heap serve_deadlines;
    size_t n_serving;
    struct env_timer timer;    /* the earliest of all of the above */
    struct pool opbufs, lanes, serves;
    struct slice *argv;        /* owned scratch for decoding */
    uint32_t argv_cap;
    struct buf scratch;        /* large operations being encoded */
    struct router_stats stats;
    bool stopped;
};

static inline struct rq *rq_of(struct router_req *r)
{
    return (struct rq *)(void *)&r->impl;
}
static inline struct router_req *req_of(struct rq *q)
{
    return CONTAINER_OF(q, struct router_req, impl);
}

/* router.c */
/* Forget q: it is in no list, its buffer is freed, its lane goes on. */
void router__detach(struct rq *q);
/* Detach and answer.  q may be gone afterwards. */
void router__finish(struct rq *q, const struct op_result *res);
void router__fail(struct rq *q, enum op_err err);
struct rq *router__find(struct router *rt, uint64_t id);
struct rpeer *router__peer(struct router *rt, uint64_t id); /* or NULL */
/* See to it that the timer fires at at_ms or before. */
void router__arm(struct router *rt, uint64_t at_ms);

/* opbuf.c */
struct opbuf *opbuf__encode(struct router *rt, const struct op *op);
struct opbuf *opbuf__copy(struct router *rt, struct slice enc);
/* Encode o again with another sequence; o is released. */
struct opbuf *opbuf__restamp(struct router *rt, struct opbuf *o, uint64_t seq,
                             uint64_t low);
void opbuf__release(struct router *rt, struct opbuf *o);
struct slice opbuf__slice(const struct opbuf *o);
void opbuf__mark_retry(struct opbuf *o);
/* Decode into rt->argv. */
int opbuf__decode(struct router *rt, struct slice enc, struct op *ret);
/* Take an object from a pool, or NULL; give one back, false: free it yourself. */
struct list *pool__take(struct pool *p);
bool pool__give(struct pool *p, struct list *l);

/* lane.c */
/* Enter q; false: it is held and will be released by lane__leave. */
bool lane__enter(struct rq *q, uint64_t stream);
void lane__leave(struct rq *q);
/* q, a read, has to be sent again: so have those behind it. */
void lane__returns(struct rq *q);
/* Is no read before q, a read, open in its lane? */
bool lane__is_first(const struct rq *q);
/* May a result of the present attempt of q be taken? */
bool lane__in_order(const struct rq *q);

/* route.c */
void route__init(struct router *rt, struct rshard *s, uint32_t id);
/* Take q, stamped, into the shard's queue. */
void route__enqueue(struct rq *q);
/* The same for one that was held: a write gets its sequence now. */
void route__release(struct rq *q);
struct shard *route__local(struct rshard *s); /* NULL: no replica here */
void route__mark_dirty(struct rshard *s);
void route__dispatch(struct rshard *s);
void route__wait(struct rshard *s);
/* The writes sent come back, to be sent again in order. */
void route__bump(struct rshard *s);
/* A write left sent: if that was the last of an old gen, go on. */
void route__settle(struct rshard *s);
/* `from` would not execute the latest attempt of q. */
void route__refused(struct rq *q, uint64_t from, uint64_t hint, enum op_err why);
/* `from` executed something of s just now. */
void route__confirmed(struct rshard *s, uint64_t from);
/* The link to this peer came up. */
void route__peer_up(struct rshard *s, uint64_t peer);
/* What was out to this peer has to be sent again. */
void route__lost(struct rshard *s, uint64_t peer);
void route__tick(struct rshard *s);
uint64_t route__low(const struct rshard *s);
void route__check(const struct rshard *s);
/* The caller got an answer of the state machine or shard for q's attempt. */
bool route__is_final(const struct rq *q, const struct op_result *res);
/* The same for a result of the present attempt; false: q is sent again, because its
 * result would be older than that of a read before it. */
bool route__in_order(struct rq *q, const struct op_result *res);

/* forward_out.c */
void forward__flush(struct rpeer *p);
void forward__results(struct rpeer *p, struct slice payload);

/* serve.c */
void serve__requests(struct rpeer *p, struct slice payload);
void serve__flush(struct rpeer *p);
void serve__drop_peer(struct rpeer *p);
void serve__expire(struct router *rt, uint64_t now_ms);

#endif
