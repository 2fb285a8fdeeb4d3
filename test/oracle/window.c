/* Which few operations show that a history is not linearizable?
 *
 * A whole history says nothing to a reader.  Three cuts make it small; each
 * only takes constraints away, so what is left over is still a proof:
 *
 *   W1  the end: the shortest prefix (by returns) that is not linearizable;
 *       what had not returned by then is as if its outcome were not known.  The
 *       operation that returns last is the one that cannot be placed.
 *   W2  the beginning: the latest call from which on there is still no order,
 *       whatever the state was there; what had returned before is left out, what
 *       was under way is as if its outcome were not known
 *   W3  the middle: of the rest, every operation whose result does not matter
 *       (halves, quarters, ... down to single ones) is as if its outcome were not
 *       known
 *
 * W1 and W2 are found by bisection, since more constraints never make a history
 * linearizable.  If the key's being absent at the beginning matters (a value that
 * nobody wrote), there is no W2. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/oracle_int.h"

/* Steps that looking for the states before the last operation may take. */
#define STATES_STEPS_MAX 100000u
/* Steps for one question, and for all of a window: a window that is too large
 * is a pity, and no wrong verdict. */
#define ONE_STEPS_MAX 2000000u
#define ALL_STEPS_MAX 20000000u
/* Operations of the text that are no part of the window. */
#define RELAXED_SHOWN 8u

struct moment {
    uint64_t time, seq;
    size_t i; /* index into ops */
};

struct window {
    const struct history *h;
    const size_t *ops;
    size_t n;
    struct oracle_config cfg;
    uint64_t steps;        /* so far */
    struct moment *calls;  /* owned: of definite operations, sorted */
    struct moment *rets;   /* owned */
    size_t m;              /* of calls, rets */
    uint8_t *use, *before; /* owned: enum lin_use; before: after W1 alone */
    bool from_any;
    size_t last;           /* index into ops */
};

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Is what is left surely not linearizable? */
static bool fails(struct window *w, bool from_any)
{
    struct lin_input in = {
        .h = w->h, .ops = w->ops, .n = w->n, .use = w->use,
        .from_any = from_any, .watch = SIZE_MAX, .cfg = &w->cfg
    };

    if (w->steps >= ALL_STEPS_MAX)
        return false;
    return lin_run(&in, &w->steps, NULL) == ORACLE_VIOLATION;
}

static struct moment call_of(const struct window *w, size_t i)
{
    return (struct moment){ history_at(w->h, w->ops[i])->call,
                            history__call_seq(w->h, w->ops[i]), i };
}

static struct moment ret_of(const struct window *w, size_t i)
{
    return (struct moment){ history_at(w->h, w->ops[i])->ret,
                            history__ret_seq(w->h, w->ops[i]), i };
}

static bool definite(const struct window *w, size_t i)
{
    return history_at(w->h, w->ops[i])->outcome == ORACLE_OK;
}

/* ---- W1 ---- */

static void cut_end(struct window *w, size_t n_returns)
{
    const struct moment *end = &w->rets[n_returns - 1];

    for (size_t i = 0; i < w->n; i++) {
        struct moment call = call_of(w, i), ret = ret_of(w, i);

        if (by_time(&call, end) > 0)
            w->use[i] = LIN_LEFT_OUT;
        else if (!definite(w, i) || by_time(&ret, end) > 0)
            w->use[i] = LIN_RELAXED;
        else
            w->use[i] = LIN_AS_IS;
    }
}

static void find_end(struct window *w)
{
    size_t good = 0, bad = w->m;

    while (bad - good > 1) {
        size_t mid = good + (bad - good) / 2;

        cut_end(w, mid);
        if (fails(w, false))
            bad = mid;
        else
            good = mid;
    }
    cut_end(w, bad);
    w->last = w->rets[bad - 1].i;
    memcpy(w->before, w->use, w->n);
}

/* ---- W2 ---- */

static void cut_begin(struct window *w, const struct moment *begin)
{
    for (size_t i = 0; i < w->n; i++) {
        struct moment call = call_of(w, i), ret = ret_of(w, i);

        w->use[i] = w->before[i];
        if (w->use[i] != LIN_AS_IS || by_time(&call, begin) >= 0)
            continue;
        w->use[i] = by_time(&ret, begin) < 0 ? LIN_LEFT_OUT : LIN_RELAXED;
    }
}

static void find_begin(struct window *w)
{
    size_t bad = 0, good = w->m;

    cut_begin(w, &w->calls[0]);
    w->from_any = fails(w, true);
    if (!w->from_any) {
        memcpy(w->use, w->before, w->n);
        return;
    }
    while (good - bad > 1) {
        size_t mid = bad + (good - bad) / 2;

        cut_begin(w, &w->calls[mid]);
        if (fails(w, true))
            bad = mid;
        else
            good = mid;
    }
    cut_begin(w, &w->calls[bad]);
}

/* ---- W3 ---- */

