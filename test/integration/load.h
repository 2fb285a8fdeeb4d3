/* Writers that remember what was acknowledged. */
#ifndef KV_TEST_INTEGRATION_LOAD_H
#define KV_TEST_INTEGRATION_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "integration/cluster.h"

#define LOAD_WRITERS_MAX 16
#define LOAD_COUNTERS 4

struct load_writer {
    struct load *load;
    pthread_t thread;
    int id;
    int node;                 /* talks to this node alone */
    unsigned long acked;      /* SET writer<id>:<n> n was acknowledged for all n < acked,
                                 except those in `skipped` */
    unsigned long *skipped;   /* numbers whose SET failed or is unknown */
    unsigned long n_skipped, cap_skipped;
    unsigned long incr_acked[LOAD_COUNTERS];
    unsigned long incr_unknown[LOAD_COUNTERS];
    unsigned long refused;    /* definite errors */
};

struct load {
    struct cluster *c;
    atomic_bool stop;
    int n;
    atomic_ulong total;       /* acknowledged operations of all writers */
    struct load_writer w[LOAD_WRITERS_MAX];
};

/* Start n writers; writer i talks to node nodes[i % n_nodes]. */
void load_start(struct load *l, struct cluster *c, int n, const int *nodes,
                int n_nodes);
/* Wait until `more` further operations were acknowledged. */
void load_wait(struct load *l, unsigned long more);
void load_stop(struct load *l);
/* Every acknowledged SET is there with its value; every counter is at least what was
 * acknowledged and at most that plus the unknown ones. */
void load_verify(struct load *l);
void load_free(struct load *l);

#endif
