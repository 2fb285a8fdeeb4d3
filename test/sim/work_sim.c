/* Background work: `run` and `done` happen one after the other in one event, a
 * latency after the submission.  Both touch only what they may, so nobody can tell
 * that there was no other thread. */
#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_int.h"

static void work_done(struct sim *s, struct sim_event *ev)
{
    struct sim_job *job = ev->ptr;
    struct env_work *w = job->work;

    (void)s;
    list_del(&job->link);
    mem_free(job);
    w->run(w);
    w->done(w);
}

void sim__work(struct env *e, struct env_work *w)
{
    struct sim_proc *p = sim__proc(e);
    struct sim_job *job = SIM_NEW(struct sim_job);

    ASSERT(w->run != NULL);
    ASSERT(w->done != NULL);
    job->work = w;
    list_add_tail(&p->works, &job->link);
    sim__post_proc(p, sim__delay(p->sim, p->node->work_lat, 0), work_done,
                   "work", job);
}

void sim__work_drop_proc(struct sim_proc *p)
{
    while (!list_empty(&p->works)) {
        struct sim_job *job = LIST_FIRST(&p->works, struct sim_job, link);

        list_del(&job->link);
        mem_free(job);
    }
}

void sim_work_latency(struct sim *s, unsigned node, struct sim_latency lat)
{
    for (unsigned i = 1; i <= SIM_NODES_MAX; i++) {
        if (node == SIM_EVERY || node == i)
            s->nodes[i].work_lat = lat;
    }
}
