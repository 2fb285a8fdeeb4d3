/* The ledger of a run.
 *
 * Facts are only added.  A fact that contradicts an earlier one is a violation; the
 * first is kept in words.  Log Matching is checked by induction: an entry (index,
 * term) always has the same payload and the same term before it, so that two logs
 * which agree on one entry agree on all before it. */
#include "sim/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "sim/mem_sim.h"

/* The ledger outlives the process in whose callback a fact is learned. */
static void *own_realloc(void *p, size_t n)
{
    struct mem_arena *old = mem_arena_use(NULL);
    void *q = mem_realloc(p, n);

    mem_arena_use(old);
    return q;
}

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){ .n = 0 };
}

void ledger_close(struct ledger *l)
{
    for (uint64_t i = 0; i < l->cap; i++)
        mem_free((void *)(uintptr_t)l->entries[i].payload.p);
    mem_free(l->entries);
    mem_free(l->terms);
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

/* NULL: a term that no honest run reaches. */
static struct ledger_term *term_of(struct ledger *l, uint64_t term,
                                   unsigned node)
{
    uint64_t cap = l->cap_terms == 0 ? 64 : 2 * l->cap_terms;

    ASSERT(term > 0);
    ASSERT(node > 0 && node <= LEDGER_NODES_MAX);
    if (term >= LEDGER_TERMS_MAX) {
        ledger_violate(l, "node %u has come to term %" PRIu64, node, term);
        return NULL;
    }
    if (term < l->cap_terms)
        return &l->terms[term];
    cap = cap <= term ? term + 1 : cap;
    l->terms = own_realloc(l->terms, (size_t)cap * sizeof *l->terms);
    memset(l->terms + l->cap_terms, 0,
           (size_t)(cap - l->cap_terms) * sizeof *l->terms);
    l->cap_terms = cap;
    return &l->terms[term];
}

void ledger_leads(struct ledger *l, uint64_t term, unsigned node)
{
    struct ledger_term *t = term_of(l, term, node);

    if (t == NULL)
        return;
    if (t->leader != 0 && t->leader != node)
        ledger_violate(l, "two leaders in term %" PRIu64 ": nodes %u and %u",
                       term, t->leader, node);
    t->leader = (uint8_t)node;
}

void ledger_vote(struct ledger *l, uint64_t term, unsigned voter,
                 unsigned candidate)
{
    struct ledger_term *t = term_of(l, term, voter);
    uint8_t *vote;

    if (t == NULL)
        return;
    vote = &t->vote[voter];
    if (*vote != 0 && *vote != candidate)
        ledger_violate(l, "node %u voted in term %" PRIu64
                       " for node %u and for node %u",
                       voter, term, *vote, candidate);
    *vote = (uint8_t)candidate;
}

unsigned ledger_voted(const struct ledger *l, uint64_t term, unsigned voter)
{
    ASSERT(voter > 0 && voter <= LEDGER_NODES_MAX);
    return term < l->cap_terms ? l->terms[term].vote[voter] : 0;
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
    l->entries = own_realloc(NULL, (size_t)l->cap * sizeof *l->entries);
    memset(l->entries, 0, (size_t)l->cap * sizeof *l->entries);
    for (uint64_t i = 0; i < n; i++) {
        if (old[i].index != 0)
            *slot_of(l, old[i].index, old[i].term) = old[i];
    }
    mem_free(old);
}

/* Remember what an entry carries, now that it is at hand for the first time. */
static void learn(const struct ledger *l, struct ledger_entry *known,
                  const struct ledger_entry *e)
{
    struct slice p = e->payload;
    uint8_t *copy;

    known->crc = e->crc;
    known->has_crc = true;
    if (!l->keep_payloads || p.n == 0)
        return;
    copy = own_realloc(NULL, p.n);
    memcpy(copy, p.p, p.n);
    known->payload = slice_make(copy, p.n);
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
        known->has_crc = false;
        known->payload = slice_make(NULL, 0);
        l->n++;
    }
    if (known->prev_term != e->prev_term ||
        (known->has_crc && e->has_crc && known->crc != e->crc))
        ledger_violate(l, "log matching: entry %" PRIu64 " of term %" PRIu64
                       " on node %u, behind one of term %" PRIu64
                       ", differs from the one seen before, behind one of "
                       "term %" PRIu64,
                       e->index, e->term, node, e->prev_term,
                       known->prev_term);
    if (e->has_crc && !known->has_crc)
        learn(l, known, e);
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
        l->committed = own_realloc(l->committed,
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
