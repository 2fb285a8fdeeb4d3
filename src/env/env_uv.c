/* The production env: the loop, its clock, its timers and the turn.
 *
 * One iteration of the loop:
 *
 *     prepare   nothing due?  poll may block until the earliest deadline
 *     poll      bytes, connections, disk and work completions
 *     check     1. timers that are due   2. dials that are over
 *               3. the turn, if env_wake was called since the last one
 *     closing   close callbacks
 *
 *  I1  The turn runs in `check` only: after every callback that was ready, and
 *      at most once between two polls.
 *  I2  Poll never blocks while a turn, a due timer or a finished dial waits:
 *      `prepare` then starts the idle handle, whose only effect is a poll
 *      timeout of zero.  So a turn that wakes itself runs again after ready
 *      I/O.
 *  I3  env_wake sets a flag and nothing else.  That is enough because it is
 *      called on the loop thread, and every callback is followed by a
 *      `prepare`.
 *  I4  The clock is read at most once between two places where time may have
 *      passed unnoticed (a poll that blocked, a turn): env_now_us is cheap and
 *      yet fresh in the first callback after a long poll.
 *
 * One uv_timer serves all timers.  It is set only when the earliest deadline
 * comes nearer; when the deadline moved away meanwhile it ends a poll for
 * nothing and is set again, which is cheaper than following each change
 * (election timers move at every heartbeat).
 *
 * Nothing here survives a crash; what must is written through env_uv_disk.c. */
#include "env/env_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv_int.h"
#include "env/log.h"

int env_uv__err(int uv_err)
{
    ASSERT(uv_err < 0);
    switch (uv_err) {
    case UV_ENOENT:
    case UV_ENOTDIR:
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
    case UV_EAI_ADDRFAMILY:
        return KV_ENOENT;
    case UV_EEXIST:
        return KV_EEXIST;
    case UV_ENOSPC:
    case UV_EFBIG: /* the process's file size limit */
    case -EDQUOT:
        return KV_ENOSPC;
    case UV_EACCES:
    case UV_EPERM:
    case UV_EROFS:
        return KV_EACCES;
    case UV_EMFILE:
    case UV_ENFILE:
        return KV_EMFILE;
    case UV_EADDRINUSE:
        return KV_EADDRINUSE;
    case UV_EINVAL:
    case UV_EADDRNOTAVAIL:
    case UV_EISDIR:
    case UV_ENAMETOOLONG:
        return KV_EINVAL;
    case UV_ETIMEDOUT:
        return KV_ETIMEDOUT;
    case UV_ECANCELED:
        return KV_ECANCELED;
    case UV_ENOMEM:
        return KV_ENOMEM;
    case UV_EOF:
        return KV_EEOF;
    case UV_ECONNREFUSED:
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_EPIPE:
    case UV_ENETUNREACH:
    case UV_EHOSTUNREACH:
    case UV_ENETDOWN:
    case UV_ENOTCONN:
    case UV_EAI_AGAIN: /* no name server answers: like an unreachable host */
        return KV_ECONN;
    default:
        return KV_EIO;
    }
}

int env_uv__errno(void)
{
    ASSERT(errno > 0);
    return env_uv__err(-errno);
}

/* ---- clocks, randomness ---- */

static uint64_t now_us(struct env *env)
{
    struct env_uv *e = env_uv__of(env);

    if (!e->now_fresh) { /* I4 */
        const uint64_t now = uv_hrtime() / 1000;

        ASSERT(now >= e->now_us);
        e->now_us = now;
        e->now_fresh = true;
    }
    return e->now_us;
}

