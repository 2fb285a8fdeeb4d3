/* The one seam to the world: clocks, timers, randomness, disk, network,
 * background work, log lines.  Nothing above this layer knows libuv, reads a
 * clock or starts a thread, so that the same code runs in production (env_uv)
 * and in a deterministic simulation of a whole cluster (test/sim/env_sim).
 *
 * Threads: every function is called on the loop thread and every callback runs
 * on it, except `run` of env_work, which must touch only what it was handed.
 *
 * Callbacks: exactly once per request, never from inside the call that took
 * the request.  Closing always completes; after a close callback nothing fires.
 *
 * Strings are borrowed for the call.  Errors are KV_E* (base/err.h). */
#ifndef KV_ENV_ENV_H
#define KV_ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/slice.h"

struct env;
struct env_timer;
struct env_file;     /* opaque: an open file */
struct env_listener; /* opaque: a listening socket */
struct env_stream;   /* opaque: a connected byte stream */
struct env_dial;     /* opaque: a connection attempt */

enum env_log_level { ENV_LOG_DEBUG, ENV_LOG_INFO, ENV_LOG_WARN, ENV_LOG_ERROR };

/* ---- timers ---- */

typedef void (*env_timer_cb)(struct env_timer *t);

/* Embedded by its owner.  One shot.  Fires at or after its deadline, in the
 * order of (deadline, time of setting). */
struct env_timer {
    struct env *env;       /* borrowed */
    env_timer_cb cb;
    void *data;            /* the owner's */
    struct heap_node node; /* key: deadline, ms of env_now_ms */
};

/* ---- disk ---- */

#define ENV_OPEN_CREATE 1u /* create if missing */
#define ENV_OPEN_EXCL 2u   /* with CREATE: fail with KV_EEXIST if present */
#define ENV_OPEN_RDONLY 4u

struct env_io;
typedef void (*env_io_cb)(struct env_io *io);

/* One asynchronous write or read of a file.  Owned by the caller, untouched by
 * it until cb has run. */
struct env_io {
    struct env_file *file;
    uint64_t offset;           /* bytes from the start of the file */
    const struct slice *parts; /* write: borrowed until cb, written in order */
    unsigned n_parts;
    uint8_t *buf;              /* read: where to; owned by the caller */
    size_t len;                /* read: bytes wanted */
    size_t ret_len;            /* read: bytes got; short only at end of file */
    bool sync;                 /* write: then fdatasync */
    int status;                /* 0 or KV_E*, set before cb */
    uint64_t usec;             /* how long the disk took, set before cb */
    env_io_cb cb;
    void *data;                /* the owner's */
    struct { void *p[24]; } impl;
};

typedef void (*env_dir_cb)(void *data, const char *name);

/* ---- network ---- */

struct env_stream_ops {
    /* Bytes arrived; p is borrowed for the call.  n > 0. */
    void (*data)(void *ctx, const uint8_t *p, size_t n);
    /* No more bytes will come: KV_EEOF after an orderly end, else KV_E*. At
     * most once; the owner still has to close the stream. */
    void (*end)(void *ctx, int status);
};

struct env_write;
typedef void (*env_write_cb)(struct env_write *w, int status);
/* One queued write.  Owned by the caller until cb has run. */
struct env_write {
    env_write_cb cb;
    void *data;
    struct { void *p[32]; } impl;
};

typedef void (*env_accept_cb)(void *ctx, struct env_stream *stream);
typedef void (*env_dial_cb)(void *ctx, int status, struct env_stream *stream);
typedef void (*env_close_cb)(void *ctx);

/* ---- background work ---- */

struct env_work;
typedef void (*env_work_cb)(struct env_work *w);
struct env_work {
    env_work_cb run;  /* on a worker thread */
    env_work_cb done; /* on the loop thread, after run */
    void *data;
    struct { void *p[24]; } impl;
};

/* What an implementation provides.  Callers use the inline functions below. */
struct env_ops {
    uint64_t (*now_us)(struct env *);
    int64_t (*wall_ms)(struct env *);
    void (*timer_set)(struct env *, struct env_timer *, uint64_t deadline_ms);
    void (*timer_stop)(struct env *, struct env_timer *);
    void (*wake)(struct env *);
    void (*random)(struct env *, void *p, size_t n);
    void (*log)(struct env *, enum env_log_level, const char *line);

