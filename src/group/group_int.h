/* What the files of src/group share.  Nothing outside the folder includes it,
 * but its own unit tests. */
#ifndef KV_GROUP_GROUP_INT_H
#define KV_GROUP_GROUP_INT_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/sabotage.h"
#include "env/env.h"
#include "group/group.h"
#include "group/group_log.h"
#include "group/groupset.h"
#include "peer/frame.h"
#include "peer/link.h"
#include "store/wal.h"

#define GROUP_MEMBERS_MAX 16u        /* servers of one configuration */
#define GROUP_HELD_MAX 1024u         /* frames waiting, per group and peer */
#define GROUP_LINK_BACKLOG_AES 4u    /* AppendEntries of full size per link */
#define GROUP_LINK_BACKLOG_MIN (64u << 10) /* bytes; small ones need not wait for a turn each */
#define GROUP_APPLY_ENTRIES_MAX 512u /* applied per group and turn */
#define GROUP_APPLY_BYTES_MAX (4u << 20)
#define GROUP_READ_ROUNDS_MAX 4u    /* read rounds in flight per group */
#define GROUP_TERMS_PENDING_MAX 16u /* term changes waiting for one sync */
#define GROUP_PROMOTE_LAG 64u       /* entries a stand-by to promote may lack */
#define GROUP_INDEX_MAX                                                        \
    (UINT64_C(1) << 60)    /* of indexes and terms: input above is garbage */

/* ---- one group ---- */

/* A run of entries handed to the WAL and not durable yet. */
struct grun {
    uint64_t lsn;         /* durable when the WAL has synced this */
    uint64_t first, last; /* still current; first > last: replaced */
};

/* A frame, or AppendEntries still to be built, that has to wait. */
struct gout {
    struct list link;
    uint64_t gate;       /* WAL position that must be durable first */
    struct frame *frame; /* owned; NULL: AppendEntries as follows */
    uint64_t term, commit, prev;
    uint64_t n; /* entries prev+1 .. prev+n */
};

/* What this node keeps about a member it sends to. */
struct gpeer {
    uint64_t id;
    struct list held; /* of gout, oldest first: order per peer is kept */
    unsigned n_held;
    struct log_reader
        *reader; /* owned; NULL unless evicted entries are wanted */
    /* What was sent lately: entries ae_prev + 1 .. ae_end, since ae_ms. */
    uint64_t ae_prev, ae_end, ae_term, ae_ms;
    struct group *g;
};

/* The reads of one group that one round is to confirm. */
struct read_batch {
    uint64_t round; /* 0: free */
    uint64_t started_ms;
    uint64_t ack[GROUP_MEMBERS_MAX]; /* nodes that confirmed */
    unsigned n_acks;
    struct list reads;
};

struct group {
    struct raft r;
    struct groupset *gs; /* borrowed */
    uint32_t id;
    bool started; /* START was given; else its configurations are being read
                     back */
    bool preferred, led;       /* led: was leader in this life of the process */
    uint64_t opened_ms;
    uint64_t start_term, start_vote; /* to be started with */
    uint64_t open_last;              /* last entry found at opening */
    const struct group_ops *ops;
    void *ctx;

    struct glog log;
    uint64_t applied, commit_max;
    size_t uncommitted_bytes; /* payload of entries above commit_max */

    uint64_t meta_lsn; /* the gate: WAL position of the latest HARDSTATE, or
                          CHANGE of rule S15 */
    uint64_t put_term, put_vote; /* of that HARDSTATE */
    struct {
        uint64_t lsn, term;
    } terms[GROUP_TERMS_PENDING_MAX];
    unsigned n_terms;
    uint64_t durable_term;
    struct grun *runs; /* owned; oldest first from runs_head */
    unsigned runs_head, n_runs, cap_runs;

    struct gpeer peer[GROUP_MEMBERS_MAX];
    unsigned n_peers;
    struct log_reader *apply_reader; /* owned; NULL unless needed */

    uint64_t barrier_index,
        barrier_term;  /* the entry that makes this leader ready */
    bool want_barrier; /* rule S8: to be submitted outside the step */
    uint64_t heard_ms; /* rule S11: last AppendEntries of the current term */
    bool in_timeout;           /* a TIMEOUT is being stepped */
    bool stale_ae;     /* the message being stepped is of an older term */
    bool timeout_held; /* a follower's timeout waits for its disk */

    struct { /* a stand-by that becomes a voter when it has the whole log */
        uint64_t node, term, until_ms; /* node 0: none */
    } promote;

    struct list reads_new; /* wait for a round */
    struct read_batch batch[GROUP_READ_ROUNDS_MAX];
    struct list reads_apply; /* confirmed; wait for applied */

    struct {
        enum group_role role;
        uint64_t term, leader;
        bool ready;
    } told, now;

    struct { /* group_check.c */
        uint64_t term, vote, leader_term, leader;
        int state;
        uint64_t last;
    } chk;

    struct heap_node timer; /* in gs->timers, key ms */
    struct list all;        /* gs->all, in order of opening */
    struct list dirty;      /* gs->dirty: waits for the WAL */
    struct list held;       /* gs->held: has frames waiting */
    struct list work;       /* gs->work: something to post or apply */
    struct list reading;    /* gs->reading: has reads that wait for a round or
                               confirmation */
    struct list changed;    /* gs->changed: state to be told */
};

