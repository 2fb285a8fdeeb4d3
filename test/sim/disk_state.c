/* What lasts on a simulated disk: file contents, names, and what a crash does
 * to the part of them that was not synced.
 *
 * There are two trees of names (live: what programs see; durable: what is there
 * after a crash), and each file has two images likewise.  A program changes the live
 * ones; each change is also appended to one list of unsynced operations.  fsync of a
 * file applies its operations of that list to its durable image; fsync of a directory
 * applies the operations on the names in it to the durable tree.  A crash decides for
 * each operation left whether it happened (enum sim_keep), then makes the durable state
 * the live one.  Where only a process ended (SIM_KEEP_ALL) nothing is decided: what it
 * wrote is there, and as little durable as before.
 *
 * D1  Applying every unsynced operation to the durable state gives the live state.
 * D2  A file whose name was synced but not its bytes exists and is empty; one whose
 *     bytes were synced but not its name is gone.
 * D3  Names change in order: if a change survives a crash, so do those before it
 *     (a journalling file system does that); bytes have no order.
 * D4  A write is torn at multiples of 512 bytes of the file, nowhere else. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_int.h"

/* ---- inodes ---- */

struct sim_inode *sim__inode_new(bool is_dir)
{
    struct sim_inode *i = SIM_NEW(struct sim_inode);

    i->is_dir = is_dir;
    return i;
}

void sim__inode_unref(struct sim_inode *i)
{
    ASSERT(i->refs > 0);
    if (--i->refs > 0)
        return;
    disk_image_close(&i->live);
    disk_image_close(&i->durable);
    mem_free(i);
}

/* ---- names ---- */

/* Index of path, or of where it belongs. */
static size_t names_seek(const struct sim_names *t, const char *path,
                         bool *ret_found)
{
    size_t lo = 0, hi = t->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(t->v[mid].path, path) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = lo < t->n && strcmp(t->v[lo].path, path) == 0;
    return lo;
}

struct sim_inode *sim__names_find(const struct sim_names *t, const char *path)
{
    bool found;
    size_t i = names_seek(t, path, &found);

    return found ? t->v[i].inode : NULL;
}

void sim__names_put(struct sim_names *t, const char *path,
                    struct sim_inode *inode)
{
    bool found;
    size_t i = names_seek(t, path, &found);

    inode->refs++;
    if (found) {
        sim__inode_unref(t->v[i].inode);
        t->v[i].inode = inode;
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 16 : 2 * t->cap;
        t->v = mem_realloc(t->v, t->cap * sizeof *t->v);
    }
    memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof *t->v);
    t->v[i] = (struct sim_name){ .path = mem_strdup(path), .inode = inode };
    t->n++;
}

void sim__names_del(struct sim_names *t, const char *path)
{
    bool found;
    size_t i = names_seek(t, path, &found);

    if (!found)
        return;
    sim__inode_unref(t->v[i].inode);
    mem_free(t->v[i].path);
    t->n--;
    memmove(&t->v[i], &t->v[i + 1], (t->n - i) * sizeof *t->v);
}

void sim__names_close(struct sim_names *t)
{
    while (t->n > 0)
        sim__names_del(t, t->v[t->n - 1].path);
    mem_free(t->v);
    *t = (struct sim_names){ .n = 0 };
}

bool sim__inside(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    size_t n = strlen(dir);

    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (slash == NULL)
        return n == 1 && dir[0] == '.';
    if (slash == path)
        return n == 1 && dir[0] == '/';
    return (size_t)(slash - path) == n && memcmp(path, dir, n) == 0;
}

/* ---- unsynced operations ---- */

static struct sim_undo *undo_new(struct sim_disk *d, enum sim_undo_kind kind,
                                 struct sim_inode *i)
{
    struct sim_undo *u = SIM_NEW(struct sim_undo);

    u->kind = kind;
    u->inode = i;
    i->refs++;
    list_add_tail(&d->unsynced, &u->link);
    d->n_unsynced++;
    return u;
}

