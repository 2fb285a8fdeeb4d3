/* The fleet: a child process for each seed, at most order.jobs at a time.
 *
 *   parent --fork--> child: draws the plan, runs the world
 *     ^                 |
 *     +--pipe: struct result; exit status: the verdict
 *
 * A child that ends without a result, by a signal or a sanitizer's report, has
 * crashed (127).  Results are of the same size on both ends, as both are this
 * program; a result is smaller than PIPE_BUF, so that it comes whole.
 *
 * Of many runs each has a file for what it says on standard error: of one that
 * crashed it is passed on, and the line that tells why is the reason given. */
#include "kvsim/fleet.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "kvsim/parts.h"

#define JOBS_MAX 64u
#define CPU_SECONDS_MAX 900u /* a run that takes longer does not end */

struct result {
    enum verdict verdict;
    uint64_t hash, events, sim_us, ops, recovered_us, undecided;
    uint64_t cover[COVER_COUNT];
    char why[512];
};

_Static_assert(sizeof(struct result) <= PIPE_BUF, "comes in one piece");

/* ---- in the child ---- */

static struct world *running; /* for the handler of signals */
static const struct order *ordered;

static void tell_again(FILE *f, uint64_t seed)
{
    fprintf(f, "again: kvsim --seed %" PRIu64 "%s\n", seed, ordered->again);
}

/* Of a process that is lost anyway; stdio is good enough. */
static void tell_crash(void)
{
    struct world *w = running;

    if (w == NULL)
        return;
    running = NULL;
    fprintf(stderr, "\nseed %" PRIu64 ": crash\n", w->plan.seed);
    plan_print(&w->plan, stderr);
    fprintf(stderr, "\nlast events:\n");
    world_print_last(w, stderr);
    fflush(stderr);
}

static void on_signal(int sig)
{
    signal(sig, SIG_DFL);
    tell_crash();
    raise(sig);
}

/* Of the runtime of a sanitizer, where there is one: after its report. */
extern void __sanitizer_set_death_callback(void (*)(void))
    __attribute__((weak));

/* Signals that a sanitizer handles are left to it. */
static void catch_crashes(void)
{
    static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                   SIGXCPU };
    struct sigaction was;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], NULL, &was) == 0 &&
            was.sa_handler == SIG_DFL)
            signal(signals[i], on_signal);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(tell_crash);
}

static void tell_failure(struct world *w)
{
    printf("seed %" PRIu64 ": %s\n", w->plan.seed,
           w->verdict == VERDICT_LIVENESS ? "LIVENESS (128)"
                                          : "CORRECTNESS (129)");
    plan_print(&w->plan, stdout);
    printf("\n%s\n\nlast events:\n", w->why);
    world_print_last(w, stdout);
    printf("\n");
    tell_again(stdout, w->plan.seed);
}

static void tell_success(const struct world *w)
{
    printf("seed %" PRIu64 ": ok, %zu operations, %" PRIu64 " events, "
           "served again %" PRIu64 " ms after the faults\n",
           w->plan.seed, history_count(w->history), sim_events(w->sim),
           w->recovered_us / 1000);
}

/* What happened, as one line. */
static void fill_why(const char *s, char *why, size_t cap)
{
    size_t n = 0;

    for (; *s != '\0' && n + 3 < cap; s++) {
        if (*s != '\n') {
            why[n++] = *s;
            continue;
        }
        s += strspn(s, " \n");
        if (*s-- == '\0')
            break;
        if (n > 0 && strchr(":;,", why[n - 1]) == NULL)
            why[n++] = ';';
        why[n++] = ' ';
    }
    why[n] = '\0';
}

static void fill(const struct world *w, struct result *r)
{
    *r = (struct result){
        .verdict = w->verdict,
        .hash = sim_hash(w->sim),
        .events = sim_events(w->sim),
        .sim_us = sim_now(w->sim),
        .ops = history_count(w->history),
        .recovered_us = w->recovered_us,
        .undecided = watch_undecided(w->watch),
    };
    memcpy(r->cover, cover_counts, sizeof r->cover);
    fill_why(w->why, r->why, sizeof r->why);
}

static _Noreturn void child(const struct order *o, uint64_t seed, int out)
{
    /* At the lower limit it is asked, at the upper one killed. */
    struct rlimit cpu = { CPU_SECONDS_MAX, CPU_SECONDS_MAX + 10 };
    FILE *trace = o->trace != NULL ? fopen(o->trace, "w") : NULL;
    struct plan_options po = o->plan;
    struct result r;
    struct plan p;

    if (o->trace != NULL && trace == NULL) {
        perror(o->trace);
        _exit(2);
    }
    (void)setrlimit(RLIMIT_CPU, &cpu);
    po.seed = seed;
    plan_draw(&po, &p);
    cover_reset();
    running = world_new(&p, trace);
    if (!o->many)
        catch_crashes();
    world_run(running);
    fill(running, &r);
    if (!o->many && r.verdict != VERDICT_OK)
        tell_failure(running);
    else if (!o->many && !o->quiet)
        tell_success(running);
    fflush(stdout);
    world_free(running);
    running = NULL;
    if (trace != NULL)
        fclose(trace);
    if (write(out, &r, sizeof r) != (ssize_t)sizeof r)
        _exit(VERDICT_CRASH);
    exit((int)r.verdict);
}

/* ---- in the parent ---- */

