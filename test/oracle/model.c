/* The model of one key: a Redis string with a deadline.
 *
 *   state = (value, deadline)       absent: (VALUE_ABSENT, DEADLINE_NONE)
 *
 * Bytes are interned: equal values have equal numbers, and a state is two
 * numbers.  The deadline is the number of the operation that set it; when it can
 * have passed is lin.c's to know.  SET, CAS and DEL clear it, INCR and APPEND keep it,
 * as Redis does.
 *
 * Values that nobody sees.  Before the search the model is shown all operations of
 * the key (model_look) and notes each value that a result shows or that a
 * compare-and-set compares with.  A value that is no beginning of such a value,
 * and cannot be counted with, can never be told from another such value, except
 * by its length where APPEND answers lengths.  All of them become one value,
 * VALUE_JUNK of that length: orders of writes that nobody can tell apart are then
 * one state and not many.  This changes no verdict: each operation does the same
 * in both states, and leads to states that are again the same or both junk.
 *
 * A key of which nothing is known (VALUE_ANY) is where a window begins.  It stands
 * for every state; an operation with a result leaves what can be said after it,
 * and always at least the states that are possible.  After an APPEND that is a length
 * and the last bytes (VALUE_BLUR).
 *
 * M1  values[v] are pairwise different; table finds each.
 * M2  An absent key has no deadline.
 * M3  seen is sorted by bytes, without doubles, once model_look_done was called. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "oracle/oracle_int.h"

void model_init(struct model *m)
{
    *m = (struct model){ .cap_values = 32, .cap_table = 64 };
    m->values = mem_calloc(m->cap_values, sizeof *m->values);
    m->table = mem_calloc(m->cap_table, sizeof *m->table);
    m->n_values = 2;
    buf_init(&m->bytes);
}

void model_close(struct model *m)
{
    mem_free(m->values);
    mem_free(m->table);
    mem_free(m->seen);
    buf_close(&m->bytes);
}

/* ---- interning ---- */

struct slice model__bytes(const struct model *m, const struct value *v)
{
    return slice_make(v->n == 0 ? NULL : buf_at(&m->bytes) + v->at, v->n);
}

static uint64_t hash_of(enum value_kind kind, uint64_t blur, struct slice s)
{
    uint64_t h = rng_mix(blur * 4 + (uint64_t)kind + 1);

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * 0x100000001b3u;
    return rng_mix(h);
}

/* As Redis takes it: decimal, no sign but '-', no leading zero, 64 bits. */
static bool parse_integer(struct slice s, int64_t *ret)
{
    uint64_t max = INT64_MAX, v = 0;
    size_t i = 0;

    if (s.n == 1 && s.p[0] == '0') {
        *ret = 0;
        return true;
    }
    if (s.n > 0 && s.p[0] == '-') {
        max++;
        i = 1;
    }
    if (i == s.n || s.n > 20 || s.p[i] < '1')
        return false;
    for (; i < s.n; i++) {
        uint64_t digit = (uint64_t)s.p[i] - '0';

        if (s.p[i] < '0' || s.p[i] > '9' || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (s.p[0] != '-')
        *ret = (int64_t)v;
    else
        *ret = v == max ? INT64_MIN : -(int64_t)v;
    return true;
}

static uint32_t *slot_of(struct model *m, enum value_kind kind, uint64_t blur,
                         struct slice s)
{
    uint32_t i = (uint32_t)hash_of(kind, blur, s) & (m->cap_table - 1);

    for (; m->table[i] != 0; i = (i + 1) & (m->cap_table - 1)) {
        const struct value *v = &m->values[m->table[i]];

        if (v->kind == kind && v->blur == blur && slice_eq(model__bytes(m, v), s))
            break;
    }
    return &m->table[i];
}

static void grow_table(struct model *m)
{
    m->cap_table *= 2;
    mem_free(m->table);
    m->table = mem_calloc(m->cap_table, sizeof *m->table);
    for (uint32_t i = 2; i < m->n_values; i++) {
        const struct value *v = &m->values[i];

        *slot_of(m, v->kind, v->blur, model__bytes(m, v)) = i;
    }
}

/* s must not be in m->bytes (it may move). */
static uint32_t intern(struct model *m, enum value_kind kind, uint64_t blur,
                       struct slice s)
{
    uint32_t *slot = slot_of(m, kind, blur, s);
    struct value *v;

    if (*slot != 0)
        return *slot;
    if (2 * m->n_values >= m->cap_table) {
        grow_table(m);
        slot = slot_of(m, kind, blur, s);
    }
    if (m->n_values == m->cap_values) {
        m->cap_values *= 2;
        m->values = mem_realloc(m->values, m->cap_values * sizeof *v);
    }
    v = &m->values[m->n_values];
    *v = (struct value){
        .kind = kind, .blur = blur, .at = m->bytes.len, .n = s.n
    };
    buf_put_slice(&m->bytes, s);
    if (kind == VALUE_PLAIN)
        v->is_integer = parse_integer(s, &v->integer);
    *slot = m->n_values;
    return m->n_values++;
}

/* ---- what can be told apart ---- */

static bool may_count(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '-' && (s.p[i] < '0' || s.p[i] > '9'))
            return false;
    }
    return true;
}

