/* Everything that happens off the loop thread: ordered writes on the disk
 * thread, reads and callers' work on libuv's thread pool.
 *
 *     loop thread                 disk thread
 *     submit_write --- queue ---> pwritev, fdatasync
 *     on_done <--- uv_async, done ---+
 *
 *  I1  Writes run one after the other in the order of submission, because one
 *      thread takes them from the front of one queue.
 *  I2  Callbacks run in that order too, on the loop, from one uv_async callback
 *      for however many completed since the last one.
 *  I3  A request belongs to the disk thread from the moment it is queued until
 *      it is on `done`; the mutex hands it over both ways.
 *  I4  A failed write does not stop the queue.  Whether later writes may still
 *      count is for their owner to decide: the log fails for good (R9).
 *
 * The disk thread takes the whole queue at a time and gives each completion
 * back at once, so that the first caller does not wait for the last one's
 * fdatasync. */
#include <pthread.h>
#include <signal.h>

#include "base/assert.h"
#include "env/env_uv_int.h"

/* What env_io.impl holds. */
struct io_impl {
    struct list link; /* disk.queue, then disk.done */
    uv_work_t work;   /* reads */
};
_Static_assert(sizeof(struct io_impl) <= sizeof(((struct env_io *)0)->impl),
               "env_io.impl is too small");
_Static_assert(sizeof(uv_work_t) <= sizeof(((struct env_work *)0)->impl),
               "env_work.impl is too small");

static struct io_impl *impl_of(struct env_io *io)
{
    return (struct io_impl *)(void *)&io->impl;
}

static struct env_io *io_of(struct list *link)
{
    return CONTAINER_OF(CONTAINER_OF(link, struct io_impl, link), struct env_io,
                        impl);
}

/* A request starts and ends here, on the loop thread. */
static void io_begin(struct env_uv *e, struct env_io *io)
{
    ASSERT(io->cb != NULL);
    ASSERT(io->file->e == e);
    io->file->n_async++;
    e->n_requests++;
}

static void io_end(struct env_uv *e, struct env_io *io)
{
    ASSERT(io->file->n_async > 0);
    ASSERT(e->n_requests > 0);
    io->file->n_async--;
    e->n_requests--;
    io->cb(io);
}

/* ---- ordered writes ---- */

static void perform_write(struct env_io *io)
{
    const uint64_t start = uv_hrtime();
    const int fd = io->file->fd;

    io->status = env_uv__pwritev(fd, io->offset, io->parts, io->n_parts);
    if (io->status == 0 && io->sync)
        io->status = env_uv__fdatasync(fd);
    io->usec = (uv_hrtime() - start) / 1000;
}

/* Wait for requests and move all of them to batch.  False: time to end. */
static bool disk_take(struct env_uv_disk *d, struct list *batch)
{
    uv_mutex_lock(&d->mutex);
    while (list_empty(&d->queue) && !d->stop)
        uv_cond_wait(&d->work, &d->mutex);
    list_splice(batch, &d->queue);
    uv_mutex_unlock(&d->mutex);
    return !list_empty(batch);
}

