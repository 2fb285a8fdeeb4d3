/* One Raft group on this node.  Hides <raft.h>: nothing above names libraft.
 *
 * All calls on the loop thread.  Callbacks of group_ops run inside
 * groupset_turn, never inside a call that came from above. */
#ifndef KV_GROUP_GROUP_H
#define KV_GROUP_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/list.h"
#include "base/slice.h"

struct group; /* opaque */

enum group_role { GROUP_FOLLOWER, GROUP_CANDIDATE, GROUP_LEADER };

struct group_ops {
    /* A committed COMMAND entry, in index order, each exactly once per process
     * life. payload is borrowed for the call. */
    void (*apply)(void *ctx, uint64_t index, uint64_t term, struct slice payload);
    /* Role, term, known leader (0: none) or readiness changed.  ready: leader with
     * an entry of its own term committed and applied. */
    void (*state)(void *ctx, enum group_role role, uint64_t term, uint64_t leader, bool ready);
};

/* Propose one entry.  Takes a reference of payload on success.  0 and the entry's
 * index and term; KV_ENOTLEADER (also while leadership is being handed over),
 * KV_EAGAIN (leader, but not ready yet), KV_EBUSY (log tail or WAL queue
 * full, or a promotion waits for its stand-by, for two heartbeats at most), KV_E2BIG (larger than an entry of the WAL may be).  Whether it was committed is
 * learned from `apply` at that index: another term there means that the entry was
 * lost, definitely. */
int group_propose(struct group *g, struct blob *payload, uint64_t *ret_index, uint64_t *ret_term);
/* The largest payload of an entry, given the size of the WAL's segments. */
size_t group_entry_bytes_max(const struct group *g);

struct group_read;
/* status 0: the state machine has applied everything a read that began before the
 * call must see.  KV_ENOTLEADER: leadership was not confirmed; try elsewhere. */
typedef void (*group_read_cb)(struct group_read *r, int status);
/* A linearizable read in waiting.  Owned by the caller until cb has run, which
 * may free it.  The caller sets cb and data; the rest is the group's. */
struct group_read {
    struct list link;
    uint64_t round;     /* read round that confirms it; 0: none yet */
    uint64_t index;     /* must be applied first */
    uint64_t term;      /* of the leader that took it */
    uint64_t witness, witness_term;
    int status;         /* for cb */
    group_read_cb cb;
    void *data;
};
/* Wait for a linearizable point (ReadIndex, dissertation section 6.4).  witness: a node that
 * stated, after the read had arrived there, that its durable term of this group is
 * witness_term (0: none): its word counts as its confirmation.  Always calls cb. */
void group_read(struct group *g, struct group_read *r, uint64_t witness, uint64_t witness_term);
/* Forget a read whose cb has not run; cb is not called. */
void group_read_cancel(struct group *g, struct group_read *r);

/* Hand leadership to `to` (0: the most advanced voter).  KV_ENOTLEADER, KV_EAGAIN
 * (busy with another, or not ready), KV_EINVAL (no voter, or myself).  Poll
 * group_transferring. */
int group_transfer(struct group *g, uint64_t to);
bool group_transferring(const struct group *g);

/* What a server of the group is: a stand-by gets and applies all entries, but its
 * vote does not count, and it never leads. */
enum group_member { GROUP_VOTER, GROUP_STANDBY };
struct group_server {
    uint64_t id;
    enum group_member role;
};

/* As leader: make `node`, a server of this group, a voter or a stand-by.  0: the
 * change is under way, or the node has that role already.  Poll group_changing;
 * once it is false, group_members says what became of it: it may be lost with the
 * leadership, as any entry that is not committed, and a promotion may be given up.
 *
 * A stand-by is promoted when it has stored the whole log.  If it lacks a few
 * entries, the promotion waits for it; proposals are refused meanwhile, for two
 * heartbeats at most.
 *
 * KV_ENOTLEADER  ask group_leader().
 * KV_EAGAIN      nothing was done; ask again later: not ready yet, another change
 *                or a transfer is under way, or the stand-by is far behind
 *                (compare group_match() with group_last()).
 * KV_EINVAL      no such role, or the leader would demote itself: transfer first.
 * KV_ENOENT      no server of this group. */
int group_change(struct group *g, uint64_t node, enum group_member role);
/* A promotion waits for its stand-by, or the configuration in use here is not known
 * to be committed (for a moment, also after a restart). */
bool group_changing(const struct group *g);
/* The servers of the configuration in use here, in its order; how many. */
unsigned group_members(const struct group *g, struct group_server *ret, unsigned max);

enum group_role group_role(const struct group *g);
bool group_ready(const struct group *g);          /* may propose and read */
uint64_t group_leader(const struct group *g);     /* node id, 0: unknown */
uint64_t group_term(const struct group *g);
uint64_t group_durable_term(const struct group *g); /* for witness statements */
uint64_t group_commit(const struct group *g);
uint64_t group_applied(const struct group *g);
uint64_t group_last(const struct group *g);
unsigned group_voters(const struct group *g, uint64_t *ret_ids, unsigned max);
/* As leader: index known durable on that server; KV_ENOTLEADER, KV_ENOENT. */
int group_match(const struct group *g, uint64_t node, uint64_t *ret);

#endif