static int compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

/* The first seen value that is not below s. */
static size_t seen_at(const struct model *m, struct slice s)
{
    size_t lo = 0, hi = m->n_seen;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (compare(model__bytes(m, &m->values[m->seen[mid]]), s) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool starts_with(struct slice s, struct slice prefix)
{
    return prefix.n <= s.n &&
           (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Is part in s, after the first `at` bytes? */
static bool fits_at(struct slice s, uint64_t at, struct slice part)
{
    return at <= s.n && starts_with(slice_make(s.p + at, s.n - (size_t)at),
                                    part);
}

uint32_t model__junk(struct model *m, uint64_t len)
{
    return intern(m, VALUE_JUNK, m->has_append_length ? len : 0,
                  slice_make(NULL, 0));
}

/* The number of a value of which the first `blur` bytes are not known. */
uint32_t model__blurred(struct model *m, uint64_t blur, struct slice s)
{
    bool may_show = m->exact || m->has_incr;

    for (size_t i = 0; i < m->n_seen && !may_show; i++)
        may_show = fits_at(model__bytes(m, &m->values[m->seen[i]]), blur, s);
    if (may_show)
        return intern(m, VALUE_BLUR, blur, s);
    return model__junk(m, blur + s.n);
}

/* The number of a value that an operation would write. */
uint32_t model__written(struct model *m, struct slice s)
{
    size_t i;

    if (m->exact || (m->has_incr && may_count(s)))
        return intern(m, VALUE_PLAIN, 0, s);
    i = seen_at(m, s);
    if (i < m->n_seen &&
        starts_with(model__bytes(m, &m->values[m->seen[i]]), s))
        return intern(m, VALUE_PLAIN, 0, s);
    return model__junk(m, s.n);
}

static void add_seen(struct model *m, const struct oracle_value *v)
{
    uint32_t known = m->n_values, id;

    if (v->nil)
        return;
    id = intern(m, VALUE_PLAIN, 0, v->bytes);
    if (id < known)
        return;
    if (m->n_seen == m->cap_seen) {
        m->cap_seen = m->cap_seen == 0 ? 16 : 2 * m->cap_seen;
        m->seen = mem_realloc(m->seen, m->cap_seen * sizeof *m->seen);
    }
    m->seen[m->n_seen++] = id;
}

void model_look(struct model *m, const struct oracle_op *op, bool definite)
{
    bool checked = definite && op->has_result;

    if (op->f == ORACLE_CAS)
        add_seen(m, &op->expect);
    if (checked && (op->f == ORACLE_GET || op->f == ORACLE_GETDEL))
        add_seen(m, &op->result);
    m->has_incr = m->has_incr || op->f == ORACLE_INCR;
    m->has_append_length =
        m->has_append_length || (checked && op->f == ORACLE_APPEND);
    m->has_ttl = m->has_ttl || op->ttl != 0;
}

static void sift(struct model *m, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        uint32_t *a = m->seen, tmp;
        struct slice down = model__bytes(m, &m->values[a[i]]);

        if (child + 1 < n &&
            compare(model__bytes(m, &m->values[a[child]]),
                    model__bytes(m, &m->values[a[child + 1]])) < 0)
            child++;
        if (compare(down, model__bytes(m, &m->values[a[child]])) >= 0)
            return;
        tmp = a[i];
        a[i] = a[child];
        a[child] = tmp;
    }
}

/* Heap sort: qsort's order needs the model, and there is no room for it there. */
void model_look_done(struct model *m)
{
    for (size_t i = m->n_seen / 2; i-- > 0;)
        sift(m, i, m->n_seen);
    for (size_t n = m->n_seen; n > 1; n--) {
        uint32_t tmp = m->seen[0];

        m->seen[0] = m->seen[n - 1];
        m->seen[n - 1] = tmp;
        sift(m, 0, n - 1);
    }
    for (size_t i = 1; i < m->n_seen; i++)
        ASSERT(compare(model__bytes(m, &m->values[m->seen[i - 1]]),
                       model__bytes(m, &m->values[m->seen[i]])) < 0);
}

static uint32_t value_or_absent(struct model *m, const struct oracle_value *v)
{
    return v->nil ? VALUE_ABSENT : intern(m, VALUE_PLAIN, 0, v->bytes);
}

void model_prepare(struct model *m, const struct oracle_op *op, bool definite,
                   uint32_t deadline, struct model_op *ret)
{
    *ret = (struct model_op){
        .f = op->f,
        .checked = definite && op->has_result,
        .text = op->arg,
        .number = op->number,
        .by = op->by,
        .deadline = op->ttl == 0 ? DEADLINE_NONE : deadline,
    };
    if (op->f == ORACLE_SET || op->f == ORACLE_SETNX || op->f == ORACLE_CAS)
        ret->arg = model__written(m, op->arg);
    if (op->f == ORACLE_CAS)
        ret->expect = value_or_absent(m, &op->expect);
    if (ret->checked && (op->f == ORACLE_GET || op->f == ORACLE_GETDEL))
        ret->result = value_or_absent(m, &op->result);
}

/* ---- questions ---- */

bool model_is_prefix(const struct model *m, uint32_t v, uint32_t of)
{
    const struct value *a = &m->values[v], *b = &m->values[of];

    if (v == of)
        return true;
    if (v < 2 || of < 2 || a->kind == VALUE_JUNK || b->kind != VALUE_PLAIN)
        return false;
    return fits_at(model__bytes(m, b), a->blur, model__bytes(m, a));
}

uint64_t model_length(const struct model *m, uint32_t v)
{
    ASSERT(v < m->n_values);
    return m->values[v].blur + m->values[v].n;
}

bool model_may_count(const struct model *m, uint32_t v)
{
    ASSERT(v < m->n_values);
    return v < 2 || m->values[v].kind == VALUE_BLUR ||
           (m->values[v].kind == VALUE_PLAIN &&
            may_count(model__bytes(m, &m->values[v])));
}

bool model_shows(const struct model *m, struct slice bytes)
{
    for (size_t i = 0; i < m->n_seen; i++) {
        struct slice s = model__bytes(m, &m->values[m->seen[i]]);

        if (i + 1 < m->n_seen &&
            starts_with(model__bytes(m, &m->values[m->seen[i + 1]]), s))
            continue; /* the next one shows as much */
        for (; s.n >= bytes.n; s.p++, s.n--) {
            if (starts_with(s, bytes))
                return true;
            if (s.n == 0)
                break;
        }
    }
    return false;
}

void model_text(const struct model *m, struct state s, struct buf *b)
{
    const struct value *v = &m->values[s.value];

    if (s.value == VALUE_ABSENT)
        buf_put_str(b, "absent");
    else if (s.value == VALUE_ANY)
        buf_put_str(b, "anything");
    else if (v->kind == VALUE_JUNK)
        buf_put_str(b, "a value that nobody read");
    else
        text_bytes(b, model__bytes(m, v));
    if (s.deadline != DEADLINE_NONE)
        buf_put_str(b, " with a deadline");
}