static int64_t wall_ms(struct env *env)
{
    struct timespec ts;

    (void)env;
    if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
        UNREACHABLE(); /* every Linux has this clock */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void random_bytes(struct env *env, void *p, size_t n)
{
    (void)env;
    /* Without a callback libuv fills the buffer before it returns. */
    if (uv_random(NULL, NULL, p, n, 0, NULL) != 0)
        UNREACHABLE(); /* no kernel source of randomness: ids would collide */
}

/* ---- timers and the turn ---- */

static void timer_set(struct env *env, struct env_timer *t,
                      uint64_t deadline_ms)
{
    timerq_set(&env_uv__of(env)->timers, t, deadline_ms);
}

static void timer_stop(struct env *env, struct env_timer *t)
{
    timerq_stop(&env_uv__of(env)->timers, t);
}

static void wake(struct env *env)
{
    env_uv__of(env)->woken = true; /* I3 */
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* I2: active is all it has to be */
}

static void on_timer(uv_timer_t *timer)
{
    struct env_uv *e = timer->data;

    e->armed_ms = UINT64_MAX; /* poll ends; `check` fires what is due */
}

/* Let poll end at deadline_ms at the latest. */
static void arm(struct env_uv *e, uint64_t deadline_ms)
{
    const uint64_t now_ms = env_now_ms(&e->env);

    if (deadline_ms >= e->armed_ms)
        return;
    ASSERT(deadline_ms > now_ms); /* what is due does not wait */
    uv_update_time(&e->loop); /* the delay counts from now, not from wake-up */
    if (uv_timer_start(&e->timer, on_timer, deadline_ms - now_ms, 0) != 0)
        UNREACHABLE(); /* fails only on a closing handle */
    e->armed_ms = deadline_ms;
}

/* Before poll. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct env_uv *e = prepare->data;
    uint64_t next_ms = UINT64_MAX;
    bool busy = e->woken || !list_empty(&e->dialed);

    e->now_fresh = false;
    if (timerq_next(&e->timers, &next_ms) && next_ms <= env_now_ms(&e->env))
        busy = true;
    if (busy) {
        uv_idle_start(&e->idle, on_idle); /* a no-op when active */
    } else {
        uv_idle_stop(&e->idle);
        if (next_ms != UINT64_MAX)
            arm(e, next_ms);
    }
    e->now_fresh = false;
}

/* After poll. */
static void on_check(uv_check_t *check)
{
    struct env_uv *e = check->data;

    e->now_fresh = false;
    timerq_run(&e->timers, env_now_ms(&e->env));
    env_uv__dialed(e);
    if (!e->woken)
        return;
    e->woken = false; /* first: the turn may ask for another one */
    if (e->env.turn != NULL)
        e->env.turn(e->env.turn_data);
    e->now_fresh = false;
}

/* ---- log ---- */

static bool write_line(int fd, const char *line)
{
    struct iovec iov[2] = {
        { .iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line) },
        { .iov_base = (void *)(uintptr_t) "\n", .iov_len = 1 },
    };
    ssize_t rv;

    do {
        rv = writev(fd, iov, 2);
    } while (rv < 0 && errno == EINTR);
    return rv >= 0;
}

/* A node must not stop because nobody reads its log.  Lines that do not get out
 * are counted, and the count is the first line that gets out again. */
static void log_line(struct env *env, enum env_log_level level,
                     const char *line)
{
    struct env_uv *e = env_uv__of(env);

    (void)level;
    if (e->log_lost > 0) {
        const uint64_t lost = e->log_lost;

        e->log_lost = 0;
        log_event(env, ENV_LOG_ERROR, "log", "lines lost", "count=%" PRIu64,
                  lost); /* comes back here, once */
        if (e->log_lost > 0) {
            e->log_lost = lost + 1;
            return;
        }
    }
    if (!write_line(e->log_fd, line))
        e->log_lost++;
}

int env_uv_log_to(struct env *env, const char *path)
{
    struct env_uv *e = env_uv__of(env);
    int fd = STDERR_FILENO;

    if (path != NULL) {
        int rv = env_uv__open_fd(path, O_WRONLY | O_APPEND | O_CREAT, &fd);

        if (rv != 0)
            return rv;
    }
    if (e->log_fd != STDERR_FILENO)
        close(e->log_fd);
    e->log_fd = fd;
    return 0;
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int signum)
{
    struct env_uv_signal *s = handle->data;

    s->cb(s->ctx, signum);
}

static void signal_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

int env_uv_on_signal(struct env *env, int signum, env_uv_signal_cb cb,
                     void *ctx)
{
    struct env_uv *e = env_uv__of(env);
    struct env_uv_signal *s;
    int rv;

    ASSERT(cb != NULL);
    ASSERT(e->n_signals < ENV_UV_SIGNALS_MAX);
    s = MEM_NEW(struct env_uv_signal);
    s->cb = cb;
    s->ctx = ctx;
    s->handle.data = s;
    rv = uv_signal_init(&e->loop, &s->handle);
    if (rv != 0) {
        mem_free(s);
        return env_uv__err(rv);
    }
    rv = uv_signal_start(&s->handle, on_signal, signum);
    if (rv != 0) {
        uv_close((uv_handle_t *)&s->handle, signal_closed);
        return env_uv__err(rv);
    }
    e->signals[e->n_signals++] = s;
    return 0;
}

/* ---- open, run, free ---- */

