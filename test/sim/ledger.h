/* Everything that must never be contradicted: the properties of Raft (figure 3 of the
 * paper) that an observer of all nodes can check.  One ledger is one group's. */
#ifndef KV_SIM_LEDGER_H
#define KV_SIM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define LEDGER_TERMS_MAX (1u << 20) /* a term above is a violation by itself */
#define LEDGER_NODES_MAX 16u

/* One entry, wherever it was seen: (index, term) determines the rest. */
struct ledger_entry {
    uint64_t index, term; /* index 0: free */
    uint64_t prev_term;
    uint32_t crc;         /* of the payload */
    bool has_crc;
    uint8_t type;         /* the caller's */
    struct slice payload; /* with keep_payloads owned by the ledger, else empty;
                           * in what a caller passes: borrowed */
};

/* Who did what in one term. */
struct ledger_term {
    uint8_t leader;                      /* 0: none was seen */
    uint8_t vote[LEDGER_NODES_MAX + 1];  /* by voter: for whom; 0: for nobody */
};

struct ledger {
    bool keep_payloads;    /* set by the owner after ledger_init */
    struct ledger_entry *entries; /* owned; open addressing */
    uint64_t n, cap;
    struct ledger_term *terms;    /* owned; by term */
    uint64_t cap_terms;
    uint64_t *committed;   /* owned: term by index, 0: not known */
    uint64_t max_committed, cap_committed;
    char violation[400];   /* the first; empty: none */
};

void ledger_init(struct ledger *l);
void ledger_close(struct ledger *l);
void ledger_violate(struct ledger *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A node leads term: Election Safety. */
void ledger_leads(struct ledger *l, uint64_t term, unsigned node);
/* A granted vote left voter: one vote per term, over restarts. */
void ledger_vote(struct ledger *l, uint64_t term, unsigned voter, unsigned candidate);
/* Whom voter gave its vote in term; 0: nobody that we know of. */
unsigned ledger_voted(const struct ledger *l, uint64_t term, unsigned voter);
/* An entry is in a node's log behind one of prev_term: Log Matching.  crc and
 * payload if at hand (has_crc). */
void ledger_entry(struct ledger *l, unsigned node, const struct ledger_entry *e);
/* Was such an entry seen?  Valid until the next ledger_entry. */
const struct ledger_entry *ledger_find(const struct ledger *l, uint64_t index, uint64_t term);
/* A node holds index as committed, with this term: State Machine Safety. */
void ledger_commit(struct ledger *l, unsigned node, uint64_t index, uint64_t term);
/* 0 if nobody held it committed. */
uint64_t ledger_committed(const struct ledger *l, uint64_t index);

#endif
