/* A small log of several groups and writes, with a model of what each prefix of
 * it means: for the tests that damage it. */
#ifndef KV_TEST_UNIT_STORE_WALSCRIPT_H
#define KV_TEST_UNIT_STORE_WALSCRIPT_H

#include "walfix.h"

#define MODEL_GROUPS 4u
#define MODEL_ENTRIES 64u
#define SCRIPT_RECORDS_MAX 64u

struct model_group {
    bool there;
    uint64_t term, vote, snap_index, snap_term, last;
    uint64_t terms[MODEL_ENTRIES]; /* by index % MODEL_ENTRIES */
    uint32_t lens[MODEL_ENTRIES];
};

struct model {
    struct model_group g[MODEL_GROUPS];
};

/* One record, as the script put it. */
struct script_record {
    uint64_t seq;         /* its segment */
    uint32_t start, end;  /* its bytes there */
    unsigned write;       /* which flush carried it */
    struct model after;   /* the state with it */
};

struct script {
    struct fix f;
    struct model model; /* state now */
    struct script_record rec[SCRIPT_RECORDS_MAX];
    unsigned n, writes;
};

void script_bootstrap(struct script *s, uint32_t group);
void script_hardstate(struct script *s, uint32_t group, uint64_t term,
                      uint64_t vote);
void script_append(struct script *s, uint32_t group, unsigned n, uint64_t term,
                   uint32_t len);
void script_truncate(struct script *s, uint32_t group, uint64_t index);
void script_compact(struct script *s, uint32_t group, uint64_t index);
void script_install(struct script *s, uint32_t group, uint64_t index,
                    uint64_t term);
void script_flush(struct script *s);
/* Opens a log and puts records of every kind in five writes; killed without a
 * MARK or not yet closed when it returns. */
void script_run(struct script *s);

/* The log that f has open holds exactly the model's state, payloads too. */
void model_check(const struct model *m, struct fix *f);
/* The state with the first n records. */
const struct model *script_prefix(const struct script *s, unsigned n);
/* Records before the first one that ends behind off in segment seq. */
unsigned script_records_before(const struct script *s, uint64_t seq,
                               uint32_t off);

#endif
