/* The disk operations of env, on the lasting state of disk_state.c.
 *
 * Synchronous calls take no virtual time.  submit_write queues for the one disk
 * thread of the node: requests run one after the other; one takes its write latency,
 * plus its sync latency if it syncs.  Its bytes are visible to reads, and may survive
 * a crash, from when it starts; they are durable when its sync has ended.  A read is
 * ordered with nothing and sees the file as it is when it ends.
 *
 * A failed write writes nothing.  A failed sync loses what it should have made
 * durable, for good, although reads still see it until a restart: what Linux does
 * with dirty pages.
 *
 * Requests borrow the caller's bytes until their callback: the bytes are copied
 * at submission and must still be the same at completion. */
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "sim/sim_int.h"

struct env_file {
    struct list link; /* sim_proc.files */
    struct sim_inode *inode;
    unsigned n_io; /* asynchronous requests under way */
    bool rdonly;
    bool lock;
};

static struct sim_disk *disk_of(struct env *e)
{
    return &sim__proc(e)->node->disk;
}

/* The fault planned for this operation, if it is its turn. */
static int fault(struct sim_disk *d, enum sim_disk_op op)
{
    if (d->fail[op].nth == 0 || --d->fail[op].nth > 0)
        return 0;
    return d->fail[op].error;
}

static bool dir_exists(const struct sim_disk *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[512];
    size_t n;
    struct sim_inode *i;

    if (slash == NULL || slash == path)
        return true;
    n = (size_t)(slash - path);
    ASSERT(n < sizeof dir);
    memcpy(dir, path, n);
    dir[n] = 0;
    i = sim__names_find(&d->live, dir);
    return i != NULL && i->is_dir;
}

/* ---- names ---- */

static void link_name(struct sim_disk *d, const char *path,
                      struct sim_inode *inode)
{
    struct mem_arena *old = mem_arena_use(NULL);

    sim__names_put(&d->live, path, inode);
    sim__undo_name(d, SIM_OP_LINK, inode, path, NULL);
    mem_arena_use(old);
}

int sim__mkdir(struct env *e, const char *path)
{
    struct sim_disk *d = disk_of(e);
    struct sim_inode *i = sim__names_find(&d->live, path);

    if (i != NULL)
        return i->is_dir ? 0 : KV_EEXIST;
    if (!dir_exists(d, path))
        return KV_ENOENT;
    link_name(d, path, sim__inode_new(true));
    return 0;
}

int sim__list(struct env *e, const char *dir, env_dir_cb cb, void *data)
{
    struct sim_disk *d = disk_of(e);
    struct sim_inode *i = sim__names_find(&d->live, dir);

    if (i == NULL || !i->is_dir)
        return KV_ENOENT;
    for (size_t k = 0; k < d->live.n; k++) {
        const char *path = d->live.v[k].path;

        if (sim__inside(path, dir))
            cb(data, strrchr(path, '/') + 1);
    }
    return 0;
}

static bool same_dir(const char *a, const char *b)
{
    const char *a_end = strrchr(a, '/'), *b_end = strrchr(b, '/');

    if (a_end == NULL || b_end == NULL)
        return a_end == b_end;
    return a_end - a == b_end - b && memcmp(a, b, (size_t)(a_end - a)) == 0;
}

int sim__rename(struct env *e, const char *from, const char *to)
{
    struct sim_disk *d = disk_of(e);
    struct sim_inode *i = sim__names_find(&d->live, from);
    struct mem_arena *old;

    if (i == NULL)
        return KV_ENOENT;
    /* Nobody above renames directories, or from one to another. */
    if (i->is_dir || !same_dir(from, to))
        return KV_EINVAL;
    old = mem_arena_use(NULL);
    sim__undo_name(d, SIM_OP_RENAME, i, from, to);
    sim__names_put(&d->live, to, i);
    sim__names_del(&d->live, from);
    mem_arena_use(old);
    return 0;
}

int sim__unlink(struct env *e, const char *path)
{
    struct sim_disk *d = disk_of(e);
    struct sim_inode *i = sim__names_find(&d->live, path);
    struct mem_arena *old;

    if (i == NULL)
        return KV_ENOENT;
    if (i->is_dir)
        return KV_EINVAL;
    old = mem_arena_use(NULL);
    sim__undo_name(d, SIM_OP_UNLINK, i, path, NULL);
    sim__names_del(&d->live, path);
    mem_arena_use(old);
    return 0;
}

int sim__sync_dir(struct env *e, const char *dir)
{
    struct sim_disk *d = disk_of(e);
    struct mem_arena *old;
    int rv = fault(d, SIM_DISK_SYNC);

    if (rv != 0)
        return rv;
    old = mem_arena_use(NULL);
    sim__disk_settle_dir(d, dir);
    mem_arena_use(old);
    return 0;
}