/* A node we exchange read rounds with. */
struct read_peer {
    uint64_t id;
    struct frame *probe; /* owned; being filled during a turn */
};

/* Some server's address, made once. */
struct server_address {
    uint64_t id; /* 0: none */
    char text[24];
};

struct groupset {
    struct env *env; /* borrowed, as are wal and links */
    struct groupset_config cfg;
    struct wal *wal;
    struct links *links;
    struct map groups; /* id -> struct group */
    struct list all, dirty, held, work, reading, changed;
    struct list reads_done; /* answered; cb is due */
    struct heap timers;
    struct env_timer timer;
    uint64_t timer_ms; /* what timer is armed for */
    uint64_t round;    /* read rounds started */
    struct read_peer peer[GROUP_MEMBERS_MAX * 4];
    unsigned n_peers;
    struct server_address address[GROUP_MEMBERS_MAX]; /* by id mod size */
    bool closing, in_turn;
    struct raft_entry *ents; /* scratch: entries of one message or proposal */
    struct blob **blobs;     /* scratch: their payloads, owned during a call */
    struct wal_entry *wents; /* scratch: for the WAL */
    unsigned cap_ents, cap_wents;
    struct groupset_stats stats;
    uint64_t garbage_logged_ms;
};

/* ---- group.c ---- */

/* Rule S10: log why and stop the process. */
_Noreturn void group__fatal(const struct group *g, const char *what,
                            const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A read from the log ended with an error: stop the node in order, unless that is
 * under way. */
void group__unreadable(const struct group *g, int status);
/* Give START if the configurations are in memory. */
void group__start(struct group *g);
/* A preferred leader that nobody has contradicted yet calls for votes soon. */
void group__hasten_preferred(struct group *g);
void group__free(struct group *g);
/* Note role, leader and readiness for the state callback. */
void group__note_state(struct group *g);
/* Put the group's next timeout into the heap. */
void group__arm(struct group *g);

/* ---- group_step.c ---- */

/* One raft_step and all it asks for.  ents and blobs: the n entries the event
 * carries and their payloads (borrowed).  0, or the raft error of a refused
 * submission; other errors stop the process. */
int step__run(struct group *g, struct raft_event *ev,
              const struct raft_entry *ents, struct blob *const *blobs,
              unsigned n);
struct wire_msg;
void step__receive(struct group *g, uint64_t from, struct wire_msg *m);
void step__timeout(struct group *g);
void step__durable(struct group *g, uint64_t lsn);
int step__submit(struct group *g, enum raft_entry_type type,
                 struct blob *payload, uint64_t *ret_index);
/* Submit a barrier that is due. */
void step__post(struct group *g);

/* ---- group_member.c ---- */

/* Am I a voter by the configuration in use here? */
bool member__votes(const struct group *g);
/* A promotion waits for its stand-by: no proposals are taken. */
bool member__waits(const struct group *g);
/* A follower said what it has stored. */
void member__stored(struct group *g);
/* As leader: the other voter that has stored most; 0: there is none. */
uint64_t member__most_advanced(const struct group *g);

/* ---- group_out.c: the output gate ---- */

void out__message(struct group *g, const struct raft_message *m);
/* Send what was held and may go now.  False: something is still held. */
bool out__release(struct group *g);
/* A peer refused: count nothing as sent to it. */
void out__forget(struct group *g, uint64_t peer);
void out__close(struct group *g);

/* ---- group_apply.c ---- */

/* Apply what is committed and stored, up to the turn's budget.  True: more can
 * be done at once. */
bool apply__run(struct group *g);
uint64_t apply__target(const struct group *g);
/* The CHANGE at index is committed: tell the core. */
void apply__configuration(struct group *g, uint64_t index,
                          const struct blob *payload);

/* ---- group_read.c ---- */

void read__turn(
    struct groupset *gs); /* start rounds, send probes, repeat lost ones */
void read__probe(struct groupset *gs, uint64_t from, struct slice payload);
void read__ack(struct groupset *gs, uint64_t from, struct slice payload);
void read__step_down(struct group *g); /* not leader, or of another term */
void read__applied(struct group *g);   /* applied or readiness moved on */
uint64_t read__deadline(const struct groupset *gs); /* ms; UINT64_MAX: none */
void read__answer(struct groupset *gs); /* run the callbacks that are due */
void read__close(struct group *g);

/* ---- group_check.c ---- */

struct group_before {
    int state;
    uint64_t term, last;
};
struct group_before check__before(const struct group *g);
void check__step(struct group *g, const struct group_before *b,
                 const struct raft_update *u);
/* A leader of `term`, at least mine, spoke.  False: the term has another
 * leader. */
bool check__heard(struct group *g, uint64_t term, uint64_t leader);
/* Before the tail is cut at index. */
void check__truncate(const struct group *g, uint64_t index);

/* ---- groupset.c ---- */

void groupset__garbage(struct groupset *gs, uint64_t from, const char *what);
/* Room for n in the scratch arrays of one message (ents, blobs), of one APPEND
 * record (wents). */
void groupset__scratch(struct groupset *gs, unsigned n);
void groupset__wal_scratch(struct groupset *gs, unsigned n);
static inline void groupset__work(struct group *g)
{
    if (list_empty(&g->work))
        list_add_tail(&g->gs->work, &g->work);
    env_wake(g->gs->env);
}

#endif
