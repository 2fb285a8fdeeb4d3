/* Intrusive binary min-heap keyed by (key, seq): ties leave in insertion
 * order, so that timers fire in the order they were set. */
#ifndef KV_BASE_HEAP_H
#define KV_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t seq;  /* set by heap_insert */
    size_t pos;    /* 1-based place in the array; 0 when not in a heap */
};

struct heap {
    struct heap_node **nodes; /* owned array of borrowed nodes */
    size_t n, cap;
    uint64_t next_seq;
};

void heap_init(struct heap *h);
void heap_close(struct heap *h);
struct heap_node *heap_min(const struct heap *h); /* NULL when empty */
void heap_insert(struct heap *h, struct heap_node *n, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *n);
static inline bool heap_contains(const struct heap_node *n)
{
    return n->pos != 0;
}

#endif
