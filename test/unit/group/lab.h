/* A laboratory for src/group: several nodes in one process, each a groupset
 * over doubles of env, WAL and links that do nothing by themselves.  The test
 * decides when the clock moves, when a node's disk has synced, and when frames
 * travel; nothing else does anything.  Same calls, same run. */
#ifndef KV_TEST_UNIT_GROUP_LAB_H
#define KV_TEST_UNIT_GROUP_LAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "group/group_int.h"
#include "group/groupset.h"

#define LAB_NODES 5
#define LAB_GROUPS 3
#define LAB_APPLIED_MAX 20000

struct lab;
struct lab_node;

/* A queued WAL record. */
struct wal_record {
    enum wal_kind kind;
    uint32_t group;
    uint64_t lsn, index, a, b; /* a, b: term and vote, or index and term */
    struct wal_entry *entries; /* owned, with references */
    unsigned n;
};

/* The double behind wal.h. */
struct wal {
    struct lab_node *node;
    struct wal_record *rec; /* owned */
    unsigned n, cap;
    uint64_t end, synced, gone;
    bool full, fail_reads;
    int failed; /* what wal_unreadable was told */
    uint32_t entry_max;
    bool hold_reads;   /* completions wait for lab_reads */
    struct list reads; /* of struct lab_read */
    unsigned n_reads;  /* asked for so far */
    struct wal_group fold[LAB_GROUPS];
    size_t keep_max; /* payloads longer than that are not kept by a restart */
};

/* The double behind link.h. */
struct links {
    struct lab_node *node;
    size_t queued; /* what links_queued says */
};

struct lab_env {
    struct env env;
    struct lab_node *node;
    struct heap timers;
    struct rng rng;
    bool woken;
};

/* What the state machine of one group saw. */
struct lab_fsm {
    uint64_t n; /* commands applied */
    uint64_t index[LAB_APPLIED_MAX];
    uint64_t value[LAB_APPLIED_MAX]; /* the first 8 bytes of each */
    enum group_role role;
    uint64_t term, leader;
    bool ready;
    unsigned states; /* state callbacks */
};

struct lab_node {
    struct lab *lab;
    uint64_t id;
    bool up;
    bool slow; /* lab_run does not sync its disk */
    struct lab_env env;
    struct wal wal;
    struct links links;
    struct groupset *gs;
    struct group *g[LAB_GROUPS];
    struct lab_fsm fsm[LAB_GROUPS];
};

/* A frame under way. */
struct lab_frame {
    struct list link;
    uint64_t from, to;
    struct frame_head head;
    uint8_t *bytes; /* owned: the payload */
    size_t n;
};

struct lab {
    uint64_t now_ms;
    unsigned nodes, groups;
    uint64_t preferred; /* node id; 0: none */
    struct groupset_config cfg;
    struct lab_node node[LAB_NODES + 1];    /* by id */
    bool cut[LAB_NODES + 1][LAB_NODES + 1]; /* frames from, to are lost */
    uint64_t stall[LAB_NODES + 1][LAB_NODES + 1]; /* frames wait until then, ms */
    struct list wire;                       /* of lab_frame, oldest first */
    uint64_t sent[LAB_NODES + 1]
                 [64]; /* frames sent by node and kind or type, see lab_sent */
    bool (*drop)(struct lab_frame *f); /* test's own filter; NULL: none */
};

struct lab *lab_new(unsigned nodes, unsigned groups);
void lab_free(struct lab *lab);
/* Start a node (again): from what its disk holds. */
void lab_start(struct lab *lab, uint64_t id);
int lab_try_start(struct lab *lab, uint64_t id, char *errmsg, size_t n);
/* Stop it dead: what its disk has not synced is lost. */
void lab_crash(struct lab *lab, uint64_t id);
/* The loop turn of a node, if it asked for one. */
void lab_turn(struct lab *lab, uint64_t id);
/* Its disk has written everything queued. */
void lab_sync(struct lab *lab, uint64_t id);
/* Complete its WAL reads. */
void lab_reads(struct lab *lab, uint64_t id);
/* Deliver one frame, or all there are (and those they cause if `more`). */
bool lab_deliver_one(struct lab *lab);
void lab_deliver(struct lab *lab);
void lab_lose(struct lab *lab); /* lose all frames under way */
/* Advance the clock by ms, 1 by 1, with turns, syncs and deliveries. */
void lab_run(struct lab *lab, unsigned ms);
/* As lab_run without advancing: until nothing moves any more. */
void lab_settle(struct lab *lab);
/* The ready leader of group g (0: none) after at most ms. */
uint64_t lab_elect(struct lab *lab, unsigned g, unsigned ms);
/* Propose a value of 8 bytes plus `extra`; the group's return code. */
int lab_propose(struct lab *lab, uint64_t node, unsigned g, uint64_t value,
                size_t extra);
/* Frames of raft type t (enum raft_message_type) sent by a node so far. */
uint64_t lab_sent(const struct lab *lab, uint64_t node, unsigned t);
/* Give a node a message as if `from` had sent it. */
void lab_inject(struct lab *lab, uint64_t from, uint64_t to, unsigned g,
                const struct raft_message *m);
/* The same for AppendEntries: entries of 8 bytes, or the configuration `conf`.
 */
struct lab_entry {
    uint64_t term, value;
    struct blob *conf; /* owned; a CHANGE if set */
};
void lab_inject_ae(struct lab *lab, uint64_t from, uint64_t to, unsigned g,
                   struct raft_append_entries ae, struct lab_entry *e);
/* An encoded configuration: role of server i + 1 is roles[i]: 'v' or 's'. */
struct blob *lab_conf(const char *roles);
/* Write a node's disk before it starts: term, vote and a log. */
void lab_disk(struct lab *lab, uint64_t id, unsigned g, uint64_t term,
              uint64_t vote, struct lab_entry *e, unsigned n);
/* Separate `id` from all others, or join all again. */
void lab_isolate(struct lab *lab, uint64_t id);
void lab_heal(struct lab *lab);
void lab_check_agreement(struct lab *lab, unsigned g);
/* Does its durable log hold this value? */
bool lab_durable(const struct lab *lab, uint64_t node, unsigned g,
                 uint64_t value);

#endif
