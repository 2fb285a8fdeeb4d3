/* The order of requests of one stream.
 *
 * A Redis client that pipelines SET k 1, GET k, SET k 2 expects the GET to say 1.
 * Writes of a shard go through its log and reads beside it, so without care the
 * GET could overtake the first SET or be overtaken by the second.  Hence a lane for
 * each (stream, shard) with unfinished requests:
 *
 *   a read is held while writes before it are unfinished;
 *   a write is held while reads before it are unfinished;
 *   nothing overtakes what is held.
 *
 * Reads run beside reads, but answers come in order: of two GETs of one key the
 * second must not be the older.  Sent together they are executed in order; when
 * the first comes back (no leader, link lost) and is sent again, an answer to the
 * second may be from before that.  So the answer of a read counts only when no read
 * before it is open and none came back since it was sent; else it is sent again, once
 * it is the oldest.
 *
 * Writes follow each other into the log without waiting,
 * because the shard's queue keeps their order.  A stream that never has more than
 * one request under way, which is most of them, never waits.
 *
 * Invariants: a lane holds something only while reads or writes is not 0 (L1);
 * never are both not 0 (L2). */
#include "base/assert.h"
#include "base/mem.h"
#include "router/router_int.h"

static void lane_check(const struct lane *l)
{
    ASSERT(list_empty(&l->held) || l->reads + l->writes > 0); /* L1 */
    ASSERT(l->reads == 0 || l->writes == 0);                  /* L2 */
}

static struct lane *lane_make(struct rshard *s, uint64_t stream)
{
    struct list *free = pool__take(&s->rt->lanes);
    struct lane *l;

    if (free != NULL)
        l = CONTAINER_OF(free, struct lane, link);
    else
        l = MEM_NEW(struct lane);
    *l = (struct lane){ .stream = stream };
    list_init(&l->link);
    list_init(&l->out);
    list_init(&l->held);
    map_put(&s->lanes, stream, l);
    return l;
}

static void lane_release(struct rshard *s, struct lane *l)
{
    ASSERT(list_empty(&l->held));
    map_del(&s->lanes, l->stream);
    if (!pool__give(&s->rt->lanes, &l->link))
        mem_free(l);
}

/* Whether q, the next of its lane, may go now; if so, it is counted. */
static bool admit(struct lane *l, struct rq *q)
{
    if (q->write ? l->reads > 0 : l->writes > 0)
        return false;
    if (q->write) {
        l->writes++;
    } else {
        l->reads++;
        list_add_tail(&l->out, &q->in_lane);
    }
    return true;
}

bool lane__enter(struct rq *q, uint64_t stream)
{
    struct rshard *s = q->shard;
    struct lane *l = map_get(&s->lanes, stream);

    ASSERT(stream != 0);
    if (l == NULL)
        l = lane_make(s, stream);
    q->lane = l;
    if (list_empty(&l->held) && admit(l, q))
        return true;
    list_add_tail(&l->held, &q->link);
    q->state = RQ_HELD;
    lane_check(l);
    return false;
}

/* Release from the front what may go. */
static void lane_advance(struct lane *l)
{
    while (!list_empty(&l->held)) {
        struct rq *q = LIST_FIRST(&l->held, struct rq, link);

        if (!admit(l, q))
            break;
        list_del(&q->link);
        route__release(q);
    }
    lane_check(l);
}

/* Send again the oldest reads, if they were answered too early. */
static void lane_ask_again(struct lane *l)
{
    for (struct list *i = l->out.next; i != &l->out; i = i->next) {
        struct rq *q = CONTAINER_OF(i, struct rq, in_lane);

        if (q->state != RQ_EARLY)
            break;
        route__enqueue(q);
    }
}

/* q is in no list any more; if it was held, its state still says so. */
void lane__leave(struct rq *q)
{
    struct rshard *s = q->shard;
    struct lane *l = q->lane;

    q->lane = NULL;
    list_del(&q->in_lane);
    if (q->state != RQ_HELD) {
        ASSERT(q->write ? l->writes > 0 : l->reads > 0);
        if (q->write)
            l->writes--;
        else
            l->reads--;
    }
    lane_ask_again(l);
    lane_advance(l);
    if (l->reads + l->writes == 0)
        lane_release(s, l);
}

void lane__returns(struct rq *q)
{
    struct list *i;

    ASSERT(!q->write);
    if (q->lane == NULL)
        return;
    for (i = q->in_lane.next; i != &q->lane->out; i = i->next)
        CONTAINER_OF(i, struct rq, in_lane)->overtaken = true;
}

bool lane__is_first(const struct rq *q)
{
    ASSERT(!q->write);
    return q->lane == NULL || q->lane->out.next == &q->in_lane;
}

bool lane__in_order(const struct rq *q)
{
    if (q->write || q->lane == NULL)
        return true;
    ASSERT(!list_empty(&q->lane->out));
    return !q->overtaken && lane__is_first(q);
}
