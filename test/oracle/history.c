/* Histories: operations in order of their calls. */
#include <stdio.h>

#include "base/mem.h"
#include "oracle/oracle.h"

struct history {
    struct oracle_op *v;
    size_t n, cap;
};

static struct slice copy(struct slice s)
{
    uint8_t *p;

    if (s.n == 0)
        return slice_make(NULL, 0);
    p = mem_alloc(s.n);
    memcpy(p, s.p, s.n);
    return slice_make(p, s.n);
}

static void drop(struct slice s)
{
    mem_free((void *)(uintptr_t)s.p);
}

struct history *history_new(void)
{
    return MEM_NEW(struct history);
}

void history_free(struct history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        drop(h->v[i].key);
        drop(h->v[i].arg);
        drop(h->v[i].expect.bytes);
        drop(h->v[i].result.bytes);
    }
    mem_free(h->v);
    mem_free(h);
}

size_t history_call(struct history *h, const struct oracle_op *op)
{
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 256 : 2 * h->cap;
        h->v = mem_realloc(h->v, h->cap * sizeof *h->v);
    }
    h->v[h->n] = *op;
    h->v[h->n].key = copy(op->key);
    h->v[h->n].arg = copy(op->arg);
    h->v[h->n].expect.bytes = copy(op->expect.bytes);
    return h->n++;
}

void history_return(struct history *h, size_t n, enum oracle_outcome outcome,
                    uint64_t ret, bool has_result, struct oracle_value result,
                    int64_t number)
{
    struct oracle_op *op = &h->v[n];

    op->outcome = outcome;
    op->ret = ret;
    op->has_result = has_result;
    op->result.nil = result.nil;
    op->result.bytes = copy(result.bytes);
    op->number = number;
}

size_t history_count(const struct history *h)
{
    return h->n;
}

const struct oracle_op *history_at(const struct history *h, size_t n)
{
    return &h->v[n];
}

void oracle_op_text(const struct oracle_op *op, char *buf, size_t n)
{
    snprintf(buf, n, "%.*s", (int)op->key.n, (const char *)op->key.p);
}
