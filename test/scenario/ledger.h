/* Everything that must never be contradicted: the properties of Raft (figure 3 of the
 * paper) that an observer of all nodes can check. */
#ifndef KV_SCENARIO_LEDGER_H
#define KV_SCENARIO_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_TERMS_MAX 4096u
#define LEDGER_NODES_MAX 8u

/* One entry, wherever it was seen: (index, term) determines the rest. */
struct ledger_entry {
    uint64_t index, term; /* index 0: free */
    uint64_t prev_term;
    uint32_t crc;         /* of the payload */
    bool has_crc;
};

struct ledger {
    struct ledger_entry *entries; /* owned; open addressing */
    uint64_t n, cap;
    unsigned leader_of[LEDGER_TERMS_MAX];                     /* by term; 0: none */
    unsigned vote_of[LEDGER_TERMS_MAX][LEDGER_NODES_MAX + 1]; /* by term, voter */
    uint64_t *committed;  /* owned: term by index, 0: not known */
    uint64_t max_committed, cap_committed;
    char violation[256];  /* the first; empty: none */
};

void ledger_init(struct ledger *l);
void ledger_close(struct ledger *l);
void ledger_violate(struct ledger *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A node leads term: Election Safety. */
void ledger_leads(struct ledger *l, uint64_t term, unsigned node);
/* A granted vote left voter: one vote per term. */
void ledger_vote(struct ledger *l, uint64_t term, unsigned voter, unsigned candidate);
/* An entry is in a node's log behind one of prev_term: Log Matching.  crc is
 * of the payload, if at hand. */
void ledger_entry(struct ledger *l, unsigned node, const struct ledger_entry *e);
/* Was such an entry seen? */
const struct ledger_entry *ledger_find(const struct ledger *l, uint64_t index, uint64_t term);
/* A node holds index as committed, with this term: State Machine Safety. */
void ledger_commit(struct ledger *l, unsigned node, uint64_t index, uint64_t term);
/* 0 if nobody held it committed. */
uint64_t ledger_committed(const struct ledger *l, uint64_t index);

#endif
