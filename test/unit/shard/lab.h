/* A shard over a group that the test plays: entries proposed are recorded, and the
 * test says what is applied, who leads, and when reads may go. */
#ifndef KV_TEST_UNIT_SHARD_LAB_H
#define KV_TEST_UNIT_SHARD_LAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "env/timerq.h"
#include "shard/shard.h"

#define LAB_ENTRIES_MAX 64
#define LAB_REQS_MAX 64

/* The double of struct group; group_double.c defines the group_* functions. */
struct group {
    const struct group_ops *ops;
    void *ctx;
    enum group_role role;
    bool ready;
    uint64_t term, last, applied;
    int refuse;                  /* what group_propose answers; 0: takes it */
    unsigned refused;            /* how often it did */
    size_t entry_max;            /* larger payloads are KV_E2BIG */
    struct lab_entry {
        uint64_t index, term;
        struct blob *payload;
    } entries[LAB_ENTRIES_MAX];
    unsigned n_entries;
    struct list reads;           /* struct group_read */
    uint64_t witness, witness_term; /* of the last read */
};

struct lab {
    struct env env;
    struct timerq timers;
    uint64_t now_ms;
    int64_t wall_ms;
    bool woken;
    struct group group;
    struct shardset *set;
    struct shard *shard;
    unsigned leader_calls;
    uint64_t leader;
    bool ready_here;
};

/* One operation and what came of it. */
struct lab_req {
    struct shard_req req;
    struct buf op;
    unsigned answers;            /* how often cb ran: must be at most once */
    struct op_result res;
    char text[256];              /* of a BULK result */
};

extern struct lab lab;

/* A leader that is ready, in term 1, with these limits. */
void lab_open(unsigned inflight_max, size_t batch_bytes, size_t queue_bytes);
void lab_close(void);
void lab_turn(void);
void lab_advance(uint64_t ms);   /* both clocks, then due timers and a turn */
void lab_role(enum group_role role, uint64_t term, bool ready);
/* Apply entry i (0-based) of those proposed, under its own term. */
void lab_apply(unsigned i);
/* Apply another leader's entry at that index: a batch with one NOOP. */
void lab_apply_foreign(uint64_t index, uint64_t term);
/* Answer the oldest waiting read. */
void lab_read_done(int status);
unsigned lab_reads_waiting(void);
/* Operations in entry i. */
uint64_t lab_count(unsigned i);
enum op_kind lab_kind(unsigned i, uint64_t op);

/* Submit `words` ("SET k v", "INCR k", "GET k", "DEL k"). */
void lab_submit(struct lab_req *r, const char *words);
void lab_check_err(const struct lab_req *r, enum op_err err);
void lab_check_int(const struct lab_req *r, int64_t num);
void lab_req_close(struct lab_req *r);

#endif
