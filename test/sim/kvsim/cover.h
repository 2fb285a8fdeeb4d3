/* Coverage of situations: rare ones that a simulator claims to reach must have been
 * reached.  Counted per run; scripts/simulate.sh adds them up and fails if one
 * of them stayed zero.
 *
 * Faults count what they do and to whom (fault_*.c, aim_vote.c); world.c how processes
 * end; watch.c and replay.c what became of logs, changes, writes, keys; look.c the
 * reads and forwarded requests, by looking inside the product. */
#ifndef KV_KVSIM_COVER_H
#define KV_KVSIM_COVER_H

#include <stdint.h>
#include <stdio.h>

#define COVER_MAP(X)                                                             \
    X(leader_crashed, "a leader crashed")                                        \
    X(leader_crashed_with_batch, "a leader crashed with a proposed batch in flight") \
    X(candidate_crashed, "a candidate crashed")                                  \
    X(all_crashed, "all nodes were down at once")                                \
    X(torn_tail, "a log ended in a torn record at start")                        \
    X(log_truncated, "a follower dropped entries that conflict")                 \
    X(leader_isolated, "a leader was cut off from its majority")                 \
    X(leader_paused, "a leader was paused beyond the election timeout")          \
    X(two_leaders, "two nodes led a shard in different terms at once")           \
    X(ring, "a majority ring, no two nodes with the same view")                  \
    X(old_leader_read, "a read was waiting at a leader that was deposed")        \
    X(read_index_waited, "a read waited for apply to reach its index")           \
    X(follower_forwarded, "a request was forwarded to its leader")               \
    X(forward_lost, "a forwarded request's peer was lost before the result")     \
    X(retry_deduped, "a write was proposed twice and applied once")              \
    X(unknown_applied, "a write of unknown outcome took effect")                 \
    X(unknown_lost, "a write of unknown outcome never took effect")              \
    X(transfer_done, "leadership was handed over")                               \
    X(transfer_target_crashed, "the target of a transfer crashed")               \
    X(transfer_cut, "the target of a transfer was cut off")                      \
    X(change_committed, "a change of the configuration was committed")           \
    X(change_rolled_back, "a change of the configuration was truncated")         \
    X(change_in_flight_crash, "a leader crashed with a change in flight")        \
    X(fsync_failed, "a node stopped because fsync failed")                       \
    X(disk_full, "a node met a full disk")                                       \
    X(rot_refused, "a node refused a damaged log")                               \
    X(segment_recycled, "a segment of the log was used again")                   \
    X(clock_went_back, "a wall clock went back by over a second on a leader")    \
    X(key_expired, "a key expired by a TICK")                                    \
    X(ttl_across_failover, "a key with a deadline outlived a leader change")     \
    X(half_open, "a connection was open at one end only")                        \
    X(frame_duplicated, "a Raft message was delivered twice")                    \
    X(frame_reordered, "Raft messages overtook each other")                      \
    X(slow_fsync, "an fsync took over a second")                                 \
    X(stopped_in_order, "a node stopped in order and came back")

enum cover {
#define X(name, text) COVER_##name,
    COVER_MAP(X)
#undef X
    COVER_COUNT
};

/* Counters of this run (kvsim is one run at a time in a process). */
extern uint64_t cover_counts[COVER_COUNT];
#define COVER(name) ((void)cover_counts[COVER_##name]++)
void cover_reset(void);
/* "cover name count" lines. */
void cover_print(FILE *f);

#endif
