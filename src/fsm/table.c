/* The memory engine.
 *
 * One entry per key, one object of the slab per entry (table_entry.c), found by
 * linear hashing (table_hash.c), on a list from the most to the least recently
 * used key, and in a heap if it has a deadline (table_deadline.c).  Links are
 * 32-bit handles (table_slab.c).  With keys of 16 bytes and values of 64 that
 * makes:
 *
 *   entry, with deadline   112    without   104
 *   bucket                 2.7 to 4
 *   heap                     4
 *   page header, slack      <1
 *
 * at most 120 bytes, all told; test_table.c holds us to it.
 *
 * No call does more than a bounded amount of work besides copying and hashing
 * its own key and value, except flush (one free per page and per wide value).
 * What is replaced is never moved while a caller may hold a view of another
 * key.
 *
 *   T1  The LRU list holds every entry once; newest and oldest are its ends.
 *   T2  heap.n is the number of entries with a deadline.
 *   T3  The slots' key counts add up to `keys`, their digests to slots.digest,
 *       and that is the sum of engine_key_digest over the entries.
 *   H1, H2, D1, D2, L1, L2, S1-S4, E1, E2 in the other files. */
#include "fsm/table_int.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/slot.h"

#define AVG_SAMPLE 16u /* deadlines looked at for the average */

static struct table *table_of(struct engine *e)
{
    return (struct table *)e;
}

static const struct table *const_table_of(const struct engine *e)
{
    return (const struct table *)e;
}

static bool has_deadline(const struct entry *e)
{
    return (e->flags & ENTRY_DEADLINE) != 0;
}

/* ---- LRU ---- */

static void lru_push(struct table *t, uint32_t h)
{
    struct entry *e = table__entry(t, h);

    e->newer = 0;
    e->older = t->newest;
    if (t->newest != 0)
        table__entry(t, t->newest)->newer = h;
    else
        t->oldest = h;
    t->newest = h;
}

static void lru_unlink(struct table *t, uint32_t h)
{
    struct entry *e = table__entry(t, h);

    if (e->newer != 0)
        table__entry(t, e->newer)->older = e->older;
    else
        t->newest = e->older;
    if (e->older != 0)
        table__entry(t, e->older)->newer = e->newer;
    else
        t->oldest = e->newer;
}

static void lru_touch(struct table *t, uint32_t h)
{
    if (t->newest == h)
        return;
    lru_unlink(t, h);
    lru_push(t, h);
}

/* ---- reading ---- */

static bool view_of(const struct table *t, uint32_t h, struct engine_view *ret)
{
    if (h == 0)
        return false;
    table__entry_view(table__entry(t, h), ret);
    return true;
}

static bool table_get(struct engine *e, struct slice key, bool touch,
                      struct engine_view *ret)
{
    struct table *t = table_of(e);
    uint32_t h = *table__hash_find(t, key);

    if (h != 0 && touch)
        lru_touch(t, h);
    return view_of(t, h, ret);
}

static bool table_earliest(const struct engine *e, struct engine_view *ret)
{
    const struct table *t = const_table_of(e);

    return view_of(t, t->heap.n > 0 ? *vec32_at(&t->heap, 0) : 0, ret);
}

static bool table_coldest(const struct engine *e, struct engine_view *ret)
{
    const struct table *t = const_table_of(e);

    return view_of(t, t->oldest, ret);
}

static uint64_t table_scan(const struct engine *e, uint64_t cursor,
                           engine_visit_cb cb, void *ctx)
{
    return table__hash_scan(const_table_of(e), cursor, cb, ctx);
}

static bool table_random(const struct engine *e, uint64_t r,
                         struct engine_view *ret)
{
    const struct table *t = const_table_of(e);

    return view_of(t, table__hash_random(t, r), ret);
}

/* ---- writing ---- */

static void dirty(struct table *t, struct slice key, bool all)
{
    if (t->engine.dirty != NULL)
        t->engine.dirty(t->engine.dirty_ctx, key, all);
}

