/* Consistent-hash ring: 64-bit tokens, 256 virtual nodes per unit of weight,
 * deterministic from ids (DESIGN section 7). */
#ifndef KV_CLUSTER_RING_H
#define KV_CLUSTER_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_VNODES 256u

struct ring_token {
    uint64_t token;
    uint64_t id;
};
struct ring {
    struct ring_token *tokens; /* owned, sorted */
    size_t n, cap;
};

void ring_init(struct ring *r);
void ring_close(struct ring *r);
/* Add id with 256 * weight tokens; salt keeps rings of different kinds apart. */
void ring_add(struct ring *r, uint64_t salt, uint64_t id, unsigned weight);
/* Sort; a token claimed twice goes to the lower id.  Once, after the last add. */
void ring_seal(struct ring *r);
/* Owner of a point: the first token clockwise from it. */
uint64_t ring_owner(const struct ring *r, uint64_t point);
/* The first `want` distinct ids clockwise from point; returns how many there are. */
unsigned ring_walk(const struct ring *r, uint64_t point, uint64_t *ret_ids, unsigned want);
uint64_t ring_hash(uint64_t salt, uint64_t a, uint64_t b);

#endif
