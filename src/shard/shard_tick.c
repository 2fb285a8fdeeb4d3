/* Housekeeping that a leader proposes: expiry ticks and dropping of idle
 * sessions.
 *
 * Expiry is a log entry (rule R3).  The leader arms a timer for the earliest
 * deadline of the state machine; when its time has passed it, it proposes TICK,
 * whose batch time moves the shard clock and expires at most 1024 keys; if more are
 * due, the next apply arms the timer again at once.  The wait is cut to a second, so
 * that a jump of the wall clock forward is noticed soon.  A clock that is set back
 * changes nothing: the leader's time (shard__time) then goes on by the monotonic
 * clock, so that keys neither live an hour longer nor come back.
 *
 * A leader that is deposed with a tick in flight loses nothing: the next leader
 * sees the same deadlines. */
#include "shard/shard_int.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/slot.h"

static void internal_propose(struct shard *s, struct shard_internal *in,
                             const struct op *op)
{
    ASSERT(!in->busy);
    buf_clear(&in->op);
    op_encode(&in->op, op);
    in->busy = true;
    in->req.op = buf_slice(&in->op);
    in->req.write = true;
    shard_submit(s, &in->req);
}

static void on_tick_done(struct shard_req *r, const struct op_result *res)
{
    struct shard *s = r->data;

    s->tick.busy = false;
    if (res->type != OP_RES_ERR || !s->ready || s->set->closing) {
        shard__tick_update(s);
        return;
    }
    /* Not at once: it would be refused again, in a circle that takes a whole
     * processor. */
    s->tick_deadline = fsm_next_deadline(s->fsm);
    env_timer_set(&s->tick_timer,
                  env_now_ms(s->set->env) + SHARD_TICK_RETRY_MS);
}

static void on_drop_done(struct shard_req *r, const struct op_result *res)
{
    struct shard *s = r->data;

    (void)res; /* a session that is still idle is found again */
    s->drop.busy = false;
}

static void on_timer(struct env_timer *t)
{
    struct shard *s = t->data;
    const struct op op = { .kind = OP_TICK, .slot = SLOT_COUNT };

    s->tick_deadline = INT64_MAX;
    if (!s->ready || s->tick.busy)
        return;
    if (fsm_next_deadline(s->fsm) <= shard__time(s))
        internal_propose(s, &s->tick, &op);
    else
        shard__tick_update(s);
}

void shard__tick_update(struct shard *s)
{
    int64_t deadline = fsm_next_deadline(s->fsm);
    int64_t wait;

    if (!s->ready || s->tick.busy || deadline == INT64_MAX ||
        s->set->closing) {
        env_timer_stop(&s->tick_timer);
        s->tick_deadline = INT64_MAX;
        return;
    }
    if (deadline == s->tick_deadline)
        return;
    s->tick_deadline = deadline;
    wait = deadline - shard__time(s);
    if (wait < 0)
        wait = 0;
    if (wait > SHARD_TICK_WAIT_MS_MAX)
        wait = SHARD_TICK_WAIT_MS_MAX;
    env_timer_set(&s->tick_timer,
                  env_now_ms(s->set->env) + (uint64_t)wait);
}

void shard__drop_sessions(struct shard *s)
{
    uint64_t origin;
    uint8_t arg[8];
    struct slice argv[1] = { slice_make(arg, sizeof arg) };
    const struct op op = { .kind = OP_SESSION_DROP,
                           .slot = SLOT_COUNT,
                           .argv = argv,
                           .argc = 1 };

    /* One at a time: the next scan finds the others. */
    if (!s->ready || s->drop.busy ||
        fsm_idle_sessions(s->fsm, SHARD_SESSION_IDLE_MS, &origin, 1) == 0)
        return;
    put_u64le(arg, origin);
    internal_propose(s, &s->drop, &op);
}

void shard__tick_init(struct shard *s)
{
    env_timer_init(s->set->env, &s->tick_timer, on_timer, s);
    s->tick_deadline = INT64_MAX;
    buf_init(&s->tick.op);
    buf_init(&s->drop.op);
    s->tick.req.cb = on_tick_done;
    s->drop.req.cb = on_drop_done;
    s->tick.req.data = s->drop.req.data = s;
}

void shard__tick_close(struct shard *s)
{
    ASSERT(!s->tick.busy && !s->drop.busy);
    env_timer_stop(&s->tick_timer);
    buf_close(&s->tick.op);
    buf_close(&s->drop.op);
}
