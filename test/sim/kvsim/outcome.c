/* What came of an action: replies become outcomes in the history.
 *
 * Errors that promise that nothing was done (server/submit.c): CLUSTERDOWN, BUSY,
 * LOADING.  They are FAIL, so that the oracle catches one that lied.  -UNKNOWN, and
 * any other error that a cluster under faults may give, is UNKNOWN.  -ERR would say that
 * the command was wrong, and none is: it ends the run. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kvsim/workload_int.h"

static const char *const kind_names[] = {
#define X(name) #name,
    ACTION_MAP(X)
#undef X
};

void workload__note_call(struct workload *l, const struct action *a)
{
    char what[160];

    oracle_op_text(history_at(l->w->history, a->record[0]), what, sizeof what);
    world_note(l->w, "client %u asks node %u: %s %s%s", a->client, a->node,
               kind_names[a->kind], what, a->n_keys > 1 ? " and others" : "");
}

static void note_reply(struct workload *l, const struct action *a,
                       const char *what)
{
    world_note(l->w, "client %u, node %u: %s %s -> %s", a->client, a->node,
               kind_names[a->kind], a->key[0]->name, what);
}

/* ---- is the value one of this key's? ---- */

/* "<key>=<digits>": bytes it takes, 0 if it is none. */
static size_t token(const struct wkey *k, struct slice v)
{
    size_t n = strlen(k->name), digits = 0;

    if (v.n <= n + 1 || memcmp(v.p, k->name, n) != 0 || v.p[n] != '=')
        return 0;
    for (n++; n < v.n && v.p[n] >= '0' && v.p[n] <= '9'; n++)
        digits++;
    return digits > 0 ? n : 0;
}

static bool appended(const struct wkey *k, struct slice v)
{
    while (v.n > 0) {
        size_t n = token(k, v);

        if (n == 0 || n == v.n || v.p[n] != ';')
            return false;
        v = slice_make(v.p + n + 1, v.n - n - 1);
    }
    return true;
}

static bool fits(const struct wkey *k, struct slice v)
{
    int64_t number;

    if (k->family == FAMILY_COUNTER)
        return answer_int(v, &number);
    return k->family == FAMILY_APPEND ? appended(k, v) : token(k, v) > 0;
}

static bool misfit(struct workload *l, const struct action *a,
                   const struct answer *r)
{
    char what[160];

    answer_text(r, what, sizeof what);
    world_violate(l->w, VERDICT_CORRECTNESS,
                  "client %u asked node %u for %s of key %s and got %s, "
                  "which is no answer to that",
                  a->client, a->node, kind_names[a->kind], a->key[0]->name,
                  what);
    return false;
}

/* ---- what clients remember ---- */

static void remember(struct wkey *k, bool nil, struct slice value)
{
    buf_clear(&k->value);
    k->nil = nil;
    if (!nil)
        buf_put_slice(&k->value, value);
}

static bool learn_revision(struct workload *l, struct action *a,
                           const struct answer *r)
{
    int64_t rev = r->type == ANSWER_INT ? r->num : 0;
    struct wkey *k = a->key[0];

    if (r->type == ANSWER_ERROR) {
        a->revision = -1;
        return false;
    }
    if (r->type != ANSWER_NIL && (r->type != ANSWER_INT || rev <= 0))
        return misfit(l, a, r);
    if (a->n_replies == 3) {
        a->revision = rev;
    } else if (a->revision == rev) {
        if (a->nil != (rev == 0)) {
            world_violate(l->w, VERDICT_CORRECTNESS,
                          "key %s has revision %" PRId64 " before and after "
                          "it was read at node %u, and was %s", k->name, rev,
                          a->node, a->nil ? "absent" : "there");
            return false;
        }
        k->rev_known = true;
        k->revision = rev;
        buf_clear(&k->rev_value);
        buf_put_slice(&k->rev_value, buf_slice(&a->value));
    }
    return true;
}

/* ---- replies by kind ---- */

static void done(struct workload *l, struct action *a, unsigned i,
                 const struct outcome *o)
{
    workload__return(l, a, i, ORACLE_OK, o);
}

static bool got_value(struct workload *l, struct action *a,
                      const struct answer *r)
{
    struct outcome o = { .has = true };

    if (r->type == ANSWER_NIL)
        o.value.nil = true;
    else if (r->type == ANSWER_BULK && fits(a->key[0], r->text))
        o.value.bytes = r->text;
    else
        return misfit(l, a, r);
    remember(a->key[0], o.value.nil || a->kind == ACTION_GETDEL, r->text);
    if (a->kind == ACTION_READ_REVISION) {
        a->nil = o.value.nil;
        buf_put_slice(&a->value, r->text);
    }
    done(l, a, 0, &o);
    return true;
}

static bool got_number(struct workload *l, struct action *a,
                       const struct answer *r)
{
    struct outcome o = { .has = true, .number = r->num };
    bool flag = a->kind == ACTION_DEL || a->kind == ACTION_PERSIST;

    if (r->type != ANSWER_INT || (flag && r->num != 0 && r->num != 1))
        return misfit(l, a, r);
    done(l, a, 0, &o);
    return true;
}

static bool is_ok(const struct answer *r)
{
    return r->type == ANSWER_SIMPLE && slice_eq(r->text, slice_str("OK"));
}

