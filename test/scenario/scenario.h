/* The scenarios: each builds a cluster, plays a script and returns it settled, for
 * the verdict.  They are functions so that a sabotaged build can play them, too. */
#ifndef KV_SCENARIO_SCENARIO_H
#define KV_SCENARIO_SCENARIO_H

#include "scenario/cluster.h"

/* A leader that was cut off rejoins with entries nobody else has. */
struct cluster *scenario_stale_suffix(void);
/* Figure 8 of the Raft paper, up to (d) or, completed, (e). */
struct cluster *scenario_figure_8(bool completed);
/* Proposals arrive at a fixed rate, whatever becomes of them. */
struct load {
    uint32_t net_us, sync_us;  /* one way; one fsync */
    unsigned every_us, ms;     /* one proposal per every_us, for ms */
};
struct load_result {
    unsigned proposed, acked, refused;
    uint64_t p50_us, p99_us, max_us; /* of the acknowledgements */
    uint64_t leader_syncs;
    unsigned leaders;                /* terms that had one */
};
struct cluster *scenario_load(const struct load *load, struct load_result *ret);
/* Leadership is handed to node 2 while node 3 calls for votes in the same term; what
 * node 3 says is heard after_us later.  *ret_both: both did call. */
struct cluster *scenario_two_candidates(uint32_t after_us, bool *ret_both);
/* A voter loses power after it has decided its vote, before that is on its disk. */
struct cluster *scenario_vote_before_fsync(void);
/* A follower is thousands of entries behind: they come from the leader's log. */
struct cluster *scenario_far_behind(uint64_t *ret_entries_read);
/* A follower must replace n entries that differ from the leader's at every
 * index.  The time from the heal until it has, and how often it said no. */
struct cluster *scenario_long_conflict(unsigned n, uint64_t *ret_repair_us, uint64_t *ret_rejects);
/* Everybody loses power the moment a write is acknowledged. */
struct cluster *scenario_power_cut_at_ack(void);
/* A leader whose clock has almost stopped does not notice that another one was
 * elected, and is asked to read.  late: while answers to an older round arrive. */
struct cluster *scenario_stale_read(bool late);
/* The leader is killed: how long until another one has acknowledged a write. */
struct cluster *scenario_failover(uint64_t seed, uint64_t *ret_us);
/* A voter becomes a stand-by, and a voter again once it has caught up. */
struct cluster *scenario_member_change(void);
/* A change that was not committed is replaced by another leader; a follower had got
 * it in one message with a write that stays, or at once after another change that
 * stays. */
struct cluster *scenario_change_replaced(void);
struct cluster *scenario_second_change_replaced(void);
/* A follower gets a change in one message with a write; both stay. */
struct cluster *scenario_change_in_a_batch(void);
/* The leader crashes while only the others have its change. */
struct cluster *scenario_change_crash(void);
/* The same when the change leaves it the only voter.  *ret_elected: somebody leads
 * when it is back. */
struct cluster *scenario_change_to_one(bool *ret_elected);
/* The leader dies after it promoted a server that does not know.  *ret_elected: the
 * others, a majority with that server, elected one of them. */
struct cluster *scenario_promoted_unaware(bool *ret_elected);
/* A server that is cut off is to be promoted, and another one fails.  *ret_rv: of
 * the promotion; *ret_acked: a write was acknowledged after that. */
struct cluster *scenario_promoted_behind(int *ret_rv, bool *ret_acked);
/* Fifteen seconds of random faults. */
struct cluster *scenario_soak(uint64_t seed);

#endif