    int (*mkdir)(struct env *, const char *path);
    int (*list)(struct env *, const char *dir, env_dir_cb, void *data);
    int (*rename)(struct env *, const char *from, const char *to);
    int (*unlink)(struct env *, const char *path);
    int (*sync_dir)(struct env *, const char *dir);
    int (*lock)(struct env *, const char *path, struct env_file **);
    int (*open)(struct env *, const char *path, unsigned flags, struct env_file **);
    void (*close)(struct env *, struct env_file *);
    int (*size)(struct env *, struct env_file *, uint64_t *ret);
    int (*read)(struct env *, struct env_file *, uint64_t off, void *p, size_t n, size_t *ret_n);
    int (*write)(struct env *, struct env_file *, uint64_t off, const void *p, size_t n);
    int (*truncate)(struct env *, struct env_file *, uint64_t size);
    int (*sync)(struct env *, struct env_file *);
    void (*submit_write)(struct env *, struct env_io *);
    void (*submit_read)(struct env *, struct env_io *);

    int (*listen)(struct env *, const char *host, uint16_t port, env_accept_cb, void *ctx, struct env_listener **);
    uint16_t (*listener_port)(struct env *, struct env_listener *);
    void (*listener_close)(struct env *, struct env_listener *, env_close_cb, void *ctx);
    int (*dial)(struct env *, const char *host, uint16_t port, uint64_t timeout_ms, env_dial_cb, void *ctx, struct env_dial **);
    void (*dial_cancel)(struct env *, struct env_dial *);
    void (*stream_start)(struct env *, struct env_stream *, const struct env_stream_ops *, void *ctx);
    void (*stream_pause)(struct env *, struct env_stream *);
    void (*stream_resume)(struct env *, struct env_stream *);
    long (*stream_try_write)(struct env *, struct env_stream *, const struct slice *parts, unsigned n);
    int (*stream_write)(struct env *, struct env_stream *, struct env_write *, const struct slice *parts, unsigned n);
    void (*stream_peer)(struct env *, struct env_stream *, char *buf, size_t n);
    void (*stream_close)(struct env *, struct env_stream *, env_close_cb, void *ctx);

    void (*work)(struct env *, struct env_work *);
};

typedef void (*env_turn_cb)(void *data);

/* Embedded first in an implementation's own struct. */
struct env {
    const struct env_ops *ops;
    env_turn_cb turn;     /* set by env_on_turn */
    void *turn_data;
    enum env_log_level log_level; /* lines below it are not built */
};

/* ---- clocks ---- */

/* Monotonic time since an arbitrary start.  Cached per loop turn by
 * implementations that can; never goes back. */
static inline uint64_t env_now_us(struct env *e) { return e->ops->now_us(e); }
static inline uint64_t env_now_ms(struct env *e) { return e->ops->now_us(e) / 1000; }
/* Wall clock, ms since 1970-01-01T00:00Z.  May jump either way. */
static inline int64_t env_wall_ms(struct env *e) { return e->ops->wall_ms(e); }

/* ---- timers and the turn ---- */

static inline void env_timer_init(struct env *e, struct env_timer *t, env_timer_cb cb, void *data)
{
    *t = (struct env_timer){ .env = e, .cb = cb, .data = data };
}
/* (Re)arm for deadline_ms of env_now_ms.  A past deadline fires next turn. */
static inline void env_timer_set(struct env_timer *t, uint64_t deadline_ms)
{
    t->env->ops->timer_set(t->env, t, deadline_ms);
}
/* Disarm; nothing fires afterwards.  Harmless if not armed. */
static inline void env_timer_stop(struct env_timer *t) { t->env->ops->timer_stop(t->env, t); }
static inline bool env_timer_armed(const struct env_timer *t) { return heap_contains(&t->node); }

/* Set the one function that runs at the end of a loop turn in which env_wake
 * was called: after all callbacks that were ready, before the loop blocks. */
static inline void env_on_turn(struct env *e, env_turn_cb cb, void *data)
{
    e->turn = cb;
    e->turn_data = data;
}
/* Ask for a turn.  Called inside the turn, asks for another one after it, once
 * ready I/O has been served.  Idempotent and cheap. */
static inline void env_wake(struct env *e) { e->ops->wake(e); }

/* ---- randomness ---- */

/* n unpredictable bytes (in the simulator: from the seed). */
static inline void env_random(struct env *e, void *p, size_t n) { e->ops->random(e, p, n); }

/* ---- disk, synchronous: at start and stop, and for small rare files ---- */

static inline int env_mkdir(struct env *e, const char *path) { return e->ops->mkdir(e, path); } /* ok if present */
static inline int env_list(struct env *e, const char *dir, env_dir_cb cb, void *data) { return e->ops->list(e, dir, cb, data); }
static inline int env_rename(struct env *e, const char *from, const char *to) { return e->ops->rename(e, from, to); }
static inline int env_unlink(struct env *e, const char *path) { return e->ops->unlink(e, path); }
/* Make creations, renames and removals in dir durable. */
static inline int env_sync_dir(struct env *e, const char *dir) { return e->ops->sync_dir(e, dir); }
/* Take an exclusive lock on path (created), held until env_close or the end of
 * the process; KV_ELOCKED if another process has it. */
