/* What has no future: steps after which some definite operation can never be placed.
 *
 * The search would find that out by itself, after trying all orders of what comes
 * between.  Two cases are frequent and can be seen at once:
 *
 *   P1  Turn.  If the key is only counted up, or only appended to, its number (or
 *       length) never falls, and each result tells what it was.  Of all that is
 *       left, the operation with the lowest comes next.
 *   P2  Lost values.  A value that is overwritten, while a definite operation
 *       that is left has to find it there and no operation is left that writes
 *       it.  Not where INCR or APPEND could make it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/lin_int.h"

/* ---- P1 ---- */

static bool rank_of(const struct lin *l, const struct lin_op *o, int64_t *ret)
{
    const struct model *m = &l->model;
    const struct value *v;

    if (o->m.f == ORACLE_INCR)
        return !__builtin_sub_overflow(o->m.number, o->m.by, ret);
    if (o->m.f == ORACLE_APPEND) {
        *ret = o->m.number - (int64_t)o->m.text.n;
        return *ret >= 0;
    }
    ASSERT(o->m.f == ORACLE_GET);
    if (o->m.result == VALUE_ABSENT) {
        *ret = INT64_MIN;
        return true;
    }
    v = &m->values[o->m.result];
    *ret = m->has_incr ? v->integer : (int64_t)v->n;
    return v->is_integer || !m->has_incr;
}

static int by_rank(const void *a, const void *b)
{
    const struct lin_rank *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->op < y->op ? -1 : x->op > y->op;
}

/* Does this operation never make the number, or the length, smaller? */
static bool rises(const struct lin_op *o, enum oracle_f f)
{
    if (o->m.f == ORACLE_GET)
        return true;
    return o->m.f == f && (f == ORACLE_APPEND ? o->m.text.n > 0 : o->m.by > 0);
}

static void prepare_ranks(struct lin *l)
{
    enum oracle_f f = l->model.has_incr ? ORACLE_INCR : ORACLE_APPEND;

    l->ranks = mem_calloc((size_t)l->n_ops + 1, sizeof *l->ranks);
    for (uint32_t i = 0; i < l->n_ops; i++) {
        struct lin_op *o = &l->ops[i];
        int64_t rank = 0;

        if (!rises(o, f) || (o->must && o->m.checked && !rank_of(l, o, &rank))) {
            for (uint32_t j = 0; j < l->n_ops; j++)
                l->ops[j].ranked = false;
            l->n_ranks = 0;
            return;
        }
        o->ranked = o->must && o->m.checked;
        o->rank = rank;
        if (o->ranked)
            l->ranks[l->n_ranks++] =
                (struct lin_rank){ .rank = rank, .op = i };
    }
    qsort(l->ranks, l->n_ranks, sizeof *l->ranks, by_rank);
}

bool lin_in_turn(const struct lin *l, struct lin_frame *f, uint32_t op)
{
    while (f->lowest < l->n_ranks && l->ops[l->ranks[f->lowest].op].used)
        f->lowest++;
    if (!l->ops[op].ranked)
        return true;
    ASSERT(f->lowest < l->n_ranks);
    return l->ops[op].rank == l->ranks[f->lowest].rank;
}

/* ---- P2 ---- */

/* The value that o has to find; VALUE_ABSENT: none in particular. */
static uint32_t wants(const struct lin_op *o)
{
    const struct model_op *m = &o->m;

    if (!o->must || !m->checked)
        return VALUE_ABSENT;
    if (m->f == ORACLE_GET || m->f == ORACLE_GETDEL)
        return m->result;
    return m->f == ORACLE_CAS && m->number == 1 ? m->expect : VALUE_ABSENT;
}

static uint32_t makes(const struct lin_op *o)
{
    bool writes = o->m.f == ORACLE_SET || o->m.f == ORACLE_SETNX ||
                  o->m.f == ORACLE_CAS;

    return writes && !o->pure ? o->m.arg : VALUE_ABSENT;
}

void lin_count(struct lin *l, uint32_t op, bool taken)
{
    const struct lin_op *o = &l->ops[op];
    uint32_t step = taken ? UINT32_MAX : 1; /* -1 or 1 */

    if (l->supply == NULL)
        return;
    l->supply[wants(o)].wanted += step;
    l->supply[makes(o)].makers += step;
}

static void prepare_supply(struct lin *l)
{
    for (uint32_t i = 0; i < l->n_ops; i++) {
        if (l->ops[i].m.f == ORACLE_INCR || l->ops[i].m.f == ORACLE_APPEND)
            return;
    }
    l->supply = mem_calloc(l->model.n_values, sizeof *l->supply);
    for (uint32_t i = 0; i < l->n_ops; i++)
        lin_count(l, i, false);
}

static bool lost(const struct lin *l, uint32_t value, uint32_t now)
{
    return value > VALUE_ANY && value != now &&
           l->supply[value].wanted > 0 && l->supply[value].makers == 0;
}

bool lin_hopeless(const struct lin *l, struct state before,
                  const struct lin_step *s)
{
    if (l->supply == NULL)
        return false;
    if (lost(l, before.value, s->state.value) ||
        lost(l, makes(&l->ops[s->op]), s->state.value))
        return true;
    for (uint32_t i = 0; i < s->n_chain; i++) {
        if (lost(l, makes(&l->ops[l->chain[s->chain + i]]), s->state.value))
            return true;
    }
    return false;
}

void lin_prepare_prune(struct lin *l)
{
    /* A text is to name the states in which the last operation was tried, also
     * those of which it is clear before that they will not do. */
    if (l->model.exact)
        return;
    prepare_ranks(l);
    prepare_supply(l);
}
