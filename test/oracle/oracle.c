/* A whole history: key by key, and the verdict.
 *
 * Linearizability is local: a history is linearizable exactly if that of each key
 * is.  Keys are checked in the order of their first calls; after a violation
 * the rest is still checked, but only the first one is told. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "oracle/oracle_int.h"

#define STEPS_MAX_DEFAULT 20000000u

/* Operations by key: lists in one array, found by a hash table. */
struct keys {
    size_t *first, *last;   /* owned: of each key, numbers of operations */
    size_t *next;           /* owned: of each operation, the next of its key */
    size_t n;
    size_t *slot;           /* owned: 1 + number of a key; 0: free */
    size_t cap;             /* a power of two */
};

struct oracle_config oracle_defaults(void)
{
    return (struct oracle_config){ .early = 0,
                                   .late = ORACLE_NEVER,
                                   .steps_max = STEPS_MAX_DEFAULT };
}

static uint64_t hash_of(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * 0x100000001b3u;
    return rng_mix(h);
}

static void add_op(struct keys *k, const struct history *h, size_t n)
{
    struct slice key = history_at(h, n)->key;
    size_t i = (size_t)hash_of(key) & (k->cap - 1), at;

    for (; k->slot[i] != 0; i = (i + 1) & (k->cap - 1)) {
        if (slice_eq(history_at(h, k->first[k->slot[i] - 1])->key, key))
            break;
    }
    k->next[n] = SIZE_MAX;
    if (k->slot[i] == 0) {
        k->first[k->n] = k->last[k->n] = n;
        k->slot[i] = ++k->n;
        return;
    }
    at = k->slot[i] - 1;
    k->next[k->last[at]] = n;
    k->last[at] = n;
}

static void keys_open(struct keys *k, const struct history *h)
{
    size_t n = history_count(h);

    *k = (struct keys){ .cap = 16 };
    while (k->cap < 2 * (n + 1))
        k->cap *= 2;
    k->slot = mem_calloc(k->cap, sizeof *k->slot);
    k->first = mem_calloc(n + 1, sizeof *k->first);
    k->last = mem_calloc(n + 1, sizeof *k->last);
    k->next = mem_calloc(n + 1, sizeof *k->next);
    for (size_t i = 0; i < n; i++)
        add_op(k, h, i);
}

static void keys_close(struct keys *k)
{
    mem_free(k->slot);
    mem_free(k->first);
    mem_free(k->last);
    mem_free(k->next);
}

static unsigned rank(enum oracle_verdict v)
{
    static const unsigned ranks[] = { [ORACLE_LINEARIZABLE] = 0,
                                      [ORACLE_UNDECIDED] = 1,
                                      [ORACLE_BAD_HISTORY] = 2,
                                      [ORACLE_VIOLATION] = 3 };

    ASSERT(v <= ORACLE_BAD_HISTORY);
    return ranks[v];
}

static void count(const struct history *h, struct oracle_report *r)
{
    r->ops = history_count(h);
    for (size_t i = 0; i < r->ops; i++) {
        switch (history_at(h, i)->outcome) {
        case ORACLE_OK:
            r->ok++;
            break;
        case ORACLE_FAIL:
            r->failed++;
            break;
        case ORACLE_OPEN:
        case ORACLE_UNKNOWN:
            r->unknown++;
            break;
        }
    }
}

static void check_key(const struct history *h, const size_t *ops, size_t n,
                      const struct oracle_config *cfg, struct oracle_report *r)
{
    struct lin_input in = {
        .h = h, .ops = ops, .n = n, .watch = SIZE_MAX, .cfg = cfg
    };
    enum oracle_verdict v = lin_run(&in, &r->steps, NULL);

    if (v == ORACLE_UNDECIDED)
        r->undecided++;
    if (v == ORACLE_VIOLATION && r->violations++ == 0)
        window_find(h, ops, n, cfg, r);
    if (rank(v) > rank(r->verdict))
        r->verdict = v;
}

static void check_keys(const struct history *h,
                       const struct oracle_config *cfg,
                       struct oracle_report *r)
{
    size_t *ops = mem_calloc(history_count(h) + 1, sizeof *ops);
    struct keys keys;

    keys_open(&keys, h);
    r->keys = keys.n;
    for (size_t k = 0; k < keys.n; k++) {
        size_t n = 0;

        for (size_t i = keys.first[k]; i != SIZE_MAX; i = keys.next[i])
            ops[n++] = i;
        check_key(h, ops, n, cfg, r);
    }
    keys_close(&keys);
    mem_free(ops);
}

static void tell_bad(const struct history *h, size_t n, const char *why,
                     struct oracle_report *r)
{
    struct buf b;

    buf_init(&b);
    buf_printf(&b, "operation #%zu of process %lu cannot be: %s\n  ", n,
               (unsigned long)history_at(h, n)->process, why);
    text_op(&b, history_at(h, n));
    buf_put_str(&b, "\n");
    buf_put_u8(&b, '\0');
    r->text = mem_strdup((const char *)buf_at(&b));
    r->verdict = ORACLE_BAD_HISTORY;
    buf_close(&b);
}

void oracle_check(const struct history *h, const struct oracle_config *cfg,
                  struct oracle_report *ret)
{
    const char *why;
    size_t bad;

    ASSERT(cfg->steps_max > 0);
    *ret = (struct oracle_report){ .verdict = ORACLE_LINEARIZABLE };
    count(h, ret);
    bad = history__bad(h, &why);
    if (bad < history_count(h))
        tell_bad(h, bad, why, ret);
    else
        check_keys(h, cfg, ret);
    if (ret->text == NULL)
        ret->text = mem_strdup("");
    ASSERT((ret->violations > 0) == (ret->verdict == ORACLE_VIOLATION));
}

void oracle_report_close(struct oracle_report *r)
{
    mem_free(r->window);
    mem_free(r->text);
    *r = (struct oracle_report){ .verdict = ORACLE_LINEARIZABLE };
}
