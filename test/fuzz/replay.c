/* The main() of a fuzz target in an ordinary build: runs the target once for
 * each file of its corpus and prints TAP.
 *
 * The corpus of fuzz_X is test/fuzz/corpus/X below $srcdir, or the directory
 * or file named as the argument.  It holds a few small inputs for each branch of
 * the decoder and every input that has ever crashed it.  Each file runs in a
 * child, so that one that crashes is reported by its name and the others still
 * run. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A corpus file is small: larger ones slow every test run down. */
#define REPLAY_FILE_BYTES_MAX (1024 * 1024)

/* An input that makes a decoder loop is killed after this many seconds. */
#define REPLAY_TIMEOUT_S 60

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Run the target on one file; only in a child. */
static _Noreturn void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(REPLAY_FILE_BYTES_MAX + 1);
    uint8_t *exact;
    size_t n;

    if (f == NULL || data == NULL) {
        perror(path);
        _exit(1);
    }
    n = fread(data, 1, REPLAY_FILE_BYTES_MAX + 1, f);
    fclose(f);
    if (n > REPLAY_FILE_BYTES_MAX) {
        fprintf(stderr, "%s is too large for a corpus\n", path);
        _exit(1);
    }
    /* An allocation of exactly n bytes: a read beyond it is seen by ASan. */
    exact = malloc(n > 0 ? n : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, data, n);
    free(data);
    alarm(REPLAY_TIMEOUT_S);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    exit(0);
}

static bool replay(int number, const char *target, const char *name,
                   const char *path)
{
    int status = -1;
    bool passed;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        replay_file(path);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("fork");
        exit(99);
    }
    passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%s %d - %s takes %s\n", passed ? "ok" : "not ok", number, target,
           name);
    if (WIFSIGNALED(status))
        printf("# ended by signal %d (%s)\n", WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    return passed;
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int replay_directory(const char *target, const char *dir)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, not_hidden, alphasort);
    bool passed = true;

    if (n <= 0) {
        printf("1..1\nnot ok 1 - %s has a corpus\n# %s: %s\n", target, dir,
               n < 0 ? "cannot be read" : "is empty");
        free(entries);
        return 1;
    }
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        char path[4096 + 256];

        snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
        passed &= replay(i + 1, target, entries[i]->d_name, path);
        free(entries[i]);
    }
    free(entries);
    return passed ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *srcdir = getenv("srcdir");
    const char *target = strrchr(argv[0], '/');
    char path[4096];
    struct stat st;

    target = target == NULL ? argv[0] : target + 1;
    if (strncmp(target, "lt-", 3) == 0) /* libtool's name for it */
        target += 3;
    snprintf(path, sizeof path, "%s/test/fuzz/corpus/%s",
             srcdir == NULL ? "." : srcdir,
             strncmp(target, "fuzz_", 5) == 0 ? target + 5 : target);
    if (argc > 1)
        snprintf(path, sizeof path, "%s", argv[1]);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        printf("1..1\n");
        return replay(1, target, path, path) ? 0 : 1;
    }
    return replay_directory(target, path);
}
