/* Keys and digest by slot.
 *
 * A shard owns some thousand of the 16384 slots, so the counters are a hash
 * table by slot number, linear probing, at most three quarters full; slots that
 * lost all their keys keep their place (there are at most 16384 of them).
 *
 * The digest of a slot is the sum of its keys' digests modulo 2^64: it does not
 * depend on the order of the keys, and a change costs one subtraction and one
 * addition.
 *
 *   L1  A slot without keys has digest 0.
 *   L2  `digest` is the sum over all slots. */
#include "fsm/table_int.h"

#include "base/assert.h"
#include "base/mem.h"

#define CAP_MIN 64u

static uint32_t home(const struct slot_sums *s, uint16_t slot)
{
    return (slot * 0x9e3779b1u >> 7) & (s->cap - 1);
}

static struct slot_sum *probe(const struct slot_sums *s, uint16_t slot)
{
    uint32_t i = home(s, slot);

    while (s->sums[i].used && s->sums[i].slot != slot)
        i = (i + 1) & (s->cap - 1);
    return &s->sums[i];
}

static void grow(struct slot_sums *s)
{
    struct slot_sums old = *s;

    s->cap = old.cap == 0 ? CAP_MIN : old.cap * 2;
    s->sums = mem_calloc(s->cap, sizeof(s->sums[0]));
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.sums[i].used)
            *probe(s, old.sums[i].slot) = old.sums[i];
    mem_free(old.sums);
}

void table__slots_close(struct slot_sums *s)
{
    mem_free(s->sums);
    *s = (struct slot_sums){ .sums = NULL };
}

const struct slot_sum *table__slots_find(const struct slot_sums *s,
                                         uint16_t slot)
{
    const struct slot_sum *sum;

    if (s->cap == 0)
        return NULL;
    sum = probe(s, slot);
    return sum->used ? sum : NULL;
}

void table__slots_add(struct slot_sums *s, uint16_t slot, uint64_t digest)
{
    struct slot_sum *sum;

    if (s->n * 4 >= s->cap * 3)
        grow(s);
    sum = probe(s, slot);
    if (!sum->used) {
        *sum = (struct slot_sum){ .slot = slot, .used = true };
        s->n++;
    }
    sum->keys++;
    sum->digest += digest;
    s->digest += digest;
}

void table__slots_sub(struct slot_sums *s, uint16_t slot, uint64_t digest)
{
    struct slot_sum *sum = probe(s, slot);

    ASSERT(sum->used);
    ASSERT(sum->keys > 0);
    sum->keys--;
    sum->digest -= digest;
    s->digest -= digest;
    ASSERT(sum->keys > 0 || sum->digest == 0); /* L1 */
}

void table__slots_swap(struct slot_sums *s, uint16_t slot, uint64_t old,
                       uint64_t new)
{
    struct slot_sum *sum = probe(s, slot);

    ASSERT(sum->used);
    ASSERT(sum->keys > 0);
    sum->digest += new - old;
    s->digest += new - old;
}
