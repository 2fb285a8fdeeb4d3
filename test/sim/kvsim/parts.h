/* The parts of kvsim that the world drives: clients, faults, watch. */
#ifndef KV_KVSIM_PARTS_H
#define KV_KVSIM_PARTS_H

#include "kvsim/world.h"

/* ---- crowd: the clients (client.c, workload.c) ---- */

/* Clients with time-outs and retries that ask any node, by the plan's workload; each
 * operation is recorded in w->history (times in us of sim_now).  A reply that does
 * not fit its request (crossed or swapped) is a correctness violation at once. */
struct crowd *crowd_new(struct world *w);
void crowd_free(struct crowd *c);
void crowd_start(struct crowd *c);
/* No new operations; true once none is open (those that time out are UNKNOWN). */
void crowd_stop(struct crowd *c);
bool crowd_idle(const struct crowd *c);
/* From now on count which clients get answers; true once each had one. */
void crowd_expect(struct crowd *c);
bool crowd_served(const struct crowd *c);
/* Read every key that was ever used through every node; true when all were answered. */
void crowd_read_all(struct crowd *c);
bool crowd_read_all_done(const struct crowd *c);

/* ---- faults (fault.c, aim.c, clog.c, script.c) ---- */

struct faults *faults_new(struct world *w);
void faults_free(struct faults *f);
void faults_start(struct faults *f); /* schedules itself on w->sim */
/* Undo everything: heal, wake, start who is down (but not who refused). */
void faults_heal(struct faults *f);

/* ---- watch (watch.c, audit.c) ---- */

/* Called after every event of node `node` (0: of none). Looks at its shards: one
 * leader a term, one vote a term, log matching, committed prefixes, equal digests at equal
 * index; keeps committed payloads for the replay. */
struct watch *watch_new(struct world *w);
void watch_free(struct watch *t);
void watch_node(struct watch *t, unsigned node);
void watch_started(struct watch *t, unsigned node);
void watch_stopped(struct watch *t, unsigned node);
/* Has every shard a ready leader that all its live replicas have caught up with? */
bool watch_settled(struct watch *t);
/* At the end: equal digests, state equals replay, then the oracle on w->history. */
void watch_audit(struct watch *t);
/* Keys of which the oracle could not tell within its budget, after the audit. */
size_t watch_undecided(const struct watch *t);

#endif
