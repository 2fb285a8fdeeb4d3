/* See memenv.h.  An inode has two contents: `cur`, what readers see, and `dur`,
 * what a power cut leaves; fdatasync copies cur to dur.  A directory is two
 * name tables, likewise; sync_dir copies one to the other. */
#include "memenv.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"

struct env_file {
    struct mem_inode *inode;
};

static struct memenv *self(struct env *env)
{
    return (struct memenv *)(void *)env;
}

/* ---- inodes and names ---- */

static struct mem_inode *inode_new(void)
{
    return MEM_NEW(struct mem_inode);
}

static void inode_unref(struct mem_inode *i)
{
    if (i == NULL || --i->refs > 0)
        return;
    mem_free(i->cur);
    mem_free(i->dur);
    mem_free(i);
}

static void set_content(uint8_t **p, uint64_t *n, const uint8_t *from,
                        uint64_t from_n)
{
    if (*n != from_n) {
        mem_free(*p);
        *p = from_n > 0 ? mem_alloc(from_n) : NULL;
    }
    if (from_n > 0)
        memcpy(*p, from, from_n);
    *n = from_n;
}

static void inode_sync(struct mem_inode *i)
{
    set_content(&i->dur, &i->dur_n, i->cur, i->cur_n);
}

static void inode_resize(struct mem_inode *i, uint64_t n)
{
    if (n == i->cur_n)
        return;
    i->cur = mem_realloc(i->cur, n > 0 ? n : 1);
    if (n > i->cur_n)
        memset(i->cur + i->cur_n, 0, n - i->cur_n);
    i->cur_n = n;
}

static struct mem_name *find(struct mem_name *t, const char *path)
{
    for (unsigned i = 0; i < MEM_FILES_MAX; i++)
        if (t[i].path[0] != 0 && strcmp(t[i].path, path) == 0)
            return &t[i];
    return NULL;
}

static void name_drop(struct mem_name *e)
{
    inode_unref(e->inode);
    *e = (struct mem_name){ .inode = NULL };
}

static void name_add(struct mem_name *t, const char *path, struct mem_inode *i)
{
    for (unsigned k = 0; k < MEM_FILES_MAX; k++) {
        if (t[k].path[0] != 0)
            continue;
        ASSERT(strlen(path) < sizeof t[k].path);
        strcpy(t[k].path, path);
        t[k].inode = i;
        i->refs++;
        return;
    }
    UNREACHABLE();
}

/* ---- synchronous calls ---- */

static uint64_t op_now_us(struct env *e)
{
    return self(e)->now_us;
}

static int64_t op_wall_ms(struct env *e)
{
    return (int64_t)(self(e)->now_us / 1000);
}

static void op_timer_set(struct env *e, struct env_timer *t, uint64_t ms)
{
    timerq_set(&self(e)->timers, t, ms);
}

static void op_timer_stop(struct env *e, struct env_timer *t)
{
    timerq_stop(&self(e)->timers, t);
}

static void op_random(struct env *e, void *p, size_t n)
{
    uint8_t *q = p;

    for (size_t i = 0; i < n; i++)
        q[i] = (uint8_t)rng_u64(&self(e)->rng);
}

static void op_log(struct env *e, enum env_log_level level, const char *line)
{
    (void)e;
    (void)level;
    (void)line;
}

static int op_list(struct env *e, const char *dir, env_dir_cb cb, void *data)
{
    struct memenv *m = self(e);
    size_t n = strlen(dir);

    if (fault_hit(&m->fault))
        return KV_EIO;
    for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
        const char *path = m->disk.now[i].path;
        if (strncmp(path, dir, n) == 0 && path[n] == '/')
            cb(data, path + n + 1);
    }
    return 0;
}

static int op_rename(struct env *e, const char *from, const char *to)
{
    struct memenv *m = self(e);
    struct mem_name *a = find(m->disk.now, from);
    struct mem_name *b = find(m->disk.now, to);

    if (fault_hit(&m->fault))
        return KV_EIO;
    if (a == NULL)
        return KV_ENOENT;
    m->changes++;
    if (b != NULL)
        name_drop(b);
    strcpy(a->path, to);
    return 0;
}

static int op_unlink(struct env *e, const char *path)
{
    struct memenv *m = self(e);
    struct mem_name *a = find(m->disk.now, path);

    if (fault_hit(&m->fault))
        return KV_EIO;
    if (a == NULL)
        return KV_ENOENT;
    m->changes++;
    name_drop(a);
    return 0;
}

