#include "unit/cluster/disk_double.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static struct disk_double *self(struct env *e)
{
    return (struct disk_double *)(void *)e;
}

struct disk_file *disk_double_find(struct disk_double *d, const char *path)
{
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        if (path[0] != '\0' && strcmp(d->files[i].path, path) == 0)
            return &d->files[i];
    }
    return NULL;
}

static struct disk_file *make(struct disk_double *d, const char *path)
{
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *f = &d->files[i];

        if (f->path[0] != '\0' || f->durable[0] != '\0')
            continue;
        *f = (struct disk_file){ .n = 0 };
        (void)snprintf(f->path, sizeof(f->path), "%s", path);
        return f;
    }
    UNREACHABLE();
}

void disk_double_put(struct disk_double *d, const char *path, const char *text)
{
    struct disk_file *f = disk_double_find(d, path);

    if (f == NULL)
        f = make(d, path);
    f->n = f->synced_n = strlen(text);
    ASSERT(f->n <= sizeof(f->data));
    memcpy(f->data, text, f->n);
    memcpy(f->synced, text, f->n);
    memcpy(f->durable, f->path, sizeof(f->path));
}

void disk_double_crash(struct disk_double *d)
{
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *f = &d->files[i];

        memcpy(f->path, f->durable, sizeof(f->path));
        memcpy(f->data, f->synced, f->synced_n);
        f->n = f->synced_n;
    }
}

#define MAY_FAIL(e)                              \
    do {                                         \
        if (fault_hit(&self(e)->fault))          \
            return self(e)->fault_status;        \
    } while (0)

static int64_t op_wall_ms(struct env *e)
{
    (void)e;
    return 1700000000000;
}

static void op_random(struct env *e, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = self(e)->next_random++;
}

static int op_list(struct env *e, const char *dir, env_dir_cb cb, void *data)
{
    size_t len = strlen(dir);
    bool any = false;

    MAY_FAIL(e);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        const char *path = self(e)->files[i].path;

        if (strncmp(path, dir, len) != 0 || path[len] != '/')
            continue;
        any = true;
        cb(data, path + len + 1);
    }
    return any ? 0 : KV_ENOENT;
}

static int op_rename(struct env *e, const char *from, const char *to)
{
    struct disk_file *f;
    struct disk_file *old;

    MAY_FAIL(e);
    f = disk_double_find(self(e), from);
    old = disk_double_find(self(e), to);
    if (f == NULL)
        return KV_ENOENT;
    if (old != NULL)
        old->path[0] = '\0';
    (void)snprintf(f->path, sizeof(f->path), "%s", to);
    return 0;
}

static int op_sync_dir(struct env *e, const char *dir)
{
    (void)dir;
    MAY_FAIL(e);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *f = &self(e)->files[i];

        memcpy(f->durable, f->path, sizeof(f->path));
    }
    return 0;
}

static int op_open(struct env *e, const char *path, unsigned flags,
                   struct env_file **ret)
{
    struct disk_file *f;

    MAY_FAIL(e);
    f = disk_double_find(self(e), path);
    if (f == NULL && (flags & ENV_OPEN_CREATE) == 0)
        return KV_ENOENT;
    if (f == NULL)
        f = make(self(e), path);
    *ret = (struct env_file *)(void *)f;
    return 0;
}

static struct disk_file *file(struct env_file *f)
{
    return (struct disk_file *)(void *)f;
}

static void op_close(struct env *e, struct env_file *f)
{
    (void)e;
    (void)f;
}

static int op_size(struct env *e, struct env_file *f, uint64_t *ret)
{
    MAY_FAIL(e);
    *ret = file(f)->n;
    return 0;
}

static int op_read(struct env *e, struct env_file *f, uint64_t off, void *p,
                   size_t n, size_t *ret_n)
{
    MAY_FAIL(e);
    ASSERT(off <= file(f)->n);
    *ret_n = n < file(f)->n - off ? n : file(f)->n - (size_t)off;
    memcpy(p, file(f)->data + off, *ret_n);
    return 0;
}

static int op_write(struct env *e, struct env_file *f, uint64_t off,
                    const void *p, size_t n)
{
    MAY_FAIL(e);
    ASSERT(off + n <= sizeof(file(f)->data));
    memcpy(file(f)->data + off, p, n);
    if (file(f)->n < off + n)
        file(f)->n = (size_t)off + n;
    return 0;
}

static int op_truncate(struct env *e, struct env_file *f, uint64_t size)
{
    MAY_FAIL(e);
    file(f)->n = (size_t)size;
    return 0;
}

static int op_sync(struct env *e, struct env_file *f)
{
    MAY_FAIL(e);
    memcpy(file(f)->synced, file(f)->data, file(f)->n);
    file(f)->synced_n = file(f)->n;
    return 0;
}

void disk_double_init(struct disk_double *d)
{
    static const struct env_ops ops = {
        .wall_ms = op_wall_ms,
        .random = op_random,
        .list = op_list,
        .rename = op_rename,
        .sync_dir = op_sync_dir,
        .open = op_open,
        .close = op_close,
        .size = op_size,
        .read = op_read,
        .write = op_write,
        .truncate = op_truncate,
        .sync = op_sync,
    };

    *d = (struct disk_double){ .env = { .ops = &ops },
                               .fault_status = KV_EIO,
                               .next_random = 1 };
}
