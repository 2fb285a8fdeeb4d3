/* The client of jepsen: what it calls done, not done and unknown; what it writes; and
 * that it notices replies that are not its own.
 *
 * Whole runs go against a server of our own, a child process that answers every
 * request in one way (enum manner). */
#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "jepsen/client.h"
#include "lib/test.h"
#include "lib/tmpdir.h"

/* ---- fate ---- */

static void fate(enum oracle_f f, const char *text, enum fate want,
                 bool want_expected)
{
    bool expected;

    CHECK_EQ(fate_of_error(f, slice_str(text), &expected), want);
    CHECK_EQ(expected, want_expected);
}

TEST(fate, only_what_surely_did_nothing_is_a_failure)
{
    fate(ORACLE_SET, "CLUSTERDOWN no leader", FATE_FAIL, true);
    fate(ORACLE_SET, "BUSY too many requests", FATE_FAIL, true);
    fate(ORACLE_INCR, "LOADING the node is reading", FATE_FAIL, true);
    fate(ORACLE_SET, "BUSY", FATE_FAIL, true);
    fate(ORACLE_SET, "ERR max number of clients reached", FATE_FAIL, true);
    fate(ORACLE_SET, "UNKNOWN the write may", FATE_UNKNOWN, true);
    CHECK_EQ(fate_of_loss(ORACLE_APPEND, true), FATE_UNKNOWN);
    CHECK_EQ(fate_of_loss(ORACLE_APPEND, false), FATE_FAIL);
}

TEST(fate, a_read_without_an_answer_did_nothing)
{
    fate(ORACLE_GET, "UNKNOWN x", FATE_FAIL, true);
    CHECK_EQ(fate_of_loss(ORACLE_GET, true), FATE_FAIL);
}

TEST(fate, an_error_that_nobody_knows_is_unknown_and_not_expected)
{
    fate(ORACLE_SET, "ERR syntax error", FATE_UNKNOWN, false);
    fate(ORACLE_SET, "BUSYKEY x", FATE_UNKNOWN, false);
    fate(ORACLE_SET, "MOVED 1 1.2.3.4:5", FATE_UNKNOWN, false);
    fate(ORACLE_SET, "", FATE_UNKNOWN, false);
    fate(ORACLE_SET, "ERR Protocol error: x", FATE_FAIL, false);
    fate(ORACLE_GET, "ERR x", FATE_FAIL, false);
}

/* ---- values ---- */

static bool fits(enum workload kind, uint32_t key, const char *text)
{
    struct options o = { .workload = kind, .keys = 1, .seed = 7 };
    struct work w;
    struct work_op x = { .key = 0 };
    bool rv;

    work_init(&w, &o);
    w.unique = 100;
    work_read(&w, key, &x);
    rv = work_value_fits(&w, &x, slice_str(text));
    work_op_close(&x);
    work_close(&w);
    return rv;
}

