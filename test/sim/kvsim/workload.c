/* Workloads: what clients do, and what they know from the replies.
 *
 * Keys come in families, each with its own mix of commands and form of value:
 *
 *   register  "<key>=<n>" and padding; n never repeats, so that a value stands for one
 *             write, and for the revision it was read with
 *   counter   a number
 *   append    "<key>=<n>;" for each APPEND, one after the other
 *   ttl       as register, with deadlines
 *   batch     as register, in commands on several keys: of one slot, or of any
 *
 * A value that does not name its own key has been sent to the wrong client, whatever
 * the oracle could make of it; that ends the run at once.
 *
 * Few keys are in use at a time, and each for some operations only: the oracle's work
 * grows with the operations of a key, and with those open at once; an operation of
 * unknown outcome stays open for ever, so a key that collected
 * UNKNOWN_MAX of them is retired early.
 *
 * Revisions: GETREV, GET, GETREV in one pipeline.  If both revisions are the same, the
 * value between them was that revision's; a later SET ... IFREV is then a
 * compare-and-set from this value. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cluster/directory.h"
#include "kvsim/workload_int.h"

/* ---- keys ---- */

static const char family_letter[] = { 'r', 'c', 'a', 't', 'b' };

static struct wkey *key_new(struct workload *l, enum family family)
{
    struct wkey *k = MEM_NEW(struct wkey);
    unsigned n = (unsigned)l->n_keys;
    char letter = family_letter[family];

    if (l->n_keys == l->cap) {
        l->cap = l->cap == 0 ? 64 : 2 * l->cap;
        l->keys = mem_realloc(l->keys, l->cap * sizeof(struct wkey *));
    }
    /* Half of the batch keys share a slot: the tag in braces decides it. */
    if (family == FAMILY_BATCH && rng_below(&l->rng, 2) == 0)
        snprintf(k->name, sizeof k->name, "{%c}%u", letter, n);
    else
        snprintf(k->name, sizeof k->name, "%c%u", letter, n);
    k->family = family;
    k->shard = directory_shard_of_slot(l->w->dir,
                                       slot_of_key(slice_str(k->name)));
    buf_init(&k->value);
    buf_init(&k->rev_value);
    k->nil = true;
    l->keys[l->n_keys++] = k;
    return k;
}

static enum family draw_family(struct workload *l)
{
    switch (l->w->plan.workload) {
    case WORKLOAD_register:
        return FAMILY_REGISTER;
    case WORKLOAD_counter:
        return FAMILY_COUNTER;
    case WORKLOAD_append:
        return FAMILY_APPEND;
    case WORKLOAD_ttl:
        return FAMILY_TTL;
    case WORKLOAD_batch:
        return FAMILY_BATCH;
    case WORKLOAD_mixed:
    case WORKLOADS:
        break;
    }
    return (enum family)rng_below(&l->rng, FAMILIES);
}

static bool worn(const struct workload *l, const struct wkey *k)
{
    return k->ops >= l->w->plan.ops_per_key || k->unknown >= UNKNOWN_MAX;
}

/* A key that can take one more operation; NULL: the one drawn cannot. */
static struct wkey *pick(struct workload *l)
{
    struct wkey **at = &l->active[rng_below(&l->rng, l->n_active)];

    if (worn(l, *at))
        *at = key_new(l, (*at)->family);
    return (*at)->open + (*at)->unknown < OPEN_MAX ? *at : NULL;
}

/* More keys of the family of key[0], all different. */
static unsigned pick_more(struct workload *l, struct wkey **key, unsigned n)
{
    unsigned got = 1;

    for (unsigned tries = 0; got < n && tries < 3 * n; tries++) {
        struct wkey *k = pick(l);
        bool good = k != NULL && k->family == key[0]->family;

        for (unsigned i = 0; good && i < got; i++)
            good = k != key[i];
        if (good)
            key[got++] = k;
    }
    return got;
}

/* ---- commands ---- */

void workload__arg(struct buf *out, struct slice s)
{
    buf_printf(out, "$%zu\r\n", s.n);
    buf_put_slice(out, s);
    buf_put(out, "\r\n", 2);
}

/* A command of n words, given as C strings. */
static void command(struct buf *out, unsigned n, ...)
{
    va_list ap;

    buf_printf(out, "*%u\r\n", n);
    va_start(ap, n);
    for (unsigned i = 0; i < n; i++)
        workload__arg(out, slice_str(va_arg(ap, const char *)));
    va_end(ap);
}