/* ---- files ---- */

static struct env_file *file_new(struct sim_proc *p, struct sim_inode *i)
{
    struct env_file *f = SIM_NEW(struct env_file);

    f->inode = i;
    i->refs++;
    list_add_tail(&p->files, &f->link);
    return f;
}

int sim__open(struct env *e, const char *path, unsigned flags,
              struct env_file **ret)
{
    struct sim_disk *d = disk_of(e);
    struct sim_inode *i = sim__names_find(&d->live, path);

    if (i == NULL && (flags & ENV_OPEN_CREATE) == 0)
        return KV_ENOENT;
    if (i != NULL && (flags & ENV_OPEN_EXCL) != 0)
        return KV_EEXIST;
    if (i == NULL && !dir_exists(d, path))
        return KV_ENOENT;
    if (i != NULL && i->is_dir)
        return KV_EINVAL;
    if (i == NULL) {
        i = sim__inode_new(false);
        link_name(d, path, i);
    }
    *ret = file_new(sim__proc(e), i);
    (*ret)->rdonly = (flags & ENV_OPEN_RDONLY) != 0;
    return 0;
}

int sim__lock(struct env *e, const char *path, struct env_file **ret)
{
    struct env_file *f;
    int rv = sim__open(e, path, ENV_OPEN_CREATE, &f);

    if (rv != 0)
        return rv;
    if (f->inode->locked) {
        sim__close(e, f);
        return KV_ELOCKED;
    }
    f->lock = f->inode->locked = true;
    *ret = f;
    return 0;
}

static void file_free(struct env_file *f)
{
    if (f->lock)
        f->inode->locked = false;
    list_del(&f->link);
    sim__inode_unref(f->inode);
    mem_free(f);
}

void sim__close(struct env *e, struct env_file *f)
{
    (void)e;
    ASSERT(f->n_io == 0);
    file_free(f);
}

int sim__size(struct env *e, struct env_file *f, uint64_t *ret)
{
    (void)e;
    *ret = f->inode->live.size;
    return 0;
}

int sim__read(struct env *e, struct env_file *f, uint64_t off, void *p,
              size_t n, size_t *ret_n)
{
    struct sim_disk *d = disk_of(e);
    int rv = fault(d, SIM_DISK_READ);

    if (rv != 0)
        return rv;
    *ret_n = disk_image_read(&f->inode->live, off, p, n);
    d->stats.reads++;
    return 0;
}

static uint64_t bytes_used(const struct sim_disk *d)
{
    uint64_t n = 0;

    for (size_t i = 0; i < d->live.n; i++)
        n += d->live.v[i].inode->live.size;
    return n;
}

static bool has_room(const struct sim_disk *d, const struct sim_inode *i,
                     uint64_t end)
{
    if (d->capacity == 0 || end <= i->live.size)
        return true;
    return bytes_used(d) + (end - i->live.size) <= d->capacity;
}

/* Write to the live image and remember it as unsynced; takes data over. */
static void put_bytes(struct sim_disk *d, struct sim_inode *i, uint64_t off,
                      uint8_t *data, size_t n)
{
    struct mem_arena *old = mem_arena_use(NULL);

    if (n > 0 && data[0] == 0 && memcmp(data, data + 1, n - 1) == 0) {
        mem_free(data);
        data = NULL;
    }
    disk_image_write(&i->live, off, data, n);
    sim__undo_file(d, SIM_OP_WRITE, i, off, data, n);
    mem_arena_use(old);
}

int sim__write(struct env *e, struct env_file *f, uint64_t off, const void *p,
               size_t n)
{
    struct sim_disk *d = disk_of(e);
    int rv = fault(d, SIM_DISK_WRITE);
    uint8_t *data;

    ASSERT(!f->rdonly);
    if (rv != 0)
        return rv;
    if (!has_room(d, f->inode, off + n))
        return KV_ENOSPC;
    if (n == 0)
        return 0;
    data = sim__alloc(n);
    memcpy(data, p, n);
    put_bytes(d, f->inode, off, data, n);
    d->stats.writes++;
    return 0;
}

int sim__truncate(struct env *e, struct env_file *f, uint64_t size)
{
    struct sim_disk *d = disk_of(e);
    struct mem_arena *old = mem_arena_use(NULL);

    ASSERT(!f->rdonly);
    if (size > f->inode->live.size)
        disk_image_write(&f->inode->live, size, NULL, 0);
    disk_image_truncate(&f->inode->live, size);
    sim__undo_file(d, SIM_OP_TRUNCATE, f->inode, size, NULL, 0);
    mem_arena_use(old);
    return 0;
}

