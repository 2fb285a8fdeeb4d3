/* Links: one TCP connection per ordered pair of nodes.
 *
 * What node A sends to B travels on the connection A opened to B; B's answers
 * travel on the one B opened to A.  So each direction is FIFO.  A connection
 * begins with a handshake (HELLO: protocol versions, cluster id, node id and
 * instance id of sender, node id of the receiver meant; HELLO_ACK or close), and a newer connection of the
 * same peer replaces the older one: frames of the old one that are still unread
 * are discarded (host rule S3 of the design wants that).
 *
 * Queues are bounded in bytes.  link_send refuses when the queue is full or the
 * link is down: Raft copes with the loss, requests get KV_EBUSY. */
#ifndef KV_PEER_LINK_H
#define KV_PEER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "env/env.h"
#include "peer/frame.h"

struct link_config {
    uint64_t cluster_id;
    uint64_t node_id;          /* mine */
    uint64_t instance_id;      /* mine: new for each data directory */
    const char *host;          /* listen address; borrowed for links_open */
    uint16_t port;
    size_t queue_bytes_max;    /* per peer */
    uint64_t dial_timeout_ms;
    uint64_t retry_ms_min, retry_ms_max; /* backoff between dials, with jitter */
    uint64_t ping_ms;          /* idle time before a PING; a link silent for 5x this is dropped */
};

struct links_ops {
    /* A frame of a known peer; payload borrowed for the call. */
    void (*frame)(void *ctx, uint64_t from, const struct frame_head *head, struct slice payload);
    /* My connection TO the peer came up (ready to send) or went down. */
    void (*up)(void *ctx, uint64_t peer);
    void (*down)(void *ctx, uint64_t peer, int reason);
    /* The peer's connection to me ended: its process may be gone. */
    void (*lost)(void *ctx, uint64_t peer);
};

struct links; /* opaque */

/* Listen and be ready for peers.  ops and its ctx are borrowed for the life of the links. */
int links_open(struct env *env, const struct link_config *cfg, const struct links_ops *ops, void *ctx, struct links **ret);
/* Know a peer and keep a connection to it from now on. */
void links_add(struct links *l, uint64_t peer, const char *host, uint16_t port);
bool links_is_up(const struct links *l, uint64_t peer);
/* Instance id the peer said in its latest handshake; 0 if never connected. */
uint64_t links_instance(const struct links *l, uint64_t peer);
/* Queue a sealed frame and take ownership of it in every case.  0, KV_ECONN (down:
 * dropped) or KV_EBUSY (full: dropped).  Written at links_flush. */
int links_send(struct links *l, uint64_t peer, struct frame *f);
/* Write out what is queued.  The node calls it at the end of each turn. */
void links_flush(struct links *l);
/* Bytes queued for a peer. */
size_t links_queued(const struct links *l, uint64_t peer);
/* Stop listening, close every connection.  cb when all is closed; frees l. */
void links_close(struct links *l, env_close_cb cb, void *ctx);

#endif
