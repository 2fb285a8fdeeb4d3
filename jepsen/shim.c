/* A slow or failing disk for one process: preloaded into kvd (LD_PRELOAD), it
 * stands before the calls that write and sync files.
 *
 * KV_SHIM_CONTROL names a file that is read at each of these calls; it is missing or
 * empty as long as the disk is well:
 *
 *   delay 300000     a sync takes that many microseconds longer
 *   fail write       a write returns EIO, nothing is written
 *   fail sync        a sync returns EIO; the bytes stay in the page cache only,
 *                    as they may after a real one
 *
 * Only files below KV_SHIM_DIR are meant.  Each call that was made slow or failed is a line of
 * KV_SHIM_LOG: the proof that the fault did something.
 *
 * What must hold: a failing control file or log never changes what the program
 * sees, and errno is what it was. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { KIND_WRITE, KIND_SYNC };

struct control {
    unsigned long delay_us;
    int fail_write, fail_sync;
};

/* The process's own functions, found once: later in the search order than we. */
#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) \
        *(void **)&real = dlsym(RTLD_NEXT, #name)

static int control_read(struct control *ret)
{
    const char *path = getenv("KV_SHIM_CONTROL");
    char text[128];
    ssize_t n;
    int fd;

    if (path == NULL)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    memset(ret, 0, sizeof *ret);
    (void)sscanf(text, "delay %lu", &ret->delay_us);
    ret->fail_write = strstr(text, "fail write") != NULL;
    ret->fail_sync = strstr(text, "fail sync") != NULL;
    return 1;
}

/* Whether fd is a file below KV_SHIM_DIR; its name for the log. */
static int is_meant(int fd, char *name, size_t n)
{
    const char *dir = getenv("KV_SHIM_DIR");
    char link[64];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, name, n - 1);
    if (dir == NULL || len <= 0)
        return 0;
    name[len] = '\0';
    return strncmp(name, dir, strlen(dir)) == 0;
}

static void note(const char *what, const char *name)
{
    const char *path = getenv("KV_SHIM_LOG");
    char line[PATH_MAX + 64];
    int fd, n;

    if (path == NULL)
        return;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    n = snprintf(line, sizeof line, "%ld %s %s\n", (long)getpid(), what, name);
    if (write(fd, line, (size_t)n) != n)
        n = 0; /* the proof is a line shorter */
    close(fd);
}

/* 0: make the call; -1: it has failed, errno is set. */
static int before(enum kind kind, int fd)
{
    struct control c;
    char name[PATH_MAX];
    int saved = errno;

    if (!control_read(&c) || !is_meant(fd, name, sizeof name)) {
        errno = saved;
        return 0;
    }
    if (kind == KIND_SYNC && c.delay_us > 0) {
        struct timespec t = { .tv_sec = (time_t)(c.delay_us / 1000000),
                              .tv_nsec = (long)(c.delay_us % 1000000) * 1000 };

        note("slow", name);
        nanosleep(&t, NULL);
    }
    errno = saved;
    if (kind == KIND_SYNC ? !c.fail_sync : !c.fail_write)
        return 0;
    note(kind == KIND_SYNC ? "EIO-sync" : "EIO-write", name);
    errno = EIO;
    return -1;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    REAL(pwritev);
    return before(KIND_WRITE, fd) != 0 ? -1 : real(fd, iov, n, off);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
{
    REAL(pwritev64);
    return before(KIND_WRITE, fd) != 0 ? -1 : real(fd, iov, n, off);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    REAL(pwrite);
    return before(KIND_WRITE, fd) != 0 ? -1 : real(fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    REAL(pwrite64);
    return before(KIND_WRITE, fd) != 0 ? -1 : real(fd, p, n, off);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return before(KIND_SYNC, fd) != 0 ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(fsync);
    return before(KIND_SYNC, fd) != 0 ? -1 : real(fd);
}