static void insert(struct table *t, uint32_t *link,
                   const struct engine_view *v)
{
    uint32_t h = table__entry_new(t, v);
    struct entry *e = table__entry(t, h);

    ASSERT(*link == 0);
    *link = h;
    t->keys++;
    lru_push(t, h);
    if (has_deadline(e))
        table__heap_insert(t, h);
    table__slots_add(&t->slots, slot_of_key(v->key), table__entry_digest(e));
    table__hash_adapt(t);
    dirty(t, v->key, false);
}

/* Put an entry of another layout in the old one's place. */
static uint32_t replace(struct table *t, uint32_t *link,
                        const struct engine_view *v)
{
    uint32_t old = *link;
    uint32_t new = table__entry_new(t, v);
    struct entry *oe = table__entry(t, old), *ne = table__entry(t, new);

    ne->chain = oe->chain;
    *link = new;
    lru_unlink(t, old);
    lru_push(t, new);
    if (has_deadline(oe))
        table__heap_remove(t, old);
    if (has_deadline(ne))
        table__heap_insert(t, new);
    table__entry_free(t, old);
    return new;
}

/* v may lie in the entry that *link names. */
static void overwrite(struct table *t, uint32_t *link,
                      const struct engine_view *v)
{
    uint32_t h = *link;
    struct entry *e = table__entry(t, h);
    uint64_t digest = table__entry_digest(e);
    int64_t deadline = table__entry_deadline(e);
    uint16_t slot = slot_of_key(v->key);

    if (table__entry_rewrite(t, h, v)) {
        if (table__entry_deadline(e) != deadline)
            table__heap_fix(t, h);
        lru_touch(t, h);
    } else {
        h = replace(t, link, v);
        e = table__entry(t, h);
    }
    table__slots_swap(&t->slots, slot, digest, table__entry_digest(e));
    dirty(t, table__entry_key(e), false);
}

static void table_put(struct engine *e, const struct engine_view *v)
{
    struct table *t = table_of(e);
    uint32_t *link = table__hash_find(t, v->key);

    if (*link == 0)
        insert(t, link, v);
    else
        overwrite(t, link, v);
}

static void table_set_deadline(struct engine *e, struct slice key,
                               int64_t deadline_ms, uint64_t revision)
{
    struct table *t = table_of(e);
    uint32_t *link = table__hash_find(t, key);
    struct engine_view v;

    ASSERT(*link != 0);
    table__entry_view(table__entry(t, *link), &v);
    v.deadline_ms = deadline_ms;
    v.revision = revision;
    overwrite(t, link, &v);
}

static bool table_remove(struct engine *e, struct slice key)
{
    struct table *t = table_of(e);
    uint32_t *link = table__hash_find(t, key);
    uint32_t h = *link;
    struct entry *en;

    if (h == 0)
        return false;
    en = table__entry(t, h);
    table__slots_sub(&t->slots, slot_of_key(key), table__entry_digest(en));
    *link = en->chain;
    lru_unlink(t, h);
    if (has_deadline(en))
        table__heap_remove(t, h);
    table__entry_free(t, h);
    t->keys--;
    table__hash_adapt(t);
    dirty(t, key, false);
    return true;
}

/* ---- life ---- */

static void content_init(struct table *t)
{
    slab_init(&t->slab);
    table__hash_init(t);
    vec32_init(&t->heap);
    t->keys = 0;
    t->newest = t->oldest = 0;
    t->block_bytes = 0;
}

static void content_close(struct table *t)
{
    uint32_t h = t->newest;

    while (h != 0) {
        uint32_t next = table__entry(t, h)->older;

        if ((table__entry(t, h)->flags & ENTRY_WIDE) != 0)
            table__entry_free(t, h);
        h = next;
    }
    ASSERT(t->block_bytes == 0);
    slab_close(&t->slab);
    vec32_close(&t->buckets);
    vec32_close(&t->heap);
    table__slots_close(&t->slots);
}

static void table_flush(struct engine *e)
{
    struct table *t = table_of(e);

    content_close(t);
    content_init(t);
    dirty(t, slice_make(NULL, 0), true);
}

