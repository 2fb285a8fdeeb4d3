/* Is the history of one key linearizable?
 *
 * Wing and Gong's search (Testing and Verifying Concurrent Objects, 1993) with
 * Lowe's memoization (Testing for Linearizability, 2017).  Calls and returns are a
 * linked list in order of time.  Any operation whose call is before the first
 * return may be the next to take effect: if its result fits the state, its two
 * events are taken out and the search goes on with the rest; if that fails,
 * they are put back and another is tried.  A configuration (operations taken
 * out, state) that was seen before is not entered again.  An empty list: the order
 * in which they were taken out is the proof.
 *
 * To this come:
 *
 *   L1  Operations of unknown outcome are not in the list; lin_chain.c takes
 *       them when a definite one cannot do without, and only after all steps
 *       that do without have failed.
 *   L2  A definite operation that by its result changed nothing is taken at once
 *       when its result fits, and nothing else is tried: wherever it would come
 *       later, it can come now.
 *   L3  Values that nobody sees are one value, see model.c.
 *   L4  Steps without a future are not taken, see lin_prune.c.
 *
 * Time.  `now` is the largest call among the operations taken: no operation after
 * them took effect before it.  The first return in the list is an upper limit.
 * A deadline may have passed if the upper limit is not below its earliest time,
 * and must have passed if now is above its latest.  `now` follows from the set of
 * operations taken, so it is no part of the configuration.  L2 holds with deadlines
 * too: whatever is in the list still returns after `now`, so a deadline that it
 * sets is later than that.
 *
 * Each step, and each link of a chain, counts against steps_max; that bounds
 * memory as well (about 50 bytes a step). */
#include "base/assert.h"
#include "base/mem.h"
#include "oracle/lin_int.h"

static uint32_t op_of(uint32_t node)
{
    ASSERT(node > 0);
    return (node - 1) / 2;
}

static bool is_return(uint32_t node)
{
    return node % 2 == 0;
}

static void unlink_node(struct lin *l, uint32_t node)
{
    uint32_t next = l->next[node], prev = l->prev[node];

    l->next[prev] = next;
    if (next != 0)
        l->prev[next] = prev;
}

static void relink_node(struct lin *l, uint32_t node)
{
    uint32_t next = l->next[node];

    l->next[l->prev[node]] = node;
    if (next != 0)
        l->prev[next] = node;
}

static void flip(struct lin *l, uint32_t op, bool used)
{
    ASSERT(l->ops[op].used != used);
    l->ops[op].used = used;
    l->done = lin_print_xor(l->done, lin_print_op(op));
    lin_count(l, op, used);
}

static void take(struct lin *l, uint32_t op, uint32_t chain, uint32_t n)
{
    flip(l, op, true);
    unlink_node(l, 2 * op + 1);
    unlink_node(l, 2 * op + 2);
    for (uint32_t i = 0; i < n; i++)
        flip(l, l->chain[chain + i], true);
}

static void put_back(struct lin *l, uint32_t op, uint32_t chain, uint32_t n)
{
    flip(l, op, false);
    relink_node(l, 2 * op + 2);
    relink_node(l, 2 * op + 1);
    for (uint32_t i = 0; i < n; i++)
        flip(l, l->chain[chain + i], false);
}

static void watch(struct lin *l, struct state s)
{
    for (size_t i = 0; i < l->n_watched && i < LIN_STATES_MAX; i++) {
        if (l->watched[i].value == s.value &&
            l->watched[i].deadline == s.deadline)
            return;
    }
    if (l->n_watched < LIN_STATES_MAX)
        l->watched[l->n_watched] = s;
    if (l->n_watched <= LIN_STATES_MAX)
        l->n_watched++;
}

