/* Means: the log files of a node that is down.
 *
 * Rot.  A byte may be damaged only where the log can tell damage from a torn write:
 * in front of what some intact record says was durable when it was written
 * (src/store/README.md, "Torn or damaged").  Damage to the very last write looks torn by
 * design and loses what was acknowledged: no simulator may ask for more than the
 * product promises.  So the files are read here as the log would read them.
 *
 * Retired segments.  Without snapshots nothing is compacted, so no segment is ever
 * retired.  What recycling must live with is tried all the same: a copy of the oldest
 * segment is left under the name of a retired one, full of intact records of this very
 * log.
 *
 * Torn tails are counted by the same reading. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kvsim/fault.h"
#include "store/wal_record.h"

#define PATH_BYTES 128u
#define SEGMENTS_MAX 64u
#define TORN_LOOK_BYTES 512u

struct segment {
    char path[PATH_BYTES];
    struct wal__head head;
    uint32_t end; /* offset behind the last intact record */
    bool torn;    /* something follows that is no zero */
};

struct log_look {
    struct faults *f;
    unsigned node, n;
    uint64_t synced; /* some record says: durable up to here */
    struct segment seg[SEGMENTS_MAX];
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

static void look_segment(struct log_look *l, struct segment *g, uint8_t *bytes,
                         uint32_t n)
{
    struct wal__rec r;

    g->end = WAL__SEG_HEADER;
    while (g->end < n &&
           wal__rec_decode(&g->head, g->end, bytes + g->end, n - g->end, &r) == 0) {
        if (r.synced > l->synced)
            l->synced = r.synced;
        g->end += r.length;
        if (r.kind == WAL__SEAL)
            return;
    }
    for (uint32_t i = g->end; i < n && i < g->end + TORN_LOOK_BYTES; i++)
        g->torn = g->torn || bytes[i] != 0;
}

static void look_file(void *ctx, const char *path, uint64_t n)
{
    struct log_look *l = ctx;
    struct segment *g = &l->seg[l->n];
    uint8_t *bytes;

    if (!ends_with(path, ".seg") || l->n == SEGMENTS_MAX ||
        strlen(path) >= sizeof g->path)
        return;
    bytes = mem_alloc((size_t)n);
    n = sim_disk_peek(l->f->sim, l->node, path, 0, bytes, (size_t)n);
    if (wal__head_decode(bytes, (size_t)n, &g->head) == 0) {
        memcpy(g->path, path, strlen(path) + 1);
        look_segment(l, g, bytes, (uint32_t)n);
        l->n++;
    }
    mem_free(bytes);
}

static struct log_look *look(struct faults *f, unsigned node)
{
    struct log_look *l = MEM_NEW(struct log_look);

    l->f = f;
    l->node = node;
    sim_disk_files(f->sim, node, look_file, l);
    return l;
}

/* ---- means ---- */

/* Bytes of the segment that the log can tell to be damaged. */
static uint32_t guarded(const struct log_look *l, const struct segment *g)
{
    uint64_t n;

    if (l->synced <= g->head.base_lsn + WAL__SEG_HEADER)
        return 0;
    n = l->synced - g->head.base_lsn;
    if (n > g->end)
        n = g->end;
    return (uint32_t)n - WAL__SEG_HEADER;
}

bool fault_log_rot(struct faults *f, unsigned node)
{
    struct log_look *l = look(f, node);
    uint32_t n = 0, off;
    unsigned i = 0;

    if (l->n > 0) {
        i = fault_below(f, l->n);
        n = guarded(l, &l->seg[i]);
    }
    if (n > 0) {
        off = WAL__SEG_HEADER + fault_below(f, n);
        world_note(f->w, "a bit rots at node %u: %s offset %" PRIu32, node,
                   l->seg[i].path, off);
        ASSERT(sim_disk_damage(f->sim, node, l->seg[i].path, off,
                               (uint8_t)(1u << fault_below(f, 8))) == 0);
    }
    mem_free(l);
    return n > 0;
}

void fault_log_retire(struct faults *f, unsigned node)
{
    struct log_look *l = look(f, node);
    char path[PATH_BYTES + 8];
    uint8_t byte;

    if (l->n > 0) {
        snprintf(path, sizeof path, "%.*s.free",
                 (int)(strlen(l->seg[0].path) - strlen(".seg")),
                 l->seg[0].path);
        if (sim_disk_peek(f->sim, node, path, 0, &byte, 1) == 0) {
            world_note(f->w, "node %u has a retired segment: %s", node, path);
            ASSERT(sim_disk_copy(f->sim, node, l->seg[0].path, path) == 0);
        }
    }
    mem_free(l);
}

void fault_log_note_torn(struct faults *f, unsigned node)
{
    struct log_look *l = look(f, node);

    for (unsigned i = 0; i < l->n; i++) {
        if (l->seg[i].torn) {
            COVER(torn_tail);
            break;
        }
    }
    mem_free(l);
}