static void table_free(struct engine *e)
{
    content_close(table_of(e));
    mem_free(e);
}

/* ---- figures ---- */

static uint64_t table_slot_digest(const struct engine *e, uint16_t slot)
{
    const struct slot_sum *s =
        table__slots_find(&const_table_of(e)->slots, slot);

    return s == NULL ? 0 : s->digest;
}

static uint64_t table_slot_keys(const struct engine *e, uint16_t slot)
{
    const struct slot_sum *s =
        table__slots_find(&const_table_of(e)->slots, slot);

    return s == NULL ? 0 : s->keys;
}

static uint64_t table_digest(const struct engine *e)
{
    return const_table_of(e)->slots.digest;
}

/* Deadlines from evenly spaced places of the heap. */
static int64_t avg_deadline(const struct table *t)
{
    uint32_t n = t->heap.n < AVG_SAMPLE ? t->heap.n : AVG_SAMPLE;
    int64_t avg = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t pos = (uint32_t)((uint64_t)t->heap.n * i / n);
        uint32_t h = *vec32_at(&t->heap, pos);

        avg += table__entry_deadline(table__entry(t, h)) / n;
    }
    return avg;
}

static void table_stats(const struct engine *e, struct engine_stats *ret)
{
    const struct table *t = const_table_of(e);

    *ret = (struct engine_stats){
        .keys = t->keys,
        .keys_with_deadline = t->heap.n,
        .bytes = sizeof(*t) + slab_bytes(&t->slab) + t->block_bytes +
                 vec32_bytes(&t->buckets) + vec32_bytes(&t->heap) +
                 t->slots.cap * sizeof(t->slots.sums[0]),
        .avg_deadline_ms = avg_deadline(t),
    };
}

void table_get_work(const struct engine *e, struct table_work *ret)
{
    *ret = const_table_of(e)->work;
    ret->buckets = const_table_of(e)->buckets.n;
}

/* T1, T2, T3 by walking. */
static void check_deep(const struct table *t)
{
    uint64_t n = 0, timed = 0, digest = 0, keys = 0, slot_digest = 0;
    uint32_t newer = 0;

    for (uint32_t h = t->newest; h != 0; n++) {
        const struct entry *e = table__entry(t, h);

        ASSERT(n < t->keys);
        ASSERT(e->newer == newer);
        timed += has_deadline(e);
        digest += table__entry_digest(e);
        newer = h;
        h = e->older;
    }
    ASSERT(n == t->keys);
    ASSERT(newer == t->oldest);
    ASSERT(timed == t->heap.n);
    ASSERT(digest == t->slots.digest);
    for (uint32_t i = 0; i < t->slots.cap; i++) {
        keys += t->slots.sums[i].keys;
        slot_digest += t->slots.sums[i].digest;
    }
    ASSERT(keys == t->keys);
    ASSERT(slot_digest == digest);
}

static void table_check(const struct engine *e, bool deep)
{
    const struct table *t = const_table_of(e);

    ASSERT((t->keys == 0) == (t->newest == 0));
    ASSERT((t->newest == 0) == (t->oldest == 0));
    ASSERT(t->heap.n <= t->keys);
    if (!deep)
        return;
    check_deep(t);
    table__hash_check(t);
    table__heap_check(t);
    slab_check(&t->slab);
}

static const struct engine_ops table_ops = {
    .name = "table",
    .free = table_free,
    .get = table_get,
    .put = table_put,
    .set_deadline = table_set_deadline,
    .remove = table_remove,
    .flush = table_flush,
    .earliest = table_earliest,
    .coldest = table_coldest,
    .scan = table_scan,
    .random = table_random,
    .slot_digest = table_slot_digest,
    .digest = table_digest,
    .slot_keys = table_slot_keys,
    .stats = table_stats,
    .check = table_check,
};

struct engine *table_new(uint64_t seed)
{
    struct table *t = MEM_NEW(struct table);

    t->engine.ops = &table_ops;
    t->seed = seed;
    content_init(t);
    return &t->engine;
}
