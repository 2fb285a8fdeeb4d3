/* A binary heap in an array, for timers.
 *
 * Place 0 is not used, so that the children of i are 2i and 2i + 1 and a
 * position of 0 can mean "in no heap".
 *
 * I1  For 2 <= i <= n: nodes[i / 2] is before nodes[i] in (key, seq) order.
 * I2  nodes[i]->pos == i, and a node that has left has pos 0.
 * I3  seq grows with each insertion and is never equal in two nodes, so the
 *     order is total and equal keys leave in the order they came. */
#include "base/heap.h"

#include "base/assert.h"
#include "base/mem.h"

/* Places allocated first. */
#define HEAP_CAP_MIN 16

static bool heap_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

void heap_init(struct heap *h)
{
    *h = (struct heap){ .nodes = NULL };
}

void heap_close(struct heap *h)
{
    mem_free(h->nodes);
    heap_init(h);
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->n == 0 ? NULL : h->nodes[1];
}

static void heap_place(struct heap *h, size_t i, struct heap_node *n)
{
    h->nodes[i] = n;
    n->pos = i;
}

/* Put n where it belongs between place i and the root. */
static void heap_up(struct heap *h, size_t i, struct heap_node *n)
{
    for (; i > 1 && heap_before(n, h->nodes[i / 2]); i /= 2)
        heap_place(h, i, h->nodes[i / 2]);
    heap_place(h, i, n);
}

/* Put n where it belongs between place i and the leaves below it. */
static void heap_down(struct heap *h, size_t i, struct heap_node *n)
{
    size_t child;

    while ((child = 2 * i) <= h->n) {
        if (child < h->n && heap_before(h->nodes[child + 1], h->nodes[child]))
            child++;
        if (!heap_before(h->nodes[child], n))
            break;
        heap_place(h, i, h->nodes[child]);
        i = child;
    }
    heap_place(h, i, n);
}

void heap_insert(struct heap *h, struct heap_node *n, uint64_t key)
{
    ASSERT(!heap_contains(n));
    if (h->n + 1 >= h->cap) {
        h->cap = h->cap == 0 ? HEAP_CAP_MIN : 2 * h->cap;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof h->nodes[0]);
    }
    n->key = key;
    n->seq = h->next_seq++;
    h->n++;
    heap_up(h, h->n, n);
    ASSERT(h->nodes[n->pos] == n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    size_t i = n->pos;
    struct heap_node *last;

    ASSERT(i >= 1 && i <= h->n);
    ASSERT(h->nodes[i] == n);
    last = h->nodes[h->n--];
    n->pos = 0;
    if (last == n)
        return;
    /* The last leaf fills the gap; it may belong above or below it. */
    if (i > 1 && heap_before(last, h->nodes[i / 2]))
        heap_up(h, i, last);
    else
        heap_down(h, i, last);
}
