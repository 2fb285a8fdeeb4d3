/* Processes, ports and questions for the integration tests.
 *
 * Nothing here measures time: waiting means asking again until the answer is the
 * wanted one; the runner's watchdog ends a test that waits for ever. */
#include "integration/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/test.h"
#include "lib/tmpdir.h"

#define ASK_TIMEOUT_MS 20000u
#define POLL_NS 20000000L
#define PORT_MIN 2048
#define PORTS 9952 /* to 11999 */

static void pause_a_little(void)
{
    const struct timespec t = { .tv_nsec = POLL_NS };

    nanosleep(&t, NULL);
}

/* Bind sockets to n free ports at once, so that they differ, then close them.
 * The ports are below the ephemeral ones (32768 on) and below those of the other
 * tests: an outgoing connection may sit on an ephemeral port just when the node
 * that it belonged to is to be started again.  The process id keeps tests that
 * run at the same time apart. */
static void free_ports(int *ports, int n)
{
    int fds[2 * CLUSTER_NODES_MAX];
    int found = 0;
    int offset = (int)getpid() * 2 * CLUSTER_NODES_MAX % PORTS;

    for (int tries = 0; found < n; tries++) {
        int port = PORT_MIN + (offset + tries) % PORTS;
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        if (tries == PORTS)
            FAIL("fewer than %d free ports from %d on", n, PORT_MIN);
        fds[found] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fds[found] >= 0);
        if (bind(fds[found], (struct sockaddr *)&a, sizeof a) == 0) {
            ports[found++] = port;
        } else {
            CHECK_EQ(errno, EADDRINUSE);
            close(fds[found]);
        }
    }
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

void cluster_init(struct cluster *c, int nodes, int shards)
{
    int ports[2 * CLUSTER_NODES_MAX];
    size_t s = 0, e = 0;

    memset(c, 0, sizeof *c);
    c->n = nodes;
    c->shards = shards;
    snprintf(c->dir, sizeof c->dir, "%s", test_tmpdir());
    free_ports(ports, 2 * nodes);
    for (int i = 0; i < nodes; i++) {
        c->port[i] = ports[i];
        s += (size_t)snprintf(c->spec + s, sizeof c->spec - s,
                              "%s%d=127.0.0.1:%d/%d", i > 0 ? "," : "", i + 1,
                              ports[i], ports[nodes + i]);
        e += (size_t)snprintf(c->endpoints + e, sizeof c->endpoints - e,
                              "%s127.0.0.1:%d", i > 0 ? "," : "", ports[i]);
    }
}

static const char *kvd_path(void)
{
    static char path[1024];
    const char *dir = getenv("top_builddir");

    snprintf(path, sizeof path, "%s/kvd", dir != NULL ? dir : ".");
    return path;
}

/* In the child: become kvd.  err: file for its standard error. */
static void exec_kvd(struct cluster *c, int i, const char *const *flags,
                     const char *err)
{
    char id[16], shards[16], data[600], log[600];
    const char *argv[40] = { kvd_path(), "--node-id", id, "--initial-cluster",
                             c->spec, "--cluster-shards", shards, "--data-dir",
                             data, "--log-file", log };
    int n = 11, fd;

    snprintf(id, sizeof id, "%d", i + 1);
    snprintf(shards, sizeof shards, "%d", c->shards);
    snprintf(data, sizeof data, "%s/node-%d", c->dir, i + 1);
    snprintf(log, sizeof log, "%s/node-%d.log", c->dir, i + 1);
    for (int k = 0; c->extra[k] != NULL; k++)
        argv[n++] = c->extra[k];
    for (int k = 0; flags != NULL && flags[k] != NULL; k++)
        argv[n++] = flags[k];
    fd = open(err, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(126);
}

void cluster_start_node(struct cluster *c, int i)
{
    char err[600];
    pid_t pid;

    CHECK_EQ(c->pid[i], 0);
    snprintf(err, sizeof err, "%s/node-%d.err", c->dir, i + 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        exec_kvd(c, i, NULL, err);
    c->pid[i] = pid;
}

static void show_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512];

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        fprintf(stderr, "%s", line);
    if (f != NULL)
        fclose(f);
}

