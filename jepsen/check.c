/* jepsen/check: is a history linearizable?
 *
 *   jepsen/check [--early MS] [--late MS] [--set] [--steps N] FILE.edn
 *
 * Reads a history in Jepsen's EDN form (test/oracle/edn.h) and says whether every
 * operation can have taken effect at one instant between its call and its return.
 * The check itself is test/oracle; kvsim shares it, and nothing else.
 *
 *   --early MS  a key may be gone this long before its deadline (0)
 *   --late MS   and must be gone this long after it (no such limit)
 *   --set       every key is an element of a set, written once and read at the end:
 *               say which ones are lost
 *   --steps N   give a key up as undecided after this many (20 million)
 *
 * Exit status: 0 linearizable, 1 not, 2 usage or a history that cannot be read
 * or has nothing to check, 3 undecided. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oracle/edn.h"
#include "oracle/oracle.h"

#define NS_PER_MS 1000000u
#define MS_MAX 1000000000u /* of --early and --late: eleven days */
#define LOST_SHOWN 20u     /* lost elements that are named */

enum status { STATUS_GOOD, STATUS_VIOLATION, STATUS_BAD, STATUS_UNDECIDED };

struct options {
    struct oracle_config cfg;
    bool set;
    const char *file;
};

static int usage(void)
{
    fprintf(stderr, "usage: jepsen/check [--early MS] [--late MS] [--set] "
                    "[--steps N] FILE.edn\n");
    return -1;
}

static int parse_number(const char *name, uint64_t max, uint64_t *ret)
{
    unsigned long long v;
    char *end;

    errno = 0;
    v = strtoull(optarg, &end, 10);
    if (errno != 0 || end == optarg || *end != '\0' || optarg[0] == '-' ||
        v > max) {
        fprintf(stderr, "jepsen/check: --%s %s is not a number up to %" PRIu64
                        "\n", name, optarg, max);
        return -1;
    }
    *ret = v;
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "early", required_argument, NULL, 'e' },
        { "late", required_argument, NULL, 'l' },
        { "set", no_argument, NULL, 's' },
        { "steps", required_argument, NULL, 'n' },
        { NULL, 0, NULL, 0 }
    };
    int c, rv = 0;

    while (rv == 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'e') {
            rv = parse_number("early", MS_MAX, &o->cfg.early);
            o->cfg.early *= NS_PER_MS;
        } else if (c == 'l') {
            rv = parse_number("late", MS_MAX, &o->cfg.late);
            o->cfg.late *= NS_PER_MS;
        } else if (c == 'n') {
            rv = parse_number("steps", UINT64_MAX / 2, &o->cfg.steps_max);
        } else if (c == 's') {
            o->set = true;
        } else {
            rv = usage();
        }
    }
    if (rv != 0)
        return rv;
    if (o->cfg.steps_max == 0 || optind != argc - 1)
        return usage();
    o->file = argv[optind];
    return 0;
}

static struct history *read_file(const char *name)
{
    struct history *h = NULL;
    char why[256];
    FILE *f = fopen(name, "r");

    if (f == NULL) {
        fprintf(stderr, "jepsen/check: %s: %s\n", name, strerror(errno));
        return NULL;
    }
    if (edn_read(f, &h, why, sizeof why) != 0) {
        fprintf(stderr, "jepsen/check: %s: %s\n", name, why);
        h = NULL;
    }
    fclose(f);
    return h;
}

/* ---- sets ---- */

struct element {
    struct slice key;
    size_t number;          /* of its operation: order of the history */
    const struct oracle_op *op;
};