static int op_sync_dir(struct env *e, const char *dir)
{
    struct memenv *m = self(e);

    (void)dir;
    if (fault_hit(&m->fault))
        return KV_EIO;
    for (unsigned i = 0; i < MEM_FILES_MAX; i++)
        if (m->disk.durable[i].path[0] != 0)
            name_drop(&m->disk.durable[i]);
    for (unsigned i = 0; i < MEM_FILES_MAX; i++)
        if (m->disk.now[i].path[0] != 0)
            name_add(m->disk.durable, m->disk.now[i].path,
                     m->disk.now[i].inode);
    return 0;
}

static int op_open(struct env *e, const char *path, unsigned flags,
                   struct env_file **ret)
{
    struct memenv *m = self(e);
    struct mem_name *a = find(m->disk.now, path);

    if (fault_hit(&m->fault))
        return KV_EIO;
    if (a == NULL && (flags & ENV_OPEN_CREATE) == 0)
        return KV_ENOENT;
    if (a == NULL) {
        m->changes++;
        name_add(m->disk.now, path, inode_new());
        a = find(m->disk.now, path);
    }
    *ret = MEM_NEW(struct env_file);
    (*ret)->inode = a->inode;
    a->inode->refs++;
    m->open_files++;
    return 0;
}

static void op_close(struct env *e, struct env_file *f)
{
    self(e)->open_files--;
    inode_unref(f->inode);
    mem_free(f);
}

static int op_size(struct env *e, struct env_file *f, uint64_t *ret)
{
    if (fault_hit(&self(e)->fault))
        return KV_EIO;
    *ret = f->inode->cur_n;
    return 0;
}

static int op_read(struct env *e, struct env_file *f, uint64_t off, void *p,
                   size_t n, size_t *ret_n)
{
    uint64_t have = f->inode->cur_n;

    if (fault_hit(&self(e)->fault))
        return KV_EIO;
    *ret_n = off >= have ? 0 : n < have - off ? n : have - off;
    if (*ret_n > 0)
        memcpy(p, f->inode->cur + off, *ret_n);
    return 0;
}

static void write_bytes(struct mem_inode *i, uint64_t off, const void *p,
                        size_t n)
{
    if (off + n > i->cur_n)
        inode_resize(i, off + n);
    if (n > 0)
        memcpy(i->cur + off, p, n);
}

static int op_write(struct env *e, struct env_file *f, uint64_t off,
                    const void *p, size_t n)
{
    if (fault_hit(&self(e)->fault))
        return KV_EIO;
    self(e)->changes++;
    write_bytes(f->inode, off, p, n);
    return 0;
}

static int op_truncate(struct env *e, struct env_file *f, uint64_t size)
{
    if (fault_hit(&self(e)->fault))
        return KV_EIO;
    self(e)->changes++;
    inode_resize(f->inode, size);
    return 0;
}

static int op_sync(struct env *e, struct env_file *f)
{
    if (fault_hit(&self(e)->fault))
        return KV_EIO;
    inode_sync(f->inode);
    return 0;
}

/* ---- asynchronous requests ---- */

static void submit(struct env *e, struct env_io *io, bool is_write)
{
    struct memenv *m = self(e);

    ASSERT(m->n_io < MEM_IO_MAX);
    m->io_write[m->n_io] = is_write;
    m->io[m->n_io++] = io;
}

static void op_submit_write(struct env *e, struct env_io *io)
{
    submit(e, io, true);
}

static void op_submit_read(struct env *e, struct env_io *io)
{
    submit(e, io, false);
}

static int do_write(struct memenv *m, struct env_io *io)
{
    uint64_t off = io->offset;

    if (fault_hit(&m->fault))
        return KV_EIO;
    m->changes++;
    for (unsigned i = 0; i < io->n_parts; i++) {
        write_bytes(io->file->inode, off, io->parts[i].p, io->parts[i].n);
        off += io->parts[i].n;
    }
    m->writes++;
    m->write_bytes_last = off - io->offset;
    if (!io->sync)
        return 0;
    if (fault_hit(&m->fault))
        return KV_EIO;
    m->syncs++;
    inode_sync(io->file->inode);
    return 0;
}

