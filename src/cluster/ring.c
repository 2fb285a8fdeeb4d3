/* The consistent-hash ring.
 *
 * A ring is a sorted array of tokens on the circle of 64-bit numbers.  An id of
 * weight w claims 256 * w tokens, token i being ring_hash(salt, id, i); a point
 * belongs to the first token at or after it, and the circle closes behind the
 * highest one.  So adding an id takes over only the arcs in front of its own
 * tokens (about 1/N of the circle), and removing one gives its arcs to the ids
 * that follow: nothing else moves.  256 tokens an id keep the shares within
 * about a fifth of each other at a dozen ids.
 *
 * ring_hash is XXH3 (64 bits, seed 0) of the three arguments as little-endian
 * integers.  It is part of what every node must agree on, and frozen: a test
 * holds golden values.
 *
 * Invariants:
 *   I1  sealed: tokens ascend strictly, so that no token has two owners;
 *   I2  the order of ring_add calls does not matter. */
#include "cluster/ring.h"

#include <stdbool.h>
#include <stdlib.h>

#include <xxhash.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"

uint64_t ring_hash(uint64_t salt, uint64_t a, uint64_t b)
{
    uint8_t in[24];

    put_u64le(in, salt);
    put_u64le(in + 8, a);
    put_u64le(in + 16, b);
    return XXH3_64bits(in, sizeof(in));
}

void ring_init(struct ring *r)
{
    *r = (struct ring){ .tokens = NULL };
}

void ring_close(struct ring *r)
{
    mem_free(r->tokens);
    ring_init(r);
}

void ring_add(struct ring *r, uint64_t salt, uint64_t id, unsigned weight)
{
    size_t add = (size_t)weight * RING_VNODES;

    if (add == 0)
        return;
    if (r->cap - r->n < add) {
        r->cap = r->n + add > 2 * r->cap ? r->n + add : 2 * r->cap;
        r->tokens = mem_realloc(r->tokens, r->cap * sizeof(*r->tokens));
    }
    for (size_t i = 0; i < add; i++)
        r->tokens[r->n++] =
            (struct ring_token){ .token = ring_hash(salt, id, i), .id = id };
    ASSERT(r->n <= r->cap);
}

static int token_cmp(const void *a, const void *b)
{
    const struct ring_token *x = a;
    const struct ring_token *y = b;

    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return 0;
}

void ring_seal(struct ring *r)
{
    size_t kept = 0;

    if (r->n == 0)
        return;
    qsort(r->tokens, r->n, sizeof(*r->tokens), token_cmp);
    for (size_t i = 1; i < r->n; i++) {
        if (r->tokens[i].token != r->tokens[kept].token)
            r->tokens[++kept] = r->tokens[i];
    }
    r->n = kept + 1;
}

/* Index of the first token at or after point, around the end if need be. */
static size_t ring_find(const struct ring *r, uint64_t point)
{
    size_t lo = 0;
    size_t hi = r->n;

    ASSERT(r->n > 0);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->tokens[mid].token < point)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == r->n ? 0 : lo;
}

uint64_t ring_owner(const struct ring *r, uint64_t point)
{
    return r->tokens[ring_find(r, point)].id;
}

static bool is_among(uint64_t id, const uint64_t *ids, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

unsigned ring_walk(const struct ring *r, uint64_t point, uint64_t *ret_ids,
                   unsigned want)
{
    unsigned found = 0;
    size_t at;

    if (r->n == 0)
        return 0;
    at = ring_find(r, point);
    for (size_t step = 0; step < r->n && found < want; step++) {
        uint64_t id = r->tokens[at].id;

        if (!is_among(id, ret_ids, found))
            ret_ids[found++] = id;
        at = at + 1 == r->n ? 0 : at + 1;
    }
    ASSERT(found <= want);
    return found;
}
