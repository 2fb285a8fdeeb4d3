/* The ledger of a run.
 *
 * Facts are only added.  A fact that contradicts an earlier one is a violation; the
 * first is kept in words.  Log Matching is checked by induction: an entry (index,
 * term) always has the same payload and the same term before it, so that two logs
 * which agree on one entry agree on all before it. */
#include "scenario/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){ .n = 0 };
}

void ledger_close(struct ledger *l)
{
    mem_free(l->entries);
    mem_free(l->committed);
    *l = (struct ledger){ .n = 0 };
}

void ledger_violate(struct ledger *l, const char *fmt, ...)
{
    va_list ap;

    if (l->violation[0] != 0)
        return;
    va_start(ap, fmt);
    vsnprintf(l->violation, sizeof l->violation, fmt, ap);
    va_end(ap);
    ASSERT(l->violation[0] != 0);
}

void ledger_leads(struct ledger *l, uint64_t term, unsigned node)
{
    ASSERT(term > 0 && term < LEDGER_TERMS_MAX);
    if (l->leader_of[term] != 0 && l->leader_of[term] != node)
        ledger_violate(l, "two leaders in term %" PRIu64 ": nodes %u and %u",
                       term, l->leader_of[term], node);
    l->leader_of[term] = node;
}

void ledger_vote(struct ledger *l, uint64_t term, unsigned voter,
                 unsigned candidate)
{
    unsigned *vote;

    ASSERT(term > 0 && term < LEDGER_TERMS_MAX);
    ASSERT(voter > 0 && voter <= LEDGER_NODES_MAX);
    vote = &l->vote_of[term][voter];
    if (*vote != 0 && *vote != candidate)
        ledger_violate(l, "node %u voted in term %" PRIu64
                       " for node %u and for node %u",
                       voter, term, *vote, candidate);
    *vote = candidate;
}

/* ---- entries ---- */

static struct ledger_entry *slot_of(const struct ledger *l, uint64_t index,
                                    uint64_t term)
{
    uint64_t i = rng_mix(index ^ term << 40) & (l->cap - 1);

    while (l->entries[i].index != 0 &&
           (l->entries[i].index != index || l->entries[i].term != term))
        i = (i + 1) & (l->cap - 1);
    return &l->entries[i];
}

static void grow(struct ledger *l)
{
    struct ledger_entry *old = l->entries;
    uint64_t n = l->cap;

    l->cap = n == 0 ? 1024 : 2 * n;
    l->entries = mem_calloc((size_t)l->cap, sizeof *l->entries);
    for (uint64_t i = 0; i < n; i++) {
        if (old[i].index != 0)
            *slot_of(l, old[i].index, old[i].term) = old[i];
    }
    mem_free(old);
}

void ledger_entry(struct ledger *l, unsigned node,
                  const struct ledger_entry *e)
{
    struct ledger_entry *known;

    ASSERT(e->index > 0 && e->term > 0);
    if (2 * (l->n + 1) > l->cap)
        grow(l);
    known = slot_of(l, e->index, e->term);
    if (known->index == 0) {
        *known = *e;
        l->n++;
        return;
    }
    if (known->prev_term != e->prev_term ||
        (known->has_crc && e->has_crc && known->crc != e->crc))
        ledger_violate(l, "log matching: entry %" PRIu64 " of term %" PRIu64
                       " on node %u differs from the one seen before",
                       e->index, e->term, node);
    if (e->has_crc) {
        known->crc = e->crc;
        known->has_crc = true;
    }
}

const struct ledger_entry *ledger_find(const struct ledger *l, uint64_t index,
                                       uint64_t term)
{
    const struct ledger_entry *e;

    if (l->cap == 0)
        return NULL;
    e = slot_of(l, index, term);
    return e->index == 0 ? NULL : e;
}

/* ---- committed ---- */

void ledger_commit(struct ledger *l, unsigned node, uint64_t index,
                   uint64_t term)
{
    ASSERT(index > 0 && term > 0);
    if (index >= l->cap_committed) {
        uint64_t cap = l->cap_committed == 0 ? 1024 : 2 * index;

        cap = cap <= index ? 2 * index : cap;
        l->committed = mem_realloc(l->committed,
                                   (size_t)cap * sizeof *l->committed);
        memset(l->committed + l->cap_committed, 0,
               (size_t)(cap - l->cap_committed) * sizeof *l->committed);
        l->cap_committed = cap;
    }
    if (l->committed[index] != 0 && l->committed[index] != term)
        ledger_violate(l, "entry %" PRIu64 " was committed with term %" PRIu64
                       ", and node %u holds it committed with term %" PRIu64,
                       index, l->committed[index], node, term);
    l->committed[index] = term;
    if (index > l->max_committed)
        l->max_committed = index;
}

uint64_t ledger_committed(const struct ledger *l, uint64_t index)
{
    return index <= l->max_committed ? l->committed[index] : 0;
}
