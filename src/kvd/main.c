/* kvd: one node of a kvmesh cluster.
 *
 * Exit status: 0 after a graceful stop (SIGTERM, SIGINT), 1 when it could not
 * start or was told a second time to stop, 2 for a bad command line or
 * configuration, 3 when the log failed (rule R9: after a failed write or fsync
 * nothing in the page cache can be trusted; restart recovers). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/err.h"
#include "base/sabotage.h"
#include "env/env_uv.h"
#include "env/log.h"
#include "kvd/options.h"
#include "node/node.h"

#define EXIT_START 1
#define EXIT_USAGE 2
#define EXIT_LOG_FAILED 3
#define ERRMSG_MAX 2048

struct program {
    struct env *env;
    struct node *node;
    bool stopping;
};

static void on_fatal(void *ctx, const char *why)
{
    (void)ctx;
    fprintf(stderr, "kvd: fatal: %s\n", why);
    /* No destructors, no flushing of anything: the disk has failed. */
    _exit(EXIT_LOG_FAILED);
}

static void on_stopped(void *ctx)
{
    struct program *p = ctx;

    env_uv_stop(p->env);
}

static void on_signal(void *ctx, int signum)
{
    struct program *p = ctx;

    (void)signum;
    if (p->stopping) {
        log_event(p->env, ENV_LOG_WARN, "kvd", "second signal: ending now",
                  "pid=%d", (int)getpid());
        _exit(EXIT_START);
    }
    p->stopping = true;
    node_stop(p->node, on_stopped, p);
}

/* What INFO says of this process. */
static void describe_process(struct config *cfg)
{
    struct utsname u;
    ssize_t n = readlink("/proc/self/exe", cfg->executable,
                         sizeof cfg->executable - 1);

    cfg->executable[n > 0 ? n : 0] = '\0';
    cfg->process_id = (uint64_t)getpid();
    if (uname(&u) == 0)
        snprintf(cfg->os, sizeof cfg->os, "%s %s %s", u.sysname, u.release,
                 u.machine);
}

static int run(struct program *p, const struct config *cfg)
{
    char errmsg[ERRMSG_MAX] = "";
    int rv;

    p->env->log_level = (enum env_log_level)cfg->log_level;
    rv = env_uv_log_to(p->env, cfg->log_file[0] != '\0' ? cfg->log_file : NULL);
    if (rv != 0) {
        fprintf(stderr, "kvd: cannot open log.file %s: %s\n", cfg->log_file,
                kv_strerror(rv));
        return EXIT_START;
    }
    if (sabotage_planted() != NULL)
        log_event(p->env, ENV_LOG_ERROR, "kvd",
                  "SABOTAGED: this program is broken on purpose and loses "
                  "data; it is for tests of the tests only",
                  "fault=%s", sabotage_planted());
    rv = node_start(p->env, cfg, on_fatal, p, &p->node, errmsg, sizeof errmsg);
    if (rv != 0) {
        char quoted[ERRMSG_MAX];

        log_event(p->env, ENV_LOG_ERROR, "kvd", "cannot start", "reason=%s",
                  log_quote(quoted, sizeof quoted, slice_str(errmsg)));
        fprintf(stderr, "kvd: cannot start: %s\n", errmsg);
        return EXIT_START;
    }
    env_uv_on_signal(p->env, SIGTERM, on_signal, p);
    env_uv_on_signal(p->env, SIGINT, on_signal, p);
    env_uv_run(p->env);
    env_uv_free(p->env);
    return 0;
}

int main(int argc, char **argv)
{
    static struct config cfg;
    struct program p = { .node = NULL };
    enum options_action action = OPTIONS_RUN;
    char errmsg[ERRMSG_MAX] = "";
    int rv = env_uv_open(&p.env);

    if (rv != 0) {
        fprintf(stderr, "kvd: cannot set up the event loop: %s\n",
                kv_strerror(rv));
        return EXIT_START;
    }
    rv = options_read(p.env, argc, argv, &cfg, &action, errmsg, sizeof errmsg);
    if (rv != 0) {
        fprintf(stderr, "kvd: %s\n", errmsg);
        _exit(EXIT_USAGE);
    }
    switch (action) {
    case OPTIONS_HELP:
        options_help(stdout);
        break;
    case OPTIONS_VERSION:
        printf("kvd %s%s%s\n", PACKAGE_VERSION,
               sabotage_planted() != NULL ? " SABOTAGED " : "",
               sabotage_planted() != NULL ? sabotage_planted() : "");
        break;
    case OPTIONS_CHECK:
        printf("kvd: the settings are sound\n");
        break;
    case OPTIONS_RUN:
        describe_process(&cfg);
        rv = run(&p, &cfg);
        if (rv != 0) {
            fflush(stderr);
            /* What a failed start opened ends with the process. */
            _exit(rv);
        }
        return 0;
    }
    env_uv_free(p.env);
    return 0;
}
