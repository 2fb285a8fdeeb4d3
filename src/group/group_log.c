/* The log tail in memory: every entry's term, type and place in the WAL, and
 * the payloads of the newest ones.
 *
 * libraft's core remembers only which terms its log runs through; the entries
 * are ours.  A payload is one reference-counted blob that the tail shares with
 * the WAL's gathered write, with the frames to the followers and with apply.
 * When the payloads of a group exceed its budget, the oldest go: what is
 * applied and durable can be read back from the WAL, and rarely is.
 *
 * Invariants
 *   L1  e[i] is entry off + 1 + i; terms never decrease along the log.
 *   L2  bytes is the sum of len over the entries that hold a payload.
 *   L3  An entry below `evict` holds no payload unless it is a CHANGE: START
 *       and the configuration rules need those at hand, and they are few and
 *       small.
 *   L4  An entry without a payload is durable at its pos.
 *
 * The reader is a ring of LOG_READ_AHEAD reads under way or done, entry i in
 * slot i mod LOG_READ_AHEAD, so that a consumer that walks forward always has
 * the disk working ahead of it.  A slot remembers the term it was read for:
 * when the log was truncated meanwhile, the slot no longer matches and is read
 * again.  A reader that is freed while the WAL still owes it an answer lives on,
 * orphaned, until the last answer came. */
#include "group/group_int.h"

#include <string.h>

#include "base/mem.h"

void log__init(struct glog *l)
{
    *l = (struct glog){ .evict = 1 };
}

void log__close(struct glog *l)
{
    for (uint64_t i = 0; i < l->n; i++)
        blob_unref(l->e[i].blob);
    mem_free(l->e);
    log__init(l);
}

struct gent *log__at(const struct glog *l, uint64_t index)
{
    if (index <= l->off || index > log__last(l))
        return NULL;
    return &l->e[index - l->off - 1];
}

uint64_t log__term(const struct glog *l, uint64_t index)
{
    const struct gent *e = log__at(l, index);

    return e == NULL ? 0 : e->term;
}

void log__append(struct glog *l, struct gent e)
{
    ASSERT(e.term > 0);
    ASSERT(l->n == 0 || l->e[l->n - 1].term <= e.term);
    ASSERT(e.blob == NULL || e.blob->len == e.len);
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        l->e = mem_realloc(l->e, l->cap * sizeof *l->e);
    }
    if (e.blob != NULL)
        l->bytes += e.len;
    l->e[l->n++] = e;
}

void log__truncate(struct glog *l, uint64_t index)
{
    ASSERT(index > l->off);
    while (log__last(l) >= index) {
        struct gent *e = &l->e[--l->n];

        if (e->blob != NULL) {
            ASSERT(l->bytes >= e->len);
            l->bytes -= e->len;
            blob_unref(e->blob);
        }
    }
    if (l->evict > index)
        l->evict = index;
    ASSERT(log__last(l) < index);
    ASSERT(l->n > 0 || l->bytes == 0);
}

void log__evict(struct glog *l, uint64_t upto, size_t max)
{
    while (l->bytes > max && l->evict <= upto) {
        struct gent *e = log__at(l, l->evict);

        ASSERT(e != NULL);
        ASSERT(e->blob == NULL || l->bytes >= e->len);
        if (e->blob != NULL && e->type != RAFT_CHANGE) {
            l->bytes -= e->len;
            blob_unref(e->blob);
            e->blob = NULL;
        }
        l->evict++;
    }
}

void log__check(const struct glog *l)
{
    size_t bytes = 0;
    uint64_t term = 0;

    for (uint64_t i = 0; i < l->n; i++) {
        const struct gent *e = &l->e[i];

        ASSERT(e->term >= term); /* L1 */
        ASSERT(l->off + 1 + i >= l->evict || e->blob == NULL ||
               e->type == RAFT_CHANGE); /* L3 */
        term = e->term;
        bytes += e->blob != NULL ? e->len : 0;
    }
    ASSERT(bytes == l->bytes); /* L2 */
}

/* ---- reading back ---- */

static struct log_slot *slot_of(struct log_reader *rd, uint64_t index)
{
    return &rd->slot[index % LOG_READ_AHEAD];
}

static void slot_clear(struct log_slot *s)
{
    ASSERT(!s->pending);
    if (s->index == 0)
        return;
    s->owner->bytes -= s->rd.len;
    blob_unref(s->blob);
    s->blob = NULL;
    s->index = 0;
}

static void slot_arrived(struct wal_read *r, int status, struct blob *payload)
{
    struct log_slot *s = r->data;
    struct log_reader *rd = s->owner;

    ASSERT(s->pending);
    ASSERT(rd->pending > 0);
    ASSERT(r->cb == slot_arrived);
    s->pending = false;
    rd->pending--;
    if (status == 0)
        s->blob = payload;
    else
        slot_clear(s);
    if (rd->wal != NULL) {
        rd->ready(rd->ctx, status);
    } else {
        slot_clear(s);
        if (rd->pending == 0)
            mem_free(rd);
    }
}

struct log_reader *reader__new(struct wal *wal,
                               void (*ready)(void *ctx, int status), void *ctx)
{
    struct log_reader *rd = MEM_NEW(struct log_reader);

    ASSERT(wal != NULL);
    rd->wal = wal;
    rd->ready = ready;
    rd->ctx = ctx;
    for (unsigned i = 0; i < LOG_READ_AHEAD; i++)
        rd->slot[i].owner = rd;
    return rd;
}

struct blob *reader__get(struct log_reader *rd, const struct glog *l,
                         uint64_t index)
{
    struct log_slot *s = slot_of(rd, index);

    if (s->index != index || s->term != log__term(l, index))
        return NULL;
    return s->blob;
}

void reader__want(struct log_reader *rd, const struct glog *l, uint64_t from,
                  uint64_t last)
{
    ASSERT(from > l->off);
    for (unsigned i = 0; i < LOG_READ_AHEAD; i++)
        if (!rd->slot[i].pending &&
            (rd->slot[i].index < from || rd->slot[i].index > last))
            slot_clear(&rd->slot[i]);
    for (uint64_t i = from; i <= last && i < from + LOG_READ_AHEAD; i++) {
        struct log_slot *s = slot_of(rd, i);
        const struct gent *e = log__at(l, i);

        ASSERT(e != NULL);
        if (s->pending || e->blob != NULL)
            continue; /* a stale read under way is replaced when it has ended */
        if (s->index == i && s->term == e->term)
            continue;
        slot_clear(s);
        if (rd->bytes > 0 && rd->bytes + e->len > LOG_READ_BYTES_MAX)
            break;
        s->index = i;
        s->term = e->term;
        s->pending = true;
        s->rd.pos = e->pos;
        s->rd.len = e->len;
        s->rd.cb = slot_arrived;
        s->rd.data = s;
        rd->bytes += e->len;
        rd->pending++;
        wal_read(rd->wal, &s->rd);
    }
}

void reader__free(struct log_reader *rd)
{
    if (rd == NULL)
        return;
    rd->wal = NULL;
    for (unsigned i = 0; i < LOG_READ_AHEAD; i++)
        if (!rd->slot[i].pending)
            slot_clear(&rd->slot[i]);
    if (rd->pending == 0)
        mem_free(rd);
}