static bool got_ok(struct workload *l, struct action *a, const struct answer *r)
{
    const struct oracle_op *op;

    if (!is_ok(r))
        return misfit(l, a, r);
    for (unsigned i = 0; i < a->n_keys; i++) {
        op = history_at(l->w->history, a->record[i]);
        remember(a->key[i], false, op->arg);
        done(l, a, i, NULL);
    }
    return true;
}

/* SET with a condition: OK, or nil for none. */
static bool got_set_if(struct workload *l, struct action *a,
                       const struct answer *r)
{
    const struct oracle_op *op = history_at(l->w->history, a->record[0]);
    struct outcome o = { .has = true, .number = is_ok(r) };

    if (!is_ok(r) && r->type != ANSWER_NIL)
        return misfit(l, a, r);
    if (o.number == 1)
        remember(a->key[0], false, op->arg);
    done(l, a, 0, &o);
    return true;
}

static bool got_values(struct workload *l, struct action *a,
                       const struct answer *r)
{
    if (r->type != ANSWER_ARRAY || r->n_items != a->n_keys)
        return misfit(l, a, r);
    for (unsigned i = 0; i < a->n_keys; i++) {
        const struct answer_item *it = &r->item[i];
        struct outcome o = { .has = true,
                             .value = { .nil = it->nil, .bytes = it->text } };

        if (!it->nil && !fits(a->key[i], it->text))
            return misfit(l, a, r);
        done(l, a, i, &o);
    }
    return true;
}

/* How many were there says which only if it is none or all. */
static bool got_deleted(struct workload *l, struct action *a,
                        const struct answer *r)
{
    struct outcome o = { .has = false };

    if (r->type != ANSWER_INT || r->num < 0 || r->num > (int64_t)a->n_keys)
        return misfit(l, a, r);
    o.has = r->num == 0 || r->num == (int64_t)a->n_keys;
    o.number = r->num > 0;
    for (unsigned i = 0; i < a->n_keys; i++)
        done(l, a, i, o.has ? &o : NULL);
    return true;
}

static bool got(struct workload *l, struct action *a, const struct answer *r)
{
    switch (a->kind) {
    case ACTION_GET:
    case ACTION_READ_REVISION:
    case ACTION_GETDEL:
        return got_value(l, a, r);
    case ACTION_DEL:
    case ACTION_PERSIST:
    case ACTION_INCR:
    case ACTION_INCRBY:
    case ACTION_APPEND:
        return got_number(l, a, r);
    case ACTION_SET:
    case ACTION_SET_PX:
    case ACTION_MSET:
        return got_ok(l, a, r);
    case ACTION_SETNX:
    case ACTION_SETNX_PX:
    case ACTION_CAS_VALUE:
    case ACTION_CAS_REVISION:
        return got_set_if(l, a, r);
    case ACTION_MGET:
        return got_values(l, a, r);
    case ACTION_MDEL:
        return got_deleted(l, a, r);
    case ACTION_KINDS:
        break;
    }
    UNREACHABLE();
}

/* ---- errors ---- */

static bool begins(struct slice s, const char *word)
{
    size_t n = strlen(word);

    return s.n > n && memcmp(s.p, word, n) == 0 && s.p[n] == ' ';
}

static void end_all(struct workload *l, struct action *a,
                    enum oracle_outcome outcome)
{
    for (unsigned i = 0; i < a->n_keys; i++)
        workload__return(l, a, i, outcome, NULL);
}

static bool got_error(struct workload *l, struct action *a,
                      const struct answer *r)
{
    if (begins(r->text, "ERR") &&
        !slice_eq(r->text, slice_str("ERR max number of clients reached")))
        return misfit(l, a, r);
    if (begins(r->text, "CLUSTERDOWN") || begins(r->text, "BUSY") ||
        begins(r->text, "LOADING"))
        end_all(l, a, ORACLE_FAIL);
    else
        end_all(l, a, ORACLE_UNKNOWN);
    return false;
}

/* ---- an action's end ---- */

static void action_free(struct action *a)
{
    buf_close(&a->value);
    mem_free(a);
}

bool workload_reply(struct workload *l, struct action *a,
                    const struct answer *reply, bool *ret_ok)
{
    struct mem_arena *old = mem_arena_use(NULL);
    bool revision = a->kind == ACTION_READ_REVISION && a->n_replies != 2;
    bool last;
    char what[160];

    answer_text(reply, what, sizeof what);
    note_reply(l, a, what);
    if (revision)
        *ret_ok = learn_revision(l, a, reply);
    else if (reply->type == ANSWER_ERROR)
        *ret_ok = got_error(l, a, reply);
    else
        *ret_ok = got(l, a, reply);
    if (a->kind == ACTION_READ_REVISION && !*ret_ok)
        a->revision = -1;
    last = --a->n_replies == 0;
    if (last)
        action_free(a);
    mem_arena_use(old);
    return last;
}

void workload_lost(struct workload *l, struct action *a)
{
    struct mem_arena *old = mem_arena_use(NULL);
    bool returned = a->kind == ACTION_READ_REVISION && a->n_replies == 1;

    note_reply(l, a, "lost");
    if (!returned)
        end_all(l, a, ORACLE_UNKNOWN);
    action_free(a);
    mem_arena_use(old);
}
