/* The test runner, see test.h.
 *
 * For each case: fork; the child leads a process group of its own, sends its
 * output to an unlinked file, runs the case and exits with one of three codes.
 * The parent waits for SIGCHLD with a deadline, kills the whole group when it
 * is over (a server that a case has left behind would disturb the next one)
 * and prints the TAP line.
 *
 * The child ends with exit(), not _exit(), when the case has passed: that is
 * where LeakSanitizer looks for leaks and gcov writes its counters. */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/tmpdir.h"

/* Exit codes of a case; anything else (a sanitizer's, a signal) is a failure. */
#define CASE_PASSED 0
#define CASE_FAILED 1
#define CASE_SKIPPED 77

/* What a failing case printed is shown up to this many bytes, its end. */
#define OUTPUT_SHOWN_MAX (64 * 1024)

/* What assert_failed() writes; an abort for another reason is no pass. */
#define ASSERT_MARK "assertion failed: "
#define SKIP_MARK "test skipped: "

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIMEOUT_FACTOR 6
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TIMEOUT_FACTOR 6
#endif
#endif
#ifndef TIMEOUT_FACTOR
#define TIMEOUT_FACTOR 1
#endif

/* How a case ended. */
struct outcome {
    int status;     /* of waitpid */
    bool timed_out;
    char *output;   /* owned; NUL-terminated, the end of what it printed */
};

static struct test_case *first_case;
static struct test_case **last_link = &first_case;

void test_register(struct test_case *c)
{
    c->next = NULL;
    *last_link = c;
    last_link = &c->next;
}

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "%s:%d: failed: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(CASE_FAILED);
}

_Noreturn void test_skip(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, SKIP_MARK);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(CASE_SKIPPED);
}

uint64_t test_seed(void)
{
    const char *text = getenv("KV_TEST_SEED");
    uint64_t seed = text == NULL ? 20260101 : strtoull(text, NULL, 0);

    fprintf(stderr, "KV_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

void test_check_eq(const char *file, int line, const char *a_text,
                   const char *b_text, long long a, long long b)
{
    if (a != b)
        test_fail(file, line, "%s == %s: %lld (0x%llx) is not %lld (0x%llx)",
                  a_text, b_text, a, (unsigned long long)a, b,
                  (unsigned long long)b);
}

void test_check_str(const char *file, int line, const char *a_text,
                    const char *a, const char *b)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return;
    test_fail(file, line, "%s is\n  \"%s\"\nand not\n  \"%s\"", a_text,
              a == NULL ? "(null)" : a, b == NULL ? "(null)" : b);
}

static void print_bytes(const char *label, const uint8_t *p, size_t n)
{
    fprintf(stderr, "%s", label);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %02x", p[i]);
    fprintf(stderr, "\n");
}

void test_check_mem(const char *file, int line, const char *a_text,
                    const void *a, const void *b, size_t n)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    size_t at = 0;
    size_t from;
    size_t shown;

    while (at < n && x[at] == y[at])
        at++;
    if (at == n)
        return;
    from = at < 8 ? 0 : at - 8;
    shown = n - from < 32 ? n - from : 32;
    fflush(stdout);
    fprintf(stderr, "from byte %zu of %zu:\n", from, n);
    print_bytes("  is      ", x + from, shown);
    print_bytes("  and not ", y + from, shown);
    test_fail(file, line, "%s differs at byte %zu", a_text, at);
}

/* The end of what was written to fd, as a string that the caller frees. */
static char *read_output(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > OUTPUT_SHOWN_MAX ? size - OUTPUT_SHOWN_MAX : 0;
    char *text = calloc(1, OUTPUT_SHOWN_MAX + 1);
    size_t have = 0;
    ssize_t n;

    if (text == NULL || size < 0)
        abort();
    while (have < OUTPUT_SHOWN_MAX &&
           (n = pread(fd, text + have, OUTPUT_SHOWN_MAX - have,
                      from + (off_t)have)) > 0)
        have += (size_t)n;
    for (size_t i = 0; i < have; i++) {
        if (text[i] == '\0')
            text[i] = '?';
    }
    return text;
}

