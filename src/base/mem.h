/* Allocation for kvd: never returns NULL.  Plain out-of-memory stops the
 * process (Raft survives a crash); limits on what peers and clients may make us
 * hold are enforced before allocating.  Any thread. */
#ifndef KV_BASE_MEM_H
#define KV_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);                 /* uninitialised; n > 0 */
/* The same, but NULL when there is none: for libkv, a guest in other programs. */
void *mem_try_alloc(size_t n);
void *mem_calloc(size_t count, size_t n);  /* zeroed; checks overflow */
void *mem_realloc(void *p, size_t n);      /* p may be NULL; n > 0 */
void mem_free(void *p);                    /* p may be NULL */
char *mem_strdup(const char *s);

/* Bytes that the allocator has handed out and not got back, the whole process's
 * (glibc's count; walks its arenas, so not for hot paths). */
size_t mem_used(void);

/* Allocate one zeroed object of type T. */
#define MEM_NEW(T) ((T *)mem_calloc(1, sizeof(T)))

#endif