/* The steps of one operation alone. */
static void find_direct(struct lin *l, struct lin_frame *f)
{
    for (uint32_t node = l->next[0]; !is_return(node); node = l->next[node]) {
        uint32_t op = op_of(node);
        const struct lin_op *o = &l->ops[op];
        struct lin_step s = { .op = op };

        s.now = f->now > o->call ? f->now : o->call;
        if (!lin_in_turn(l, f, op) || (!o->blind && !lin_alive(l, f->state, s.now)) ||
            !model_step(&l->model, &o->m, f->state, &s.state)) {
            if (op == l->watch)
                watch(l, f->state);
            continue;
        }
        if (o->pure && s.state.value == f->state.value &&
            s.state.deadline == f->state.deadline) {
            l->n_steps = f->steps;
            lin_add_step(l, &s);
            f->phase = LIN_GREEDY; /* L2 */
            return;
        }
        lin_add_step(l, &s);
    }
    f->phase = LIN_DIRECT;
}

static void find_chained(struct lin *l, struct lin_frame *f)
{
    uint32_t node, first_return = l->next[0];

    while (!is_return(first_return))
        first_return = l->next[first_return];
    for (node = l->next[0]; node != first_return; node = l->next[node]) {
        if (lin_in_turn(l, f, op_of(node)))
            lin_find_chains(l, f, op_of(node), op_of(first_return));
    }
    f->phase = LIN_CHAINS;
}

/* Has the frame a step left to take?  Chains are looked for only if nothing
 * else led anywhere (L1). */
static bool has_steps(struct lin *l, struct lin_frame *f)
{
    while (f->next == l->n_steps) {
        if (f->phase == LIN_CHAINS || f->phase == LIN_GREEDY)
            return false;
        l->n_steps = f->next = f->steps;
        if (f->phase == LIN_NEW)
            find_direct(l, f);
        else
            find_chained(l, f);
    }
    return true;
}

static void push(struct lin *l, const struct lin_step *s, uint32_t lowest)
{
    ASSERT(l->n_frames <= l->n_must);
    l->frames[l->n_frames++] = (struct lin_frame){
        .state = s->state,
        .now = s->now,
        .phase = LIN_NEW,
        .op = s->op,
        .chain = s->chain,
        .n_chain = s->n_chain,
        .steps = l->n_steps,
        .next = l->n_steps,
        .chain_base = l->n_chain,
        .lowest = lowest,
    };
}

static void pop(struct lin *l)
{
    struct lin_frame *f = &l->frames[--l->n_frames];

    l->n_steps = f->steps;
    l->n_chain = f->chain_base;
    if (f->op != LIN_NONE)
        put_back(l, f->op, f->chain, f->n_chain);
}

static enum oracle_verdict search(struct lin *l, struct state start)
{
    push(l, &(struct lin_step){ .op = LIN_NONE, .state = start }, 0);
    while (l->n_frames > 0) {
        struct lin_frame *f = &l->frames[l->n_frames - 1];
        struct lin_step s;

        if (l->next[0] == 0)
            return ORACLE_LINEARIZABLE;
        if (!has_steps(l, f)) {
            if (l->left == 0)
                return ORACLE_UNDECIDED;
            pop(l);
            continue;
        }
        if (l->left == 0)
            return ORACLE_UNDECIDED;
        s = l->steps[f->next++];
        l->left--;
        take(l, s.op, s.chain, s.n_chain);
        if (!lin_hopeless(l, f->state, &s) &&
            lin_set_add(&l->memo,
                        lin_print_xor(l->done, lin_print_state(s.state))))
            push(l, &s, f->lowest);
        else
            put_back(l, s.op, s.chain, s.n_chain);
    }
    return ORACLE_VIOLATION;
}

enum oracle_verdict lin_run(const struct lin_input *in, uint64_t *steps,
                            struct buf *states)
{
    struct state start = { in->from_any ? VALUE_ANY : VALUE_ABSENT,
                           DEADLINE_NONE };
    enum oracle_verdict v;
    struct lin l;

    lin_open(&l, in);
    v = search(&l, start);
    *steps += in->cfg->steps_max - l.left;
    for (size_t i = 0; states != NULL && i < l.n_watched; i++) {
        if (i > 0)
            buf_put_str(states, ", ");
        if (i < LIN_STATES_MAX)
            model_text(&l.model, l.watched[i], states);
        else
            buf_put_str(states, "and more");
    }
    lin_close(&l);
    return v;
}
