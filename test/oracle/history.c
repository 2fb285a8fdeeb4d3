/* Histories: what was called, what was returned, and when.
 *
 * Operations are kept in the order of their calls.  Every call and every return
 * is an event with a running number, so that events at the same time have an
 * order: the one in which they were recorded.
 *
 * H1  ret is ORACLE_NEVER exactly for operations that are neither OK nor FAIL.
 * H2  Bytes are copied into blocks that are never moved: slices stay valid until
 *     the history is freed. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/oracle_int.h"

/* Bytes in one block of copied keys and values. */
#define BLOCK_BYTES (64u << 10)

struct block {
    struct block *next; /* owned */
    size_t used, cap;
    uint8_t bytes[];
};

struct event_pair {
    uint64_t call, ret; /* numbers of events; ret UINT64_MAX: none */
};

struct history {
    struct oracle_op *ops;    /* owned; slices point into blocks */
    struct event_pair *pairs; /* owned, of each */
    size_t n, cap;
    uint64_t n_events;
    size_t n_others;
    struct block *blocks;     /* owned; newest first */
};

struct history *history_new(void)
{
    return MEM_NEW(struct history);
}

void history_free(struct history *h)
{
    struct block *next;

    if (h == NULL)
        return;
    for (struct block *b = h->blocks; b != NULL; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(h->ops);
    mem_free(h->pairs);
    mem_free(h);
}

static struct slice copy(struct history *h, struct slice s)
{
    struct block *b = h->blocks;
    uint8_t *p;

    if (s.n == 0)
        return (struct slice){ .p = NULL, .n = 0 };
    if (b == NULL || b->cap - b->used < s.n) {
        size_t cap = s.n > BLOCK_BYTES ? s.n : BLOCK_BYTES;

        b = mem_alloc(sizeof *b + cap);
        *b = (struct block){ .next = h->blocks, .cap = cap };
        h->blocks = b;
    }
    p = b->bytes + b->used;
    memcpy(p, s.p, s.n);
    b->used += s.n;
    return slice_make(p, s.n);
}

size_t history_call(struct history *h, const struct oracle_op *op)
{
    struct oracle_op *o;

    ASSERT(op->f < ORACLE_F_COUNT);
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 256 : 2 * h->cap;
        h->ops = mem_realloc(h->ops, h->cap * sizeof *h->ops);
        h->pairs = mem_realloc(h->pairs, h->cap * sizeof *h->pairs);
    }
    o = &h->ops[h->n];
    *o = *op;
    o->key = copy(h, op->key);
    o->arg = copy(h, op->arg);
    o->expect.bytes = copy(h, op->expect.bytes);
    o->outcome = ORACLE_OPEN;
    o->ret = ORACLE_NEVER;
    o->has_result = false;
    o->result = (struct oracle_value){ .nil = true };
    h->pairs[h->n] = (struct event_pair){ .call = h->n_events++,
                                          .ret = UINT64_MAX };
    return h->n++;
}

void history_return(struct history *h, size_t n, enum oracle_outcome outcome,
                    uint64_t ret, bool has_result, struct oracle_value result,
                    int64_t number)
{
    struct oracle_op *o;

    ASSERT(n < h->n);
    ASSERT(outcome != ORACLE_OPEN);
    o = &h->ops[n];
    ASSERT(o->outcome == ORACLE_OPEN);
    o->outcome = outcome;
    h->pairs[n].ret = h->n_events++;
    if (outcome == ORACLE_UNKNOWN)
        return;
    o->ret = ret;
    if (outcome != ORACLE_OK || !has_result)
        return;
    o->has_result = true;
    o->number = number;
    o->result.nil = result.nil;
    if (!result.nil)
        o->result.bytes = copy(h, result.bytes);
}

size_t history_count(const struct history *h)
{
    return h->n;
}

const struct oracle_op *history_at(const struct history *h, size_t n)
{
    ASSERT(n < h->n);
    return &h->ops[n];
}

void history_add_other(struct history *h)
{
    h->n_others++;
}

size_t history_others(const struct history *h)
{
    return h->n_others;
}

uint64_t history__call_seq(const struct history *h, size_t n)
{
    ASSERT(n < h->n);
    return h->pairs[n].call;
}

uint64_t history__ret_seq(const struct history *h, size_t n)
{
    ASSERT(n < h->n);
    return h->pairs[n].ret;
}

/* ---- what cannot be ---- */

/* The last operation of each process so far: a hash table by process. */
struct last {
    size_t *slot; /* owned: 1 + number of an operation; 0: free */
    size_t cap;   /* a power of two, above the number of operations */
};

static size_t *last_of(struct last *t, const struct history *h,
                       uint32_t process)
{
    size_t i = (size_t)(process * 2654435761u) & (t->cap - 1);

    while (t->slot[i] != 0 && h->ops[t->slot[i] - 1].process != process)
        i = (i + 1) & (t->cap - 1);
    return &t->slot[i];
}

static const char *bad_after(const struct history *h, size_t prev, size_t n)
{
    const struct oracle_op *a = &h->ops[prev], *b = &h->ops[n];

    if (h->pairs[prev].ret < h->pairs[n].call && a->ret == ORACLE_NEVER)
        return NULL;
    if (h->pairs[prev].ret < h->pairs[n].call && a->ret <= b->call)
        return NULL;
    /* Parts of one operation on several keys. */
    if (a->call == b->call && !slice_eq(a->key, b->key))
        return NULL;
    return "its process has an open operation";
}

size_t history__bad(const struct history *h, const char **ret_why)
{
    struct last last = { .cap = 16 };
    size_t n;

    while (last.cap < 2 * (h->n + 1))
        last.cap *= 2;
    last.slot = mem_calloc(last.cap, sizeof *last.slot);
    for (n = 0; n < h->n; n++) {
        size_t *slot = last_of(&last, h, h->ops[n].process);
        const char *why = NULL;

        if (h->ops[n].ret < h->ops[n].call)
            why = "it returns before its call";
        else if (*slot != 0)
            why = bad_after(h, *slot - 1, n);
        if (why != NULL) {
            *ret_why = why;
            break;
        }
        *slot = n + 1;
    }
    mem_free(last.slot);
    return n;
}
