/* From the operations of a key to what the search works on.
 *
 * What does not matter is left out here: operations that failed, reads without
 * a result.  The rest is in order of calls; calls and returns are one list in
 * order of time (and of recording, where times are equal). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/lin_int.h"

struct event {
    uint64_t time, seq;
    uint32_t op;
    bool is_return;
};

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    ASSERT(x->seq != y->seq || x->op == y->op);
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static enum lin_use use_of(const struct lin_input *in, size_t i)
{
    const struct oracle_op *op = history_at(in->h, in->ops[i]);
    enum lin_use use = in->use == NULL ? LIN_AS_IS : (enum lin_use)in->use[i];

    if (use == LIN_LEFT_OUT || op->outcome == ORACLE_FAIL)
        return LIN_LEFT_OUT;
    if (op->outcome != ORACLE_OK)
        use = LIN_RELAXED;
    if (op->f == ORACLE_GET && (use == LIN_RELAXED || !op->has_result))
        return LIN_LEFT_OUT;
    return use;
}

static uint64_t add_up(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What its result tells of an operation. */
static void classify(struct lin *l, struct lin_op *o)
{
    const struct model_op *m = &o->m;
    bool zero = m->checked && m->number == 0;
    bool one = m->checked && m->number == 1;

    switch (m->f) {
    case ORACLE_GET:
        o->pure = true;
        break;
    case ORACLE_SET:
        o->blind = true;
        break;
    case ORACLE_SETNX:
    case ORACLE_CAS:
        o->pure = zero;
        o->settled = one;
        break;
    case ORACLE_DEL:
        o->blind = !m->checked;
        o->pure = zero;
        o->settled = true;
        break;
    case ORACLE_GETDEL:
        o->blind = !m->checked;
        o->pure = m->checked && m->result == VALUE_ABSENT;
        o->settled = true;
        break;
    case ORACLE_INCR:
        o->settled = m->checked && !l->model.has_ttl;
        break;
    case ORACLE_PERSIST:
        o->pure = zero;
        break;
    case ORACLE_APPEND:
    case ORACLE_F_COUNT:
        break;
    }
}

/* Would it make no difference if a and b, of unknown outcome, changed places?
 * Nobody can tell tokens apart that no result shows. */
static bool same(const struct lin_op *a, const struct lin_op *b)
{
    const struct model_op *x = &a->m, *y = &b->m;

    if (x->f != y->f || x->deadline != DEADLINE_NONE ||
        y->deadline != DEADLINE_NONE)
        return false;
    if (x->f == ORACLE_APPEND && !slice_eq(x->text, y->text))
        return !a->shown && !b->shown && x->text.n == y->text.n;
    return x->arg == y->arg && x->expect == y->expect && x->by == y->by;
}

static void find_twin(struct lin *l, uint32_t op)
{
    l->ops[op].twin = LIN_NONE;
    for (uint32_t i = l->n_maybe; i-- > 0;) {
        if (same(&l->ops[l->maybe[i]], &l->ops[op])) {
            l->ops[op].twin = l->maybe[i];
            return;
        }
    }
}

static void prepare_op(struct lin *l, const struct lin_input *in, uint32_t i)
{
    struct lin_op *o = &l->ops[i];
    const struct oracle_op *op = history_at(in->h, in->ops[o->at]);
    const struct oracle_config *cfg = in->cfg;

    model_prepare(&l->model, op, o->must, i + 1, &o->m);
    classify(l, o);
    o->earliest = add_up(op->call, op->ttl);
    o->earliest = o->earliest < cfg->early ? 0 : o->earliest - cfg->early;
    o->latest = add_up(add_up(o->ret, op->ttl), cfg->late);
    if (o->must) {
        l->n_must++;
        return;
    }
    o->shown = op->f == ORACLE_APPEND &&
               (l->model.exact || l->model.has_incr ||
                model_shows(&l->model, op->arg));
    find_twin(l, i);
    l->maybe[l->n_maybe++] = i;
    l->maybe_cas = l->maybe_cas || op->f == ORACLE_CAS;
    l->maybe_incr = l->maybe_incr || op->f == ORACLE_INCR;
}