static int by_key(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = n == 0 ? 0 : memcmp(x->key.p, y->key.p, n);

    if (c != 0)
        return c;
    if (x->key.n != y->key.n)
        return x->key.n < y->key.n ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct set_counts {
    size_t elements, acknowledged, recovered, lost, unread, shown;
};

/* The operations of one element: written by whom, seen by whom at the end? */
static void count_element(const struct element *e, size_t n,
                          struct set_counts *c)
{
    bool acknowledged = false, seen = false, missed = false;
    uint64_t since = ORACLE_NEVER;

    for (size_t i = 0; i < n; i++) {
        if (e[i].op->f != ORACLE_GET && e[i].op->outcome == ORACLE_OK) {
            acknowledged = true;
            since = e[i].op->ret < since ? e[i].op->ret : since;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (e[i].op->f != ORACLE_GET || e[i].op->outcome != ORACLE_OK)
            continue;
        seen = seen || !e[i].op->result.nil;
        missed = missed || (e[i].op->result.nil && e[i].op->call >= since);
    }
    c->elements++;
    c->acknowledged += acknowledged;
    c->recovered += !acknowledged && seen;
    c->unread += acknowledged && !seen && !missed;
    if (!acknowledged || !missed)
        return;
    if (c->lost++ < LOST_SHOWN)
        printf("lost: \"%.*s\" was acknowledged, and a later read did not "
               "find it\n", (int)e->key.n, (const char *)e->key.p);
}

static int tell_set(const struct history *h)
{
    size_t n = history_count(h), from = 0;
    struct element *e = calloc(n + 1, sizeof *e);
    struct set_counts c = { .elements = 0 };

    if (e == NULL) {
        fprintf(stderr, "jepsen/check: out of memory\n");
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        e[i] = (struct element){ history_at(h, i)->key, i, history_at(h, i) };
    qsort(e, n, sizeof *e, by_key);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && slice_eq(e[i].key, e[from].key))
            continue;
        count_element(e + from, i - from, &c);
        from = i;
    }
    if (c.lost > LOST_SHOWN)
        printf("lost: and %zu more\n", c.lost - LOST_SHOWN);
    printf("set: %zu elements, %zu acknowledged, %zu lost, %zu not "
           "acknowledged but there, %zu acknowledged and not read\n",
           c.elements, c.acknowledged, c.lost, c.recovered, c.unread);
    free(e);
    return 0;
}

/* ---- verdict ---- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static enum status verdict(const struct oracle_report *r)
{
    switch (r->verdict) {
    case ORACLE_VIOLATION:
        printf("verdict: NOT linearizable\n%s", r->text);
        if (r->violations > 1)
            printf("and %zu more keys\n", r->violations - 1);
        return STATUS_VIOLATION;
    case ORACLE_BAD_HISTORY:
        printf("verdict: no history\n%s", r->text);
        return STATUS_BAD;
    case ORACLE_UNDECIDED:
        printf("verdict: undecided (--steps)\n");
        return STATUS_UNDECIDED;
    case ORACLE_LINEARIZABLE:
        break;
    }
    if (r->ok == 0) {
        printf("verdict: nothing to check, no operation succeeded\n");
        return STATUS_BAD;
    }
    printf("verdict: linearizable\n");
    return STATUS_GOOD;
}

int main(int argc, char **argv)
{
    struct options o = { .cfg = oracle_defaults() };
    struct oracle_report r;
    enum status status;
    struct history *h;
    double begin;

    if (parse(argc, argv, &o) != 0)
        return STATUS_BAD;
    h = read_file(o.file);
    if (h == NULL)
        return STATUS_BAD;
    begin = seconds();
    oracle_check(h, &o.cfg, &r);
    printf("keys: %zu\noperations: %zu\nok: %zu\nfailed: %zu\nunknown: %zu\n"
           "others: %zu\nundecided keys: %zu\nsteps: %" PRIu64
           "\nseconds: %.3f\n",
           r.keys, r.ops, r.ok, r.failed, r.unknown, history_others(h),
           r.undecided, r.steps, seconds() - begin);
    status = verdict(&r);
    if (o.set && tell_set(h) != 0)
        status = STATUS_BAD;
    oracle_report_close(&r);
    history_free(h);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "jepsen/check: cannot write: %s\n", strerror(errno));
        return STATUS_BAD;
    }
    return (int)status;
}
