/* Inside the crowd: what clients (client.c) ask of the workload (workload.c). */
#ifndef KV_KVSIM_CROWD_H
#define KV_KVSIM_CROWD_H

#include "base/buf.h"
#include "base/list.h"
#include "kvsim/answer.h"
#include "kvsim/parts.h"

#define ACTION_KEYS_MAX 4u

struct workload; /* opaque */
struct wkey;     /* workload.c: a key and what clients remember of it */

/* What a client does with one command (or a few that belong together). */
#define ACTION_MAP(X)                                                       \
    X(GET) X(SET) X(SETNX) X(DEL) X(CAS_VALUE) X(CAS_REVISION) X(READ_REVISION) \
    X(INCR) X(INCRBY) X(APPEND) X(SET_PX) X(SETNX_PX) X(PERSIST) X(GETDEL)  \
    X(MSET) X(MGET) X(MDEL)
enum action_kind {
#define X(name) ACTION_##name,
    ACTION_MAP(X)
#undef X
    ACTION_KINDS
};

struct action {
    struct list link;         /* of its client, in the order sent */
    enum action_kind kind;
    unsigned client, node;    /* who asks whom */
    unsigned n_keys;
    struct wkey *key[ACTION_KEYS_MAX];
    size_t record[ACTION_KEYS_MAX]; /* in the history: one for each key */
    unsigned n_replies;       /* still to come */
    uint64_t deadline_us;
    /* READ_REVISION: */
    struct buf value;
    bool nil;
    int64_t revision;         /* 0: absent */
};

struct workload *workload_new(struct world *w);
void workload_free(struct workload *l);
/* Choose the next action of a client, record its calls, append its commands to out.  NULL:
 * all keys have enough to do. */
struct action *workload_next(struct workload *l, unsigned client, unsigned node,
                             struct buf *out);
/* A GET of key i (0..workload_keys) for the last look. */
struct action *workload_read(struct workload *l, size_t i, unsigned client, unsigned node,
                             struct buf *out);
size_t workload_keys(const struct workload *l);
/* Must key i be readable at the end? */
bool workload_key_owed(const struct workload *l, size_t i);
/* A reply came; frees a when it was the last (true).  *ret_ok: it was an answer, no error. */
bool workload_reply(struct workload *l, struct action *a, const struct answer *reply, bool *ret_ok);
/* None will come: frees a. */
void workload_lost(struct workload *l, struct action *a);

#endif
