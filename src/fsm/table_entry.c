/* How the table lays out one key.  By offset:
 *
 *   small             0 chain  4 newer  8 older  12 flags  13 key_n  14 value_n
 *                     16 revision (6 bytes)
 *     no deadline     22 key, value
 *     with deadline   22 deadline (6 bytes)  28 heap position  32 key, value
 *
 *   wide              16 revision  24 deadline  32 block  40 key_n  44 value_n
 *                     48 digest  56 heap position
 *
 * A key of 16 bytes with a value of 64 and a deadline takes 112 bytes, which is
 * an object size of the slab; without a deadline 102, rounded to 104.  An entry
 * is wide when its key is over 255 bytes, when it would not fit a slab object,
 * or when a number does not fit 48 bits (a deadline in the year 10889, as
 * EXPIREAT allows).
 *
 * E1  The layout is a function of the content, so that in-place changes are
 *     safe whenever old and new content have the same layout and object size.
 * E2  A wide entry's digest is that of its content. */
#include "fsm/table_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define MALLOC_OVERHEAD 16 /* bytes per block, for the accounting */

_Static_assert(SMALL_BYTES == 22, "the key follows the revision");
_Static_assert(SMALL_DEADLINE_BYTES == 32, "the key follows the heap position");
_Static_assert(sizeof(struct entry_wide) == 64, "one slab object");

/* The layout that a content asks for. */
struct layout {
    uint8_t flags;
    size_t bytes; /* of the slab object, rounded */
};

static struct layout layout_of(const struct engine_view *v)
{
    bool timed = v->deadline_ms != ENGINE_NO_DEADLINE;
    size_t n = (timed ? SMALL_DEADLINE_BYTES : SMALL_BYTES) + v->key.n +
               v->value.n;
    struct layout l = { .flags = timed ? ENTRY_DEADLINE : 0 };

    if (v->key.n > SMALL_KEY_MAX || n > SLAB_OBJECT_MAX ||
        v->revision > SMALL_NUMBER_MAX ||
        (timed && (uint64_t)v->deadline_ms > SMALL_NUMBER_MAX)) {
        l.flags |= ENTRY_WIDE;
        n = sizeof(struct entry_wide);
    }
    l.bytes = slab_round(n);
    return l;
}

static const struct entry_small *small_of(const struct entry *e)
{
    return (const void *)e;
}

static const struct entry_wide *wide_of(const struct entry *e)
{
    return (const void *)e;
}

/* Key and value of a small entry begin here. */
static const uint8_t *small_data(const struct entry *e)
{
    return (const uint8_t *)e + ((e->flags & ENTRY_DEADLINE) != 0
                                     ? SMALL_DEADLINE_BYTES
                                     : SMALL_BYTES);
}

static size_t block_cost(size_t n)
{
    return n + MALLOC_OVERHEAD;
}

static void copy(uint8_t *to, struct slice from)
{
    if (from.n > 0)
        memmove(to, from.p, from.n);
}

/* Revision, deadline and value; the layout does not change and the key is
 * there. */
static void small_fill(struct entry *e, const struct engine_view *v)
{
    struct entry_small *s = (void *)e;
    uint8_t *data = (uint8_t *)e + (small_data(e) - (const uint8_t *)e);

    s->revision_lo = (uint32_t)v->revision;
    s->revision_hi = (uint16_t)(v->revision >> 32);
    if ((e->flags & ENTRY_DEADLINE) != 0) {
        s->deadline_lo = (uint32_t)v->deadline_ms;
        s->deadline_hi = (uint16_t)(v->deadline_ms >> 32);
    }
    e->value_n = (uint16_t)v->value.n;
    copy(data + e->key_n, v->value);
}

static void wide_fill(struct entry *e, const struct engine_view *v)
{
    struct entry_wide *w = (void *)e;

    w->revision = v->revision;
    w->deadline_ms = v->deadline_ms;
    w->value_n = (uint32_t)v->value.n;
    copy(w->block + w->key_n, v->value);
    w->digest = engine_key_digest(v);
}