/* Calls of the definite ones, and returns, become the list. */
static void link_events(struct lin *l, const struct event *ev, size_t n)
{
    uint32_t last = 0;

    l->next = mem_calloc(2 * (size_t)l->n_ops + 3, sizeof *l->next);
    l->prev = mem_calloc(2 * (size_t)l->n_ops + 3, sizeof *l->prev);
    for (size_t i = 0; i < n; i++) {
        struct lin_op *o = &l->ops[ev[i].op];
        uint32_t node = 2 * ev[i].op + (ev[i].is_return ? 2 : 1);

        if (ev[i].is_return)
            o->ret_pos = i;
        else
            o->call_pos = i;
        if (!o->must)
            continue;
        l->next[last] = node;
        l->prev[node] = last;
        last = node;
    }
}

static size_t add_events(const struct lin *l, const struct lin_input *in,
                         struct event *ev)
{
    size_t n = 0;

    for (uint32_t i = 0; i < l->n_ops; i++) {
        size_t number = in->ops[l->ops[i].at];

        ev[n++] = (struct event){ .time = l->ops[i].call,
                                  .seq = history__call_seq(in->h, number),
                                  .op = i };
        if (l->ops[i].must)
            ev[n++] = (struct event){ .time = l->ops[i].ret,
                                      .seq = history__ret_seq(in->h, number),
                                      .op = i,
                                      .is_return = true };
    }
    return n;
}

/* Numbers of ops follow their calls, so that unknown ones are in that order. */
static void sort_by_call(struct lin *l, const struct lin_input *in)
{
    struct event *ev = mem_calloc((size_t)l->n_ops + 1, sizeof *ev);
    struct lin_op *sorted = mem_calloc((size_t)l->n_ops + 1, sizeof *sorted);

    for (uint32_t i = 0; i < l->n_ops; i++)
        ev[i] = (struct event){
            .time = l->ops[i].call,
            .seq = history__call_seq(in->h, in->ops[l->ops[i].at]),
            .op = i
        };
    qsort(ev, l->n_ops, sizeof *ev, by_time);
    for (uint32_t i = 0; i < l->n_ops; i++)
        sorted[i] = l->ops[ev[i].op];
    mem_free(l->ops);
    l->ops = sorted;
    mem_free(ev);
}

static void take_ops(struct lin *l, const struct lin_input *in)
{
    l->ops = mem_calloc(in->n + 1, sizeof *l->ops);
    for (size_t i = 0; i < in->n; i++) {
        const struct oracle_op *op = history_at(in->h, in->ops[i]);
        enum lin_use use = use_of(in, i);
        bool must = use == LIN_AS_IS;

        if (use == LIN_LEFT_OUT)
            continue;
        l->ops[l->n_ops++] = (struct lin_op){
            .at = i,
            .must = must,
            .call = op->call,
            .ret = must ? op->ret : ORACLE_NEVER,
            .call_pos = UINT64_MAX,
            .ret_pos = UINT64_MAX,
            .twin = LIN_NONE,
        };
        model_look(&l->model, op, must);
    }
    model_look_done(&l->model);
}

void lin_open(struct lin *l, const struct lin_input *in)
{
    struct event *ev;
    size_t n;

    ASSERT(in->n < UINT32_MAX / 4);
    *l = (struct lin){ .left = in->cfg->steps_max, .watch = LIN_NONE };
    model_init(&l->model);
    l->model.exact = in->exact;
    take_ops(l, in);
    sort_by_call(l, in);
    l->maybe = mem_calloc((size_t)l->n_ops + 1, sizeof *l->maybe);
    for (uint32_t i = 0; i < l->n_ops; i++) {
        prepare_op(l, in, i);
        if (l->ops[i].at == in->watch)
            l->watch = i;
    }
    ev = mem_calloc(2 * (size_t)l->n_ops + 1, sizeof *ev);
    n = add_events(l, in, ev);
    qsort(ev, n, sizeof *ev, by_time);
    link_events(l, ev, n);
    mem_free(ev);
    lin_prepare_prune(l);
    lin_set_init(&l->memo, 256);
    lin_set_init(&l->seen, 64);
    l->frames = mem_calloc((size_t)l->n_must + 1, sizeof *l->frames);
}

void lin_close(struct lin *l)
{
    model_close(&l->model);
    lin_set_close(&l->memo);
    lin_set_close(&l->seen);
    mem_free(l->ops);
    mem_free(l->maybe);
    mem_free(l->ranks);
    mem_free(l->supply);
    mem_free(l->next);
    mem_free(l->prev);
    mem_free(l->links);
    mem_free(l->steps);
    mem_free(l->chain);
    mem_free(l->frames);
}
