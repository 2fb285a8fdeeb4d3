/* Operations of unknown outcome: which of them must have happened before a
 * definite one, for its result to be what it was.
 *
 * An unknown operation may take effect at any time after its call, or never.
 * To try all subsets at all times would be hopeless, and there is no need: if
 * some order of all operations is right, then one is in which each unknown
 * operation stands as late as it can, right before a definite operation that
 * needs it.  A chain is what stands there: unknown operations, and at most one
 * passing of a deadline.  It is looked for breadth first from the state before
 * it, and these may be skipped:
 *
 *   C1  no chain before a blind write: without the chain the same state follows
 *   C2  no longer chain when a shorter one will do, if the definite operation
 *       changes nothing (the rest can as well come after it), or if the state
 *       after it follows from its result
 *   C3  what overwrites (SET, DEL) only begins a chain, and so does the
 *       passing of a deadline, unless it is that of such a SET
 *   C4  of two that are just the same, the one called first goes first
 *   C5  none that changes nothing, and of INCRs in a row only those in order
 *   C6  none that makes the value too long, or other than the one wanted, if
 *       nothing in a chain could undo that
 *
 * What is left over at the end never happened. */
#include "base/assert.h"
#include "base/mem.h"
#include "oracle/lin_int.h"

/* Far enough from the ends of int64_t. */
#define SUM_SMALL ((int64_t)1 << 60)

bool lin_alive(const struct lin *l, struct state s, uint64_t now)
{
    if (s.deadline == DEADLINE_NONE || s.deadline == DEADLINE_ANY)
        return true;
    ASSERT(s.deadline <= l->n_ops);
    return now <= l->ops[s.deadline - 1].latest;
}

static bool may_expire(const struct lin *l, struct state s, uint64_t until)
{
    if (s.deadline == DEADLINE_NONE)
        return false;
    if (s.deadline == DEADLINE_ANY)
        return true;
    ASSERT(s.deadline <= l->n_ops);
    return until >= l->ops[s.deadline - 1].earliest;
}

void lin_add_step(struct lin *l, const struct lin_step *s)
{
    if (l->n_steps == l->cap_steps) {
        l->cap_steps = l->cap_steps == 0 ? 64 : 2 * l->cap_steps;
        l->steps = mem_realloc(l->steps, l->cap_steps * sizeof *l->steps);
    }
    l->steps[l->n_steps++] = *s;
}

static void add_link(struct lin *l, const struct lin_link *link)
{
    struct lin_print p = lin_print_state(link->state);

    if (l->left == 0 || !lin_set_add(&l->seen, lin_print_xor(link->print, p)))
        return;
    l->left--;
    if (l->n_links == l->cap_links) {
        l->cap_links = l->cap_links == 0 ? 64 : 2 * l->cap_links;
        l->links = mem_realloc(l->links, l->cap_links * sizeof *l->links);
    }
    l->links[l->n_links++] = *link;
}

static bool in_chain(const struct lin *l, uint32_t link, uint32_t op)
{
    for (; link != 0; link = l->links[link].parent) {
        if (l->links[link].op == op)
            return true;
    }
    return false;
}

/* C6: can a chain that has come to value v still serve definite operation n? */
static bool can_serve(const struct lin *l, const struct model_op *n,
                      uint32_t v)
{
    const struct model *m = &l->model;

    if (l->maybe_cas || (l->maybe_incr && model_may_count(m, v)) || v < 2 ||
        !n->checked)
        return true;
    if (n->f == ORACLE_GET || n->f == ORACLE_GETDEL)
        return model_is_prefix(m, v, n->result);
    if (n->f == ORACLE_CAS && n->number == 1)
        return model_is_prefix(m, v, n->expect);
    if (n->f == ORACLE_APPEND)
        return model_length(m, v) + n->text.n <= (uint64_t)n->number;
    return true;
}

/* C5: would op and the one before it do the same in the other order, which is
 * looked at too?  Not if a sum could overflow on the way. */
