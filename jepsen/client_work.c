/* The workloads: which operation comes next, and what its reply means.
 *
 *   register  45 % read, half of them with the revision; 30 % write; 18 %
 *             compare-and-set with what this client read last (by value: SET k v IFEQ old;
 *             by revision: SET k v IFREV r); 7 % delete
 *   counter   70 % INCRBY, 30 % read
 *   set       80 % add of a new key (SET k v NX: an add done twice would show), 20 % read of
 *             one of the last added
 *   append    60 % APPEND of a unique token, 40 % read
 *
 * A read with revision is GETREV, GET, GETREV in one write.  Equal revisions
 * before and after show that the value is that revision's; since every value is
 * written once only, a compare by revision then is a compare by value.
 *
 * One client of each node, of the second that stay with it, only reads, any key in use:
 * one that also writes hangs in a write as soon as its node is cut off, and so never
 * sees what that node still tells of the past.
 *
 * Keys: client c works on slot c modulo the number of slots, so that few clients
 * share a key; after ops_per_key operations, or a few unknown outcomes, the slot gets a
 * new key.  All this keeps the checker's search small: each unknown write may
 * happen at any later time, so that the search doubles with each. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "jepsen/client.h"

#define SET_RECENT 16u /* a read of the set workload goes back so far */

static uint32_t key_new(struct work *w)
{
    if (w->n_keys == w->cap_keys) {
        w->cap_keys = w->cap_keys == 0 ? 1024 : w->cap_keys * 2;
        w->keys = mem_realloc(w->keys, w->cap_keys * sizeof *w->keys);
    }
    w->keys[w->n_keys] = (struct work_key){ .ops = 0 };
    return w->n_keys++;
}

void work_init(struct work *w, const struct options *o)
{
    ASSERT(o->keys > 0);
    *w = (struct work){ .o = o };
    rng_seed(&w->rng, o->seed);
    w->slots = mem_calloc(o->keys, sizeof *w->slots);
    if (o->workload != WORK_SET)
        for (unsigned i = 0; i < o->keys; i++)
            w->slots[i] = key_new(w);
}

void work_close(struct work *w)
{
    mem_free(w->keys);
    mem_free(w->slots);
    *w = (struct work){ .o = NULL };
}

void work_op_close(struct work_op *x)
{
    buf_close(&x->request);
    buf_close(&x->result);
}

/* ---- building an operation ---- */

static void start(struct work *w, struct work_op *x, uint32_t key,
                  enum oracle_f f)
{
    static const char letter[] = { 'r', 'c', 's', 'a' };

    x->key = key;
    x->replies = 1;
    x->got = 0;
    x->refused = false;
    buf_clear(&x->request);
    buf_clear(&x->result);
    snprintf(x->key_text, sizeof x->key_text, "%c%" PRIu64 ".%" PRIu32,
             letter[w->o->workload], w->o->seed, key);
    x->arg_text[0] = x->expect_text[0] = '\0';
    x->op = (struct oracle_op){ .f = f, .outcome = ORACLE_OPEN,
                                .ret = ORACLE_NEVER,
                                .key = slice_str(x->key_text) };
}

static void request(struct work_op *x, const char *const *words, uint32_t n)
{
    struct slice argv[6];

    ASSERT(n <= 6);
    for (uint32_t i = 0; i < n; i++)
        argv[i] = slice_str(words[i]);
    resp_request_encode(&x->request, argv, n);
}