static inline int env_lock(struct env *e, const char *path, struct env_file **ret) { return e->ops->lock(e, path, ret); }
static inline int env_open(struct env *e, const char *path, unsigned flags, struct env_file **ret) { return e->ops->open(e, path, flags, ret); }
/* No asynchronous I/O may be under way on f. */
static inline void env_close(struct env *e, struct env_file *f) { e->ops->close(e, f); }
static inline int env_size(struct env *e, struct env_file *f, uint64_t *ret) { return e->ops->size(e, f, ret); }
/* Reads up to n bytes; *ret_n is short only at end of file. */
static inline int env_read(struct env *e, struct env_file *f, uint64_t off, void *p, size_t n, size_t *ret_n) { return e->ops->read(e, f, off, p, n, ret_n); }
static inline int env_write(struct env *e, struct env_file *f, uint64_t off, const void *p, size_t n) { return e->ops->write(e, f, off, p, n); } /* all or an error */
static inline int env_truncate(struct env *e, struct env_file *f, uint64_t size) { return e->ops->truncate(e, f, size); }
static inline int env_sync(struct env *e, struct env_file *f) { return e->ops->sync(e, f); }

/* ---- disk, asynchronous ---- */

/* Write io->parts at io->offset, then fdatasync if io->sync.  Requests run one
 * after the other, in order of submission, on the disk thread of this env. */
static inline void env_submit_write(struct env *e, struct env_io *io) { e->ops->submit_write(e, io); }
/* Read on a worker thread; not ordered with anything. */
static inline void env_submit_read(struct env *e, struct env_io *io) { e->ops->submit_read(e, io); }

/* ---- network ---- */

/* Listen on host (numeric) and port; cb gets each accepted stream, which it
 * then owns and must start or close. KV_EADDRINUSE, KV_EACCES, KV_EINVAL. */
static inline int env_listen(struct env *e, const char *host, uint16_t port, env_accept_cb cb, void *ctx, struct env_listener **ret) { return e->ops->listen(e, host, port, cb, ctx, ret); }
/* The port listened on: a free one if env_listen was asked for port 0. */
static inline uint16_t env_listener_port(struct env *e, struct env_listener *l) { return e->ops->listener_port(e, l); }
static inline void env_listener_close(struct env *e, struct env_listener *l, env_close_cb cb, void *ctx) { e->ops->listener_close(e, l, cb, ctx); }
/* Connect; host may be a name.  cb gets a stream it owns, or KV_ETIMEDOUT,
 * KV_ECONN, KV_ENOENT (no such host), KV_ECANCELED.  *ret is valid until cb. */
static inline int env_dial(struct env *e, const char *host, uint16_t port, uint64_t timeout_ms, env_dial_cb cb, void *ctx, struct env_dial **ret) { return e->ops->dial(e, host, port, timeout_ms, cb, ctx, ret); }
/* Give up: cb will run with KV_ECANCELED. */
static inline void env_dial_cancel(struct env *e, struct env_dial *d) { e->ops->dial_cancel(e, d); }
/* Begin to deliver bytes to ops. */
static inline void env_stream_start(struct env *e, struct env_stream *s, const struct env_stream_ops *ops, void *ctx) { e->ops->stream_start(e, s, ops, ctx); }
/* Back-pressure: stop and restart delivery. */
static inline void env_stream_pause(struct env *e, struct env_stream *s) { e->ops->stream_pause(e, s); }
static inline void env_stream_resume(struct env *e, struct env_stream *s) { e->ops->stream_resume(e, s); }
/* Hand over what the socket takes now: 0..total bytes, or KV_E*. Only while no
 * env_stream_write is pending. */
static inline long env_stream_try_write(struct env *e, struct env_stream *s, const struct slice *parts, unsigned n) { return e->ops->stream_try_write(e, s, parts, n); }
/* Write all of parts (the array is copied, the bytes are borrowed until w->cb).
 * In order.  Status 0, KV_ECONN or KV_ECANCELED (stream closed). */
static inline int env_stream_write(struct env *e, struct env_stream *s, struct env_write *w, const struct slice *parts, unsigned n) { return e->ops->stream_write(e, s, w, parts, n); }
/* "address:port" of the other end. */
static inline void env_stream_peer(struct env *e, struct env_stream *s, char *buf, size_t n) { e->ops->stream_peer(e, s, buf, n); }
/* Pending writes complete with KV_ECANCELED first; ops are not called again. */
static inline void env_stream_close(struct env *e, struct env_stream *s, env_close_cb cb, void *ctx) { e->ops->stream_close(e, s, cb, ctx); }

/* ---- work ---- */

static inline void env_work_submit(struct env *e, struct env_work *w) { e->ops->work(e, w); }

#endif