/* A value for k that no other write has, in l->value. */
static struct slice fresh(struct workload *l, const struct wkey *k)
{
    uint64_t die = rng_below(&l->rng, 100);
    size_t pad = die < 80   ? 0
                 : die < 97 ? (size_t)rng_below(&l->rng, 300)
                            : (size_t)rng_below(&l->rng, PAD_MAX);

    buf_clear(&l->value);
    buf_printf(&l->value, "%s=%" PRIu64, k->name, l->next_value++);
    if (k->family == FAMILY_APPEND)
        buf_put(&l->value, ";", 1);
    else if (pad > 0)
        memset(buf_grow(&l->value, pad), '.', pad);
    return buf_slice(&l->value);
}

/* ---- records ---- */

/* A process that has no open operation. */
static uint32_t process_take(struct workload *l)
{
    return l->n_free > 0 ? l->free[--l->n_free] : l->next_process++;
}

static void process_give(struct workload *l, uint32_t p)
{
    if (l->n_free < PROCESSES_FREE_MAX)
        l->free[l->n_free++] = p;
}

/* Record the call of a on its key i. */
static void call(struct workload *l, struct action *a, unsigned i,
                 struct oracle_op op)
{
    struct wkey *k = a->key[i];

    op.process = process_take(l);
    op.outcome = ORACLE_OPEN;
    op.call = sim_now(l->w->sim);
    op.ret = ORACLE_NEVER;
    op.key = slice_str(k->name);
    op.tag = a->node;
    a->record[i] = history_call(l->w->history, &op);
    k->open++;
    k->ops++;
}

void workload__return(struct workload *l, struct action *a, unsigned i,
                      enum oracle_outcome outcome, const struct outcome *o)
{
    static const struct outcome none = { .has = false };
    const struct oracle_op *op = history_at(l->w->history, a->record[i]);
    struct wkey *k = a->key[i];

    if (o == NULL)
        o = &none;
    ASSERT(k->open > 0);
    k->open--;
    if (outcome != ORACLE_UNKNOWN)
        process_give(l, op->process);
    else if (op->f != ORACLE_GET)
        k->unknown++;
    history_return(l->w->history, a->record[i], outcome,
                   outcome == ORACLE_UNKNOWN ? ORACLE_NEVER
                                             : sim_now(l->w->sim),
                   o->has, o->value, o->number);
}

/* ---- building actions ---- */

static void build_set(struct workload *l, struct action *a, struct buf *out)
{
    struct wkey *k = a->key[0];
    struct oracle_op op = { .f = ORACLE_SET, .arg = fresh(l, k) };
    unsigned ms = 20 + (unsigned)rng_below(&l->rng, TTL_MAX_MS);
    bool ttl = a->kind == ACTION_SET_PX || a->kind == ACTION_SETNX_PX;
    bool nx = a->kind == ACTION_SETNX || a->kind == ACTION_SETNX_PX;

    buf_printf(out, "*%u\r\n", 3u + (ttl ? 2u : 0) + (nx ? 1u : 0));
    workload__arg(out, slice_str("SET"));
    workload__arg(out, slice_str(k->name));
    workload__arg(out, op.arg);
    if (ttl) {
        char text[16];

        snprintf(text, sizeof text, "%u", ms);
        op.ttl = (uint64_t)ms * 1000;
        workload__arg(out, slice_str("PX"));
        workload__arg(out, slice_str(text));
    }
    if (nx) {
        op.f = ORACLE_SETNX;
        workload__arg(out, slice_str("NX"));
    }
    call(l, a, 0, op);
}

/* From the value seen last: the swap has a fair chance. */
static void build_cas_value(struct workload *l, struct action *a,
                            struct buf *out)
{
    struct wkey *k = a->key[0];
    struct oracle_op op = {
        .f = ORACLE_CAS,
        .arg = fresh(l, k),
        .expect = { .bytes = buf_slice(&k->value) },
    };

    ASSERT(!k->nil);
    buf_put_str(out, "*5\r\n$3\r\nSET\r\n");
    workload__arg(out, slice_str(k->name));
    workload__arg(out, op.arg);
    workload__arg(out, slice_str("IFEQ"));
    workload__arg(out, op.expect.bytes);
    call(l, a, 0, op);
}

static void build_cas_revision(struct workload *l, struct action *a,
                               struct buf *out)
{
    struct wkey *k = a->key[0];
    struct oracle_op op = {
        .f = ORACLE_CAS,
        .arg = fresh(l, k),
        .expect = { .nil = k->revision == 0,
                    .bytes = buf_slice(&k->rev_value) },
    };
    char text[24];