static int sync_file(struct sim_disk *d, struct sim_inode *i)
{
    struct mem_arena *old = mem_arena_use(NULL);
    int rv = fault(d, SIM_DISK_SYNC);

    sim__disk_settle_file(d, i, rv == 0);
    mem_arena_use(old);
    d->stats.syncs++;
    return rv;
}

int sim__sync(struct env *e, struct env_file *f)
{
    return sync_file(disk_of(e), f->inode);
}

/* ---- asynchronous ---- */

static uint64_t spike(struct sim *s, const struct sim_disk *d)
{
    if (d->spike_ppm == 0 || rng_below(&s->rng, 1000000) >= d->spike_ppm)
        return 0;
    return rng_below(&s->rng, (uint64_t)d->spike_us + 1);
}

static void write_end(struct sim *s, struct sim_event *ev);

static uint32_t parts_crc(const struct env_io *io)
{
    uint32_t crc = 0;

    for (unsigned i = 0; i < io->n_parts; i++)
        crc = crc32c(crc, io->parts[i].p, io->parts[i].n);
    return crc;
}

/* The disk thread takes the next request. */
static void write_begin(struct sim_proc *p)
{
    struct sim *s = p->sim;
    struct sim_disk *d = &p->node->disk;
    struct sim_job *job = LIST_FIRST(&d->queue, struct sim_job, link);
    struct env_io *io = job->io;
    uint64_t t = sim__delay(s, d->lat[SIM_DISK_WRITE], job->len);

    if (io->sync)
        t += sim__delay(s, d->lat[SIM_DISK_SYNC], 0);
    t += spike(s, d);
    if (s->now + t < d->stall_until)
        t = d->stall_until - s->now;
    job->since = s->now;
    job->status = fault(d, SIM_DISK_WRITE);
    if (job->status == 0 && !has_room(d, io->file->inode, io->offset + job->len))
        job->status = KV_ENOSPC;
    if (job->status == 0 && job->len > 0) {
        put_bytes(d, io->file->inode, io->offset, job->data, job->len);
        job->data = NULL;
    }
    sim__post_proc(p, t, write_end, io->sync ? "write+sync" : "write", job);
}

static void job_free(struct sim_job *job)
{
    list_del(&job->link);
    mem_free(job->data);
    mem_free(job);
}

static void write_end(struct sim *s, struct sim_event *ev)
{
    struct sim_proc *p = s->nodes[ev->node].proc;
    struct sim_disk *d = &p->node->disk;
    struct sim_job *job = ev->ptr;
    struct env_io *io = job->io;

    ASSERT(job == LIST_FIRST(&d->queue, struct sim_job, link));
    ASSERT(parts_crc(io) == job->crc); /* the bytes were only borrowed */
    sim__note(s, job->crc ^ io->offset << 32);
    if (job->status == 0 && io->sync)
        job->status = sync_file(d, io->file->inode);
    d->stats.writes++;
    io->status = job->status;
    io->usec = s->now - job->since;
    io->file->n_io--;
    job_free(job);
    if (!list_empty(&d->queue))
        write_begin(p);
    io->cb(io);
}

static struct sim_job *job_new(struct env_io *io)
{
    struct sim_job *job = SIM_NEW(struct sim_job);

    ASSERT(io->cb != NULL);
    ASSERT(io->file != NULL);
    job->io = io;
    io->file->n_io++;
    return job;
}

void sim__submit_write(struct env *e, struct env_io *io)
{
    struct sim_proc *p = sim__proc(e);
    struct sim_disk *d = &p->node->disk;
    struct sim_job *job = job_new(io);
    bool idle = list_empty(&d->queue);
    size_t at = 0;

    ASSERT(!io->file->rdonly);
    for (unsigned i = 0; i < io->n_parts; i++)
        job->len += io->parts[i].n;
    job->data = job->len == 0 ? NULL : sim__alloc(job->len);
    for (unsigned i = 0; i < io->n_parts; i++) {
        if (io->parts[i].n > 0)
            memcpy(job->data + at, io->parts[i].p, io->parts[i].n);
        at += io->parts[i].n;
    }
    job->crc = parts_crc(io);
    list_add_tail(&d->queue, &job->link);
    if (idle)
        write_begin(p);
}

static void read_end(struct sim *s, struct sim_event *ev)
{
    struct sim_disk *d = &s->nodes[ev->node].disk;
    struct sim_job *job = ev->ptr;
    struct env_io *io = job->io;

    io->status = fault(d, SIM_DISK_READ);
    if (io->status == 0)
        io->ret_len = disk_image_read(&io->file->inode->live, io->offset,
                                      io->buf, io->len);
    sim__note(s, io->offset ^ (uint64_t)io->len << 32);
    d->stats.reads++;
    io->usec = s->now - job->since;
    io->file->n_io--;
    job_free(job);
    io->cb(io);
}