/* A node that should run but ended: show why and fail. */
static void check_alive(struct cluster *c)
{
    for (int i = 0; i < c->n; i++) {
        char err[600];
        int status;

        if (c->pid[i] == 0 || waitpid(c->pid[i], &status, WNOHANG) == 0)
            continue;
        snprintf(err, sizeof err, "%s/node-%d.err", c->dir, i + 1);
        show_file(err);
        FAIL("node %d ended by itself, status 0x%x", i + 1, status);
    }
}

struct kv_client *cluster_client(struct cluster *c, int i)
{
    struct kv_client *k;
    char endpoint[64];

    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%d", c->port[i]);
    CHECK_EQ(kv_open(endpoint, ASK_TIMEOUT_MS, &k), 0);
    return k;
}

struct kv_client *cluster_client_any(struct cluster *c)
{
    struct kv_client *k;

    CHECK_EQ(kv_open(c->endpoints, ASK_TIMEOUT_MS, &k), 0);
    return k;
}

const char *cluster_ask(struct kv_client *k, const char *command)
{
    static char out[4096];
    char copy[1024], *argv[64], *save;
    struct kv_reply *r;
    int argc = 0, rv;

    snprintf(copy, sizeof copy, "%s", command);
    for (char *w = strtok_r(copy, " ", &save); w != NULL && argc < 64;
         w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    rv = kv_command(k, argc, (const char *const *)argv, NULL, 0, &r);
    if (rv != 0) {
        snprintf(out, sizeof out, "%s", kv_error(k));
        return out;
    }
    if (r->type == KV_REPLY_NIL)
        snprintf(out, sizeof out, "(nil)");
    else if (r->type == KV_REPLY_INTEGER)
        snprintf(out, sizeof out, "(integer) %lld", r->integer);
    else if (r->type == KV_REPLY_ARRAY)
        snprintf(out, sizeof out, "(array) %zu", r->elements);
    else
        snprintf(out, sizeof out, "%s", r->str);
    kv_reply_free(r);
    return out;
}

/* INFO of node i, malloc'ed, or NULL. */
static char *node_info(struct cluster *c, int i)
{
    const char *argv[] = { "INFO", "everything" };
    struct kv_client *k = cluster_client(c, i);
    struct kv_reply *r;
    char *s = NULL;

    if (kv_command(k, 2, argv, NULL, 1, &r) == 0) {
        s = strdup(r->str);
        kv_reply_free(r);
    }
    kv_close(k);
    return s;
}

static void shard_field(const char *info, int shard, const char *name,
                        char *buf, size_t n)
{
    char key[32], pattern[64];
    const char *p, *f, *end;

    buf[0] = '\0';
    snprintf(key, sizeof key, "\nshard%d:", shard);
    snprintf(pattern, sizeof pattern, "%s=", name);
    p = strstr(info, key);
    if (p == NULL)
        return;
    p++;
    end = p + strcspn(p, "\r\n");
    for (f = strchr(p, ':'); f != NULL && f < end; f = strchr(f, ',')) {
        f++;
        if (strncmp(f, pattern, strlen(pattern)) == 0) {
            f += strlen(pattern);
            snprintf(buf, n, "%.*s", (int)strcspn(f, ",\r\n"), f);
            return;
        }
    }
}

const char *cluster_shard_field(struct cluster *c, int i, int shard,
                                const char *name)
{
    static char buf[256];
    char *info = node_info(c, i);

    buf[0] = '\0';
    if (info != NULL)
        shard_field(info, shard, name, buf, sizeof buf);
    free(info);
    return buf;
}

/* Shards that node i leads and serves; -1 if it does not answer; knows: shards of
 * which it knows a leader or holds no replica. */
static int node_leads(struct cluster *c, int i, int *knows)
{
    char *info = node_info(c, i);
    char role[32], ready[8], leader[32];
    int leads = 0;

    *knows = 0;
    if (info == NULL)
        return -1;
    for (int s = 0; s < c->shards; s++) {
        shard_field(info, s, "role", role, sizeof role);
        shard_field(info, s, "ready", ready, sizeof ready);
        shard_field(info, s, "leader", leader, sizeof leader);
        leads += strcmp(role, "leader") == 0 && strcmp(ready, "1") == 0;
        *knows += role[0] == '\0' ||
                  (leader[0] != '\0' && strcmp(leader, "0") != 0);
    }
    free(info);
    return leads;
}

static bool cluster_serves(struct cluster *c)
{
    int led = 0;

    for (int i = 0; i < c->n; i++) {
        int knows, n;

        if (c->pid[i] == 0)
            continue;
        n = node_leads(c, i, &knows);
        if (n < 0 || knows < c->shards)
            return false;
        led += n;
    }
    return led == c->shards;
}

void cluster_wait(struct cluster *c)
{
    while (!cluster_serves(c)) {
        check_alive(c);
        pause_a_little();
    }
}

void cluster_start(struct cluster *c)
{
    for (int i = 0; i < c->n; i++)
        cluster_start_node(c, i);
    cluster_wait(c);
}

void cluster_kill(struct cluster *c, int i)
{
    CHECK(c->pid[i] > 0);
    CHECK_EQ(kill(c->pid[i], SIGKILL), 0);
    CHECK_EQ(waitpid(c->pid[i], NULL, 0), c->pid[i]);
    c->pid[i] = 0;
}

int cluster_stop_node(struct cluster *c, int i)
{
    int status;

    CHECK(c->pid[i] > 0);
    CHECK_EQ(kill(c->pid[i], SIGTERM), 0);
    CHECK_EQ(waitpid(c->pid[i], &status, 0), c->pid[i]);
    c->pid[i] = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void cluster_stop(struct cluster *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->pid[i] != 0)
            CHECK_EQ(cluster_stop_node(c, i), 0);
}

int cluster_try(struct cluster *c, int i, const char *const *flags, char *buf,
                size_t n)
{
    char err[600];
    int status, fd;
    ssize_t got;
    pid_t pid;

    snprintf(err, sizeof err, "%s/try.err", c->dir);
    unlink(err);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        exec_kvd(c, i, flags, err);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    fd = open(err, O_RDONLY);
    CHECK(fd >= 0);
    got = read(fd, buf, n - 1);
    close(fd);
    buf[got > 0 ? got : 0] = '\0';
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* All running replicas of a shard have applied and committed the same last index. */
static bool shard_settled(struct cluster *c, int shard, char **info)
{
    char first[32] = "", applied[32], last[32];

    for (int i = 0; i < c->n; i++) {
        if (info[i] == NULL)
            continue;
        shard_field(info[i], shard, "applied", applied, sizeof applied);
        shard_field(info[i], shard, "last", last, sizeof last);
        if (applied[0] == '\0')
            continue;
        if (first[0] == '\0')
            snprintf(first, sizeof first, "%s", last);
        if (strcmp(applied, first) != 0 || strcmp(last, first) != 0)
            return false;
    }
    return first[0] != '\0';
}

static void check_shard_digest(struct cluster *c, int shard, char **info)
{
    char first[32] = "", digest[32];

    for (int i = 0; i < c->n; i++) {
        if (info[i] == NULL)
            continue;
        shard_field(info[i], shard, "digest", digest, sizeof digest);
        if (digest[0] == '\0')
            continue;
        if (first[0] == '\0')
            snprintf(first, sizeof first, "%s", digest);
        CHECK_STR(digest, first);
    }
}

void cluster_check_digests(struct cluster *c)
{
    char *info[CLUSTER_NODES_MAX] = { NULL };
    bool settled = false;

    while (!settled) {
        settled = true;
        for (int i = 0; i < c->n; i++) {
            free(info[i]);
            info[i] = c->pid[i] != 0 ? node_info(c, i) : NULL;
        }
        for (int s = 0; s < c->shards && settled; s++)
            settled = shard_settled(c, s, info);
        if (!settled)
            pause_a_little();
    }
    for (int s = 0; s < c->shards; s++)
        check_shard_digest(c, s, info);
    for (int i = 0; i < c->n; i++)
        free(info[i]);
}
