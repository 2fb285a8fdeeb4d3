/* Shared by env_uv*.c only. */
#ifndef KV_ENV_ENV_UV_INT_H
#define KV_ENV_ENV_UV_INT_H

#include <uv.h>

#include "base/list.h"
#include "env/env.h"
#include "env/env_uv.h"
#include "env/timerq.h"

#define ENV_UV_READ_BYTES 65536u /* the one read buffer of all streams */
#define ENV_UV_KEEPALIVE_S 60u   /* idle time before TCP probes a peer */
#define ENV_UV_BACKLOG 1024      /* connections the kernel holds for us */
#define ENV_UV_SIGNALS_MAX 8u

struct env_file {
    struct env_uv *e;
    int fd;           /* owned */
    unsigned n_async; /* requests under way */
};

/* The disk thread: requests in, completions out.  Everything but `async` and
 * `thread` is guarded by `mutex`. */
struct env_uv_disk {
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t work;    /* queue or stop changed */
    uv_async_t async;  /* done changed */
    struct list queue; /* of struct io_impl, oldest first */
    struct list done;  /* the same, in order of completion */
    bool stop;
};

struct env_uv_signal {
    uv_signal_t handle;
    env_uv_signal_cb cb;
    void *ctx;
};

struct env_uv {
    struct env env; /* first: a struct env * is a struct env_uv * */
    uv_loop_t loop;
    uv_prepare_t prepare; /* before poll: may it block, and how long */
    uv_check_t check;     /* after poll: timers, dials, the turn */
    uv_idle_t idle;       /* active while poll must not block */
    uv_timer_t timer;     /* ends poll at the earliest deadline */
    uint64_t armed_ms;    /* deadline `timer` stands for; UINT64_MAX: none */
    struct timerq timers;
    uint64_t now_us; /* valid while now_fresh */
    bool now_fresh;
    bool woken;          /* a turn is due */
    struct list dialed;  /* env_dial whose callback is due */
    uint8_t *read_buf;   /* owned, ENV_UV_READ_BYTES */
    int reserve_fd;      /* given up to accept and refuse at EMFILE; or -1 */
    uint64_t refused;    /* connections, since that was last logged */
    uint64_t refused_ms; /* when that was; 0: never */
    int log_fd;          /* owned unless STDERR_FILENO */
    uint64_t log_lost;   /* lines that could not be written */
    struct env_uv_disk disk;
    struct env_uv_signal *signals[ENV_UV_SIGNALS_MAX]; /* owned */
    unsigned n_signals;
    /* Handed out and not yet given back; env_uv_free wants zeros. */
    unsigned n_files, n_listeners, n_streams, n_dials, n_requests;
};

static inline struct env_uv *env_uv__of(struct env *env)
{
    return (struct env_uv *)(void *)env;
}

/* KV_E* of a libuv error (on Unix a negated errno), and of errno itself. */
int env_uv__err(int uv_err);
int env_uv__errno(void);

/* env_uv_disk.c: first the blocking calls, for any thread. */
int env_uv__pread(int fd, uint64_t off, void *p, size_t n, size_t *ret_n);
int env_uv__pwritev(int fd, uint64_t off, const struct slice *parts,
                    unsigned n);
int env_uv__fdatasync(int fd);
int env_uv__open_fd(const char *path, int flags, int *ret_fd);
int env_uv__mkdir(struct env *env, const char *path);
int env_uv__list(struct env *env, const char *dir, env_dir_cb cb, void *data);
int env_uv__rename(struct env *env, const char *from, const char *to);
int env_uv__unlink(struct env *env, const char *path);
int env_uv__sync_dir(struct env *env, const char *dir);
int env_uv__lock(struct env *env, const char *path, struct env_file **ret);
int env_uv__open(struct env *env, const char *path, unsigned flags,
                 struct env_file **ret);
void env_uv__close(struct env *env, struct env_file *f);
int env_uv__size(struct env *env, struct env_file *f, uint64_t *ret);
int env_uv__read(struct env *env, struct env_file *f, uint64_t off, void *p,
                 size_t n, size_t *ret_n);
int env_uv__write(struct env *env, struct env_file *f, uint64_t off,
                  const void *p, size_t n);
int env_uv__truncate(struct env *env, struct env_file *f, uint64_t size);
int env_uv__sync(struct env *env, struct env_file *f);

/* env_uv_work.c */
int env_uv__disk_start(struct env_uv *e);
void env_uv__disk_stop(struct env_uv *e); /* nothing is queued */
void env_uv__submit_write(struct env *env, struct env_io *io);
void env_uv__submit_read(struct env *env, struct env_io *io);
void env_uv__work(struct env *env, struct env_work *w);

/* env_uv_net.c */
struct env_stream *env_uv__stream_new(struct env_uv *e);
uv_tcp_t *env_uv__stream_tcp(struct env_stream *s);
void env_uv__stream_set(struct env_stream *s);  /* options of a live socket */
void env_uv__stream_drop(struct env_stream *s); /* close, no callback */
void env_uv__stream_start(struct env *env, struct env_stream *s,
                          const struct env_stream_ops *ops, void *ctx);
void env_uv__stream_pause(struct env *env, struct env_stream *s);
void env_uv__stream_resume(struct env *env, struct env_stream *s);
long env_uv__stream_try_write(struct env *env, struct env_stream *s,
                              const struct slice *parts, unsigned n);
int env_uv__stream_write(struct env *env, struct env_stream *s,
                         struct env_write *w, const struct slice *parts,
                         unsigned n);
void env_uv__stream_peer(struct env *env, struct env_stream *s, char *buf,
                         size_t n);
void env_uv__stream_close(struct env *env, struct env_stream *s,
                          env_close_cb cb, void *ctx);

/* env_uv_listen.c */
void env_uv__reserve(struct env_uv *e); /* hold a descriptor back */
int env_uv__listen(struct env *env, const char *host, uint16_t port,
                   env_accept_cb cb, void *ctx, struct env_listener **ret);
uint16_t env_uv__listener_port(struct env *env, struct env_listener *l);
void env_uv__listener_close(struct env *env, struct env_listener *l,
                            env_close_cb cb, void *ctx);

/* env_uv_dial.c */
struct sockaddr_storage;
/* A numeric address of either family.  False if host is not numeric. */
bool env_uv__numeric(const char *host, uint16_t port,
                     struct sockaddr_storage *ret);
int env_uv__dial(struct env *env, const char *host, uint16_t port,
                 uint64_t timeout_ms, env_dial_cb cb, void *ctx,
                 struct env_dial **ret);
void env_uv__dial_cancel(struct env *env, struct env_dial *d);
/* Run the callbacks of the dials that are over. */
void env_uv__dialed(struct env_uv *e);

#endif
