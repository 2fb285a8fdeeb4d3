/* Nodes with links, all in one env over loopback, and raw connections that say
 * what a test wants them to say. */
#ifndef KV_TEST_UNIT_PEER_FIXTURE_H
#define KV_TEST_UNIT_PEER_FIXTURE_H

#include "base/buf.h"
#include "env/env.h"
#include "peer/link.h"
#include "peer/link_int.h"

#define NODES_MAX 3
#define CLUSTER 0xc1u

struct fix;

struct node {
    struct fix *fix;
    uint64_t id;
    struct link_config cfg;
    struct links *l; /* NULL when down */
    bool closed;
    unsigned n_up, n_down, n_lost, n_frames;
    int down_reason;
    uint64_t from; /* of the last frame */
    struct frame_head head;
    struct buf got; /* payloads received, one after the other */
};

/* A connection without links: dialled by the test or accepted for it. */
struct raw {
    struct fix *fix;
    struct env_dial *dial;
    struct env_listener *listener;
    struct env_stream *stream;
    struct buf in;
    unsigned n_accepted;
    unsigned n_surplus; /* accepted while there was one, still closing */
    bool ended, closed;
    int end_status, dial_status;
};

struct fix {
    struct env *env;
    struct env_timer tick;
    bool (*until)(void *);
    void *until_ctx;
    struct node nodes[NODES_MAX];
    unsigned n_nodes;
    unsigned n_log;
    char log[32768]; /* every line logged */
    size_t log_len;
};

/* An env that keeps its log lines, and n nodes with ids 1.. that listen on a
 * free port each and know nobody yet. */
void fix_open(struct fix *fix, unsigned n);
void fix_close(struct fix *fix);
/* Run the loop until cond(ctx) holds. */
void fix_until(struct fix *fix, bool (*cond)(void *), void *ctx);
/* Run it for a few iterations, so that what is under way gets through. */
void fix_settle(struct fix *fix);
bool fix_logged(const struct fix *fix, const char *text);

void node_start(struct node *n, uint16_t port);
void node_stop(struct node *n);
/* a dials b. */
void node_add(struct node *a, const struct node *b);
void node_up(struct node *a, const struct node *b); /* add and wait */
/* Queue a frame with this payload; what links_send says. */
int node_send(struct node *a, uint64_t to, const void *p, size_t n);
bool node_has_bytes(void *node, size_t n);

void raw_dial(struct raw *r, struct fix *fix, uint16_t port);
void raw_listen(struct raw *r, struct fix *fix);
void raw_write(struct raw *r, const void *p, size_t n);
void raw_frame(struct raw *r, struct frame *f); /* sealed; freed */
/* Make the check of a head right, whatever the head says. */
void raw_fix_head(uint8_t head[FRAME_HEAD_BYTES]);
void raw_close(struct raw *r);
void raw_until_end(struct raw *r);
/* A HELLO that node n accepts from node `from`. */
struct link_hello raw_hello(const struct node *n, uint64_t from);
/* Wait for a HELLO_ACK and decode it. */
struct link_ack raw_ack(struct raw *r);

#endif