static const struct env_ops ops = {
    .now_us = now_us,
    .wall_ms = wall_ms,
    .timer_set = timer_set,
    .timer_stop = timer_stop,
    .wake = wake,
    .random = random_bytes,
    .log = log_line,
    .mkdir = env_uv__mkdir,
    .list = env_uv__list,
    .rename = env_uv__rename,
    .unlink = env_uv__unlink,
    .sync_dir = env_uv__sync_dir,
    .lock = env_uv__lock,
    .open = env_uv__open,
    .close = env_uv__close,
    .size = env_uv__size,
    .read = env_uv__read,
    .write = env_uv__write,
    .truncate = env_uv__truncate,
    .sync = env_uv__sync,
    .submit_write = env_uv__submit_write,
    .submit_read = env_uv__submit_read,
    .listen = env_uv__listen,
    .listener_port = env_uv__listener_port,
    .listener_close = env_uv__listener_close,
    .dial = env_uv__dial,
    .dial_cancel = env_uv__dial_cancel,
    .stream_start = env_uv__stream_start,
    .stream_pause = env_uv__stream_pause,
    .stream_resume = env_uv__stream_resume,
    .stream_try_write = env_uv__stream_try_write,
    .stream_write = env_uv__stream_write,
    .stream_peer = env_uv__stream_peer,
    .stream_close = env_uv__stream_close,
    .work = env_uv__work,
};

/* These cannot fail: they only fill in the handle. */
static void handles_open(struct env_uv *e)
{
    uv_prepare_init(&e->loop, &e->prepare);
    uv_check_init(&e->loop, &e->check);
    uv_idle_init(&e->loop, &e->idle);
    uv_timer_init(&e->loop, &e->timer);
    e->prepare.data = e->check.data = e->timer.data = e;
    uv_prepare_start(&e->prepare, on_prepare);
    uv_check_start(&e->check, on_check);
}

/* Close our own handles and let libuv finish with them. */
static void handles_close(struct env_uv *e)
{
    uv_close((uv_handle_t *)&e->prepare, NULL);
    uv_close((uv_handle_t *)&e->check, NULL);
    uv_close((uv_handle_t *)&e->idle, NULL);
    uv_close((uv_handle_t *)&e->timer, NULL);
    for (unsigned i = 0; i < e->n_signals; i++)
        uv_close((uv_handle_t *)&e->signals[i]->handle, signal_closed);
    e->n_signals = 0;
    uv_run(&e->loop, UV_RUN_DEFAULT);
}

int env_uv_open(struct env **ret)
{
    struct env_uv *e = MEM_NEW(struct env_uv);
    int rv;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    e->env.ops = &ops;
    e->env.log_level = ENV_LOG_INFO;
    e->armed_ms = UINT64_MAX;
    e->log_fd = STDERR_FILENO;
    e->reserve_fd = -1;
    list_init(&e->dialed);
    rv = uv_loop_init(&e->loop);
    if (rv != 0) {
        rv = env_uv__err(rv);
        goto err_free;
    }
    handles_open(e);
    rv = env_uv__disk_start(e);
    if (rv != 0)
        goto err_handles;
    timerq_init(&e->timers);
    e->read_buf = mem_alloc(ENV_UV_READ_BYTES);
    env_uv__reserve(e);
    *ret = &e->env;
    return 0;
err_handles:
    handles_close(e);
    uv_loop_close(&e->loop);
err_free:
    mem_free(e);
    return rv;
}

void env_uv_run(struct env *env)
{
    struct env_uv *e = env_uv__of(env);

    uv_run(&e->loop, UV_RUN_DEFAULT);
    e->now_fresh = false;
}

void env_uv_stop(struct env *env)
{
    uv_stop(&env_uv__of(env)->loop);
}

void env_uv_free(struct env *env)
{
    struct env_uv *e = env_uv__of(env);

    ASSERT(e->n_requests == 0);
    ASSERT(e->n_files == 0);
    ASSERT(e->n_dials == 0);
    ASSERT(e->n_streams == 0);
    ASSERT(e->n_listeners == 0);
    ASSERT(list_empty(&e->dialed));
    env_uv__disk_stop(e);
    handles_close(e);
    if (uv_loop_close(&e->loop) != 0)
        UNREACHABLE();        /* a handle of ours was forgotten */
    timerq_close(&e->timers); /* asserts that no timer is armed */
    if (e->reserve_fd >= 0)
        close(e->reserve_fd);
    if (e->log_fd != STDERR_FILENO)
        close(e->log_fd);
    mem_free(e->read_buf);
    mem_free(e);
}
