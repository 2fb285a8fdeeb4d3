/* Timers in a binary heap keyed by (deadline, sequence of setting).
 *
 *  I1  A timer is in the heap if and only if it is armed: it leaves before its
 *      callback runs, so that the callback may set it again or free it.
 *  I2  One run never fires a timer that was set during that run.  A callback
 *      that keeps setting a timer in the past therefore cannot keep the loop
 *      from its I/O.
 *
 * For I2 the run remembers the sequence number that the heap will give next and
 * stops at the first timer that has it or a later one.  A timer that was due
 * but stands behind such a newcomer fires in the next run, after the newcomer:
 * the order promised in env.h holds across runs. */
#include "env/timerq.h"

#include "base/assert.h"
#include "base/list.h"

void timerq_init(struct timerq *q)
{
    heap_init(&q->heap);
}

void timerq_close(struct timerq *q)
{
    ASSERT(heap_min(&q->heap) == NULL);
    heap_close(&q->heap);
}

void timerq_set(struct timerq *q, struct env_timer *t, uint64_t deadline_ms)
{
    ASSERT(t->cb != NULL);
    if (heap_contains(&t->node))
        heap_remove(&q->heap, &t->node);
    heap_insert(&q->heap, &t->node, deadline_ms);
    ASSERT(heap_contains(&t->node));
}

void timerq_stop(struct timerq *q, struct env_timer *t)
{
    if (heap_contains(&t->node))
        heap_remove(&q->heap, &t->node);
    ASSERT(!heap_contains(&t->node));
}

bool timerq_next(const struct timerq *q, uint64_t *ret_ms)
{
    const struct heap_node *min = heap_min(&q->heap);

    if (min == NULL)
        return false;
    *ret_ms = min->key;
    return true;
}

unsigned timerq_run(struct timerq *q, uint64_t now_ms)
{
    const uint64_t first_new = q->heap.next_seq;
    unsigned fired = 0;

    for (;;) {
        struct heap_node *min = heap_min(&q->heap);
        struct env_timer *t;

        if (min == NULL || min->key > now_ms || min->seq >= first_new)
            return fired;
        t = CONTAINER_OF(min, struct env_timer, node);
        heap_remove(&q->heap, min);
        ASSERT(!env_timer_armed(t));
        fired++;
        t->cb(t);
    }
}
