/* Faults: none yet. */
#include "base/mem.h"
#include "kvsim/parts.h"

struct faults {
    struct world *w;
};

struct faults *faults_new(struct world *w)
{
    struct faults *f = MEM_NEW(struct faults);

    f->w = w;
    return f;
}

void faults_free(struct faults *f)
{
    mem_free(f);
}

void faults_start(struct faults *f)
{
    (void)f;
}

void faults_heal(struct faults *f)
{
    for (unsigned i = 1; i <= f->w->plan.nodes; i++)
        world_start(f->w, i);
}