uint32_t table__entry_new(struct table *t, const struct engine_view *v)
{
    struct layout l = layout_of(v);
    uint32_t h = slab_alloc(&t->slab, l.bytes);
    struct entry *e = table__entry(t, h);

    *e = (struct entry){ .flags = l.flags };
    if ((l.flags & ENTRY_WIDE) != 0) {
        struct entry_wide *w = (void *)e;
        size_t n = v->key.n + v->value.n;

        ASSERT(v->key.n <= UINT32_MAX && v->value.n <= UINT32_MAX);
        w->block = mem_alloc(n > 0 ? n : 1);
        t->block_bytes += block_cost(n);
        w->key_n = (uint32_t)v->key.n;
        copy(w->block, v->key);
        wide_fill(e, v);
        w->heap_pos = 0;
    } else {
        e->key_n = (uint8_t)v->key.n;
        copy((uint8_t *)e + (small_data(e) - (const uint8_t *)e), v->key);
        small_fill(e, v);
    }
    return h;
}

bool table__entry_rewrite(struct table *t, uint32_t h,
                          const struct engine_view *v)
{
    struct entry *e = table__entry(t, h);
    struct layout l = layout_of(v);
    struct engine_view old;

    table__entry_view(e, &old);
    if (l.flags != e->flags)
        return false;
    if ((l.flags & ENTRY_WIDE) != 0) {
        /* Its block has the size of its content: another length, another
         * block. */
        if (old.value.n != v->value.n)
            return false;
        wide_fill(e, v);
        return true;
    }
    if (l.bytes != layout_of(&old).bytes)
        return false;
    small_fill(e, v);
    return true;
}

void table__entry_free(struct table *t, uint32_t h)
{
    const struct entry *e = table__entry(t, h);

    if ((e->flags & ENTRY_WIDE) != 0) {
        const struct entry_wide *w = wide_of(e);
        size_t cost = block_cost((size_t)w->key_n + w->value_n);

        ASSERT(t->block_bytes >= cost);
        t->block_bytes -= cost;
        mem_free(w->block);
    }
    slab_free(&t->slab, h);
}

int64_t table__entry_deadline(const struct entry *e)
{
    const struct entry_small *s = small_of(e);

    if ((e->flags & ENTRY_DEADLINE) == 0)
        return ENGINE_NO_DEADLINE;
    if ((e->flags & ENTRY_WIDE) != 0)
        return wide_of(e)->deadline_ms;
    return (int64_t)((uint64_t)s->deadline_hi << 32 | s->deadline_lo);
}

void table__entry_view(const struct entry *e, struct engine_view *ret)
{
    ret->key = table__entry_key(e);
    ret->deadline_ms = table__entry_deadline(e);
    if ((e->flags & ENTRY_WIDE) != 0) {
        const struct entry_wide *w = wide_of(e);

        ret->value = slice_make(w->block + w->key_n, w->value_n);
        ret->revision = w->revision;
    } else {
        const struct entry_small *s = small_of(e);

        ret->value = slice_make(small_data(e) + e->key_n, e->value_n);
        ret->revision = (uint64_t)s->revision_hi << 32 | s->revision_lo;
    }
}

uint64_t table__entry_digest(const struct entry *e)
{
    struct engine_view v;

    if ((e->flags & ENTRY_WIDE) != 0)
        return wide_of(e)->digest;
    table__entry_view(e, &v);
    return engine_key_digest(&v);
}

uint32_t table__heap_pos(const struct entry *e)
{
    ASSERT((e->flags & ENTRY_DEADLINE) != 0);
    if ((e->flags & ENTRY_WIDE) != 0)
        return wide_of(e)->heap_pos;
    return small_of(e)->heap_pos;
}

void table__set_heap_pos(struct entry *e, uint32_t pos)
{
    ASSERT((e->flags & ENTRY_DEADLINE) != 0);
    if ((e->flags & ENTRY_WIDE) != 0)
        ((struct entry_wide *)(void *)e)->heap_pos = pos;
    else
        ((struct entry_small *)(void *)e)->heap_pos = pos;
}