void sim__undo_file(struct sim_disk *d, enum sim_undo_kind kind,
                    struct sim_inode *i, uint64_t off, uint8_t *data,
                    size_t len)
{
    struct sim_undo *u = undo_new(d, kind, i);

    ASSERT(kind == SIM_OP_WRITE || kind == SIM_OP_TRUNCATE);
    u->off = off;
    u->len = len;
    u->data = data;
}

void sim__undo_name(struct sim_disk *d, enum sim_undo_kind kind,
                    struct sim_inode *i, const char *path, const char *to)
{
    struct sim_undo *u = undo_new(d, kind, i);

    ASSERT(kind != SIM_OP_WRITE && kind != SIM_OP_TRUNCATE);
    u->path = mem_strdup(path);
    u->to = to == NULL ? NULL : mem_strdup(to);
}

static void undo_free(struct sim_disk *d, struct sim_undo *u)
{
    ASSERT(d->n_unsynced > 0);
    d->n_unsynced--;
    list_del(&u->link);
    sim__inode_unref(u->inode);
    mem_free(u->data);
    mem_free(u->path);
    mem_free(u->to);
    mem_free(u);
}

static bool is_name_op(const struct sim_undo *u)
{
    return u->kind != SIM_OP_WRITE && u->kind != SIM_OP_TRUNCATE;
}

/* Make one operation part of the durable state. */
static void undo_apply(struct sim_disk *d, const struct sim_undo *u)
{
    switch (u->kind) {
    case SIM_OP_WRITE:
        disk_image_write(&u->inode->durable, u->off, u->data, u->len);
        break;
    case SIM_OP_TRUNCATE:
        disk_image_truncate(&u->inode->durable, u->off);
        break;
    case SIM_OP_LINK:
        sim__names_put(&d->durable, u->path, u->inode);
        break;
    case SIM_OP_RENAME:
        sim__names_del(&d->durable, u->path);
        sim__names_put(&d->durable, u->to, u->inode);
        break;
    case SIM_OP_UNLINK:
        sim__names_del(&d->durable, u->path);
        break;
    }
}

void sim__disk_settle_file(struct sim_disk *d, struct sim_inode *i, bool keep)
{
    struct list *at = d->unsynced.next;

    while (at != &d->unsynced) {
        struct sim_undo *u = CONTAINER_OF(at, struct sim_undo, link);

        at = at->next;
        if (u->inode != i || is_name_op(u))
            continue;
        if (keep)
            undo_apply(d, u);
        undo_free(d, u);
    }
}

void sim__disk_settle_dir(struct sim_disk *d, const char *dir)
{
    struct list *at = d->unsynced.next;

    while (at != &d->unsynced) {
        struct sim_undo *u = CONTAINER_OF(at, struct sim_undo, link);

        at = at->next;
        if (!is_name_op(u) || !sim__inside(u->path, dir))
            continue;
        undo_apply(d, u);
        undo_free(d, u);
    }
}

/* ---- crash ---- */

/* A write of which some sectors reached the disk: all up to a random one
 * (prefix), or each by chance. */
