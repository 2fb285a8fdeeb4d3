/* A list by APPEND that went wrong, in words: which tokens are lost, doubled, out
 * of order, or there although their APPEND failed.
 *
 * The search says that a history is not linearizable, and which read cannot be
 * placed; with unique tokens the value of that read says more.  A value is cut into
 * tokens by what was appended: of unique strings, none the beginning of another
 * (those that end in a mark are), only one can stand at a place.  If what was appended is
 * not like that, or the key was also written otherwise, nothing is said. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/oracle_int.h"

/* Lines of one kind. */
#define TOLD_MAX 8u

struct token {
    struct slice text;
    const struct oracle_op *op;
    size_t count;               /* in the value at hand */
    bool told_doubled, told_order, told_failed;
};

struct tokens {
    struct token *v; /* owned; sorted by text */
    size_t n;
    struct buf *out; /* borrowed */
    unsigned told;
};

static int compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

static int by_text(const void *a, const void *b)
{
    return compare(((const struct token *)a)->text,
                   ((const struct token *)b)->text);
}

static bool starts_with(struct slice s, struct slice prefix)
{
    return prefix.n <= s.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* False: not a list of unique tokens. */
static bool collect(struct tokens *t, const struct history *h,
                    const size_t *ops, size_t n)
{
    t->v = mem_calloc(n + 1, sizeof *t->v);
    for (size_t i = 0; i < n; i++) {
        const struct oracle_op *op = history_at(h, ops[i]);

        if (op->f == ORACLE_GET)
            continue;
        if (op->f != ORACLE_APPEND || op->arg.n == 0)
            return false;
        t->v[t->n++] = (struct token){ .text = op->arg, .op = op };
    }
    qsort(t->v, t->n, sizeof *t->v, by_text);
    for (size_t i = 1; i < t->n; i++) {
        if (starts_with(t->v[i].text, t->v[i - 1].text))
            return false;
    }
    return t->n > 0;
}

/* The token with which s begins: it is the last one that is not above s. */
static struct token *find(const struct tokens *t, struct slice s)
{
    size_t lo = 0, hi = t->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (compare(t->v[mid].text, s) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || !starts_with(s, t->v[lo - 1].text))
        return NULL;
    return &t->v[lo - 1];
}

static void tell(struct tokens *t, const char *what, struct slice text,
                 const char *why)
{
    if (t->told++ >= TOLD_MAX)
        return;
    buf_printf(t->out, "%s: ", what);
    text_bytes(t->out, text);
    buf_printf(t->out, " %s\n", why);
}

static void tell_order(struct tokens *t, struct token *a,
                       const struct token *b)
{
    struct buf why;

    if (a->told_order)
        return;
    a->told_order = true;
    buf_init(&why);
    buf_put_str(&why, "stands before ");
    text_bytes(&why, b->text);
    buf_put_str(&why, ", which was acknowledged before it was appended");
    buf_put_u8(&why, '\0');
    tell(t, "reordered", a->text, (const char *)buf_at(&why));
    buf_close(&why);
}

/* What is wrong within one value. */
static void look_at(struct tokens *t, struct slice value)
{
    struct token *latest = NULL; /* the last one called, so far */

    for (size_t i = 0; i < t->n; i++)
        t->v[i].count = 0;
    while (value.n > 0) {
        struct token *k = find(t, value);

        if (k == NULL) {
            tell(t, "not a token", value, "was never appended");
            return;
        }
        if (++k->count > 1 && !k->told_doubled) {
            k->told_doubled = true;
            tell(t, "doubled", k->text, "was appended once");
        }
        if (k->op->outcome == ORACLE_FAIL && !k->told_failed) {
            k->told_failed = true;
            tell(t, "aborted", k->text, "is there, and its APPEND failed");
        }
        if (latest != NULL && k->op->ret < latest->op->call)
            tell_order(t, latest, k);
        if (latest == NULL || k->op->call > latest->op->call)
            latest = k;
        value = slice_make(value.p + k->text.n, value.n - k->text.n);
    }
}

static bool is_read(const struct oracle_op *op)
{
    return op->f == ORACLE_GET && op->outcome == ORACLE_OK && op->has_result;
}

void tokens_tell(const struct history *h, const size_t *ops, size_t n,
                 struct buf *b)
{
    struct tokens t = { .out = b };
    const struct oracle_op *last = NULL;

    if (!collect(&t, h, ops, n)) {
        mem_free(t.v);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct oracle_op *op = history_at(h, ops[i]);

        if (!is_read(op))
            continue;
        look_at(&t, op->result.nil ? slice_make(NULL, 0) : op->result.bytes);
        if (last == NULL || op->call >= last->call)
            last = op;
    }
    if (last != NULL)
        look_at(&t, last->result.nil ? slice_make(NULL, 0)
                                     : last->result.bytes);
    for (size_t i = 0; last != NULL && i < t.n; i++) {
        const struct token *k = &t.v[i];

        if (k->op->outcome == ORACLE_OK && k->op->ret < last->call &&
            k->count == 0)
            tell(&t, "lost", k->text,
                 "was acknowledged, and the last read has it not");
    }
    if (t.told > TOLD_MAX)
        buf_printf(b, "and %u more\n", t.told - TOLD_MAX);
    mem_free(t.v);
}
