/* kvsim: options. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sabotage.h"
#include "kvsim/fleet.h"

#define TIME_MS_MIN 5000u
#define TIME_MS_MAX 86400000u

static const char usage[] =
"usage: kvsim --seed N [options]\n"
"       kvsim --seeds A-B [--jobs N] [--stop-at-first] [options]\n"
"\n"
"Runs a whole cluster in one process on virtual time, with clients and faults, and\n"
"judges what they saw.  Everything follows from the seed and the options: the\n"
"same ones give the same run.\n"
"\n"
"  --seed N          one run; a failure is told with its last events\n"
"  --seeds A-B       runs A to B, each in its own process; one line for a failure\n"
"  --jobs N          processes at a time (all processors)\n"
"  --stop-at-first   start no more runs after a failure\n"
"  --nodes N         3 to 7 nodes\n"
"  --time T          of load and faults: 60s, 90000ms, 2m (60s)\n"
"  --workload NAME   register, counter, append, ttl, batch, mixed\n"
"  --style NAME      calm, aimed, swarm, clog, script: how faults are chosen\n"
"  --faults LIST     faults that may be used: names with commas, all, none\n"
"  --sabotage NAME   plant a fault in the product (base/sabotage.h)\n"
"  --trace FILE      every event of interest, a line each, with virtual time\n"
"  --cover           how often each rare situation was reached\n"
"  --hash            the hash of the whole run\n"
"  --quiet           only failures\n"
"\n"
"What is not given is drawn from the seed.\n"
"\n"
"Exit status: 0 good; 127 crash; 128 the cluster did not serve again; 129 a client\n"
"saw, or the replicas hold, what must not be; 2 wrong usage.  Of several runs:\n"
"the highest.\n";

static _Noreturn void bad(const char *option, const char *value,
                          const char *want)
{
    fprintf(stderr, "kvsim: --%s %s: %s; see kvsim --help\n", option, value,
            want);
    exit(2);
}

/* Decimal digits up to *end. */
static bool number(const char *s, const char **end, uint64_t *ret)
{
    char *stop;

    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    *ret = strtoull(s, &stop, 10);
    *end = stop;
    return errno == 0;
}

static uint64_t read_number(const char *option, const char *s, uint64_t min,
                            uint64_t max)
{
    const char *end;
    uint64_t v;
    char want[80];

    snprintf(want, sizeof want, "give a number, %" PRIu64 " to %" PRIu64, min,
             max);
    if (!number(s, &end, &v) || *end != '\0' || v < min || v > max)
        bad(option, s, want);
    return v;
}

static uint64_t read_time(const char *s)
{
    const char *unit;
    uint64_t v, factor = 0;

    if (number(s, &unit, &v) && v <= TIME_MS_MAX)
        factor = strcmp(unit, "s") == 0    ? 1000
                 : strcmp(unit, "ms") == 0 ? 1
                 : strcmp(unit, "m") == 0  ? 60000
                                           : 0;
    if (factor == 0 || v * factor < TIME_MS_MIN || v * factor > TIME_MS_MAX)
        bad("time", s, "give 5s to 24 hours, such as 60s or 5m");
    return v * factor;
}

static void read_seeds(const char *s, struct order *o)
{
    const char *end;

    if (!number(s, &end, &o->plan.seed) || *end != '-' ||
        !number(end + 1, &end, &o->last_seed) || *end != '\0' ||
        o->last_seed < o->plan.seed || o->last_seed == UINT64_MAX)
        bad("seeds", s, "give the first and the last, such as 1-1000");
    o->many = true;
}

static void read_sabotage(const char *s)
{
    static const char *const names[] = {
#define X(name) #name,
        SABOTAGE_MAP(X)
#undef X
    };

    for (unsigned i = 0; i < SABOTAGE_COUNT; i++) {
        if (strcmp(names[i], s) == 0) {
            sabotage_mask |= UINT64_C(1) << i;
            return;
        }
    }
    fprintf(stderr, "kvsim: no such sabotage: %s.  There are:", s);
    for (unsigned i = 0; i < SABOTAGE_COUNT; i++)
        fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
    exit(2);
}

static int read_name(const char *option, const char *s,
                     int (*find)(const char *name))
{
    int i = find(s);

    if (i < 0)
        bad(option, s, "no such name");
    return i;
}