static bool out_of_order(const struct lin *l, const struct lin_link *from,
                         uint32_t op)
{
    const struct lin_op *last;
    const struct value *v = &l->model.values[from->state.value];

    if (from->op == LIN_NONE || op > from->op)
        return false;
    last = &l->ops[from->op];
    return last->m.f == ORACLE_INCR && l->ops[op].m.f == ORACLE_INCR &&
           v->is_integer && v->integer < SUM_SMALL && v->integer > -SUM_SMALL &&
           l->ops[op].m.by < SUM_SMALL && l->ops[op].m.by > -SUM_SMALL &&
           last->m.by < SUM_SMALL && last->m.by > -SUM_SMALL;
}

static void extend(struct lin *l, uint32_t link, uint32_t op,
                   const struct model_op *wanted)
{
    struct lin_link from = l->links[link], to = from;
    const struct lin_op *o = &l->ops[op];

    if (o->used || out_of_order(l, &from, op) || in_chain(l, link, op))
        return;
    if (o->twin != LIN_NONE && !l->ops[o->twin].used &&
        !in_chain(l, link, o->twin))
        return; /* C4 */
    if (o->blind && from.depth > 0)
        return; /* C3 */
    to.now = from.now > o->call ? from.now : o->call;
    if (!o->blind && !lin_alive(l, from.state, to.now))
        return;
    if (!model_step(&l->model, &o->m, from.state, &to.state))
        return;
    if (to.state.value == from.state.value &&
        to.state.deadline == from.state.deadline)
        return; /* C5 */
    if (o->m.f == ORACLE_APPEND && !can_serve(l, wanted, to.state.value))
        return;
    to.parent = link;
    to.op = op;
    to.depth = from.depth + 1;
    to.may_expire = o->m.f == ORACLE_SET;
    to.print = lin_print_xor(from.print, lin_print_op(op));
    add_link(l, &to);
}

static void extend_all(struct lin *l, uint32_t link, uint32_t op,
                       uint32_t first_return)
{
    const struct lin_op *limit = &l->ops[first_return];
    struct lin_link from = l->links[link];

    if (from.may_expire && may_expire(l, from.state, limit->ret)) {
        struct lin_link to = from;

        to.state = (struct state){ VALUE_ABSENT, DEADLINE_NONE };
        to.parent = link;
        to.op = LIN_NONE;
        to.depth++;
        to.may_expire = false;
        add_link(l, &to);
    }
    for (uint32_t i = 0; i < l->n_maybe; i++) {
        uint32_t u = l->maybe[i];

        if (l->ops[u].call_pos > limit->ret_pos)
            break;
        extend(l, link, u, &l->ops[op].m);
    }
}

/* The step that ends with op after the chain that ends at link. */
static void add_chain(struct lin *l, uint32_t link, struct lin_step *s)
{
    s->n_chain = 0;
    s->chain = (uint32_t)l->n_chain;
    for (uint32_t i = link; i != 0; i = l->links[i].parent) {
        if (l->links[i].op == LIN_NONE)
            continue;
        if (l->n_chain == l->cap_chain) {
            l->cap_chain = l->cap_chain == 0 ? 64 : 2 * l->cap_chain;
            l->chain = mem_realloc(l->chain, l->cap_chain * sizeof *l->chain);
        }
        l->chain[l->n_chain++] = l->links[i].op;
        s->n_chain++;
    }
    lin_add_step(l, s);
}

void lin_find_chains(struct lin *l, const struct lin_frame *f, uint32_t op,
                     uint32_t first_return)
{
    const struct lin_op *o = &l->ops[op];

    ASSERT(o->must && !o->used);
    if (o->blind)
        return; /* C1 */
    lin_set_clear(&l->seen);
    l->n_links = 0;
    add_link(l, &(struct lin_link){ .state = f->state,
                                    .op = LIN_NONE,
                                    .may_expire = true,
                                    .now = f->now,
                                    .print = l->done });
    for (uint32_t i = 0; i < l->n_links && l->left > 0; i++) {
        struct lin_link link = l->links[i];
        struct lin_step s = { .op = op };

        s.now = link.now > o->call ? link.now : o->call;
        if (lin_alive(l, link.state, s.now) &&
            model_step(&l->model, &o->m, link.state, &s.state)) {
            if (i > 0)
                add_chain(l, i, &s);
            if (o->pure || o->settled)
                continue; /* C2 */
        }
        extend_all(l, i, op, first_return);
    }
}
