/* Sets of fingerprints: which configurations the search has seen.
 *
 * A configuration is (operations linearized, state).  Its fingerprint is the
 * exclusive or of 128 random bits for each operation and for the state.  Two
 * configurations with one fingerprint would make the search skip one of them;
 * among 20 million that has a probability below 1e-24, far below that of a
 * memory error.  Open addressing; the bits are random, so they are the hash. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "oracle/lin_int.h"

/* Slots that a cleared set keeps: to clear many for the sake of few is slow. */
#define CLEAR_CAP_MAX 256u

void lin_set_init(struct lin_set *s, size_t cap)
{
    ASSERT((cap & (cap - 1)) == 0);
    *s = (struct lin_set){ .cap = cap };
    s->slot = mem_calloc(cap, sizeof *s->slot);
}

void lin_set_close(struct lin_set *s)
{
    mem_free(s->slot);
    *s = (struct lin_set){ .n = 0 };
}

void lin_set_clear(struct lin_set *s)
{
    if (s->cap > CLEAR_CAP_MAX) {
        lin_set_close(s);
        lin_set_init(s, CLEAR_CAP_MAX);
    } else if (s->n > 0) {
        memset(s->slot, 0, s->cap * sizeof *s->slot);
    }
    s->n = 0;
}

static struct lin_print *find(const struct lin_set *s, struct lin_print p)
{
    size_t i = (size_t)p.a & (s->cap - 1);

    while ((s->slot[i].a != 0 || s->slot[i].b != 0) &&
           (s->slot[i].a != p.a || s->slot[i].b != p.b))
        i = (i + 1) & (s->cap - 1);
    return &s->slot[i];
}

static void grow(struct lin_set *s)
{
    struct lin_set old = *s;

    lin_set_init(s, 2 * old.cap);
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slot[i].a != 0 || old.slot[i].b != 0)
            *find(s, old.slot[i]) = old.slot[i];
    }
    s->n = old.n;
    lin_set_close(&old);
}

bool lin_set_add(struct lin_set *s, struct lin_print p)
{
    struct lin_print *slot;

    if (4 * (s->n + 1) > 3 * s->cap)
        grow(s);
    slot = find(s, p);
    if (slot->a == p.a && slot->b == p.b)
        return false;
    *slot = p;
    s->n++;
    return true;
}

struct lin_print lin_print_op(uint32_t op)
{
    return (struct lin_print){ rng_mix(2 * (uint64_t)op + 1),
                               rng_mix(~(2 * (uint64_t)op)) };
}

struct lin_print lin_print_state(struct state s)
{
    uint64_t x = (uint64_t)s.value << 32 | s.deadline;

    return (struct lin_print){ rng_mix(rng_mix(x) + 0x9e3779b97f4a7c15u),
                               rng_mix(rng_mix(~x) + 0xd1b54a32d192ed03u) };
}