bool memenv_step(struct memenv *m)
{
    if (m->n_io == 0)
        return false;
    struct env_io *io = m->io[0];
    bool is_write = m->io_write[0];
    m->n_io--;
    memmove(m->io, m->io + 1, m->n_io * sizeof *m->io);
    memmove(m->io_write, m->io_write + 1, m->n_io * sizeof *m->io_write);
    if (is_write)
        io->status = do_write(m, io);
    else
        io->status = op_read(&m->env, io->file, io->offset, io->buf, io->len,
                             &io->ret_len);
    io->usec = 100;
    io->cb(io);
    return true;
}

void memenv_run(struct memenv *m)
{
    uint64_t due;

    for (;;) {
        if (memenv_step(m))
            continue;
        if (!timerq_next(&m->timers, &due) || due > m->now_us / 1000)
            return;
        timerq_run(&m->timers, m->now_us / 1000);
    }
}

void memenv_advance(struct memenv *m, uint64_t ms)
{
    m->now_us += ms * 1000;
    memenv_run(m);
}

/* ---- the whole ---- */

static const struct env_ops ops = {
    .now_us = op_now_us,
    .wall_ms = op_wall_ms,
    .timer_set = op_timer_set,
    .timer_stop = op_timer_stop,
    .random = op_random,
    .log = op_log,
    .list = op_list,
    .rename = op_rename,
    .unlink = op_unlink,
    .sync_dir = op_sync_dir,
    .open = op_open,
    .close = op_close,
    .size = op_size,
    .read = op_read,
    .write = op_write,
    .truncate = op_truncate,
    .sync = op_sync,
    .submit_write = op_submit_write,
    .submit_read = op_submit_read,
};

void memenv_init(struct memenv *m, uint64_t seed)
{
    *m = (struct memenv){ .env.ops = &ops, .now_us = 1000000 };
    timerq_init(&m->timers);
    rng_seed(&m->rng, seed);
}

void memenv_close(struct memenv *m)
{
    for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
        if (m->disk.now[i].path[0] != 0)
            name_drop(&m->disk.now[i]);
        if (m->disk.durable[i].path[0] != 0)
            name_drop(&m->disk.durable[i]);
    }
    while (heap_min(&m->timers.heap) != NULL)
        heap_remove(&m->timers.heap, heap_min(&m->timers.heap));
    timerq_close(&m->timers);
}

static struct mem_inode *put_file(struct memenv *to, const char *path)
{
    struct mem_inode *i = inode_new();

    name_add(to->disk.now, path, i);
    name_add(to->disk.durable, path, i);
    return i;
}

void memenv_kill(const struct memenv *from, struct memenv *to)
{
    for (unsigned k = 0; k < MEM_FILES_MAX; k++) {
        const struct mem_name *e = &from->disk.now[k];
        if (e->path[0] == 0)
            continue;
        struct mem_inode *i = put_file(to, e->path);
        set_content(&i->cur, &i->cur_n, e->inode->cur, e->inode->cur_n);
        inode_sync(i);
    }
}

static unsigned cut_file(const struct mem_inode *from, struct mem_inode *i,
                         unsigned sector, mem_keep keep, void *ctx)
{
    set_content(&i->cur, &i->cur_n, from->dur, from->dur_n);
    for (uint64_t at = 0; at < from->cur_n; at += MEM_SECTOR) {
        uint64_t n =
            from->cur_n - at < MEM_SECTOR ? from->cur_n - at : MEM_SECTOR;
        if (at + n <= i->cur_n && memcmp(i->cur + at, from->cur + at, n) == 0)
            continue;
        if (keep(ctx, sector++))
            write_bytes(i, at, from->cur + at, n);
    }
    inode_sync(i);
    return sector;
}

unsigned memenv_power_cut(const struct memenv *from, struct memenv *to,
                          mem_keep keep, void *ctx)
{
    unsigned sector = 0;

    for (unsigned k = 0; k < MEM_FILES_MAX; k++) {
        const struct mem_name *e = &from->disk.durable[k];
        if (e->path[0] == 0)
            continue;
        sector = cut_file(e->inode, put_file(to, e->path), sector, keep, ctx);
    }
    return sector;
}

struct mem_inode *memenv_file(struct memenv *m, const char *path)
{
    struct mem_name *e = find(m->disk.now, path);

    return e == NULL ? NULL : e->inode;
}

uint32_t memenv_digest(const struct memenv *m)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
        const struct mem_name *e = &m->disk.now[i];
        if (e->path[0] == 0)
            continue;
        uint32_t crc = crc32c(0, e->path, strlen(e->path));
        sum += crc32c(crc, e->inode->cur, e->inode->cur_n);
    }
    return sum;
}