static void disk_main(void *arg)
{
    struct env_uv_disk *d = arg;
    struct list batch;
    sigset_t all;

    sigfillset(&all); /* signals are the loop thread's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    list_init(&batch);
    while (disk_take(d, &batch)) {
        while (!list_empty(&batch)) {
            struct list *link = batch.next;

            list_del(link);
            perform_write(io_of(link));
            uv_mutex_lock(&d->mutex);
            list_add_tail(&d->done, link);
            uv_mutex_unlock(&d->mutex);
            uv_async_send(&d->async);
        }
    }
}

static void on_done(uv_async_t *async)
{
    struct env_uv *e = async->data;
    struct list done;

    list_init(&done);
    uv_mutex_lock(&e->disk.mutex);
    list_splice(&done, &e->disk.done);
    uv_mutex_unlock(&e->disk.mutex);
    while (!list_empty(&done)) {
        struct list *link = done.next;

        list_del(link);
        io_end(e, io_of(link));
    }
}

void env_uv__submit_write(struct env *env, struct env_io *io)
{
    struct env_uv *e = env_uv__of(env);
    struct env_uv_disk *d = &e->disk;

    io_begin(e, io);
    uv_mutex_lock(&d->mutex);
    ASSERT(!d->stop);
    list_add_tail(&d->queue, &impl_of(io)->link);
    uv_cond_signal(&d->work);
    uv_mutex_unlock(&d->mutex);
}

int env_uv__disk_start(struct env_uv *e)
{
    struct env_uv_disk *d = &e->disk;
    int rv;

    list_init(&d->queue);
    list_init(&d->done);
    d->stop = false;
    rv = uv_mutex_init(&d->mutex);
    if (rv != 0)
        return env_uv__err(rv);
    rv = uv_cond_init(&d->work);
    if (rv != 0)
        goto err_mutex;
    rv = uv_async_init(&e->loop, &d->async, on_done);
    if (rv != 0)
        goto err_cond;
    d->async.data = e;
    rv = uv_thread_create(&d->thread, disk_main, d);
    if (rv != 0)
        goto err_async;
    return 0;
err_async:
    uv_close((uv_handle_t *)&d->async, NULL); /* ends in handles_close */
err_cond:
    uv_cond_destroy(&d->work);
err_mutex:
    uv_mutex_destroy(&d->mutex);
    return env_uv__err(rv);
}

void env_uv__disk_stop(struct env_uv *e)
{
    struct env_uv_disk *d = &e->disk;

    uv_mutex_lock(&d->mutex);
    ASSERT(list_empty(&d->queue));
    ASSERT(list_empty(&d->done));
    d->stop = true;
    uv_cond_signal(&d->work);
    uv_mutex_unlock(&d->mutex);
    uv_thread_join(&d->thread);
    uv_close((uv_handle_t *)&d->async, NULL);
    uv_cond_destroy(&d->work);
    uv_mutex_destroy(&d->mutex);
}

/* ---- reads ---- */

static void perform_read(uv_work_t *req)
{
    struct env_io *io = req->data;
    const uint64_t start = uv_hrtime();

    io->ret_len = 0;
    io->status =
        env_uv__pread(io->file->fd, io->offset, io->buf, io->len, &io->ret_len);
    io->usec = (uv_hrtime() - start) / 1000;
}

static void after_read(uv_work_t *req, int status)
{
    struct env_io *io = req->data;

    ASSERT(status == 0); /* nobody cancels */
    io_end(io->file->e, io);
}

void env_uv__submit_read(struct env *env, struct env_io *io)
{
    struct env_uv *e = env_uv__of(env);
    uv_work_t *req = &impl_of(io)->work;

    ASSERT(io->buf != NULL);
    io_begin(e, io);
    req->data = io;
    if (uv_queue_work(&e->loop, req, perform_read, after_read) != 0)
        UNREACHABLE(); /* fails only without a callback */
}

/* ---- work ---- */

static struct env_work *work_of(uv_work_t *req)
{
    return CONTAINER_OF(req, struct env_work, impl);
}

static void work_run(uv_work_t *req)
{
    struct env_work *w = work_of(req);

    w->run(w);
}

static void work_done(uv_work_t *req, int status)
{
    struct env_work *w = work_of(req);
    struct env_uv *e = req->data;

    ASSERT(status == 0); /* nobody cancels */
    ASSERT(e->n_requests > 0);
    e->n_requests--;
    w->done(w);
}

void env_uv__work(struct env *env, struct env_work *w)
{
    struct env_uv *e = env_uv__of(env);
    uv_work_t *req = (uv_work_t *)(void *)&w->impl;

    ASSERT(w->run != NULL);
    ASSERT(w->done != NULL);
    e->n_requests++;
    req->data = e;
    if (uv_queue_work(&e->loop, req, work_run, work_done) != 0)
        UNREACHABLE(); /* fails only without a callback */
}