#define REQUEST(x, ...)                                                   \
    request(x, (const char *const[]){ __VA_ARGS__ },                      \
            sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void arg_unique(struct work *w, struct work_op *x, uint32_t process)
{
    work_value_make(w, x, process, x->arg_text, sizeof x->arg_text);
    x->op.arg = slice_str(x->arg_text);
}

void work_read(struct work *w, uint32_t key, struct work_op *x)
{
    start(w, x, key, ORACLE_GET);
    REQUEST(x, "GET", x->key_text);
}

static void read_with_revision(struct work *w, uint32_t key, struct work_op *x)
{
    start(w, x, key, ORACLE_GET);
    x->replies = 3;
    REQUEST(x, "GETREV", x->key_text);
    REQUEST(x, "GET", x->key_text);
    REQUEST(x, "GETREV", x->key_text);
}

static void compare_and_set(struct work *w, uint32_t key, uint32_t process,
                            const struct work_memory *m, struct work_op *x)
{
    char rev[32];

    start(w, x, key, ORACLE_CAS);
    arg_unique(w, x, process);
    x->op.expect.nil = m->nil;
    if (!m->nil) {
        memcpy(x->expect_text, m->value, sizeof x->expect_text);
        x->op.expect.bytes = slice_str(x->expect_text);
    }
    snprintf(rev, sizeof rev, "%" PRId64, m->nil ? 0 : m->rev);
    if (m->nil || m->rev_known)
        REQUEST(x, "SET", x->key_text, x->arg_text, "IFREV", rev);
    else
        REQUEST(x, "SET", x->key_text, x->arg_text, "IFEQ", x->expect_text);
}

static void next_register(struct work *w, uint32_t key, uint32_t process,
                          const struct work_memory *m, struct work_op *x)
{
    uint64_t r = rng_below(&w->rng, 100);

    if (r >= 75 && r < 93 && m->known && m->key == key) {
        compare_and_set(w, key, process, m, x);
    } else if (r < 23 || (r >= 75 && r < 93)) {
        read_with_revision(w, key, x);
    } else if (r < 45) {
        work_read(w, key, x);
    } else if (r < 75) {
        start(w, x, key, ORACLE_SET);
        arg_unique(w, x, process);
        REQUEST(x, "SET", x->key_text, x->arg_text);
    } else {
        start(w, x, key, ORACLE_DEL);
        REQUEST(x, "DEL", x->key_text);
    }
}

static void next_counter(struct work *w, uint32_t key, struct work_op *x)
{
    char by[32];

    if (rng_below(&w->rng, 100) < 30) {
        work_read(w, key, x);
        return;
    }
    start(w, x, key, ORACLE_INCR);
    x->op.by = work_counter_step(key) * (int64_t)(1 + rng_below(&w->rng, 9));
    snprintf(by, sizeof by, "%" PRId64, x->op.by);
    REQUEST(x, "INCRBY", x->key_text, by);
}

/* Of one of the keys added last. */
static void read_recent(struct work *w, struct work_op *x)
{
    uint32_t recent = w->n_keys < SET_RECENT ? w->n_keys : SET_RECENT;

    work_read(w, w->n_keys - 1 - (uint32_t)rng_below(&w->rng, recent), x);
}

static void next_set(struct work *w, uint32_t process, struct work_op *x)
{
    if (w->n_keys > 0 && rng_below(&w->rng, 100) < 20) {
        read_recent(w, x);
        return;
    }
    start(w, x, key_new(w), ORACLE_SETNX);
    arg_unique(w, x, process);
    REQUEST(x, "SET", x->key_text, x->arg_text, "NX");
}

static void next_append(struct work *w, uint32_t key, uint32_t process,
                        struct work_op *x)
{
    if (rng_below(&w->rng, 100) < 40) {
        work_read(w, key, x);
        return;
    }
    start(w, x, key, ORACLE_APPEND);
    arg_unique(w, x, process);
    REQUEST(x, "APPEND", x->key_text, x->arg_text);
}

/* client_run.c makes clients 15 to 19 of five nodes stay, one with each. */
static bool only_reads(const struct work *w, unsigned client)
{
    return w->o->n_nodes > 0 && client / w->o->n_nodes % 4 == 3;
}

void work_next(struct work *w, unsigned client, const struct work_memory *m,
               uint32_t process, struct work_op *x)
{
    uint32_t *slot = &w->slots[client % w->o->keys];

    if (only_reads(w, client) && w->n_keys > 0) {
        if (w->o->workload == WORK_SET)
            read_recent(w, x);
        else
            work_read(w, w->slots[rng_below(&w->rng, w->o->keys)], x);
        return;
    }
    if (w->o->workload == WORK_SET) {
        next_set(w, process, x);
        return;
    }
    if (w->keys[*slot].ops >= w->o->ops_per_key ||
        w->keys[*slot].unknown >= OPTIONS_UNKNOWN_PER_KEY)
        *slot = key_new(w);
    w->keys[*slot].ops++;
    switch (w->o->workload) {
    case WORK_REGISTER:
        next_register(w, *slot, process, m, x);
        break;
    case WORK_COUNTER:
        next_counter(w, *slot, x);
        break;
    case WORK_APPEND:
        next_append(w, *slot, process, x);
        break;
    case WORK_SET:
        ASSERT(false);
    }
}

/* ---- replies ---- */

static bool ok_reply(const struct resp_item *i)
{
    return i->type == RESP_SIMPLE && slice_eq(i->str, slice_str("OK"));
}

static bool value_reply(struct work *w, struct work_op *x,
                        const struct resp_item *i)
{
    x->op.has_result = true;
    x->op.result.nil = i->type == RESP_NULL;
    if (i->type == RESP_NULL)
        return true;
    if (i->type != RESP_BULK || !work_value_fits(w, x, i->str))
        return false;
    buf_put_slice(&x->result, i->str);
    x->op.result.bytes = buf_slice(&x->result);
    return true;
}

/* GETREV GET GETREV: the answer number x->got. */
static bool revision_reply(struct work *w, struct work_op *x,
                           const struct resp_item *i)
{
    if (x->got == 1)
        return value_reply(w, x, i);
    if (i->type != RESP_NULL && (i->type != RESP_INT || i->num <= 0))
        return false;
    x->rev[x->got / 2] = i->type == RESP_NULL ? 0 : i->num;
    return true;
}

/* A reply that is no error.  False: it cannot be one to x. */
static bool good_reply(struct work *w, struct work_op *x,
                       const struct resp_item *i)
{
    struct oracle_op *op = &x->op;

    op->number = 0;
    switch ((int)op->f) {
    case ORACLE_GET:
        return x->replies == 1 ? value_reply(w, x, i) : revision_reply(w, x, i);
    case ORACLE_SET:
        return ok_reply(i);
    case ORACLE_CAS:
    case ORACLE_SETNX:
        op->has_result = true;
        op->number = ok_reply(i) ? 1 : 0;
        return op->number == 1 || i->type == RESP_NULL;
    case ORACLE_DEL:
        op->has_result = true;
        op->number = i->num;
        return i->type == RESP_INT && (i->num == 0 || i->num == 1);
    case ORACLE_INCR:
        op->has_result = true;
        op->number = i->num;
        return i->type == RESP_INT && i->num > 0 &&
               i->num % work_counter_step(x->key) == 0;
    case ORACLE_APPEND:
        op->has_result = true;
        op->number = i->num;
        return i->type == RESP_INT && i->num >= (int64_t)op->arg.n;
    default:
        return false;
    }
}

static void tell_crossed(const struct work_op *x, const struct resp_item *i,
                         char *why, size_t n)
{
    char asked[200];

    oracle_op_text(&x->op, asked, sizeof asked);
    snprintf(why, n, "crossed reply: %s was answered by type %d, number %"
             PRId64 ", bytes \"%.*s\"", asked, (int)i->type, i->num, (int)(i->str.n > 100 ? 100 : i->str.n),
             i->str.n > 0 ? (const char *)i->str.p : "");
}

bool work_reply(struct work *w, struct work_op *x, const struct resp_item *item,
                enum fate *ret_fate, bool *ret_expected, char *why, size_t n)
{
    ASSERT(x->got < x->replies);
    *ret_expected = true;
    if (item->type == RESP_ERROR) {
        snprintf(why, n, "%.*s", (int)(item->str.n > 200 ? 200 : item->str.n),
                 (const char *)item->str.p);
        x->op.has_result = false;
        x->refused = true;
        x->got++;
        *ret_fate = fate_of_error(x->op.f, item->str, ret_expected);
        return x->got == x->replies || !*ret_expected;
    }
    if (item->depth != 0 || !item->last || !good_reply(w, x, item)) {
        tell_crossed(x, item, why, n);
        *ret_fate = FATE_CROSSED;
        return true;
    }
    x->got++;
    *ret_fate = x->refused ? FATE_FAIL : FATE_OK; /* only reads have several */
    return x->got == x->replies;
}

void work_remember(const struct work_op *x, struct work_memory *m)
{
    if (x->op.f != ORACLE_GET || x->op.result.bytes.n >= sizeof m->value)
        return;
    *m = (struct work_memory){ .known = true, .key = x->key,
                               .nil = x->op.result.nil };
    if (!m->nil)
        memcpy(m->value, x->op.result.bytes.p, x->op.result.bytes.n);
    /* Revision 0, absent, comes back; the others never do. */
    if (x->replies == 3 && x->rev[0] == x->rev[1] &&
        (x->rev[0] == 0) == m->nil) {
        m->rev_known = true;
        m->rev = x->rev[0];
    }
}
