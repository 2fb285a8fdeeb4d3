/* The deadline index: a 4-ary min-heap of entries, ordered by (deadline, key
 * bytes).
 *
 * The order is total, so the sequence in which keys expire is a function of the
 * content and not of the history that built the heap: replicas agree on it
 * (rule R2).  It is 4-ary because half the levels are half the cache misses
 * when keys leave, and most insertions (deadlines lie in the future, roughly in
 * order) stop at the first comparison.
 *
 *   D1  heap[i] is not after heap[4i+1 .. 4i+4].
 *   D2  An entry knows its place: heap[pos(e)] == e; entries with a deadline,
 *       and only they, are in the heap. */
#include "fsm/table_int.h"

#include "base/assert.h"

#define ARITY 4u

static bool before(const struct entry *a, const struct entry *b)
{
    int64_t da = table__entry_deadline(a), db = table__entry_deadline(b);
    struct slice ka, kb;
    size_t n;
    int order;

    if (da != db)
        return da < db;
    ka = table__entry_key(a);
    kb = table__entry_key(b);
    n = ka.n < kb.n ? ka.n : kb.n;
    order = n == 0 ? 0 : memcmp(ka.p, kb.p, n);
    return order != 0 ? order < 0 : ka.n < kb.n;
}

static struct entry *at(const struct table *t, uint32_t pos)
{
    return table__entry(t, *vec32_at(&t->heap, pos));
}

static void place(struct table *t, uint32_t pos, uint32_t h)
{
    *vec32_at(&t->heap, pos) = h;
    table__set_heap_pos(table__entry(t, h), pos);
    t->work.sifted++;
}

static void sift_up(struct table *t, uint32_t pos, uint32_t h)
{
    const struct entry *e = table__entry(t, h);

    while (pos > 0) {
        uint32_t parent = (pos - 1) / ARITY;

        if (!before(e, at(t, parent)))
            break;
        place(t, pos, *vec32_at(&t->heap, parent));
        pos = parent;
    }
    place(t, pos, h);
}

static void sift_down(struct table *t, uint32_t pos, uint32_t h)
{
    const struct entry *e = table__entry(t, h);

    for (;;) {
        uint64_t child = (uint64_t)pos * ARITY + 1, end = child + ARITY;
        uint64_t least = child;

        if (child >= t->heap.n)
            break;
        if (end > t->heap.n)
            end = t->heap.n;
        while (++child < end)
            if (before(at(t, (uint32_t)child), at(t, (uint32_t)least)))
                least = child;
        if (!before(at(t, (uint32_t)least), e))
            break;
        place(t, pos, *vec32_at(&t->heap, (uint32_t)least));
        pos = (uint32_t)least;
    }
    place(t, pos, h);
}

void table__heap_insert(struct table *t, uint32_t h)
{
    vec32_push(&t->heap, h);
    sift_up(t, t->heap.n - 1, h);
}

/* Put h at pos and let it find its level. */
static void settle(struct table *t, uint32_t pos, uint32_t h)
{
    if (pos > 0 && before(table__entry(t, h), at(t, (pos - 1) / ARITY)))
        sift_up(t, pos, h);
    else
        sift_down(t, pos, h);
}

void table__heap_fix(struct table *t, uint32_t h)
{
    uint32_t pos = table__heap_pos(table__entry(t, h));

    ASSERT(*vec32_at(&t->heap, pos) == h); /* D2 */
    settle(t, pos, h);
}

void table__heap_remove(struct table *t, uint32_t h)
{
    uint32_t pos = table__heap_pos(table__entry(t, h));
    uint32_t last;

    ASSERT(pos < t->heap.n);
    ASSERT(*vec32_at(&t->heap, pos) == h); /* D2 */
    last = vec32_pop(&t->heap);
    if (last != h)
        settle(t, pos, last);
}

void table__heap_check(const struct table *t)
{
    for (uint32_t i = 0; i < t->heap.n; i++) {
        ASSERT(table__heap_pos(at(t, i)) == i); /* D2 */
        if (i > 0)
            ASSERT(before(at(t, (i - 1) / ARITY), at(t, i))); /* D1 */
    }
}