struct job {
    pid_t pid; /* 0: none */
    int in;
    FILE *err; /* what it says, of many runs */
    uint64_t seed;
};

struct fleet {
    const struct order *o;
    struct job job[JOBS_MAX];
    unsigned running;
    uint64_t next;             /* seed */
    bool no_more;
    uint64_t runs, failures, ops, sim_us, slowest_us, undecided;
    uint64_t cover[COVER_COUNT];
    int status;
};

static bool launch(struct fleet *f)
{
    struct job *j = f->job;
    int ends[2];

    while (j->pid != 0)
        j++;
    ASSERT(j < f->job + JOBS_MAX);
    if (pipe(ends) != 0)
        return false;
    fflush(stdout);
    j->err = f->o->many ? tmpfile() : NULL;
    if (f->o->many && j->err == NULL)
        return false;
    j->seed = f->next++;
    j->pid = fork();
    if (j->pid < 0)
        return false;
    if (j->pid == 0) {
        close(ends[0]);
        if (j->err != NULL && dup2(fileno(j->err), STDERR_FILENO) < 0)
            _exit(VERDICT_CRASH);
        child(f->o, j->seed, ends[1]);
    }
    close(ends[1]);
    j->in = ends[0];
    f->running++;
    return true;
}

static void count(struct fleet *f, const struct result *r)
{
    f->ops += r->ops;
    f->sim_us += r->sim_us;
    f->undecided += r->undecided;
    if (r->recovered_us > f->slowest_us)
        f->slowest_us = r->recovered_us;
    for (unsigned i = 0; i < COVER_COUNT; i++)
        f->cover[i] += r->cover[i];
}

static void failed(struct fleet *f, const struct job *j, int verdict,
                   const char *why)
{
    f->failures++;
    if (f->status < verdict)
        f->status = verdict;
    f->no_more = f->no_more || f->o->stop_at_first;
    if (f->o->many)
        printf("FAIL %d seed %" PRIu64 ": %s\n", verdict, j->seed, why);
}

/* How a run ended that has no result, and which line of what it said tells why. */
static void crash_why(const struct job *j, int ended, char *why, size_t n)
{
    static const char *const telling[] = { "assertion failed", "Sanitizer:",
                                           "runtime error:" };
    char line[400];

    if (WIFSIGNALED(ended))
        snprintf(why, n, "signal %d (%s)", WTERMSIG(ended),
                 strsignal(WTERMSIG(ended)));
    else
        snprintf(why, n, "status %d", WEXITSTATUS(ended));
    if (j->err == NULL)
        return;
    rewind(j->err);
    while (fgets(line, sizeof line, j->err) != NULL) {
        fputs(line, stderr);
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
            if (strstr(line, telling[i]) != NULL && strchr(why, ':') == NULL)
                snprintf(why + strlen(why), n - strlen(why), ": %s", line);
    }
}

static void collect(struct fleet *f, struct job *j, int ended)
{
    struct result r;
    bool whole = read(j->in, &r, sizeof r) == (ssize_t)sizeof r;
    char why[512];

    close(j->in);
    f->running--;
    f->runs++;
    if (whole && WIFEXITED(ended) && WEXITSTATUS(ended) == (int)r.verdict) {
        count(f, &r);
        if (f->o->hash)
            printf("seed %" PRIu64 " hash %016" PRIx64 " events %" PRIu64
                   "\n", j->seed, r.hash, r.events);
        if (r.verdict != VERDICT_OK)
            failed(f, j, (int)r.verdict, r.why);
    } else {
        crash_why(j, ended, why, sizeof why);
        failed(f, j, VERDICT_CRASH, why);
        if (!f->o->many) {
            printf("seed %" PRIu64 ": CRASH (127), %s\n", j->seed, why);
            tell_again(stdout, j->seed);
        }
    }
    if (j->err != NULL)
        fclose(j->err);
    j->pid = 0;
}

static void await_one(struct fleet *f)
{
    int ended;
    pid_t pid = wait(&ended);

    for (unsigned i = 0; i < JOBS_MAX; i++) {
        if (f->job[i].pid == pid) {
            collect(f, &f->job[i], ended);
            return;
        }
    }
}

static double wall_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void summary(const struct fleet *f, double wall)
{
    printf("%" PRIu64 " runs, %" PRIu64 " failures; %" PRIu64
           " simulated s, %" PRIu64 " operations, %.1f s of wall time (%.0f "
           "runs/min); slowest to serve again: %" PRIu64 " ms; %" PRIu64
           " keys undecided\n",
           f->runs, f->failures, f->sim_us / 1000000, f->ops, wall,
           wall > 0 ? (double)f->runs * 60 / wall : 0,
           f->slowest_us / 1000, f->undecided);
}

int fleet_run(const struct order *o)
{
    struct fleet f = { .o = o, .next = o->plan.seed };
    double start = wall_seconds();

    ordered = o;
    ASSERT(o->jobs >= 1 && o->jobs <= JOBS_MAX);
    for (;;) {
        while (f.running < o->jobs && !f.no_more && f.next <= o->last_seed) {
            if (!launch(&f)) {
                perror("kvsim: cannot start a process");
                return 2;
            }
        }
        if (f.running == 0)
            break;
        await_one(&f);
    }
    if (o->many && !o->quiet)
        summary(&f, wall_seconds() - start);
    if (o->cover) {
        memcpy(cover_counts, f.cover, sizeof cover_counts);
        cover_print(stdout);
    }
    return f.status;
}