TEST(value, of_another_key_or_never_written_is_noticed)
{
    CHECK(fits(WORK_REGISTER, 3, "r7.3:p12:100"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.4:p12:100"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.33:p12:100"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.3:p12:101"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.3:p12:0"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.3:p12:1x"));
    CHECK(!fits(WORK_REGISTER, 3, "r7.3"));
    CHECK(!fits(WORK_REGISTER, 3, ""));
    CHECK(fits(WORK_SET, 3, "s7.3:p0:1"));
    CHECK(!fits(WORK_SET, 3, "r7.3:p0:1"));
}

TEST(value, of_tokens_of_another_key_is_noticed)
{
    CHECK(fits(WORK_APPEND, 3, "t3-1.t3-100.t3-7."));
    CHECK(!fits(WORK_APPEND, 3, "t3-1.t4-2."));
    CHECK(!fits(WORK_APPEND, 3, "t3-101."));
    CHECK(!fits(WORK_APPEND, 3, "t3-1"));
    CHECK(!fits(WORK_APPEND, 3, "t3-1.t"));
    CHECK(!fits(WORK_APPEND, 3, ""));
}

TEST(value, of_another_counter_is_noticed)
{
    CHECK(fits(WORK_COUNTER, 3, "1012"));
    CHECK(fits(WORK_COUNTER, 3, "10120"));
    CHECK(!fits(WORK_COUNTER, 3, "1013"));
    CHECK(!fits(WORK_COUNTER, 3, "-1012"));
    CHECK(!fits(WORK_COUNTER, 3, "1012 "));
}

/* ---- replies ---- */

struct reply_case {
    struct options o;
    struct work w;
    struct work_op x;
    enum fate fate;
    bool expected;
    char why[400];
};

static void reply_open(struct reply_case *c, enum workload kind)
{
    *c = (struct reply_case){ .o = { .workload = kind, .keys = 1, .seed = 7,
                                     .ops_per_key = 1000 } };
    work_init(&c->w, &c->o);
    c->w.unique = 50;
}

static void reply_close(struct reply_case *c)
{
    work_op_close(&c->x);
    work_close(&c->w);
}

/* The next operation of kind f that the workload would ask. */
static void reply_ask(struct reply_case *c, enum oracle_f f, unsigned replies,
                      const struct work_memory *m)
{
    for (int i = 0; i < 1000; i++) {
        work_next(&c->w, 0, m, 5, &c->x);
        if (c->x.op.f == f && c->x.replies == replies)
            return;
    }
    FAIL("the workload never asks for operation %d", (int)f);
}

static bool reply_give(struct reply_case *c, enum resp_type type, int64_t num,
                       const char *text)
{
    struct resp_item item = { .type = type, .num = num, .last = true,
                              .str = slice_str(text) };

    return work_reply(&c->w, &c->x, &item, &c->fate, &c->expected, c->why,
                      sizeof c->why);
}

TEST(reply, of_the_wrong_kind_is_crossed)
{
    static const struct {
        enum workload kind;
        enum oracle_f f;
        enum resp_type type;
        int64_t num;
        const char *text;
    } wrong[] = {
        { WORK_REGISTER, ORACLE_SET, RESP_NULL, 0, "" },
        { WORK_REGISTER, ORACLE_SET, RESP_SIMPLE, 0, "PONG" },
        { WORK_REGISTER, ORACLE_DEL, RESP_INT, 2, "" },
        { WORK_REGISTER, ORACLE_DEL, RESP_SIMPLE, 0, "OK" },
        { WORK_REGISTER, ORACLE_GET, RESP_INT, 1, "" },
        { WORK_COUNTER, ORACLE_INCR, RESP_INT, 1010, "" },
        { WORK_COUNTER, ORACLE_INCR, RESP_INT, 0, "" },
        { WORK_APPEND, ORACLE_APPEND, RESP_INT, 2, "" },
        { WORK_SET, ORACLE_SETNX, RESP_INT, 1, "" },
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct work_memory none = { .known = false };
        struct reply_case c;

        reply_open(&c, wrong[i].kind);
        reply_ask(&c, wrong[i].f, 1, &none);
        CHECK(reply_give(&c, wrong[i].type, wrong[i].num, wrong[i].text));
        CHECK_EQ(c.fate, FATE_CROSSED);
        CHECK(strstr(c.why, c.x.key_text) != NULL);
        reply_close(&c);
    }
}

TEST(reply, nil_to_a_compare_and_set_means_it_did_not_match)
{
    const struct work_memory m = { .known = true, .key = 0,
                                   .value = "r7.0:p1:1" };
    struct reply_case c;

    reply_open(&c, WORK_REGISTER);
    reply_ask(&c, ORACLE_CAS, 1, &m);
    CHECK(strstr((char *)buf_at(&c.x.request), "IFEQ") != NULL);
    CHECK(reply_give(&c, RESP_NULL, 0, ""));
    CHECK_EQ(c.fate, FATE_OK);
    CHECK(c.x.op.has_result);
    CHECK_EQ(c.x.op.number, 0);
    reply_close(&c);
}

/* GETREV GET GETREV, then what the client may conclude. */
static struct work_memory after_revisions(int64_t before, const char *value,
                                          int64_t after)
{
    const struct work_memory none = { .known = false };
    struct work_memory m = none;
    struct reply_case c;

    reply_open(&c, WORK_REGISTER);
    reply_ask(&c, ORACLE_GET, 3, &none);
    CHECK(!reply_give(&c, before == 0 ? RESP_NULL : RESP_INT, before, ""));
    CHECK(!reply_give(&c, value == NULL ? RESP_NULL : RESP_BULK, 0,
                      value == NULL ? "" : value));
    CHECK(reply_give(&c, after == 0 ? RESP_NULL : RESP_INT, after, ""));
    CHECK_EQ(c.fate, FATE_OK);
    work_remember(&c.x, &m);
    reply_close(&c);
    return m;
}

TEST(reply, a_revision_belongs_to_a_value_only_if_it_is_the_same_before_and_after)
{
    struct work_memory m = after_revisions(9, "r7.0:p1:1", 9);

    CHECK(m.known && m.rev_known);
    CHECK_EQ(m.rev, 9);
    CHECK(!after_revisions(9, "r7.0:p1:1", 10).rev_known);
    CHECK(!after_revisions(0, "r7.0:p1:1", 9).rev_known);
    /* Absent, written and deleted meanwhile: not the same absence. */
    CHECK(!after_revisions(0, "r7.0:p1:1", 0).rev_known);
    CHECK(after_revisions(0, NULL, 0).rev_known);
}

TEST(reply, one_error_among_three_makes_the_read_a_failure)
{
    const struct work_memory none = { .known = false };
    struct reply_case c;

    reply_open(&c, WORK_REGISTER);
    reply_ask(&c, ORACLE_GET, 3, &none);
    CHECK(!reply_give(&c, RESP_INT, 9, ""));
    CHECK(!reply_give(&c, RESP_ERROR, 0, "CLUSTERDOWN no leader"));
    CHECK(reply_give(&c, RESP_INT, 9, ""));
    CHECK_EQ(c.fate, FATE_FAIL);
    reply_close(&c);
}

/* ---- whole runs ---- */

enum manner {
    MANNER_BUSY,    /* -BUSY to everything */
    MANNER_UNKNOWN, /* -UNKNOWN to writes, nil to reads */
    MANNER_CLOSE,   /* takes the request and closes */
    MANNER_SILENT,  /* takes the request and says nothing */
    MANNER_CROSSED, /* a value of another key */
    MANNER_EXTRA,   /* two replies to one request */
    MANNER_ODD,     /* -ERR to everything */
    MANNER_NOISE    /* not RESP */
};

#define SERVER_FDS 64

static void answer(int fd, enum manner manner, bool read)
{
    static const char *const text[] = {
        [MANNER_BUSY] = "-BUSY too many\r\n",
        [MANNER_UNKNOWN] = "-UNKNOWN who knows\r\n",
        [MANNER_CROSSED] = "$7\r\nt99-99.\r\n",
        [MANNER_EXTRA] = "$-1\r\n$-1\r\n",
        [MANNER_ODD] = "-ERR this is odd\r\n",
        [MANNER_NOISE] = "HTTP/1.1 200 OK\r\n",
    };
    const char *s = manner == MANNER_UNKNOWN && read ? "$-1\r\n" : text[manner];

    if (send(fd, s, strlen(s), MSG_NOSIGNAL) < 0)
        close(fd); /* the client is gone; poll will say so */
}

/* Requests are short and come whole. */
static void serve(int listener, enum manner manner)
{
    struct pollfd p[SERVER_FDS] = { { .fd = listener, .events = POLLIN } };
    nfds_t n = 1;

    for (;;) {
        if (poll(p, n, -1) < 0)
            _exit(1);
        for (nfds_t i = 1; i < n; i++) {
            char in[4096];
            ssize_t got;

            if (p[i].fd < 0 || p[i].revents == 0)
                continue;
            got = recv(p[i].fd, in, sizeof in - 1, 0);
            if (got <= 0 || manner == MANNER_CLOSE) {
                close(p[i].fd);
                p[i].fd = -1;
                continue;
            }
            in[got] = '\0';
            if (manner != MANNER_SILENT)
                answer(p[i].fd, manner, strstr(in, "GET") != NULL);
        }
        if (p[0].revents != 0 && n < SERVER_FDS)
            p[n++] = (struct pollfd){ .fd = accept(listener, NULL, NULL),
                                      .events = POLLIN };
    }
}

static int listen_any(struct options *o)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t len = sizeof a;
    char list[64], why[200];
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(list, sizeof list, "127.0.0.1:%u", ntohs(a.sin_port));
    CHECK_EQ(options_nodes(list, o, why, sizeof why), 0);
    return fd;
}

struct whole {
    struct options o;
    struct run_result r;
    char path[400];
    int status;
};

/* manner < 0: nobody listens. */
static void whole_run(struct whole *t, int manner)
{
    pid_t pid = -1;
    int fd;

    t->o = (struct options){ .workload = WORK_APPEND, .seconds = 1,
                             .rate = 100, .clients = 4, .keys = 1,
                             .ops_per_key = 200, .timeout_ms = 200,
                             .seed = 1 };
    fd = listen_any(&t->o);
    snprintf(t->path, sizeof t->path, "%s/history.edn", test_tmpdir());
    t->o.history = t->path;
    if (manner >= 0) {
        CHECK_EQ(listen(fd, 64), 0);
        pid = fork();
        if (pid == 0)
            serve(fd, (enum manner)manner);
    }
    t->status = run(&t->o, &t->r);
    close(fd);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

struct seen {
    unsigned invoke, ok, fail, info; /* lines */
    bool reused;                     /* a process after its :info */
};

static struct seen whole_read(const struct whole *t)
{
    struct seen s = { .invoke = 0 };
    static bool dead[100000];
    char line[1000];
    FILE *f = fopen(t->path, "r");

    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        const char *p = strstr(line, ":process ");
        unsigned long process = p == NULL ? 0 : strtoul(p + 9, NULL, 10);

        if (line[0] == ';')
            continue;
        CHECK(process < 100000);
        s.reused = s.reused || dead[process];
        s.invoke += strstr(line, ":type :invoke") != NULL;
        s.ok += strstr(line, ":type :ok") != NULL;
        s.fail += strstr(line, ":type :fail") != NULL;
        if (strstr(line, ":type :info") != NULL) {
            s.info++;
            dead[process] = true;
        }
    }
    fclose(f);
    CHECK_EQ(s.invoke, s.ok + s.fail + s.info);
    return s;
}

TEST(run, refused_connections_are_failures)
{
    struct whole t;
    struct seen s;

    whole_run(&t, -1);
    s = whole_read(&t);
    CHECK_EQ(t.status, 4); /* the reads at the end were not answered */
    CHECK(s.fail > 0);
    CHECK_EQ(s.ok + s.info, 0);
}

TEST(run, busy_is_a_failure_and_the_process_goes_on)
{
    struct whole t;
    struct seen s;

    whole_run(&t, MANNER_BUSY);
    s = whole_read(&t);
    CHECK_EQ(t.status, 4);
    CHECK(s.fail > 0);
    CHECK_EQ(s.ok + s.info, 0);
    CHECK_EQ(t.r.unexpected, 0);
}

TEST(run, an_unknown_outcome_ends_its_process)
{
    struct whole t;
    struct seen s;

    whole_run(&t, MANNER_UNKNOWN);
    s = whole_read(&t);
    CHECK(s.info > 1);
    CHECK(s.ok > 0);
    CHECK(!s.reused);
}

TEST(run, a_lost_connection_makes_writes_unknown)
{
    struct whole t;
    struct seen s;

    whole_run(&t, MANNER_CLOSE);
    s = whole_read(&t);
    CHECK(s.info > 1);
    CHECK_EQ(s.ok, 0);
    CHECK(!s.reused);
}

TEST(run, silence_makes_writes_unknown)
{
    struct whole t;
    struct seen s;

    whole_run(&t, MANNER_SILENT);
    s = whole_read(&t);
    CHECK(s.info > 1);
    CHECK_EQ(s.ok, 0);
    CHECK(!s.reused);
}

TEST(run, a_crossed_reply_ends_it)
{
    struct whole t;

    whole_run(&t, MANNER_CROSSED);
    (void)whole_read(&t);
    CHECK_EQ(t.status, 3);
    CHECK(t.r.crossed > 0);
}

TEST(run, a_reply_too_many_ends_it)
{
    struct whole t;

    whole_run(&t, MANNER_EXTRA);
    (void)whole_read(&t);
    CHECK_EQ(t.status, 3);
}

TEST(run, an_error_that_nobody_expects_ends_it)
{
    struct whole t;

    whole_run(&t, MANNER_ODD);
    (void)whole_read(&t);
    CHECK_EQ(t.status, 3);
    CHECK(t.r.unexpected > 0);
}

TEST(run, noise_instead_of_a_reply_ends_it)
{
    struct whole t;

    whole_run(&t, MANNER_NOISE);
    (void)whole_read(&t);
    CHECK_EQ(t.status, 3);
}

/* ---- options ---- */

static int parse(const char *const *words, int n, char *why, size_t size)
{
    struct options o;
    char *argv[16];

    argv[0] = NULL;
    for (int i = 0; i < n; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];
    return options_parse(n + 1, argv, &o, why, size);
}

#define PARSE(...)                                        \
    parse((const char *const[]){ __VA_ARGS__ },           \
          (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)), \
          why, sizeof why)

TEST(options, are_refused_with_a_reason)
{
    char why[200];

    CHECK_EQ(PARSE("--nodes", "1.2.3.4:5", "--history", "h", "--timeout", "1500ms"), 0);
    CHECK_EQ(PARSE("--nodes", "1.2.3.4:5"), -1);
    CHECK_EQ(PARSE("--nodes", "somewhere:5", "--history", "h"), -1);
    CHECK(strstr(why, "somewhere:5") != NULL);
    CHECK_EQ(PARSE("--nodes", "1.2.3.4:0", "--history", "h"), -1);
    CHECK_EQ(PARSE("--nodes", "1.2.3.4:5", "--history", "h", "--rate", "x"), -1);
    CHECK_EQ(PARSE("--nodes", "1.2.3.4:5", "--history", "h", "--time"), -1);
    CHECK_EQ(PARSE("--nodes", "1.2.3.4:5", "--history", "h", "--clients", "30",
                   "--keys", "2"), -1);
    CHECK(strstr(why, "--keys 3") != NULL);
}
