/* Shared inside the simulator only. */
#ifndef KV_SIM_SIM_INT_H
#define KV_SIM_SIM_INT_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "sim/disk_image.h"
#include "sim/env_sim.h"

#define SIM_SYN_RETRY_US 200000u       /* a lost SYN is sent again */
#define SIM_LOG_BYTES_MAX (256u << 10) /* per node */
#define SIM_SPIN_MAX 1000000u          /* events at one instant: a livelock */
#define SIM_WALL_EPOCH_MS 1750000000000 /* wall clock at virtual time 0 */

#define SIM_STREAMS 17u /* of random bytes, by size of the request */

struct sim_node;
struct sim_proc;
struct sim_conn;

struct sim_event;
typedef void (*sim_event_cb)(struct sim *s, struct sim_event *ev);

/* Something that happens.  An event for a node that is paused waits; an event
 * for a process that is gone does not happen. */
struct sim_event {
    struct heap_node at;    /* key: virtual us */
    struct list link;       /* in sim.spare when not in use */
    sim_event_cb run;
    const char *name;       /* for the trace */
    unsigned node;          /* 0: the world's */
    uint32_t incarnation;   /* 0: whatever process runs there */
    void *ptr;              /* what it is about; kept alive by its owner */
    uint64_t arg;
};

/* One process.  Embeds the env that its code sees. */
struct sim_proc {
    struct env env;
    struct sim *sim;        /* borrowed */
    struct sim_node *node;  /* borrowed */
    uint32_t incarnation;   /* from 1, never reused on a node */
    struct rng rng[SIM_STREAMS];
    struct heap timers;     /* of the node's struct env_timer, by deadline ms */
    uint64_t timer_at;      /* world time of the timer event posted; 0: none */
    uint64_t timer_gen;     /* the posted event that counts */
    bool turn_posted;
    uint64_t mono_base, mono_since; /* us: clock was base at world time since */
    struct list files, dials, listeners;
    struct list works;      /* struct sim_job, waiting */
    unsigned n_streams;     /* not closed */
};

/* One asynchronous disk request or piece of work. */
struct sim_job {
    struct list link;
    struct env_io *io;      /* the process's */
    struct env_work *work;
    uint8_t *data;          /* write: copy of the parts */
    size_t len;
    uint32_t crc;           /* of the parts when they were submitted */
    uint64_t since;         /* us */
    int status;
};

/* A file's content: what programs see, and what a crash leaves. */
struct sim_inode {
    struct disk_image live, durable;
    unsigned refs;          /* names, open files, unsynced operations */
    bool is_dir;
    bool locked;
};

struct sim_name {
    char *path;
    struct sim_inode *inode;
};

/* A directory tree as a sorted array of paths. */
struct sim_names {
    struct sim_name *v;
    size_t n, cap;
};

enum sim_undo_kind { SIM_OP_WRITE, SIM_OP_TRUNCATE, SIM_OP_LINK, SIM_OP_RENAME, SIM_OP_UNLINK };

/* Something a program did that is not durable yet. */
struct sim_undo {
    struct list link;       /* sim_disk.unsynced, in order */
    enum sim_undo_kind kind;
    struct sim_inode *inode;/* reference */
    uint64_t off;           /* write; truncate: the new size */
    size_t len;
    uint8_t *data;          /* write; NULL: zeroes */
    char *path, *to;        /* names */
};

struct sim_disk {
    struct sim_names live, durable;
    struct list unsynced;   /* struct sim_undo */
    uint64_t n_unsynced;
    struct list queue;      /* struct sim_job: writes, the head is under way */
    struct list reads;      /* struct sim_job */
    struct sim_latency lat[SIM_DISK_OPS];
    struct { unsigned nth; int error; } fail[SIM_DISK_OPS];
    uint64_t stall_until;
    uint32_t spike_ppm, spike_us;
    uint64_t capacity;
    struct sim_disk_stats stats;
};