    ASSERT(k->rev_known);
    snprintf(text, sizeof text, "%" PRId64, k->revision);
    buf_put_str(out, "*5\r\n$3\r\nSET\r\n");
    workload__arg(out, slice_str(k->name));
    workload__arg(out, op.arg);
    workload__arg(out, slice_str("IFREV"));
    workload__arg(out, slice_str(text));
    call(l, a, 0, op);
}

static void build_append(struct workload *l, struct action *a, struct buf *out)
{
    struct oracle_op op = { .f = ORACLE_APPEND, .arg = fresh(l, a->key[0]) };

    buf_put_str(out, "*3\r\n$6\r\nAPPEND\r\n");
    workload__arg(out, slice_str(a->key[0]->name));
    workload__arg(out, op.arg);
    call(l, a, 0, op);
}

static void build_incr(struct workload *l, struct action *a, struct buf *out)
{
    struct oracle_op op = { .f = ORACLE_INCR, .by = 1 };
    const char *key = a->key[0]->name;
    char text[24];

    if (a->kind == ACTION_INCR) {
        command(out, 2, "INCR", key);
    } else {
        op.by = (int64_t)rng_below(&l->rng, 2001) - 1000;
        snprintf(text, sizeof text, "%" PRId64, op.by);
        command(out, 3, "INCRBY", key, text);
    }
    call(l, a, 0, op);
}

static void build_many(struct workload *l, struct action *a, struct buf *out)
{
    static const char *const word[] = { [ACTION_MSET] = "MSET",
                                        [ACTION_MGET] = "MGET",
                                        [ACTION_MDEL] = "DEL" };
    bool set = a->kind == ACTION_MSET;
    struct oracle_op op = { .f = set                      ? ORACLE_SET
                                 : a->kind == ACTION_MGET ? ORACLE_GET
                                                          : ORACLE_DEL };

    a->n_keys = pick_more(l, a->key,
                          2 + (unsigned)rng_below(&l->rng,
                                                  ACTION_KEYS_MAX - 1));
    buf_printf(out, "*%u\r\n", 1 + a->n_keys * (set ? 2 : 1));
    workload__arg(out, slice_str(word[a->kind]));
    for (unsigned i = 0; i < a->n_keys; i++) {
        workload__arg(out, slice_str(a->key[i]->name));
        if (set) {
            op.arg = fresh(l, a->key[i]);
            workload__arg(out, op.arg);
        }
        call(l, a, i, op);
    }
}

static void build_one(struct workload *l, struct action *a, struct buf *out,
                      const char *word, enum oracle_f f)
{
    command(out, 2, word, a->key[0]->name);
    call(l, a, 0, (struct oracle_op){ .f = f });
}

static void build_read_revision(struct workload *l, struct action *a,
                                struct buf *out)
{
    command(out, 2, "GETREV", a->key[0]->name);
    build_one(l, a, out, "GET", ORACLE_GET);
    command(out, 2, "GETREV", a->key[0]->name);
    a->n_replies = 3;
}

static void build(struct workload *l, struct action *a, struct buf *out)
{
    switch (a->kind) {
    case ACTION_GET:
        build_one(l, a, out, "GET", ORACLE_GET);
        return;
    case ACTION_DEL:
        build_one(l, a, out, "DEL", ORACLE_DEL);
        return;
    case ACTION_PERSIST:
        build_one(l, a, out, "PERSIST", ORACLE_PERSIST);
        return;
    case ACTION_GETDEL:
        build_one(l, a, out, "GETDEL", ORACLE_GETDEL);
        return;
    case ACTION_SET:
    case ACTION_SETNX:
    case ACTION_SET_PX:
    case ACTION_SETNX_PX:
        build_set(l, a, out);
        return;
    case ACTION_CAS_VALUE:
        build_cas_value(l, a, out);
        return;
    case ACTION_CAS_REVISION:
        build_cas_revision(l, a, out);
        return;
    case ACTION_READ_REVISION:
        build_read_revision(l, a, out);
        return;
    case ACTION_INCR:
    case ACTION_INCRBY:
        build_incr(l, a, out);
        return;
    case ACTION_APPEND:
        build_append(l, a, out);
        return;
    case ACTION_MSET:
    case ACTION_MGET:
    case ACTION_MDEL:
        build_many(l, a, out);
        return;
    case ACTION_KINDS:
        break;
    }
    UNREACHABLE();
}

/* ---- choosing ---- */