enum { O_SEED = 1, O_SEEDS, O_JOBS, O_STOP, O_NODES, O_TIME, O_WORKLOAD,
       O_STYLE, O_FAULTS, O_SABOTAGE, O_TRACE, O_COVER, O_HASH, O_QUIET,
       O_HELP };

static const struct option options[] = {
    { "seed", required_argument, NULL, O_SEED },
    { "seeds", required_argument, NULL, O_SEEDS },
    { "jobs", required_argument, NULL, O_JOBS },
    { "stop-at-first", no_argument, NULL, O_STOP },
    { "nodes", required_argument, NULL, O_NODES },
    { "time", required_argument, NULL, O_TIME },
    { "workload", required_argument, NULL, O_WORKLOAD },
    { "style", required_argument, NULL, O_STYLE },
    { "faults", required_argument, NULL, O_FAULTS },
    { "sabotage", required_argument, NULL, O_SABOTAGE },
    { "trace", required_argument, NULL, O_TRACE },
    { "cover", no_argument, NULL, O_COVER },
    { "hash", no_argument, NULL, O_HASH },
    { "quiet", no_argument, NULL, O_QUIET },
    { "help", no_argument, NULL, O_HELP },
    { NULL, 0, NULL, 0 },
};

/* Options that are part of what a seed means go into the line that repeats it. */
static void repeat(struct order *o, const char *name, const char *value)
{
    size_t len = strlen(o->again);

    snprintf(o->again + len, sizeof o->again - len, " --%s %s", name, value);
}

static bool read_plan(int c, const char *name, struct order *o)
{
    struct plan_options *p = &o->plan;

    switch (c) {
    case O_NODES:
        p->nodes = (unsigned)read_number(name, optarg, 3, PLAN_NODES_MAX);
        break;
    case O_TIME:
        p->time_ms = read_time(optarg);
        break;
    case O_WORKLOAD:
        p->workload = read_name(name, optarg, plan_find_workload);
        break;
    case O_STYLE:
        p->style = read_name(name, optarg, plan_find_style);
        break;
    case O_FAULTS:
        if (plan_parse_faults(optarg, &p->faults) != 0)
            bad(name, optarg, "no such fault");
        break;
    case O_SABOTAGE:
        read_sabotage(optarg);
        break;
    default:
        return false;
    }
    repeat(o, name, optarg);
    return true;
}

static void read_rest(int c, struct order *o)
{
    switch (c) {
    case O_SEED:
        o->plan.seed = o->last_seed =
            read_number("seed", optarg, 0, UINT64_MAX - 1);
        break;
    case O_SEEDS:
        read_seeds(optarg, o);
        break;
    case O_JOBS:
        o->jobs = (unsigned)read_number("jobs", optarg, 1, 64);
        break;
    case O_STOP:
        o->stop_at_first = true;
        break;
    case O_TRACE:
        o->trace = optarg;
        break;
    case O_COVER:
        o->cover = true;
        break;
    case O_HASH:
        o->hash = true;
        break;
    case O_QUIET:
        o->quiet = true;
        break;
    case O_HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs("see kvsim --help\n", stderr);
        exit(2);
    }
}

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

/* Empties the file. */
static bool can_write(const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL)
        fprintf(stderr, "kvsim: --trace %s: %s\n", path, strerror(errno));
    return f != NULL && fclose(f) == 0;
}

int main(int argc, char **argv)
{
    struct order o = { .plan = plan_options_defaults(),
                       .last_seed = UINT64_MAX };
    int c, i = 0;

    while ((c = getopt_long(argc, argv, "", options, &i)) != -1)
        if (c == '?' || !read_plan(c, options[i].name, &o))
            read_rest(c, &o);
    if (optind < argc) {
        fprintf(stderr, "kvsim: what is '%s'? see kvsim --help\n",
                argv[optind]);
        return 2;
    }
    if (o.last_seed == UINT64_MAX) {
        fputs("kvsim: give --seed N or --seeds A-B; see kvsim --help\n",
              stderr);
        return 2;
    }
    if (o.trace != NULL && o.many) {
        fputs("kvsim: --trace is for one run: give --seed\n", stderr);
        return 2;
    }
    if (o.trace != NULL && !can_write(o.trace))
        return 2;
    if (o.jobs == 0)
        o.jobs = o.many ? processors() : 1;
    return fleet_run(&o);
}
