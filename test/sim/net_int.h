/* Shared by the network's files only: connections. */
#ifndef KV_SIM_NET_INT_H
#define KV_SIM_NET_INT_H

#include "sim/sim_int.h"

#define SIDES 2u

struct seg {
    struct list link;
    size_t len, taken; /* bytes, and how many the reader has got */
    bool fin, rst;
    bool lost; /* with len 0: neither bytes nor an end */
    uint8_t data[];
};

/* Where the frames begin in what a pipe delivers, see net_frames.c. */
struct framing {
    uint8_t head[4];       /* of the frame under way: its length field */
    size_t at, len;        /* bytes of it so far; all (0: not known yet) */
    bool gathers;          /* it waits in `in` until it is whole */
    struct buf in;
    struct list late;      /* whole frames, to be delivered by the clock */
    uint64_t sent, seen;   /* Raft messages so far; the latest one delivered */
};

struct pipe {
    uint64_t id;
    struct list segs; /* in order; the first `arrived` are with the reader */
    unsigned arrived, stalled;
    size_t bytes;     /* not yet read */
    size_t held;      /* of them read, but the writer does not know */
    uint64_t last_at; /* arrival of the last segment */
    uint64_t black_until;
    struct framing framing;
};

/* A write that did not fit. */
struct pending {
    struct list link;
    struct env_write *w;
    size_t len, done;
    uint8_t data[];
};

struct env_stream {
    struct sim_conn *conn;
    unsigned side, node;
    uint32_t incarnation;
    struct sim_proc *proc; /* NULL: gone (closed or crashed) */
    const struct env_stream_ops *ops;
    void *ctx;
    bool paused, closing, ended;
    bool broken;           /* a RST has arrived: writes fail */
    struct list writes;    /* struct pending */
    env_close_cb close_cb;
    void *close_ctx;
};

struct sim_conn {
    struct list link;      /* sim_net.conns, in order of creation */
    struct sim *sim;
    struct env_stream end[SIDES];
    struct pipe pipe[SIDES];
    uint16_t port;         /* of the listener */
    unsigned events;
};

static inline unsigned reader_node(const struct sim_conn *c, unsigned side)
{
    return c->end[1 - side].node;
}

/* net_sim.c */
/* Post an event about a pipe, for the node at its end. */
void sim__conn_post(struct sim_conn *c, unsigned side, uint64_t delay, sim_event_cb run, const char *name);
void sim__conn_release(struct sim_conn *c);
void sim__send_mark(struct sim_conn *c, unsigned side, bool rst);
void sim__seg_arrive(struct sim *s, struct sim_event *ev);
void sim__acknowledge(struct sim_conn *c, unsigned side, size_t n);

/* net_frames.c */
/* Give the reader bytes of the pipe, or what is made of them. */
void sim__frames_take(struct sim_conn *c, unsigned side, const uint8_t *p, size_t n);
void sim__frames_drop(struct pipe *pipe);

#endif
