/* A chunked vector: see vec32.h for why.  The array of chunk pointers does move
 * when it grows, but it is a five-hundredth of the content, and doubles.
 *
 * V1  chunk_count * VEC32_CHUNK >= n, and at most one chunk is spare: kept so
 *     that a length that swings around a chunk's border does not allocate each
 *     time. */
#include "fsm/vec32.h"

#include "base/assert.h"
#include "base/mem.h"

#define MALLOC_OVERHEAD 16 /* bytes per block, for the accounting */

void vec32_init(struct vec32 *v)
{
    *v = (struct vec32){ .chunks = NULL };
}

void vec32_close(struct vec32 *v)
{
    for (uint32_t i = 0; i < v->chunk_count; i++)
        mem_free(v->chunks[i]);
    mem_free(v->chunks);
    vec32_init(v);
}

void vec32_push(struct vec32 *v, uint32_t x)
{
    ASSERT(v->n < UINT32_MAX);
    if (v->n == v->chunk_count * VEC32_CHUNK) {
        if (v->chunk_count == v->chunk_cap) {
            v->chunk_cap = v->chunk_cap == 0 ? 4 : v->chunk_cap * 2;
            v->chunks = mem_realloc(v->chunks,
                                    v->chunk_cap * sizeof(v->chunks[0]));
        }
        v->chunks[v->chunk_count++] =
            mem_alloc(VEC32_CHUNK * sizeof(uint32_t));
    }
    *vec32_at(v, v->n++) = x;
}

uint32_t vec32_pop(struct vec32 *v)
{
    uint32_t x;

    ASSERT(v->n > 0);
    x = *vec32_at(v, --v->n);
    if ((v->chunk_count - 1) * VEC32_CHUNK >= v->n + VEC32_CHUNK)
        mem_free(v->chunks[--v->chunk_count]);
    ASSERT(v->n <= v->chunk_count * VEC32_CHUNK);
    return x;
}

size_t vec32_bytes(const struct vec32 *v)
{
    return v->chunk_count *
               (VEC32_CHUNK * sizeof(uint32_t) + MALLOC_OVERHEAD) +
           v->chunk_cap * sizeof(v->chunks[0]);
}
