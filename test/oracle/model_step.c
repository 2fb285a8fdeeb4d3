/* What each operation does to a state, and what it then answers.
 *
 * The states and values are those of model.c.  An operation whose result is known
 * (checked) fits a state or does not; one whose result is not known fits wherever
 * Redis would not answer with an error.  In a state of which little is known
 * (VALUE_ANY, VALUE_BLUR) an operation fits if it could, and the state after it
 * contains all that are possible then. */
#include <stdio.h>

#include "base/assert.h"
#include "oracle/oracle_int.h"

static const struct state absent = { VALUE_ABSENT, DEADLINE_NONE };

static struct state plain(uint32_t value, uint32_t deadline)
{
    return (struct state){ value, deadline };
}

/* Could a key in state s hold `value` (or be absent)? */
static bool may_be(const struct model *m, struct state s, uint32_t value)
{
    const struct value *a = &m->values[s.value], *b = &m->values[value];

    if (s.value == value || s.value == VALUE_ANY)
        return true;
    if (s.value < 2 || value < 2 || a->kind != VALUE_BLUR)
        return false;
    return b->kind == VALUE_PLAIN && b->n == a->blur + a->n &&
           slice_eq(model__bytes(m, a),
                    slice_make(model__bytes(m, b).p + a->blur, a->n));
}

/* What is known of the key once it is seen to hold `value`. */
static struct state seen_as(const struct model *m, struct state s,
                            uint32_t value)
{
    if (value == VALUE_ABSENT)
        return absent;
    if (s.value == VALUE_ANY)
        return plain(value, m->has_ttl ? DEADLINE_ANY : DEADLINE_NONE);
    return plain(value, s.deadline);
}

static bool step_get(const struct model_op *op, const struct model *m,
                     struct state s, struct state *ret)
{
    if (!op->checked) {
        *ret = s;
        return true;
    }
    if (!may_be(m, s, op->result))
        return false;
    *ret = seen_as(m, s, op->result);
    return true;
}

static bool step_setnx(const struct model_op *op, struct state s,
                       struct state *ret)
{
    bool was_there = s.value != VALUE_ABSENT;

    if (s.value == VALUE_ANY)
        was_there = !op->checked || op->number == 0;
    if (op->checked && was_there != (op->number == 0))
        return false;
    *ret = was_there ? s : plain(op->arg, op->deadline);
    return true;
}

static bool step_cas(const struct model_op *op, const struct model *m,
                     struct state s, struct state *ret)
{
    bool may = may_be(m, s, op->expect);
    bool must = s.value == op->expect;

    if (op->checked && op->number == 1 && !may)
        return false;
    if (op->checked && op->number == 0 && must)
        return false;
    if (op->checked ? op->number == 1 : must)
        *ret = plain(op->arg, DEADLINE_NONE);
    else
        *ret = s;
    return true;
}

static bool step_del(const struct model_op *op, struct state s,
                     struct state *ret)
{
    if (op->checked && s.value != VALUE_ANY &&
        op->number != (s.value != VALUE_ABSENT))
        return false;
    *ret = absent;
    return true;
}

static uint32_t number_value(struct model *m, int64_t n)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)n);
    return model__written(m, slice_str(text));
}

static bool step_incr(const struct model_op *op, struct model *m,
                      struct state s, struct state *ret)
{
    const struct value *v = &m->values[s.value];
    int64_t sum;

    if (s.value == VALUE_ANY ||
        (s.value != VALUE_ABSENT && v->kind == VALUE_BLUR)) {
        if (!op->checked)
            *ret = plain(VALUE_ANY, DEADLINE_NONE);
        else
            *ret = seen_as(m, s, number_value(m, op->number));
        return true;
    }
    sum = 0;
    if (s.value != VALUE_ABSENT) {
        if (!v->is_integer)
            return false;
        sum = v->integer;
    }
    if (__builtin_add_overflow(sum, op->by, &sum))
        return false;
    if (op->checked && sum != op->number)
        return false;
    *ret = plain(number_value(m, sum), s.deadline);
    return true;
}

/* To a key of which nothing is known. */
static bool append_any(const struct model_op *op, struct model *m,
                       struct state *ret)
{
    uint64_t len = (uint64_t)op->number;

    *ret = plain(VALUE_ANY, DEADLINE_NONE);
    if (!op->checked)
        return true;
    if (op->number < 0 || len < op->text.n)
        return false;
    if (len == op->text.n)
        ret->value = model__written(m, op->text);
    else
        ret->value = model__blurred(m, len - op->text.n, op->text);
    ret->deadline = m->has_ttl ? DEADLINE_ANY : DEADLINE_NONE;
    return true;
}

static bool step_append(const struct model_op *op, struct model *m,
                        struct state s, struct state *ret)
{
    struct value v = m->values[s.value];
    struct buf b;

    if (s.value == VALUE_ANY)
        return append_any(op, m, ret);
    if (op->checked && (op->number < 0 ||
                        v.blur + v.n + op->text.n != (uint64_t)op->number))
        return false;
    if (s.value == VALUE_ABSENT) {
        *ret = plain(model__written(m, op->text), DEADLINE_NONE);
        return true;
    }
    ret->deadline = s.deadline;
    if (v.kind == VALUE_JUNK) {
        ret->value = model__junk(m, v.blur + op->text.n);
        return true;
    }
    buf_init(&b);
    buf_put_slice(&b, model__bytes(m, &v));
    buf_put_slice(&b, op->text);
    if (v.kind == VALUE_BLUR)
        ret->value = model__blurred(m, v.blur, buf_slice(&b));
    else
        ret->value = model__written(m, buf_slice(&b));
    buf_close(&b);
    return true;
}

static bool step_persist(const struct model_op *op, struct state s,
                         struct state *ret)
{
    if (s.value == VALUE_ANY) {
        *ret = s;
        return true;
    }
    if (op->checked && op->number == 1 && s.deadline == DEADLINE_NONE)
        return false;
    if (op->checked && op->number == 0 && s.deadline != DEADLINE_NONE &&
        s.deadline != DEADLINE_ANY)
        return false;
    *ret = plain(s.value, DEADLINE_NONE);
    return true;
}

bool model_step(struct model *m, const struct model_op *op, struct state s,
                struct state *ret)
{
    ASSERT(s.value < m->n_values);
    ASSERT(s.value != VALUE_ABSENT || s.deadline == DEADLINE_NONE);
    switch (op->f) {
    case ORACLE_GET:
        return step_get(op, m, s, ret);
    case ORACLE_SET:
        *ret = plain(op->arg, op->deadline);
        return true;
    case ORACLE_SETNX:
        return step_setnx(op, s, ret);
    case ORACLE_CAS:
        return step_cas(op, m, s, ret);
    case ORACLE_DEL:
        return step_del(op, s, ret);
    case ORACLE_INCR:
        return step_incr(op, m, s, ret);
    case ORACLE_APPEND:
        return step_append(op, m, s, ret);
    case ORACLE_GETDEL:
        if (!step_get(op, m, s, ret))
            return false;
        *ret = absent;
        return true;
    case ORACLE_PERSIST:
        return step_persist(op, s, ret);
    case ORACLE_F_COUNT:
        break;
    }
    UNREACHABLE();
}
