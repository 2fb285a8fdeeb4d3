/* Shared by table*.c only. */
#ifndef KV_FSM_TABLE_INT_H
#define KV_FSM_TABLE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/engine.h"
#include "fsm/table.h"
#include "fsm/table_slab.h"
#include "fsm/vec32.h"

/* What every entry begins with. */
struct entry {
    uint32_t chain;      /* next entry of the bucket, 0 at the end */
    uint32_t newer;      /* LRU neighbours, 0 at the ends */
    uint32_t older;
    uint8_t flags;       /* ENTRY_* */
    uint8_t key_n;       /* small entries only */
    uint16_t value_n;    /* small entries only */
};

enum {
    ENTRY_DEADLINE = 1, /* has a deadline and is in the heap */
    ENTRY_WIDE = 2      /* struct entry_wide, else struct entry_small */
};

/* A small entry: everything in one object.  48 bits of revision and deadline:
 * what does not fit makes the entry wide. */
struct entry_small {
    struct entry head;
    uint32_t revision_lo;
    uint16_t revision_hi;
    /* Without ENTRY_DEADLINE the key begins here. */
    uint16_t deadline_hi;
    uint32_t deadline_lo;
    uint32_t heap_pos;
    /* With it, here. */
};
#define SMALL_BYTES offsetof(struct entry_small, deadline_hi)
#define SMALL_DEADLINE_BYTES sizeof(struct entry_small)
#define SMALL_KEY_MAX 255u
#define SMALL_NUMBER_MAX ((1ull << 48) - 1)

/* A wide entry: key and value in a block of their own. */
struct entry_wide {
    struct entry head;
    uint64_t revision;
    int64_t deadline_ms;
    uint8_t *block;      /* owned: key, value */
    uint32_t key_n, value_n;
    uint64_t digest;     /* of this key: hashing megabytes once is enough */
    uint32_t heap_pos;
};

struct slot_sum {
    uint64_t digest;
    uint32_t keys;
    uint16_t slot;
    bool used;
};

/* Counters of the slots that ever had a key: open addressing by slot number. */
struct slot_sums {
    struct slot_sum *sums; /* owned */
    uint32_t n, cap;       /* cap is a power of two, or 0 */
    uint64_t digest;       /* of all slots */
};

struct table {
    struct engine engine;
    uint64_t seed;
    struct slab slab;
    struct vec32 buckets;  /* first entries of the 2^level + split chains */
    uint32_t level, split;
    uint64_t keys;
    uint32_t newest, oldest; /* ends of the LRU list */
    struct vec32 heap;       /* entries with a deadline, a 4-ary min-heap */
    struct slot_sums slots;
    uint64_t block_bytes;    /* held by wide entries outside the slab */
    struct table_work work;
};

static inline struct entry *table__entry(const struct table *t, uint32_t h)
{
    return slab_at(&t->slab, h);
}

/* Here, because every step of a lookup takes it. */
static inline struct slice table__entry_key(const struct entry *e)
{
    const struct entry_wide *w = (const void *)e;
    size_t head = (e->flags & ENTRY_DEADLINE) != 0 ? SMALL_DEADLINE_BYTES
                                                   : SMALL_BYTES;

    if ((e->flags & ENTRY_WIDE) != 0)
        return slice_make(w->block, w->key_n);
    return slice_make((const uint8_t *)e + head, e->key_n);
}

/* ---- table_entry.c: how an entry is laid out ---- */

/* Make an entry with the content of v, not linked anywhere. */
uint32_t table__entry_new(struct table *t, const struct engine_view *v);
/* Overwrite an entry in place; false if v needs another layout. */
bool table__entry_rewrite(struct table *t, uint32_t h,
                          const struct engine_view *v);
void table__entry_free(struct table *t, uint32_t h);
void table__entry_view(const struct entry *e, struct engine_view *ret);
int64_t table__entry_deadline(const struct entry *e);
uint64_t table__entry_digest(const struct entry *e);
uint32_t table__heap_pos(const struct entry *e);
void table__set_heap_pos(struct entry *e, uint32_t pos);

/* ---- table_hash.c: linear hashing and scan ---- */

void table__hash_init(struct table *t);
/* The link that names key's entry, or the one that ends its chain (value 0). */
uint32_t *table__hash_find(struct table *t, struct slice key);
/* Resize by a step, if the number of keys asks for it. */
void table__hash_adapt(struct table *t);
uint64_t table__hash_scan(const struct table *t, uint64_t cursor,
                          engine_visit_cb cb, void *ctx);
uint32_t table__hash_random(const struct table *t, uint64_t r);
void table__hash_check(const struct table *t);

/* ---- table_deadline.c: the deadline heap ---- */

void table__heap_insert(struct table *t, uint32_t h);
void table__heap_remove(struct table *t, uint32_t h);
/* The entry's deadline was changed in place. */
void table__heap_fix(struct table *t, uint32_t h);
void table__heap_check(const struct table *t);

/* ---- table_slots.c: keys and digest by slot ---- */

void table__slots_close(struct slot_sums *s);
void table__slots_add(struct slot_sums *s, uint16_t slot, uint64_t digest);
void table__slots_sub(struct slot_sums *s, uint16_t slot, uint64_t digest);
void table__slots_swap(struct slot_sums *s, uint16_t slot, uint64_t old,
                       uint64_t new);
const struct slot_sum *table__slots_find(const struct slot_sums *s,
                                         uint16_t slot);

#endif
