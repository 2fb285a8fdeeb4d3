/* Runs in processes of their own: what crashes one seed does not end the others. */
#ifndef KV_KVSIM_FLEET_H
#define KV_KVSIM_FLEET_H

#include "kvsim/world.h"

/* What is to be run. */
struct order {
    struct plan_options plan;    /* seed: of the first run */
    uint64_t last_seed;
    unsigned jobs;               /* processes at a time */
    bool many;                   /* --seeds: one line for each failure */
    bool stop_at_first, cover, quiet, hash;
    const char *trace;           /* file; NULL: none */
    char again[1024];            /* options that repeat the run, but for the seed */
};

/* Runs all; returns the exit status, the worst of all. */
int fleet_run(const struct order *o);

#endif