void sim__submit_read(struct env *e, struct env_io *io)
{
    struct sim_proc *p = sim__proc(e);
    struct sim_disk *d = &p->node->disk;
    struct sim_job *job = job_new(io);

    job->since = p->sim->now;
    list_add_tail(&d->reads, &job->link);
    sim__post_proc(p, sim__delay(p->sim, d->lat[SIM_DISK_READ], io->len) +
                          spike(p->sim, d),
                   read_end, "read", job);
}

void sim__disk_drop_proc(struct sim_proc *p)
{
    struct sim_disk *d = &p->node->disk;

    while (!list_empty(&d->queue))
        job_free(LIST_FIRST(&d->queue, struct sim_job, link));
    while (!list_empty(&d->reads))
        job_free(LIST_FIRST(&d->reads, struct sim_job, link));
    while (!list_empty(&p->files))
        file_free(LIST_FIRST(&p->files, struct env_file, link));
}

/* ---- settings ---- */

#define EACH_NODE(i, node)                         \
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++)  \
        if ((node) == SIM_EVERY || (node) == i)

void sim_disk_latency(struct sim *s, unsigned node, enum sim_disk_op op,
                      struct sim_latency lat)
{
    ASSERT(op < SIM_DISK_OPS);
    EACH_NODE(i, node)
        s->nodes[i].disk.lat[op] = lat;
}

void sim_disk_fail(struct sim *s, unsigned node, enum sim_disk_op op,
                   unsigned nth, int error)
{
    ASSERT(op < SIM_DISK_OPS);
    ASSERT(error < 0);
    EACH_NODE(i, node) {
        s->nodes[i].disk.fail[op].nth = nth;
        s->nodes[i].disk.fail[op].error = error;
    }
}

void sim_disk_spikes(struct sim *s, unsigned node, uint32_t ppm, uint32_t us)
{
    ASSERT(ppm <= 1000000);
    EACH_NODE(i, node) {
        s->nodes[i].disk.spike_ppm = ppm;
        s->nodes[i].disk.spike_us = us;
    }
}

void sim_disk_files(struct sim *s, unsigned node, sim_file_cb cb, void *ctx)
{
    const struct sim_names *t = &s->nodes[node].disk.live;

    for (size_t i = 0; i < t->n; i++) {
        if (!t->v[i].inode->is_dir)
            cb(ctx, t->v[i].path, t->v[i].inode->live.size);
    }
}

size_t sim_disk_peek(const struct sim *s, unsigned node, const char *path,
                     uint64_t off, void *buf, size_t n)
{
    struct sim_inode *i = sim__names_find(&s->nodes[node].disk.live, path);

    return i == NULL ? 0 : disk_image_read(&i->live, off, buf, n);
}

int sim_disk_copy(struct sim *s, unsigned node, const char *from,
                  const char *to)
{
    struct sim_disk *d = &s->nodes[node].disk;
    struct sim_inode *i = sim__names_find(&d->live, from), *copy;

    ASSERT(sim__names_find(&d->live, to) == NULL);
    if (i == NULL)
        return KV_ENOENT;
    copy = sim__inode_new(false);
    disk_image_copy(&copy->live, &i->live);
    disk_image_copy(&copy->durable, &i->live);
    sim__names_put(&d->live, to, copy);
    sim__names_put(&d->durable, to, copy);
    return 0;
}

uint64_t sim_disk_used(const struct sim *s, unsigned node)
{
    return bytes_used(&s->nodes[node].disk);
}

void sim_disk_stall(struct sim *s, unsigned node, uint64_t t)
{
    EACH_NODE(i, node)
        s->nodes[i].disk.stall_until = t;
}

void sim_disk_capacity(struct sim *s, unsigned node, uint64_t bytes)
{
    EACH_NODE(i, node)
        s->nodes[i].disk.capacity = bytes;
}

int sim_disk_damage(struct sim *s, unsigned node, const char *path,
                    uint64_t off, uint8_t xor_mask)
{
    struct sim_inode *i = sim__names_find(&s->nodes[node].disk.live, path);
    uint8_t b;

    ASSERT(xor_mask != 0);
    if (i == NULL)
        return KV_ENOENT;
    if (disk_image_read(&i->durable, off, &b, 1) == 0)
        return KV_EINVAL;
    b ^= xor_mask;
    disk_image_write(&i->durable, off, &b, 1);
    if (disk_image_read(&i->live, off, &b, 1) == 1) {
        b ^= xor_mask;
        disk_image_write(&i->live, off, &b, 1);
    }
    return 0;
}

void sim_disk_stats(const struct sim *s, unsigned node,
                    struct sim_disk_stats *ret)
{
    ASSERT(node >= 1 && node <= SIM_NODES_MAX);
    *ret = s->nodes[node].disk.stats;
    ret->unsynced = s->nodes[node].disk.n_unsynced;
}