static void tear(struct sim_undo *u, struct rng *r, bool prefix)
{
    uint64_t first = u->off / DISK_SECTOR_BYTES;
    uint64_t n = (u->off + u->len + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES -
                 first;
    uint64_t cut = rng_below(r, n + 1);

    for (uint64_t i = 0; i < n; i++) {
        uint64_t from = (first + i) * DISK_SECTOR_BYTES;
        uint64_t to = from + DISK_SECTOR_BYTES;

        if (prefix ? i >= cut : rng_below(r, 2) == 0)
            continue;
        if (from < u->off)
            from = u->off;
        if (to > u->off + u->len)
            to = u->off + u->len;
        disk_image_write(&u->inode->durable, from,
                         u->data == NULL ? NULL : u->data + (from - u->off),
                         (size_t)(to - from));
    }
}

/* Everything up to operation number cut happened; a write there is torn. */
static void crash_prefix(struct sim_disk *d, struct rng *r)
{
    uint64_t cut = rng_below(r, d->n_unsynced + 1);

    for (uint64_t i = 0; !list_empty(&d->unsynced); i++) {
        struct sim_undo *u = LIST_FIRST(&d->unsynced, struct sim_undo, link);

        if (i < cut)
            undo_apply(d, u);
        else if (i == cut && u->kind == SIM_OP_WRITE && u->len > 0)
            tear(u, r, true);
        undo_free(d, u);
    }
}

/* Writes in any combination, names in order (D3). */
static void crash_mix(struct sim_disk *d, struct rng *r)
{
    bool names_end = false;

    while (!list_empty(&d->unsynced)) {
        struct sim_undo *u = LIST_FIRST(&d->unsynced, struct sim_undo, link);
        uint64_t dice = rng_below(r, 3);

        if (is_name_op(u)) {
            names_end = names_end || dice == 0;
            if (!names_end)
                undo_apply(d, u);
        } else if (dice == 0) {
            undo_apply(d, u);
        } else if (dice == 1 && u->kind == SIM_OP_WRITE && u->len > 0) {
            tear(u, r, false);
        }
        undo_free(d, u);
    }
}

/* The durable tree becomes the live one.  A name whose directory is not there is
 * out of reach: parents sort before their children. */
static void reload(struct sim_disk *d)
{
    struct sim_names old = d->durable;

    sim__names_close(&d->live);
    d->durable = (struct sim_names){ .n = 0 };
    for (size_t i = 0; i < old.n; i++) {
        struct sim_inode *inode = old.v[i].inode;
        char *path = old.v[i].path;
        char *slash = strrchr(path, '/');
        bool reachable = true;

        if (slash != NULL && slash != path) {
            *slash = 0;
            reachable = sim__names_find(&d->live, path) != NULL;
            *slash = '/';
        }
        if (reachable) {
            disk_image_copy(&inode->live, &inode->durable);
            inode->locked = false;
            sim__names_put(&d->live, path, inode);
            sim__names_put(&d->durable, path, inode);
        }
    }
    sim__names_close(&old);
}

/* A lock is a process's. */
static void unlock(struct sim_disk *d)
{
    for (size_t i = 0; i < d->live.n; i++)
        d->live.v[i].inode->locked = false;
}

void sim__disk_crash(struct sim_node *n, enum sim_keep keep)
{
    struct sim_disk *d = &n->disk;
    struct rng *r = &n->sim->rng;

    switch (keep) {
    case SIM_KEEP_NONE:
        while (!list_empty(&d->unsynced))
            undo_free(d, LIST_FIRST(&d->unsynced, struct sim_undo, link));
        break;
    case SIM_KEEP_ALL:
        unlock(d);
        return; /* as it was: still not synced */
    case SIM_KEEP_PREFIX:
        crash_prefix(d, r);
        break;
    case SIM_KEEP_MIX:
        crash_mix(d, r);
        break;
    }
    ASSERT(d->n_unsynced == 0);
    reload(d);
}

void sim__disk_init(struct sim_disk *d)
{
    *d = (struct sim_disk){ .n_unsynced = 0 };
    list_init(&d->unsynced);
    list_init(&d->queue);
    list_init(&d->reads);
    d->lat[SIM_DISK_WRITE] = (struct sim_latency){ 20, 20, 1 };
    d->lat[SIM_DISK_SYNC] = (struct sim_latency){ 200, 200, 0 };
    d->lat[SIM_DISK_READ] = (struct sim_latency){ 50, 50, 1 };
}

void sim__disk_close(struct sim_disk *d)
{
    ASSERT(list_empty(&d->queue));
    ASSERT(list_empty(&d->reads));
    while (!list_empty(&d->unsynced))
        undo_free(d, LIST_FIRST(&d->unsynced, struct sim_undo, link));
    sim__names_close(&d->live);
    sim__names_close(&d->durable);
}