static void print_diagnostics(const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        printf("# %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static _Noreturn void run_child(const struct test_case *c, int fd)
{
    setpgid(0, 0);
    if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(CASE_FAILED);
    close(fd);
    if (c->aborts) /* no core file for an abort that is wanted */
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    c->run();
    exit(CASE_PASSED);
}

/* Wait for pid; false when it did not end in time. */
static bool wait_child(pid_t pid, int *ret_status)
{
    const char *text = getenv("KV_TEST_TIMEOUT_S");
    time_t limit =
        text != NULL ? (time_t)atol(text) : TEST_TIMEOUT_S * TIMEOUT_FACTOR;
    struct timespec now;
    struct timespec left = { 0, 0 };
    time_t deadline;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    clock_gettime(CLOCK_MONOTONIC, &now);
    deadline = now.tv_sec + limit;
    for (;;) {
        pid_t got = waitpid(pid, ret_status, WNOHANG);

        if (got == pid)
            return true;
        if (got < 0 && errno != EINTR)
            abort();
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= deadline)
            return false;
        left.tv_sec = deadline - now.tv_sec;
        sigtimedwait(&set, NULL, &left);
    }
}

static struct outcome run_forked(const struct test_case *c)
{
    struct outcome out = { .output = NULL };
    FILE *file = tmpfile();
    pid_t pid;

    if (file == NULL) {
        perror("tmpfile");
        exit(99);
    }
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(99);
    }
    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        run_child(c, fileno(file));
    }
    setpgid(pid, pid); /* whoever is first: the group exists from here on */
    if (!wait_child(pid, &out.status)) {
        out.timed_out = true;
        kill(-pid, SIGKILL);
        waitpid(pid, &out.status, 0);
    }
    kill(-pid, SIGKILL);
    out.output = read_output(fileno(file));
    fclose(file);
    return out;
}

/* Print the TAP line of case number; returns whether it passed. */
static bool report(const struct test_case *c, int number,
                   const struct outcome *out)
{
    bool exited = WIFEXITED(out->status) && !out->timed_out;
    bool aborted = WIFSIGNALED(out->status) && WTERMSIG(out->status) == SIGABRT;
    bool passed = exited && WEXITSTATUS(out->status) == CASE_PASSED;
    const char *skip;

    if (exited && WEXITSTATUS(out->status) == CASE_SKIPPED) {
        skip = strstr(out->output, SKIP_MARK);
        printf("ok %d - %s/%s # SKIP %.*s\n", number, c->suite, c->name,
               skip == NULL ? 0 : (int)strcspn(skip, "\n"),
               skip == NULL ? "" : skip + strlen(SKIP_MARK));
        return true;
    }
    if (c->aborts)
        passed = aborted && strstr(out->output, ASSERT_MARK) != NULL;
    printf("%s %d - %s/%s\n", passed ? "ok" : "not ok", number, c->suite,
           c->name);
    if (passed)
        return true;
    print_diagnostics(out->output);
    if (out->timed_out)
        printf("# killed: it did not end in time\n");
    else if (WIFSIGNALED(out->status))
        printf("# ended by signal %d (%s)\n", WTERMSIG(out->status),
               strsignal(WTERMSIG(out->status)));
    else if (c->aborts)
        printf("# ended with exit code %d, not by an assertion\n",
               WEXITSTATUS(out->status));
    else
        printf("# exit code %d\n", WEXITSTATUS(out->status));
    return false;
}

static bool selected(const struct test_case *c, const char *prefix)
{
    char full[512];

    snprintf(full, sizeof full, "%s/%s", c->suite, c->name);
    return strncmp(full, prefix, strlen(prefix)) == 0;
}

static int run_all(const char *prefix)
{
    int number = 0;
    bool passed = true;

    for (struct test_case *c = first_case; c != NULL; c = c->next)
        number += selected(c, prefix);
    printf("1..%d\n", number);
    number = 0;
    for (struct test_case *c = first_case; c != NULL; c = c->next) {
        struct outcome out;

        if (!selected(c, prefix))
            continue;
        test_tmpdir_prepare();
        out = run_forked(c);
        passed &= report(c, ++number, &out);
        free(out.output);
        test_tmpdir_remove();
        fflush(stdout);
    }
    return passed ? 0 : 1;
}

/* In this process, for debuggers: the first failure ends it. */
static int run_here(const char *prefix)
{
    for (struct test_case *c = first_case; c != NULL; c = c->next) {
        if (!selected(c, prefix))
            continue;
        fprintf(stderr, "%s/%s\n", c->suite, c->name);
        test_tmpdir_prepare();
        c->run();
        test_tmpdir_remove();
    }
    return 0;
}

static int list(const char *prefix)
{
    for (struct test_case *c = first_case; c != NULL; c = c->next) {
        if (selected(c, prefix))
            printf("%s/%s\n", c->suite, c->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int (*action)(const char *prefix) = run_all;
    sigset_t set;

    if (argc > 1 && strcmp(argv[1], "-n") == 0)
        action = run_here;
    else if (argc > 1 && strcmp(argv[1], "-l") == 0)
        action = list;
    if (action != run_all) {
        argc--;
        argv++;
    }
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: test_x [-n|-l] [suite/name prefix]\n");
        return 2;
    }
    /* SIGCHLD is taken by sigtimedwait only. */
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (action == run_all)
        sigprocmask(SIG_BLOCK, &set, NULL);
    return action(argc == 2 ? argv[1] : "");
}
