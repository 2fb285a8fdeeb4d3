/* All Raft groups of this node: one turn steps them all, one WAL write serves
 * them all, and the output gate holds what promises durability.
 *
 * groupset_turn(): received frames and proposals have been stepped as they came;
 * the turn fires due timers, runs what was queued (barriers), sends the frames
 * whose gate is durable, flushes the WAL, applies committed entries, answers reads
 * and reports state changes. */
#ifndef KV_GROUP_GROUPSET_H
#define KV_GROUP_GROUPSET_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "group/group.h"
#include "peer/link.h"
#include "store/wal.h"

struct groupset; /* opaque */

struct groupset_config {
    uint64_t node_id;
    unsigned election_ms;        /* E; timeouts are drawn from E..2E */
    unsigned heartbeat_ms;
    unsigned inflight_entries;   /* per peer */
    size_t ae_bytes_max;         /* payload bytes of one AppendEntries */
    size_t tail_bytes_max;       /* payload bytes of one group kept in memory */
    size_t uncommitted_bytes_max;/* group_propose refuses above this */
};

struct groupset *groupset_new(struct env *env, const struct groupset_config *cfg, struct wal *wal, struct links *links);

struct groupset_stats {
    uint64_t steps;         /* raft_step calls */
    uint64_t frames_in, frames_out;
    uint64_t garbage;       /* frames that did not decode or lied about their sender */
    uint64_t frames_held;   /* had to wait for the disk or for payloads */
    uint64_t frames_dropped;/* link down or full, or a queue of held frames full */
    uint64_t entries_read;  /* payloads read back from the WAL */
    uint64_t elections;     /* times a group of this node became leader */
    uint64_t read_rounds, reads, reads_witnessed;
};

/* Open a group: from the WAL's fold if it has one, else bootstrap it with these
 * voters (the same order on every node).  preferred: this node should lead it at
 * first (shorter first timeout).  KV_ECORRUPT if the log contradicts itself. */
int groupset_open_group(struct groupset *gs, uint32_t id, const uint64_t *voters, unsigned n,
                        bool preferred, const struct group_ops *ops, void *ctx, struct group **ret,
                        char *errmsg, size_t errmsg_n);
struct group *groupset_find(struct groupset *gs, uint32_t id); /* NULL: not here */
void groupset_get_stats(const struct groupset *gs, struct groupset_stats *ret);

/* A frame of kind RAFT, READ_PROBE or READ_ACK.  Garbage is counted and dropped. */
void groupset_frame(struct groupset *gs, uint64_t from, const struct frame_head *head, struct slice payload);
/* From the WAL's callback. */
void groupset_synced(struct groupset *gs, uint64_t lsn);
/* The link to a peer came up / its process seems gone: groups it leads hold
 * elections sooner. */
void groupset_peer_up(struct groupset *gs, uint64_t peer);
void groupset_peer_lost(struct groupset *gs, uint64_t peer);

void groupset_turn(struct groupset *gs);
/* False when a committed entry is not applied or a read not answered yet. */
bool groupset_idle(const struct groupset *gs);
void groupset_close(struct groupset *gs); /* cancels reads with KV_ECANCELED; frees */

#endif
