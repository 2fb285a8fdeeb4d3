/* Dedupe sessions.
 *
 * The danger.  A coordinator sends a write to a leader, the leader dies, the
 * coordinator sends it again to the next.  Both copies may be in the log.  The
 * first to be applied is executed; the second must find its result.  A copy may
 * also be late: lie in a queue or on a connection for a long time and be
 * applied when everybody has forgotten it.
 *
 * A session holds, for one origin, the results of all executed sequences at or
 * above `low`.  The origin raises `low` as its clients get their answers; a
 * result below can no longer be asked for by anyone who still waits.
 *
 *   seq < low             SESSION_LOST: a late copy; its waiter has an answer
 *   seq among the results SESSION_REPEAT
 *   otherwise             SESSION_FRESH: every executed sequence >= low is
 *                         among the results, so this one was not executed
 *
 * Dropping a session (idle for an hour, the node is gone for good, or more than
 * SESSIONS_MAX) leaves a tomb: the origin and `floor`, one above the highest
 * sequence it ever showed.  A later write of that origin with
 *
 *   seq < floor           SESSION_LOST: it may have been executed, nobody knows
 *   seq >= floor          opens a session with low = floor: it is surely new,
 *                         so a node that was idle for an hour just goes on
 *
 * Without session and without tomb, the origin has never executed anything
 * here, unless its tomb was let go (SESSION_TOMBS_MAX; `forgot` remembers that
 * this ever happened).  So:
 *
 *   not forgot            SESSION_FRESH, marked as retry or not
 *   forgot, OP_RETRY      SESSION_LOST: rather unknown than twice
 *   forgot, no OP_RETRY   SESSION_FRESH.  To be wrong, it would have to be a
 *                         first copy that was on its way while its origin's
 *                         session went idle for an hour, was dropped, and 16384
 *                         more after it; coordinators give up after seconds,
 *                         and connections break long before
 *
 * Bounds.  An origin that lets results pile up is refused (SESSION_FULL) before
 * the write is executed.  The refusal itself is remembered like a result: the
 * client is told "surely not executed", and a second copy must not make that a
 * lie.  When even the refusals are too many the answer is SESSION_LOST, which
 * promises nothing.
 *
 *   X1  Results are ordered by seq, all in [low, high], none twice.
 *   X2  by_use is ordered by last use; an origin has a session or a tomb, not
 *       both.
 *   X3  bytes is the sum over results of what they hold.
 *   X4  Everything here is a function of the log: it is digested and goes into
 *       snapshots. */
#include "fsm/session.h"

#include <xxhash.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"
#include "base/sabotage.h"

#define RING_KEEP 256u /* results of room kept by a session that has none */
#define RESULT_OVERHEAD sizeof(struct stored)

/* One result kept. */
struct stored {
    uint64_t seq;
    struct op_result res; /* its bulk is `bulk` */
    uint8_t *bulk;        /* owned, or NULL */
    uint64_t digest;
    bool refused;         /* SESSION_FULL */
};

struct session {
    struct list link;     /* in by_use */
    uint64_t origin;
    uint64_t low;         /* sequences below are settled */
    uint64_t high;        /* highest sequence seen */
    int64_t used_ms;      /* shard clock */
    struct stored *ring;  /* owned; head..head+n-1 hold results */
    uint32_t head, n, cap;
    uint32_t refused;     /* how many of n */
    uint64_t bytes;       /* of results */
    uint64_t digest;      /* sum over results */
};

struct tomb {
    struct list link;     /* in tomb_order */
    uint64_t origin;
    uint64_t floor;       /* sequences below may have been executed */
};

/* ---- results of one session ---- */

static struct stored *stored_at(const struct session *se, uint32_t i)
{
    ASSERT(i < se->n);
    return &se->ring[se->head + i];
}