/* Per cent of each kind of action, by family. */
static const uint8_t mix[FAMILIES][ACTION_KINDS] = {
    [FAMILY_REGISTER] = { [ACTION_GET] = 33, [ACTION_SET] = 25,
                          [ACTION_SETNX] = 4, [ACTION_DEL] = 4,
                          [ACTION_CAS_VALUE] = 13, [ACTION_CAS_REVISION] = 11,
                          [ACTION_READ_REVISION] = 10 },
    [FAMILY_COUNTER] = { [ACTION_GET] = 28, [ACTION_INCR] = 48,
                         [ACTION_INCRBY] = 22, [ACTION_DEL] = 2 },
    [FAMILY_APPEND] = { [ACTION_GET] = 40, [ACTION_APPEND] = 58,
                        [ACTION_DEL] = 2 },
    [FAMILY_TTL] = { [ACTION_GET] = 45, [ACTION_SET_PX] = 28,
                     [ACTION_SETNX_PX] = 12, [ACTION_PERSIST] = 7,
                     [ACTION_GETDEL] = 5, [ACTION_SET] = 3 },
    [FAMILY_BATCH] = { [ACTION_GET] = 10, [ACTION_SET] = 10,
                       [ACTION_MSET] = 32, [ACTION_MGET] = 38,
                       [ACTION_MDEL] = 10 },
};

static enum action_kind draw_kind(struct workload *l, const struct wkey *k)
{
    unsigned die = (unsigned)rng_below(&l->rng, 100), sum = 0;
    unsigned kind = 0;

    while ((sum += mix[k->family][kind]) <= die) {
        kind++;
        ASSERT(kind < ACTION_KINDS);
    }
    if ((kind == ACTION_CAS_VALUE && k->nil) ||
        (kind == ACTION_CAS_REVISION && !k->rev_known))
        return ACTION_READ_REVISION;
    return (enum action_kind)kind;
}

static struct action *action_new(enum action_kind kind, struct wkey *k,
                                 unsigned client, unsigned node)
{
    struct action *a = MEM_NEW(struct action);

    list_init(&a->link);
    a->kind = kind;
    a->client = client;
    a->node = node;
    a->n_keys = 1;
    a->key[0] = k;
    a->n_replies = 1;
    buf_init(&a->value);
    return a;
}

/* The world's memory is used here, the commands are the client's. */
static struct action *begin(struct workload *l, enum action_kind kind,
                            struct wkey *k, unsigned client, unsigned node)
{
    struct action *a = action_new(kind, k, client, node);

    buf_clear(&l->out);
    build(l, a, &l->out);
    workload__note_call(l, a);
    return a;
}

struct action *workload_next(struct workload *l, unsigned client, unsigned node,
                             struct buf *out)
{
    struct mem_arena *old = mem_arena_use(NULL);
    struct wkey *k = pick(l);
    struct action *a = NULL;

    if (k != NULL)
        a = begin(l, draw_kind(l, k), k, client, node);
    mem_arena_use(old);
    if (a != NULL)
        buf_put_slice(out, buf_slice(&l->out));
    return a;
}

struct action *workload_read(struct workload *l, size_t i, unsigned client,
                             unsigned node, struct buf *out)
{
    struct mem_arena *old = mem_arena_use(NULL);
    struct action *a;

    ASSERT(i < l->n_keys);
    a = begin(l, ACTION_GET, l->keys[i], client, node);
    mem_arena_use(old);
    buf_put_slice(out, buf_slice(&l->out));
    return a;
}

size_t workload_keys(const struct workload *l)
{
    return l->n_keys;
}

bool workload_key_owed(const struct workload *l, size_t i)
{
    return world_owed(l->w, l->keys[i]->shard);
}

/* ---- the workload ---- */

struct workload *workload_new(struct world *w)
{
    struct workload *l = MEM_NEW(struct workload);

    l->w = w;
    rng_seed(&l->rng, rng_mix(w->plan.seed ^ UINT64_C(0x3041)));
    buf_init(&l->value);
    buf_init(&l->out);
    l->n_active = w->plan.keys_active;
    ASSERT(l->n_active > 0);
    l->active = mem_calloc(l->n_active, sizeof(struct wkey *));
    for (unsigned i = 0; i < l->n_active; i++)
        l->active[i] = key_new(l, draw_family(l));
    return l;
}

void workload_free(struct workload *l)
{
    for (size_t i = 0; i < l->n_keys; i++) {
        buf_close(&l->keys[i]->value);
        buf_close(&l->keys[i]->rev_value);
        mem_free(l->keys[i]);
    }
    mem_free(l->keys);
    mem_free(l->active);
    buf_close(&l->value);
    buf_close(&l->out);
    mem_free(l);
}
