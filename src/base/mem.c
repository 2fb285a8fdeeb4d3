/* Allocation that cannot fail.
 *
 * Every container of kvd grows through here.  A NULL from the C library stops
 * the process with the size that was asked for: a replicated node that crashes
 * is a case the cluster handles, one that goes on with half an update is not.
 * This is the only file above env that calls malloc and its family. */
#include "base/mem.h"

#include <malloc.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static _Noreturn void mem_exhausted(size_t n)
{
    fprintf(stderr, "out of memory: cannot allocate %zu bytes\n", n);
    abort();
}

void *mem_alloc(size_t n)
{
    void *p;

    ASSERT(n > 0);
    p = malloc(n);
    if (p == NULL)
        mem_exhausted(n);
    return p;
}

void *mem_try_alloc(size_t n)
{
    ASSERT(n > 0);
    return malloc(n);
}

void *mem_calloc(size_t count, size_t n)
{
    void *p;

    ASSERT(count > 0);
    ASSERT(n > 0);
    ASSERT(count <= SIZE_MAX / n);
    p = calloc(count, n);
    if (p == NULL)
        mem_exhausted(count * n);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    void *q;

    ASSERT(n > 0);
    q = realloc(p, n);
    if (q == NULL)
        mem_exhausted(n);
    return q;
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(mem_alloc(n), s, n);
}

size_t mem_used(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}
