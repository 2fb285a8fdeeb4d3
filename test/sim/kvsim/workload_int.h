/* Shared by workload.c (what is asked) and outcome.c (what came of it). */
#ifndef KV_KVSIM_WORKLOAD_INT_H
#define KV_KVSIM_WORKLOAD_INT_H

#include "base/rng.h"
#include "kvsim/crowd.h"

#define OPEN_MAX 8u            /* operations of one key at a time */
#define UNKNOWN_MAX 4u         /* writes of unknown outcome, then the key is retired */
#define PROCESSES_FREE_MAX 256u
#define PAD_MAX 6000u          /* bytes */
#define TTL_MAX_MS 3000u

enum family { FAMILY_REGISTER, FAMILY_COUNTER, FAMILY_APPEND, FAMILY_TTL, FAMILY_BATCH,
              FAMILIES };

struct wkey {
    char name[24];
    enum family family;
    uint32_t shard;
    unsigned ops, open, unknown;
    struct buf value;          /* seen or written last */
    bool nil;
    bool rev_known;            /* a value and its revision; 0: absent */
    int64_t revision;
    struct buf rev_value;
};

struct workload {
    struct world *w;
    struct rng rng;
    struct wkey **keys;        /* owned, all that were ever used */
    size_t n_keys, cap;
    struct wkey **active;      /* of those: in use */
    unsigned n_active;
    uint64_t next_value;
    uint32_t next_process, n_free, free[PROCESSES_FREE_MAX];
    struct buf value, out;     /* scratch */
};

/* What an operation gave. */
struct outcome {
    bool has;
    struct oracle_value value;
    int64_t number;
};

void workload__arg(struct buf *out, struct slice s);
/* Record how the action ended on its key i.  o: NULL if there is no result. */
void workload__return(struct workload *l, struct action *a, unsigned i,
                      enum oracle_outcome outcome, const struct outcome *o);
void workload__note_call(struct workload *l, const struct action *a);

#endif
