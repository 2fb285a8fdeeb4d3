/* Shared by link*.c only. */
#ifndef KV_PEER_LINK_INT_H
#define KV_PEER_LINK_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "peer/link.h"

#define LINK_SILENT_PINGS 5u       /* ping intervals without a byte: dropped */
#define LINK_HELLO_BYTES_MAX 1024u /* a frame of the handshake, whole */
#define LINK_IN_KEEP_BYTES 65536u  /* kept for partial frames */
#define LINK_GATHER_PARTS 256u     /* parts of one write */
#define LINK_REFUSAL_LOG_MS 1000u  /* between lines about strangers */

/* ---- the handshake (link_hello.c) ---- */

#define LINK_VERSION_MIN 1u
#define LINK_VERSION_MAX 1u

/* X(name, value on the wire, text).  Values never change once released. */
#define LINK_REFUSAL_MAP(X)                                                    \
    X(CLUSTER, 1, "belongs to another cluster")                                \
    X(RECEIVER, 2, "meant another node: the address leads to the wrong one")   \
    X(SELF, 3, "is this node itself: two nodes have the same id")              \
    X(VERSION, 4, "no common protocol version")                                \
    X(UNKNOWN, 5, "node is not a member of this cluster")

enum link_refusal {
    LINK_ACCEPTED = 0,
#define X(name, value, text) LINK_REFUSED_##name = (value),
    LINK_REFUSAL_MAP(X)
#undef X
};

struct link_hello {
    uint16_t version_min, version_max;
    uint64_t cluster_id;
    uint64_t node_id, instance_id; /* the sender's */
    uint64_t receiver_id;          /* the node the sender means */
    uint64_t features;
};

struct link_ack {
    uint16_t version; /* chosen; 0 when refused */
    uint32_t refusal; /* enum link_refusal, or a later release's */
    uint64_t node_id, instance_id;
    uint64_t features;
};

struct frame *link__hello_frame(const struct link_hello *h);
struct frame *link__ack_frame(const struct link_ack *a);
/* 0 or KV_EPROTO. */
int link__hello_decode(struct slice payload, struct link_hello *ret);
int link__ack_decode(struct slice payload, struct link_ack *ret);
const char *link__refusal_text(uint32_t refusal);

/* ---- connections (link_conn.c) ---- */

enum conn_state {
    CONN_HELLO, /* handshake under way */
    CONN_READY,
    CONN_CLOSING /* until the stream has closed */
};

struct conn {
    struct links *l;
    struct list link;          /* l->strangers or l->conns */
    struct env_stream *stream; /* owned */
    struct peer *peer;         /* inbound: NULL until HELLO */
    bool outbound;             /* I dialled */
    enum conn_state state;
    bool was_ready;
    int reason;        /* why closing, KV_E* */
    uint64_t seq;      /* in order of accepting and dialling */
    struct buf in;     /* the beginning of an unfinished frame */
    size_t want;       /* its size, as far as known */
    struct list out;   /* of frame, sealed */
    size_t out_bytes;  /* of whole frames in out */
    size_t front_done; /* bytes of the first that are written */
    struct env_write write;
    bool writing;           /* write is pending ... */
    size_t writing_bytes;   /* ... for this many */
    bool wrote;             /* since the last tick */
    uint64_t heard_ms;      /* last byte received */
    struct env_timer timer; /* HELLO: deadline; READY: tick each ping_ms */
};

/* Take over stream and start reading. */
struct conn *link__conn_new(struct links *l, struct env_stream *stream,
                            struct peer *peer);
/* The handshake succeeded. */
void link__conn_ready(struct conn *c);
/* Queue and own f; link__conn_flush writes. */
void link__conn_put(struct conn *c, struct frame *f);
void link__conn_flush(struct conn *c);
/* Begin to close.  Calls nothing of links_ops; the connection is freed
 * later, when its stream is closed. */
void link__conn_drop(struct conn *c, int reason);

/* ---- peers and links ---- */

/* A known peer and my way to it:
 *
 *     waiting (retry armed) -> dialling (dial) -> connected (out) -> waiting */
struct peer {
    struct list link; /* l->peer_list, in order of links_add */
    struct links *l;
    uint64_t id;
    char *host; /* owned */
    uint16_t port;
    uint64_t instance;     /* 0: never heard */
    struct conn *out;      /* mine to it, or NULL */
    struct conn *in;       /* its to me, READY, or NULL */
    struct env_dial *dial; /* or NULL */
    struct env_timer retry;
    unsigned n_failures; /* dials and handshakes since it was last up */
    int logged;          /* the last failure written to the log */
};

struct links {
    struct env *env;
    struct link_config cfg;
    const struct links_ops *ops;
    void *ctx;
    struct rng rng; /* jitter */
    struct env_listener *listener;
    struct map peers;      /* id -> struct peer, owned */
    struct list peer_list; /* the same, in order of links_add */
    struct list strangers; /* inbound conns in CONN_HELLO, oldest first */
    unsigned n_strangers;
    struct list conns; /* all others */
    uint64_t next_seq;
    uint64_t refusal_logged_ms;
    bool refusal_logged; /* ever */
    uint64_t refusals_unlogged;
    unsigned n_open; /* listener, dials and conns not yet closed */
    bool closing;
    env_close_cb close_cb;
    void *close_ctx;
};

/* link.c */
void link__check(const struct links *l);
void link__released(struct links *l); /* one of n_open has closed */
void link__on_closed(struct conn *c); /* c is freed next */
void link__on_hello(struct conn *c, struct slice payload);
void link__log_refusal(struct conn *c, const char *why, uint64_t node);
void link__saw_instance(struct peer *p, uint64_t instance);

/* link_dial.c */
void link__peer_dial(struct peer *p);
void link__peer_on_ack(struct conn *c, struct slice payload);
void link__peer_out_closed(struct peer *p, bool was_ready, int reason);
void link__peer_hurry(
    struct peer *p); /* it lives: do not wait for the backoff */
void link__peer_on_retry(struct env_timer *t);

#endif
