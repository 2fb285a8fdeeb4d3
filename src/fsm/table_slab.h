/* Memory for the table's entries: small objects named by 32-bit handles. */
#ifndef KV_FSM_TABLE_SLAB_H
#define KV_FSM_TABLE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_UNIT 8                    /* bytes; a handle counts units */
#define SLAB_PAGE_UNITS 2048u          /* 16 KiB of address space a page */
#define SLAB_PAGE_BYTES (SLAB_PAGE_UNITS * SLAB_UNIT - 16)
#define SLAB_OBJECT_MAX 1024u          /* bytes */
#define SLAB_CLASSES 48

struct slab {
    uint8_t **pages;      /* owned; NULL where a page number is free */
    uint32_t page_count;  /* numbers in use or freed */
    uint32_t page_cap;
    uint32_t free_number; /* first freed number + 1, linked by next_free */
    uint32_t *next_free;  /* owned, page_cap long */
    uint32_t pages_held;
    uint32_t partial[SLAB_CLASSES]; /* pages with room, + 1; 0: none */
};

void slab_init(struct slab *s);
void slab_close(struct slab *s);
/* A handle, never 0, of an 8-aligned object of n <= SLAB_OBJECT_MAX bytes. */
uint32_t slab_alloc(struct slab *s, size_t n);
void slab_free(struct slab *s, uint32_t handle);
/* Size of the class that n bytes fall into. */
size_t slab_round(size_t n);
size_t slab_bytes(const struct slab *s); /* memory held */
/* Assert the invariants of every page. */
void slab_check(const struct slab *s);

static inline void *slab_at(const struct slab *s, uint32_t handle)
{
    return s->pages[handle / SLAB_PAGE_UNITS] +
           (size_t)(handle % SLAB_PAGE_UNITS) * SLAB_UNIT;
}

#endif