/* Relax count of the operations at list, if that still fails. */
static void relax(struct window *w, const size_t *list, size_t count)
{
    bool any = false;

    for (size_t i = 0; i < count; i++)
        any = any || w->use[list[i]] == LIN_AS_IS;
    if (!any)
        return;
    for (size_t i = 0; i < count; i++) {
        ASSERT(w->use[list[i]] != LIN_LEFT_OUT);
        w->use[list[i]] = LIN_RELAXED;
    }
    if (fails(w, w->from_any))
        return;
    for (size_t i = 0; i < count; i++)
        w->use[list[i]] = LIN_AS_IS;
}

/* A chunk is relaxed as a whole or not at all: one that still fails stays so,
 * and is then skipped by the smaller ones. */
static void thin_out(struct window *w)
{
    size_t *list = mem_calloc(w->n + 1, sizeof *list);

    for (size_t chunk = w->n; chunk > 0; chunk /= 2) {
        size_t n = 0;

        for (size_t i = 0; i < w->n; i++) {
            if (w->use[i] == LIN_AS_IS && i != w->last)
                list[n++] = i;
        }
        for (size_t at = 0; at < n; at += chunk)
            relax(w, list + at, n - at < chunk ? n - at : chunk);
    }
    mem_free(list);
}

/* ---- telling it ---- */

static void tell_op(const struct window *w, size_t i, struct buf *b)
{
    const struct oracle_op *op = history_at(w->h, w->ops[i]);

    buf_printf(b, "  #%zu process %" PRIu32 " [%" PRIu64 " .. ", w->ops[i],
               op->process, op->call);
    if (op->ret != ORACLE_NEVER)
        buf_printf(b, "%" PRIu64 "] ", op->ret);
    else
        buf_put_str(b, "] ");
    text_op(b, op);
    if (i == w->last)
        buf_put_str(b, "   <- cannot be placed");
    buf_put_u8(b, '\n');
}

static void tell_states(struct window *w, struct buf *b)
{
    struct lin_input in = {
        .h = w->h, .ops = w->ops, .n = w->n, .use = w->before,
        .exact = true, .watch = w->last, .cfg = &w->cfg
    };
    struct buf states;

    buf_init(&states);
    w->cfg.steps_max = STATES_STEPS_MAX;
    lin_run(&in, &w->steps, &states);
    if (states.len > 0) {
        buf_put_str(b, "states in which the last one was tried: ");
        buf_put_slice(b, buf_slice(&states));
        buf_put_u8(b, '\n');
    }
    buf_close(&states);
}

/* Writes that may have happened or not are part of the story. */
static void tell_relaxed(const struct window *w, struct buf *b)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n; i++) {
        const struct oracle_op *op = history_at(w->h, w->ops[i]);

        if (w->use[i] != LIN_RELAXED || op->outcome == ORACLE_FAIL ||
            op->f == ORACLE_GET)
            continue;
        if (n++ == 0)
            buf_put_str(b, "also if these happened, or did not, at any time "
                           "after their calls:\n");
        if (n <= RELAXED_SHOWN)
            tell_op(w, i, b);
    }
    if (n > RELAXED_SHOWN)
        buf_printf(b, "  and %zu more\n", n - RELAXED_SHOWN);
}

static void tell(struct window *w, struct oracle_report *r)
{
    struct buf b;

    buf_init(&b);
    buf_put_str(&b, "key ");
    text_bytes(&b, history_at(w->h, w->ops[w->last])->key);
    buf_printf(&b, ": no order of these operations fits their results, %s:\n",
               w->from_any ? "whatever the state before them"
                           : "beginning with no such key");
    r->window = mem_calloc(w->n + 1, sizeof *r->window);
    for (size_t i = 0; i < w->n; i++) {
        if (w->use[i] != LIN_AS_IS)
            continue;
        r->window[r->n_window++] = w->ops[i];
        tell_op(w, i, &b);
    }
    tell_relaxed(w, &b);
    tell_states(w, &b);
    tokens_tell(w->h, w->ops, w->n, &b);
    buf_put_u8(&b, '\0');
    r->text = mem_strdup((const char *)buf_at(&b));
    buf_close(&b);
}

void window_find(const struct history *h, const size_t *ops, size_t n,
                 const struct oracle_config *cfg, struct oracle_report *r)
{
    struct window w = {
        .h = h, .ops = ops, .n = n, .cfg = *cfg
    };

    ASSERT(n > 0 && r->window == NULL);
    w.calls = mem_calloc(n, sizeof *w.calls);
    w.rets = mem_calloc(n, sizeof *w.rets);
    w.use = mem_calloc(n, sizeof *w.use);
    w.before = mem_calloc(n, sizeof *w.before);
    for (size_t i = 0; i < n; i++) {
        if (!definite(&w, i))
            continue;
        w.calls[w.m] = call_of(&w, i);
        w.rets[w.m++] = ret_of(&w, i);
    }
    ASSERT(w.m > 0);
    w.cfg.steps_max = ONE_STEPS_MAX;
    qsort(w.calls, w.m, sizeof *w.calls, by_time);
    qsort(w.rets, w.m, sizeof *w.rets, by_time);
    find_end(&w);
    find_begin(&w);
    thin_out(&w);
    tell(&w, r);
    r->steps += w.steps;
    mem_free(w.calls);
    mem_free(w.rets);
    mem_free(w.use);
    mem_free(w.before);
}
