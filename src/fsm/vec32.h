/* A vector of uint32_t in chunks: it grows and shrinks at the end without ever
 * moving what it holds, so that no push costs more than one small
 * allocation. */
#ifndef KV_FSM_VEC32_H
#define KV_FSM_VEC32_H

#include <stddef.h>
#include <stdint.h>

#define VEC32_CHUNK_SHIFT 10
#define VEC32_CHUNK (1u << VEC32_CHUNK_SHIFT) /* numbers in a chunk */

struct vec32 {
    uint32_t **chunks; /* owned array of owned chunks */
    uint32_t n;        /* numbers held */
    uint32_t chunk_count;
    uint32_t chunk_cap;
};

void vec32_init(struct vec32 *v);
void vec32_close(struct vec32 *v);
void vec32_push(struct vec32 *v, uint32_t x);
uint32_t vec32_pop(struct vec32 *v); /* n > 0 */
size_t vec32_bytes(const struct vec32 *v);

static inline uint32_t *vec32_at(const struct vec32 *v, uint32_t i)
{
    return &v->chunks[i >> VEC32_CHUNK_SHIFT][i & (VEC32_CHUNK - 1)];
}

#endif
