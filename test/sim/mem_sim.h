/* Memory by owner: the simulator's replacement of base/mem.
 *
 * A simulated process that crashes loses its memory without a single destructor
 * having run.  So every block belongs to an arena, the one in use when it was
 * allocated, and a crash drops the whole arena.  A program gets these wrappers
 * instead of those of libbase by linking libsim.la before it. */
#ifndef KV_SIM_MEM_SIM_H
#define KV_SIM_MEM_SIM_H

#include <stddef.h>

#include "base/list.h"

struct mem_arena {
    struct list blocks;
    size_t count; /* blocks held */
    size_t bytes;
};

void mem_arena_init(struct mem_arena *a);
/* Allocate from a until the next call (NULL: from the test itself).  Returns the
 * arena that was in use. */
struct mem_arena *mem_arena_use(struct mem_arena *a);
/* Free every block of a. */
void mem_arena_drop(struct mem_arena *a);

#endif
