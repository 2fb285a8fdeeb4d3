/* The memory engine: a hash table with exact LRU order and a deadline index.
 * See table.c for how it works and engine.h for what its calls do. */
#ifndef KV_FSM_TABLE_H
#define KV_FSM_TABLE_H

#include <stdint.h>

#include "fsm/engine.h"

/* The seed of the hash: the same on every replica, unknown to clients. */
struct engine *table_new(uint64_t seed);

/* Work done so far, for tests that bound what one call may do. */
struct table_work {
    uint64_t relinked;    /* entries moved between buckets by resizing */
    uint64_t probed;      /* entries looked at by lookups */
    uint64_t sifted;      /* moves in the deadline heap */
    uint64_t buckets;     /* buckets now */
};
void table_get_work(const struct engine *e, struct table_work *ret);

#endif
