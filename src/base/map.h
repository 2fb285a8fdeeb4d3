/* Hash map from uint64_t to a borrowed pointer (open addressing).  Iteration
 * order is by slot: it follows from the keys and the calls made, never from
 * addresses, so the same run has the same order. */
#ifndef KV_BASE_MAP_H
#define KV_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map {
    struct map_slot *slots; /* owned */
    size_t n, cap;
};

void map_init(struct map *m);
void map_close(struct map *m);
void *map_get(const struct map *m, uint64_t key);           /* NULL if absent */
void *map_put(struct map *m, uint64_t key, void *value);    /* value not NULL; returns the old one */
void *map_del(struct map *m, uint64_t key);                 /* returns it, or NULL */
/* Iterate: *it starts at 0; returns the value or NULL at the end.  The map must
 * not change meanwhile. */
void *map_next(const struct map *m, size_t *it, uint64_t *ret_key);

#endif
