/* Links: one TCP connection per ordered pair of nodes.
 *
 * What node A sends to B travels on the connection A opened to B; B's answers
 * travel on the one B opened to A.  So each direction is FIFO.  A connection
 * begins with a handshake (link_hello.c has the bytes): the dialler says who it
 * is, to which cluster it belongs and whom it means, the listener accepts or
 * says why not and closes.  A newer connection of the same peer replaces the
 * older one: frames of the old one that are still unread are discarded (host
 * rule S3 of the design wants that).
 *
 * Queues are bounded in bytes.  links_send refuses when the queue is full or the
 * link is down: Raft copes with the loss, requests get KV_EBUSY.
 *
 * Everything runs on the loop thread.  No function of links_ops is called from
 * inside a function declared here. */
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
    size_t queue_bytes_max;    /* per peer; one frame always fits an empty queue */
    uint64_t dial_timeout_ms;  /* to connect, and again for the handshake */
    uint64_t retry_ms_min, retry_ms_max; /* backoff between dials, with jitter */
    uint64_t ping_ms;          /* idle time before a PING; a link silent for 5x this is dropped */
};

struct links_ops {
    /* A frame of a known peer; payload borrowed for the call. */
    void (*frame)(void *ctx, uint64_t from, const struct frame_head *head, struct slice payload);
    /* My connection TO the peer came up (ready to send) or went down. */
    void (*up)(void *ctx, uint64_t peer);
    void (*down)(void *ctx, uint64_t peer, int reason);
    /* The peer's connection to me ended by reset or end of file: its process
     * may be gone.  Not called when a newer connection replaced it. */
    void (*lost)(void *ctx, uint64_t peer);
};

struct links; /* opaque */

#define LINK_STRANGERS_MAX 64u /* inbound connections that have not said HELLO */

/* Listen and be ready for peers.  cfg is copied; ops and its ctx are borrowed
 * for the life of the links.  Errors as env_listen. */
int links_open(struct env *env, const struct link_config *cfg, const struct links_ops *ops, void *ctx, struct links **ret);
/* The port listened on, of use when cfg->port was 0. */
uint16_t links_port(const struct links *l);
/* Know a peer (not myself, not one known already) and keep a connection to it
 * from now on.  Without a call for it, a node is a stranger and its connections
 * are refused. */
void links_add(struct links *l, uint64_t peer, const char *host, uint16_t port);
bool links_is_up(const struct links *l, uint64_t peer);
/* Instance id the peer said in its latest handshake; 0 if never connected. */
uint64_t links_instance(const struct links *l, uint64_t peer);
/* Queue a sealed frame and take ownership of it in every case.  0, KV_ECONN
 * (down or unknown: dropped) or KV_EBUSY (full: dropped).  Written at
 * links_flush. */
int links_send(struct links *l, uint64_t peer, struct frame *f);
/* Write out what is queued.  The node calls it at the end of each turn. */
void links_flush(struct links *l);
/* Bytes queued for a peer. */
size_t links_queued(const struct links *l, uint64_t peer);
/* Stop listening, close every connection.  No function of links_ops runs from
 * here on; cb when all is closed and l is freed. */
void links_close(struct links *l, env_close_cb cb, void *ctx);

#endif