/* Index of the first result with a sequence not below seq. */
static uint32_t lower_bound(const struct session *se, uint64_t seq)
{
    uint32_t lo = 0, hi = se->n;

    /* Mostly it is a new highest one. */
    if (hi > 0 && stored_at(se, hi - 1)->seq < seq)
        return hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (stored_at(se, mid)->seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint64_t stored_digest(uint64_t seq, const struct op_result *r,
                              bool refused)
{
    uint8_t b[26];

    put_u64le(b, seq);
    put_u64le(b + 8, (uint64_t)r->num);
    put_u64le(b + 16, (uint64_t)r->num2);
    b[24] = (uint8_t)r->type;
    b[25] = refused;
    return XXH3_64bits_withSeed(
        b, sizeof(b), r->bulk.n == 0 ? 0 : XXH3_64bits(r->bulk.p, r->bulk.n));
}

static uint64_t stored_bytes(const struct stored *st)
{
    return RESULT_OVERHEAD + st->res.bulk.n;
}

/* Room for one more at the end: move to the front, or grow. */
static void ring_reserve(struct session *se)
{
    if (se->head + se->n < se->cap)
        return;
    if (se->head < se->cap / 2 || se->cap == 0) {
        se->cap = se->cap == 0 ? 8 : se->cap * 2;
        se->ring = mem_realloc(se->ring, se->cap * sizeof(se->ring[0]));
    }
    memmove(se->ring, se->ring + se->head, se->n * sizeof(se->ring[0]));
    se->head = 0;
}

static void stored_insert(struct sessions *s, struct session *se, uint64_t seq,
                          const struct op_result *r, bool refused)
{
    uint32_t i = lower_bound(se, seq);
    struct stored *st;

    ASSERT(seq >= se->low);
    ASSERT(i == se->n || stored_at(se, i)->seq != seq); /* X1 */
    ring_reserve(se);
    st = &se->ring[se->head + i];
    memmove(st + 1, st, (se->n - i) * sizeof(*st));
    *st = (struct stored){ .seq = seq, .res = *r, .refused = refused };
    st->digest = stored_digest(seq, r, refused);
    if (r->bulk.n > 0) {
        st->bulk = mem_alloc(r->bulk.n);
        memcpy(st->bulk, r->bulk.p, r->bulk.n);
        st->res.bulk.p = st->bulk;
    }
    se->n++;
    se->refused += refused;
    se->digest += st->digest;
    se->bytes += stored_bytes(st);
    s->bytes += stored_bytes(st);
}

/* Forget the results below low. */
static void settle(struct sessions *s, struct session *se, uint64_t low)
{
    while (se->n > 0 && stored_at(se, 0)->seq < low) {
        struct stored *st = stored_at(se, 0);

        se->digest -= st->digest;
        se->bytes -= stored_bytes(st);
        s->bytes -= stored_bytes(st);
        se->refused -= st->refused;
        mem_free(st->bulk);
        se->head++;
        se->n--;
    }
    if (se->n == 0)
        se->head = 0;
    if (se->n == 0 && se->cap > RING_KEEP) {
        mem_free(se->ring);
        se->ring = NULL;
        se->cap = 0;
    }
    se->low = low;
}

/* ---- sessions and tombs ---- */

void sessions_init(struct sessions *s)
{
    *s = (struct sessions){ .count = 0 };
    map_init(&s->by_origin);
    map_init(&s->tombs);
    list_init(&s->by_use);
    list_init(&s->tomb_order);
}

static void session_free(struct sessions *s, struct session *se)
{
    settle(s, se, UINT64_MAX);
    map_del(&s->by_origin, se->origin);
    list_del(&se->link);
    s->count--;
    mem_free(se->ring);
    mem_free(se);
}

static void tomb_free(struct sessions *s, struct tomb *t)
{
    map_del(&s->tombs, t->origin);
    list_del(&t->link);
    s->tomb_count--;
    mem_free(t);
}

static const struct session *const_session(const struct list *l)
{
    return (const void *)((const char *)l - offsetof(struct session, link));
}

static struct session *coldest(const struct sessions *s)
{
    return LIST_FIRST(&s->by_use, struct session, link);
}

static struct tomb *oldest_tomb(const struct sessions *s)
{
    return LIST_FIRST(&s->tomb_order, struct tomb, link);
}

void sessions_close(struct sessions *s)
{
    while (!list_empty(&s->by_use))
        session_free(s, coldest(s));
    while (!list_empty(&s->tomb_order))
        tomb_free(s, oldest_tomb(s));
    ASSERT(s->bytes == 0);
    map_close(&s->by_origin);
    map_close(&s->tombs);
}

static void bury(struct sessions *s, struct session *se)
{
    struct tomb *t;

    if (SABOTAGE(SESSION_NO_TOMB) || SABOTAGE(SESSION_EARLY)) {
        session_free(s, se);
        return;
    }
    t = MEM_NEW(struct tomb);
    t->origin = se->origin;
    t->floor = se->high + 1;
    session_free(s, se);
    if (s->tomb_count == SESSION_TOMBS_MAX) {
        tomb_free(s, oldest_tomb(s));
        s->forgot = true;
    }
    ASSERT(map_get(&s->tombs, t->origin) == NULL); /* X2 */
    map_put(&s->tombs, t->origin, t);
    list_add_tail(&s->tomb_order, &t->link);
    s->tomb_count++;
}

void session_drop(struct sessions *s, uint64_t origin)
{
    struct session *se = map_get(&s->by_origin, origin);

    if (se != NULL)
        bury(s, se);
}

static struct session *session_open(struct sessions *s, uint64_t origin,
                                    uint64_t floor)
{
    struct session *se;

    if (s->count == (SABOTAGE(SESSION_EARLY) ? 2 : SESSIONS_MAX))
        bury(s, coldest(s));
    se = MEM_NEW(struct session);
    se->origin = origin;
    se->low = floor;
    se->high = floor - 1;
    list_init(&se->link);
    map_put(&s->by_origin, origin, se);
    s->count++;
    return se;
}

/* The session of op's origin, made if it may be; NULL: SESSION_LOST. */
static struct session *session_of(struct sessions *s, const struct op *op)
{
    struct session *se = map_get(&s->by_origin, op->origin);
    struct tomb *t;
    uint64_t floor = 1;

    if (se != NULL)
        return se;
    t = map_get(&s->tombs, op->origin);
    if (t != NULL) {
        if (op->seq < t->floor)
            return NULL;
        floor = t->floor;
        tomb_free(s, t);
    } else if (s->forgot && (op->flags & OP_RETRY) != 0) {
        return NULL;
    }
    return session_open(s, op->origin, floor);
}

static bool too_much(const struct session *se)
{
    return se->n - se->refused >= SESSION_RESULTS_MAX ||
           se->bytes >= SESSION_RESULT_BYTES_MAX;
}

enum session_verdict session_begin(struct sessions *s, const struct op *op,
                                   int64_t clock_ms,
                                   struct op_result *ret_stored)
{
    struct session *se = session_of(s, op);
    struct op_result refusal = op_result_err(OP_ERR_SESSION_FULL);
    uint32_t i;

    ASSERT(op->origin != 0);
    ASSERT(op->low >= 1 && op->low <= op->seq);
    if (se == NULL)
        return SESSION_LOST;
    se->used_ms = clock_ms;
    list_del(&se->link);
    list_add_tail(&s->by_use, &se->link);
    if (op->seq > se->high)
        se->high = op->seq;
    if (op->low > se->low)
        settle(s, se, op->low);
    if (op->seq < se->low)
        return SESSION_LOST;
    i = lower_bound(se, op->seq);
    if (i < se->n && stored_at(se, i)->seq == op->seq) {
        *ret_stored = stored_at(se, i)->res;
        return SESSION_REPEAT;
    }
    if (!too_much(se))
        return SESSION_FRESH;
    if (se->refused == SESSION_REFUSALS_MAX)
        return SESSION_LOST;
    stored_insert(s, se, op->seq, &refusal, true);
    return SESSION_FULL;
}

void session_commit(struct sessions *s, const struct op *op,
                    const struct op_result *res)
{
    struct session *se = map_get(&s->by_origin, op->origin);

    ASSERT(se != NULL);
    stored_insert(s, se, op->seq, res, false);
}

unsigned sessions_idle(const struct sessions *s, int64_t before_ms,
                       uint64_t *ret_origins, unsigned max)
{
    unsigned n = 0;

    for (const struct list *l = s->by_use.next; l != &s->by_use; l = l->next) {
        const struct session *se = const_session(l);

        if (n == max || se->used_ms >= before_ms)
            break;
        ret_origins[n++] = se->origin;
    }
    return n;
}

/* In the order of the lists, which is part of the state: it decides who is
 * buried and forgotten first. */
uint64_t sessions_digest(const struct sessions *s)
{
    uint64_t h = s->forgot;
    uint8_t b[40];

    for (const struct list *l = s->by_use.next; l != &s->by_use; l = l->next) {
        const struct session *se = const_session(l);

        put_u64le(b, se->origin);
        put_u64le(b + 8, se->low);
        put_u64le(b + 16, se->high);
        put_u64le(b + 24, (uint64_t)se->used_ms);
        put_u64le(b + 32, se->digest);
        h = XXH3_64bits_withSeed(b, 40, h);
    }
    for (const struct list *l = s->tomb_order.next; l != &s->tomb_order;
         l = l->next) {
        const struct tomb *t =
            (const void *)((const char *)l - offsetof(struct tomb, link));

        put_u64le(b, t->origin);
        put_u64le(b + 8, t->floor);
        h = XXH3_64bits_withSeed(b, 16, h);
    }
    return h;
}

/* X1 and X3 for one session. */
static void session_check(const struct session *se)
{
    uint64_t bytes = 0, digest = 0, refused = 0;

    ASSERT(se->head + se->n <= se->cap);
    for (uint32_t i = 0; i < se->n; i++) {
        const struct stored *st = stored_at(se, i);

        ASSERT(st->seq >= se->low);
        ASSERT(st->seq <= se->high);
        ASSERT(i == 0 || stored_at(se, i - 1)->seq < st->seq);
        bytes += stored_bytes(st);
        digest += st->digest;
        refused += st->refused;
    }
    ASSERT(bytes == se->bytes);
    ASSERT(digest == se->digest);
    ASSERT(refused == se->refused);
}

void sessions_check(const struct sessions *s)
{
    uint64_t count = 0, bytes = 0;
    int64_t used = INT64_MIN;

    for (const struct list *l = s->by_use.next; l != &s->by_use; l = l->next) {
        const struct session *se = const_session(l);

        session_check(se);
        ASSERT(se->used_ms >= used); /* X2 */
        ASSERT(map_get(&s->tombs, se->origin) == NULL); /* X2 */
        used = se->used_ms;
        bytes += se->bytes;
        count++;
    }
    ASSERT(count == s->count);
    ASSERT(bytes == s->bytes); /* X3 */
    ASSERT(s->tomb_count <= SESSION_TOMBS_MAX);
}
