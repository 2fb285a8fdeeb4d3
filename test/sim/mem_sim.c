/* Memory by owner.
 *
 * Each block carries a header {link, arena, size} in front of what the caller
 * sees.  Blocks of an arena hang in its list, so that dropping the arena frees
 * them all; blocks of the test itself (arena NULL) link to themselves and are
 * left to the leak checker.
 *
 * Every function of base/mem.h must be here: one that is missing brings in the
 * other file, and then the linker finds the rest twice.
 *
 * M1  A block is in exactly one arena, for life: realloc keeps the arena of the
 *     block, whatever arena is in use.
 * M2  arena.count and arena.bytes are those of its list. */
#include "sim/mem_sim.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct block {
    struct list link;
    struct mem_arena *arena; /* borrowed; NULL: the test's own */
    size_t size;             /* bytes the caller asked for */
    max_align_t data[];
};

static struct mem_arena *in_use;

void mem_arena_init(struct mem_arena *a)
{
    *a = (struct mem_arena){ .count = 0 };
    list_init(&a->blocks);
}

struct mem_arena *mem_arena_use(struct mem_arena *a)
{
    struct mem_arena *old = in_use;

    in_use = a;
    return old;
}

void mem_arena_drop(struct mem_arena *a)
{
    while (!list_empty(&a->blocks)) {
        struct block *b = LIST_FIRST(&a->blocks, struct block, link);

        ASSERT(b->arena == a);
        mem_free(b->data);
    }
    ASSERT(a->count == 0);
    ASSERT(a->bytes == 0);
}

static void attach(struct block *b, struct mem_arena *a, size_t n)
{
    b->arena = a;
    b->size = n;
    list_init(&b->link);
    if (a == NULL)
        return;
    list_add_tail(&a->blocks, &b->link);
    a->count++;
    a->bytes += n;
}

static void detach(struct block *b)
{
    list_del(&b->link);
    if (b->arena == NULL)
        return;
    ASSERT(b->arena->count > 0);
    ASSERT(b->arena->bytes >= b->size);
    b->arena->count--;
    b->arena->bytes -= b->size;
}

static struct block *block_of(void *p)
{
    return CONTAINER_OF(p, struct block, data);
}

static void *out_of_memory(void)
{
    fprintf(stderr, "simulator: out of memory\n");
    abort();
}

void *mem_try_alloc(size_t n)
{
    struct block *b;

    ASSERT(n > 0);
    ASSERT(n <= SIZE_MAX - sizeof *b);
    b = malloc(sizeof *b + n);
    if (b == NULL)
        return NULL;
    attach(b, in_use, n);
    return b->data;
}

void *mem_alloc(size_t n)
{
    void *p = mem_try_alloc(n);

    return p != NULL ? p : out_of_memory();
}

void *mem_calloc(size_t count, size_t n)
{
    void *p;

    ASSERT(count > 0 && n > 0);
    ASSERT(n <= SIZE_MAX / count);
    p = mem_alloc(count * n);
    memset(p, 0, count * n);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    struct mem_arena *a;
    struct block *b;

    ASSERT(n > 0);
    if (p == NULL)
        return mem_alloc(n);
    b = block_of(p);
    a = b->arena;
    detach(b);
    b = realloc(b, sizeof *b + n);
    if (b == NULL)
        return out_of_memory();
    attach(b, a, n);
    return b->data;
}

void mem_free(void *p)
{
    struct block *b;

    if (p == NULL)
        return;
    b = block_of(p);
    detach(b);
    free(b);
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(mem_alloc(n), s, n);
}

/* Of the simulated process that asks: the same on every run. */
size_t mem_used(void)
{
    return in_use == NULL ? 0 : in_use->bytes;
}
