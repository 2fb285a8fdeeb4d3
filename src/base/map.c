/* A hash map with linear probing, for tables keyed by ids of our own.
 *
 * The home slot of a key is its mixed value modulo the capacity, a power of two.
 * Removal closes the gap by moving later members of the run back, so there are
 * no tombstones and a map that had many members is as fast as a new one.
 *
 * I1  cap is 0 or a power of two with n <= 3/4 cap: a probe always ends at an
 *     empty slot.
 * I2  A slot is used exactly when its value is not NULL.
 * I3  Between the home slot of a key and its slot there is no empty slot.
 *
 * Keys of clients never go in here: mixing is not keyed, and somebody who
 * chooses the keys could make one long run. */
#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"

/* Slots allocated first. */
#define MAP_CAP_MIN 16

struct map_slot {
    uint64_t key;
    void *value; /* borrowed; NULL when the slot is empty */
};

static size_t map_home(const struct map *m, uint64_t key)
{
    return (size_t)rng_mix(key) & (m->cap - 1);
}

/* The slot that holds key, or the empty one where it would go. */
static struct map_slot *map_find(const struct map *m, uint64_t key)
{
    size_t i = map_home(m, key);

    while (m->slots[i].value != NULL && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void map_init(struct map *m)
{
    *m = (struct map){ .slots = NULL };
}

void map_close(struct map *m)
{
    mem_free(m->slots);
    map_init(m);
}

void *map_get(const struct map *m, uint64_t key)
{
    return m->n == 0 ? NULL : map_find(m, key)->value;
}

static void map_grow(struct map *m)
{
    struct map old = *m;

    m->cap = old.cap == 0 ? MAP_CAP_MIN : 2 * old.cap;
    m->slots = mem_calloc(m->cap, sizeof m->slots[0]);
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].value != NULL)
            *map_find(m, old.slots[i].key) = old.slots[i];
    }
    mem_free(old.slots);
}

void *map_put(struct map *m, uint64_t key, void *value)
{
    struct map_slot *slot;
    void *old;

    ASSERT(value != NULL);
    if (m->n + 1 > m->cap / 4 * 3)
        map_grow(m);
    slot = map_find(m, key);
    old = slot->value;
    slot->key = key;
    slot->value = value;
    if (old == NULL)
        m->n++;
    return old;
}

void *map_del(struct map *m, uint64_t key)
{
    size_t mask = m->cap - 1;
    struct map_slot *slot;
    size_t gap;
    void *old;

    if (m->n == 0)
        return NULL;
    slot = map_find(m, key);
    old = slot->value;
    if (old == NULL)
        return NULL;
    gap = (size_t)(slot - m->slots);
    for (size_t i = (gap + 1) & mask; m->slots[i].value != NULL;
         i = (i + 1) & mask) {
        size_t home = map_home(m, m->slots[i].key);

        /* Movable unless its home lies behind the gap (I3). */
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        m->slots[gap] = m->slots[i];
        gap = i;
    }
    m->slots[gap].value = NULL;
    m->n--;
    return old;
}

void *map_next(const struct map *m, size_t *it, uint64_t *ret_key)
{
    for (; *it < m->cap; (*it)++) {
        const struct map_slot *slot = &m->slots[*it];

        if (slot->value == NULL)
            continue;
        (*it)++;
        *ret_key = slot->key;
        return slot->value;
    }
    return NULL;
}
