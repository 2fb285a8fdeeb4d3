/* All orders of a small history, one after the other: slow and without an idea in
 * it, so that the search has something to be compared with.  The model is written
 * a second time on plain strings; nothing is shared with model.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "lib/test.h"
#include "oracle/script.h"

#define TEXT_BYTES_MAX 64u

struct key {
    bool there, has_deadline;
    uint64_t earliest, latest;
    char text[TEXT_BYTES_MAX];
};

struct brute {
    const struct history *h;
    const struct oracle_config *cfg;
    size_t n;
    bool done[BRUTE_OPS_MAX];
};

struct oracle_value script_value(const char *s)
{
    if (s == NULL)
        return (struct oracle_value){ .nil = true };
    return (struct oracle_value){ .bytes = slice_str(s) };
}

/* Events are recorded at the time of the call; ties are for tests that record
 * by hand. */
size_t script_add(struct history *h, const struct oracle_op *op)
{
    size_t n = history_call(h, op);

    if (op->outcome != ORACLE_OPEN)
        history_return(h, n, op->outcome, op->ret, op->has_result, op->result,
                       op->number);
    return n;
}

enum oracle_verdict script_verdict(const struct history *h,
                                   const struct oracle_config *cfg)
{
    struct oracle_config defaults = oracle_defaults();
    struct oracle_report r;
    enum oracle_verdict v;

    oracle_check(h, cfg == NULL ? &defaults : cfg, &r);
    v = r.verdict;
    CHECK((v == ORACLE_LINEARIZABLE) == (r.text[0] == '\0') ||
          v == ORACLE_UNDECIDED);
    CHECK((v == ORACLE_VIOLATION) == (r.n_window > 0));
    oracle_report_close(&r);
    return v;
}

/* ---- the model ---- */

static void take_text(char *buf, struct slice s)
{
    ASSERT(s.n < TEXT_BYTES_MAX);
    if (s.n > 0)
        memcpy(buf, s.p, s.n);
    buf[s.n] = '\0';
}

static bool same(const struct key *k, const struct oracle_value *v)
{
    char text[TEXT_BYTES_MAX];

    if (v->nil || !k->there)
        return v->nil && !k->there;
    take_text(text, v->bytes);
    return strcmp(text, k->text) == 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void set(struct key *k, const struct oracle_op *op,
                const struct oracle_config *cfg)
{
    uint64_t early = plus(op->call, op->ttl);

    *k = (struct key){ .there = true };
    take_text(k->text, op->arg);
    if (op->ttl == 0)
        return;
    k->has_deadline = true;
    k->earliest = early < cfg->early ? 0 : early - cfg->early;
    k->latest = plus(plus(op->ret, op->ttl), cfg->late);
}

static bool incr(struct key *k, const struct oracle_op *op, int64_t *ret)
{
    long long v = 0;
    char back[32];

    if (k->there) {
        v = strtoll(k->text, NULL, 10);
        snprintf(back, sizeof back, "%lld", v);
        if (strcmp(back, k->text) != 0)
            return false;
    }
    k->there = true;
    *ret = v + op->by;
    snprintf(k->text, sizeof k->text, "%lld", (long long)*ret);
    return true;
}

/* Do op; what it answers, unless it is GET or GETDEL.  False: an error. */
static bool apply(struct key *k, const struct oracle_op *op,
                  const struct oracle_config *cfg, int64_t *ret)
{
    char text[TEXT_BYTES_MAX];

    *ret = 0;
    switch (op->f) {
    case ORACLE_GET:
        return true;
    case ORACLE_SET:
        set(k, op, cfg);
        return true;
    case ORACLE_SETNX:
        *ret = !k->there;
        if (*ret == 1)
            set(k, op, cfg);
        return true;
    case ORACLE_CAS:
        *ret = same(k, &op->expect);
        if (*ret == 1)
            set(k, op, cfg);
        return true;
    case ORACLE_DEL:
        *ret = k->there;
        *k = (struct key){ .there = false };
        return true;
    case ORACLE_GETDEL:
        *k = (struct key){ .there = false };
        return true;
    case ORACLE_INCR:
        return incr(k, op, ret);
    case ORACLE_APPEND:
        take_text(text, op->arg);
        strcat(k->text, text);
        k->there = true;
        *ret = (int64_t)strlen(k->text);
        return true;
    case ORACLE_PERSIST:
        *ret = k->has_deadline;
        k->has_deadline = false;
        return true;
    case ORACLE_F_COUNT:
        break;
    }
    return false;
}

/* ---- all orders ---- */

static bool before(const struct brute *b, size_t x, size_t y)
{
    const struct oracle_op *a = history_at(b->h, x);

    return a->outcome == ORACLE_OK && a->ret < history_at(b->h, y)->call;
}

/* May n be next: nothing that is left was over before it began. */
static bool may_be_next(const struct brute *b, size_t n)
{
    if (b->done[n] || history_at(b->h, n)->outcome == ORACLE_FAIL)
        return false;
    for (size_t i = 0; i < b->n; i++) {
        if (!b->done[i] && before(b, i, n))
            return false;
    }
    return true;
}

static uint64_t first_return(const struct brute *b)
{
    uint64_t first = ORACLE_NEVER;

    for (size_t i = 0; i < b->n; i++) {
        const struct oracle_op *op = history_at(b->h, i);

        if (!b->done[i] && op->outcome == ORACLE_OK && op->ret < first)
            first = op->ret;
    }
    return first;
}

static bool rest(struct brute *b, struct key k, uint64_t now);

static bool take(struct brute *b, size_t n, struct key k, uint64_t now)
{
    const struct oracle_op *op = history_at(b->h, n);
    bool checked = op->outcome == ORACLE_OK && op->has_result;
    struct oracle_value old = { .nil = !k.there,
                                .bytes = slice_str(k.text) };
    int64_t number;
    bool ok;

    if (checked && (op->f == ORACLE_GET || op->f == ORACLE_GETDEL) &&
        (old.nil != op->result.nil ||
         (!old.nil && !slice_eq(old.bytes, op->result.bytes))))
        return false;
    if (!apply(&k, op, b->cfg, &number))
        return false;
    if (checked && op->f != ORACLE_GET && op->f != ORACLE_GETDEL &&
        op->f != ORACLE_SET && number != op->number)
        return false;
    b->done[n] = true;
    ok = rest(b, k, now);
    b->done[n] = false;
    return ok;
}

static bool rest(struct brute *b, struct key k, uint64_t now)
{
    bool left = false;

    for (size_t i = 0; i < b->n; i++) {
        const struct oracle_op *op = history_at(b->h, i);
        uint64_t then = op->call > now ? op->call : now;

        if (op->outcome == ORACLE_OK && !b->done[i])
            left = true;
        if (!may_be_next(b, i))
            continue;
        if ((!k.has_deadline || then <= k.latest) && take(b, i, k, then))
            return true;
        if (k.has_deadline && first_return(b) >= k.earliest &&
            take(b, i, (struct key){ .there = false }, then))
            return true;
    }
    return !left;
}

bool brute_check(const struct history *h, const struct oracle_config *cfg)
{
    struct brute b = { .h = h, .cfg = cfg, .n = history_count(h) };

    ASSERT(b.n <= BRUTE_OPS_MAX);
    return rest(&b, (struct key){ .there = false }, 0);
}