struct sim_node {
    struct sim *sim;
    unsigned id;
    struct sim_proc *proc;  /* NULL: down */
    uint32_t incarnations;
    bool dark;              /* powered off: the host does not answer */
    uint64_t paused_until;
    int64_t drift_ppm;
    int64_t wall_offset_ms;
    uint32_t turn_us;
    struct mem_arena arena;
    struct sim_disk disk;
    struct sim_latency work_lat;
    struct buf log;
};

struct sim_net {
    struct list conns;      /* struct sim_conn */
    struct list dials;      /* struct env_dial, of all processes */
    uint64_t next_id;
    size_t window;
    struct sim_latency lat[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    uint64_t line_free[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    bool cut[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    struct sim_way {
        uint32_t tail_ppm, tail_us, loss_ppm;
        struct sim_mangle mangle;
    } way[SIM_NODES_MAX + 1][SIM_NODES_MAX + 1];
    uint16_t peer_port;
    uint64_t n_doubled, n_overtaken;
    sim_wire_cb wire;
    void *wire_ctx;
};

struct sim {
    uint64_t seed;
    uint64_t now, hash, n_events, at_this_instant;
    struct heap events;
    struct list spare;      /* struct sim_event, to be used again */
    struct rng rng;
    struct sim_node nodes[SIM_NODES_MAX + 1]; /* [0] unused */
    unsigned entered;       /* node of sim_enter, 0: none */
    bool running;           /* inside an event */
    struct sim_net net;
    sim_cb on_event;
    void *on_event_ctx;
    unsigned event_node;    /* of the event that ran last */
    sim_log_cb on_log;
    void *on_log_ctx;
    bool log_stderr;
};

static inline struct sim_proc *sim__proc(struct env *e)
{
    return CONTAINER_OF(e, struct sim_proc, env);
}

/* Post an event after delay us.  proc NULL: for the node, or the world (node 0). */
struct sim_event *sim__post(struct sim *s, uint64_t delay, sim_event_cb run, const char *name);
/* The same for one process. */
struct sim_event *sim__post_proc(struct sim_proc *p, uint64_t delay, sim_event_cb run, const char *name, void *ptr);
/* Mix a fact into the trace hash. */
void sim__note(struct sim *s, uint64_t fact);
uint64_t sim__delay(struct sim *s, struct sim_latency lat, size_t bytes);
/* Allocations of the simulator itself, whichever node is running. */
void *sim__alloc(size_t n);
#define SIM_NEW(T) ((T *)sim__alloc(sizeof(T))) /* zeroed */

/* clock_sim.c */
void sim__clock_start(struct sim_proc *p);
void sim__clock_stop(struct sim_proc *p);
uint64_t sim__now_us(struct env *e);
int64_t sim__wall_ms(struct env *e);
void sim__timer_set(struct env *e, struct env_timer *t, uint64_t deadline_ms);
void sim__timer_stop(struct env *e, struct env_timer *t);
void sim__wake(struct env *e);
void sim__random(struct env *e, void *p, size_t n);
void sim__log(struct env *e, enum env_log_level level, const char *line);

/* disk_sim.c: operations of env; disk_state.c: what lasts */
void sim__disk_init(struct sim_disk *d);
void sim__disk_close(struct sim_disk *d);
void sim__disk_crash(struct sim_node *n, enum sim_keep keep);
void sim__disk_drop_proc(struct sim_proc *p);
int sim__mkdir(struct env *e, const char *path);
int sim__list(struct env *e, const char *dir, env_dir_cb cb, void *data);
int sim__rename(struct env *e, const char *from, const char *to);
int sim__unlink(struct env *e, const char *path);
int sim__sync_dir(struct env *e, const char *dir);
int sim__lock(struct env *e, const char *path, struct env_file **ret);
int sim__open(struct env *e, const char *path, unsigned flags, struct env_file **ret);
void sim__close(struct env *e, struct env_file *f);
int sim__size(struct env *e, struct env_file *f, uint64_t *ret);
int sim__read(struct env *e, struct env_file *f, uint64_t off, void *p, size_t n, size_t *ret_n);
int sim__write(struct env *e, struct env_file *f, uint64_t off, const void *p, size_t n);
int sim__truncate(struct env *e, struct env_file *f, uint64_t size);
int sim__sync(struct env *e, struct env_file *f);
void sim__submit_write(struct env *e, struct env_io *io);
void sim__submit_read(struct env *e, struct env_io *io);

struct sim_inode *sim__inode_new(bool is_dir);
void sim__inode_unref(struct sim_inode *i);
struct sim_inode *sim__names_find(const struct sim_names *t, const char *path);
/* Put or replace; takes no reference of its caller's. */
void sim__names_put(struct sim_names *t, const char *path, struct sim_inode *i);
void sim__names_del(struct sim_names *t, const char *path);
void sim__names_close(struct sim_names *t);
/* Record what was done; data is taken over. */
void sim__undo_file(struct sim_disk *d, enum sim_undo_kind kind, struct sim_inode *i, uint64_t off, uint8_t *data, size_t len);
void sim__undo_name(struct sim_disk *d, enum sim_undo_kind kind, struct sim_inode *i, const char *path, const char *to);
/* Make the unsynced operations of a file, or of a directory, durable (or, keep
 * false, lose them for good). */
void sim__disk_settle_file(struct sim_disk *d, struct sim_inode *i, bool keep);
void sim__disk_settle_dir(struct sim_disk *d, const char *dir);
/* Is path directly inside dir? */
bool sim__inside(const char *path, const char *dir);

/* net_sim.c: connections; net_dial.c: how they begin; net_ways.c: settings */
void sim__net_init(struct sim_net *net);
void sim__net_close(struct sim *s);
void sim__net_drop_proc(struct sim_proc *p, bool dark);
void sim__net_drop_dials(struct sim_proc *p);
struct sim_conn *sim__conn_new(struct sim_proc *client, struct sim_proc *server, uint16_t port);
struct env_stream *sim__conn_end(struct sim_conn *c, unsigned side); /* 0 client, 1 server */
/* The client gave up before it was told: reset the server's end. */
void sim__conn_abandon(struct sim_conn *c);
/* The host has power again: what waited for it travels. */
void sim__net_lit(struct sim *s, unsigned node);
void sim__dials_close(struct sim *s);
bool sim__net_dead(const struct sim *s, unsigned from, unsigned to);
bool sim__net_lost(struct sim *s, unsigned from, unsigned to); /* by chance: this packet */
uint64_t sim__net_late(struct sim *s, unsigned from, unsigned to); /* us that loss and bad luck cost */
uint64_t sim__net_delay(struct sim *s, unsigned from, unsigned to, size_t bytes);
int sim__listen(struct env *e, const char *host, uint16_t port, env_accept_cb cb, void *ctx, struct env_listener **ret);
uint16_t sim__listener_port(struct env *e, struct env_listener *l);
void sim__listener_close(struct env *e, struct env_listener *l, env_close_cb cb, void *ctx);
int sim__dial(struct env *e, const char *host, uint16_t port, uint64_t timeout_ms, env_dial_cb cb, void *ctx, struct env_dial **ret);
void sim__dial_cancel(struct env *e, struct env_dial *d);
void sim__stream_start(struct env *e, struct env_stream *st, const struct env_stream_ops *ops, void *ctx);
void sim__stream_pause(struct env *e, struct env_stream *st);
void sim__stream_resume(struct env *e, struct env_stream *st);
long sim__stream_try_write(struct env *e, struct env_stream *st, const struct slice *parts, unsigned n);
int sim__stream_write(struct env *e, struct env_stream *st, struct env_write *w, const struct slice *parts, unsigned n);
void sim__stream_peer(struct env *e, struct env_stream *st, char *buf, size_t n);
void sim__stream_close(struct env *e, struct env_stream *st, env_close_cb cb, void *ctx);

/* work_sim.c */
void sim__work(struct env *e, struct env_work *w);
void sim__work_drop_proc(struct sim_proc *p);

#endif
