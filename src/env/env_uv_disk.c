/* Files: blocking calls on the loop thread, and the loops under them that the
 * asynchronous requests share.
 *
 *  I1  A call transfers everything or says why not: interrupted calls are
 *      repeated and short transfers continued.  A read is short at end of file
 *      only.
 *  I2  A failed fsync or fdatasync is reported, never repeated: the kernel may
 *      have dropped the pages and would call the repetition a success (R9).
 *  I3  Descriptors do not leak into programs we start (O_CLOEXEC); files are
 *      private to their user (0600, directories 0700).
 *
 * A lock is an open file description lock: it dies with the process whatever
 * kills it, so that a stale lock file never needs a human, and a second env in
 * the same process is refused too.  The pid inside is for people; nothing reads
 * it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/env_uv_int.h"

#define FILE_MODE 0600
#define DIR_MODE 0700
#define DISK_IOV_MAX 512 /* parts of one pwritev; Linux takes 1024 */

/* ---- blocking calls, any thread ---- */

int env_uv__pread(int fd, uint64_t off, void *p, size_t n, size_t *ret_n)
{
    size_t got = 0;

    while (got < n) {
        ssize_t rv = pread(fd, (char *)p + got, n - got, (off_t)(off + got));

        if (rv < 0 && errno == EINTR)
            continue;
        if (rv < 0)
            return env_uv__errno();
        if (rv == 0)
            break;
        got += (size_t)rv;
    }
    ASSERT(got <= n);
    *ret_n = got;
    return 0;
}

/* The parts from *i on, without the first skip bytes, as far as iov reaches. */
static int gather(const struct slice *parts, unsigned n, unsigned i,
                  size_t skip, struct iovec iov[DISK_IOV_MAX])
{
    int cnt = 0;

    for (; i < n && cnt < DISK_IOV_MAX; i++, skip = 0) {
        ASSERT(skip <= parts[i].n);
        if (parts[i].n == skip)
            continue;
        iov[cnt++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)(parts[i].p + skip),
            .iov_len = parts[i].n - skip,
        };
    }
    return cnt;
}

int env_uv__pwritev(int fd, uint64_t off, const struct slice *parts, unsigned n)
{
    struct iovec iov[DISK_IOV_MAX];
    unsigned i = 0;  /* first part not fully written */
    size_t skip = 0; /* bytes of it that are */

    for (;;) {
        int cnt = gather(parts, n, i, skip, iov);
        ssize_t rv;

        if (cnt == 0)
            return 0;
        rv = pwritev(fd, iov, cnt, (off_t)off);
        if (rv < 0 && errno == EINTR)
            continue;
        if (rv < 0)
            return env_uv__errno();
        if (rv == 0)
            return KV_EIO; /* no progress and no reason */
        off += (uint64_t)rv;
        skip += (size_t)rv;
        while (i < n && skip >= parts[i].n)
            skip -= parts[i++].n;
        ASSERT(i < n || skip == 0);
    }
}

int env_uv__fdatasync(int fd)
{
    return fdatasync(fd) == 0 ? 0 : env_uv__errno(); /* I2 */
}

/* ---- names ---- */

int env_uv__open_fd(const char *path, int flags, int *ret_fd)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return env_uv__errno();
    *ret_fd = fd;
    return 0;
}

int env_uv__mkdir(struct env *env, const char *path)
{
    struct stat st;

    (void)env;
    if (mkdir(path, DIR_MODE) == 0)
        return 0;
    if (errno != EEXIST)
        return env_uv__errno();
    if (stat(path, &st) != 0)
        return env_uv__errno();
    return S_ISDIR(st.st_mode) ? 0 : KV_EEXIST;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names in d but "." and "..", unsorted.  On an error too the names read so
 * far are the caller's to free. */
static int read_names(DIR *d, char ***names, size_t *n)
{
    size_t cap = 0;

    for (;;) {
        const struct dirent *ent;

        errno = 0;
        ent = readdir(d);
        if (ent == NULL)
            return errno == 0 ? 0 : env_uv__errno();
        if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
            continue;
        if (*n == cap) {
            cap = cap == 0 ? 16 : cap * 2;
            *names = mem_realloc(*names, cap * sizeof **names);
        }
        (*names)[(*n)++] = mem_strdup(ent->d_name);
    }
}

/* Sorted, because the order of a directory is the file system's affair and no
 * run may depend on it.  The callback may change the directory. */
int env_uv__list(struct env *env, const char *dir, env_dir_cb cb, void *data)
{
    DIR *d = opendir(dir);
    char **names = NULL;
    size_t n = 0;
    int rv;

    (void)env;
    ASSERT(cb != NULL);
    if (d == NULL)
        return env_uv__errno();
    rv = read_names(d, &names, &n);
    closedir(d);
    if (rv == 0 && n > 0)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (rv == 0)
            cb(data, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return rv;
}

int env_uv__rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    return rename(from, to) == 0 ? 0 : env_uv__errno();
}

int env_uv__unlink(struct env *env, const char *path)
{
    (void)env;
    return unlink(path) == 0 ? 0 : env_uv__errno();
}

int env_uv__sync_dir(struct env *env, const char *dir)
{
    int fd = -1;
    int rv = env_uv__open_fd(dir, O_RDONLY | O_DIRECTORY, &fd);

    (void)env;
    if (rv != 0)
        return rv;
    if (fsync(fd) != 0)
        rv = env_uv__errno();
    close(fd);
    return rv;
}

/* ---- open files ---- */

static struct env_file *file_new(struct env_uv *e, int fd)
{
    struct env_file *f = MEM_NEW(struct env_file);

    ASSERT(fd >= 0);
    f->e = e;
    f->fd = fd;
    e->n_files++;
    return f;
}

static int write_pid(int fd)
{
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    struct slice part = slice_make(pid, (size_t)n);

    if (ftruncate(fd, 0) != 0)
        return env_uv__errno();
    return env_uv__pwritev(fd, 0, &part, 1);
}

int env_uv__lock(struct env *env, const char *path, struct env_file **ret)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = -1;
    int rv = env_uv__open_fd(path, O_RDWR | O_CREAT, &fd);

    if (rv != 0)
        return rv;
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        rv = errno == EAGAIN || errno == EACCES ? KV_ELOCKED : env_uv__errno();
        goto err_close;
    }
    rv = write_pid(fd);
    if (rv != 0)
        goto err_close;
    *ret = file_new(env_uv__of(env), fd);
    return 0;
err_close:
    close(fd);
    return rv;
}

int env_uv__open(struct env *env, const char *path, unsigned flags,
                 struct env_file **ret)
{
    int how = flags & ENV_OPEN_RDONLY ? O_RDONLY : O_RDWR;
    int fd = -1;
    int rv;

    ASSERT((flags & ENV_OPEN_EXCL) == 0 || (flags & ENV_OPEN_CREATE) != 0);
    if (flags & ENV_OPEN_CREATE)
        how |= O_CREAT;
    if (flags & ENV_OPEN_EXCL)
        how |= O_EXCL;
    rv = env_uv__open_fd(path, how, &fd);
    if (rv != 0)
        return rv;
    *ret = file_new(env_uv__of(env), fd);
    return 0;
}

/* An error of close(2) can only concern bytes that were never synced, and
 * nobody may rely on those. */
void env_uv__close(struct env *env, struct env_file *f)
{
    struct env_uv *e = env_uv__of(env);

    ASSERT(f->e == e);
    ASSERT(f->n_async == 0);
    ASSERT(e->n_files > 0);
    close(f->fd);
    e->n_files--;
    mem_free(f);
}

int env_uv__size(struct env *env, struct env_file *f, uint64_t *ret)
{
    struct stat st;

    (void)env;
    if (fstat(f->fd, &st) != 0)
        return env_uv__errno();
    ASSERT(st.st_size >= 0);
    *ret = (uint64_t)st.st_size;
    return 0;
}

int env_uv__read(struct env *env, struct env_file *f, uint64_t off, void *p,
                 size_t n, size_t *ret_n)
{
    (void)env;
    return env_uv__pread(f->fd, off, p, n, ret_n);
}

int env_uv__write(struct env *env, struct env_file *f, uint64_t off,
                  const void *p, size_t n)
{
    struct slice part = slice_make(p, n);

    (void)env;
    return env_uv__pwritev(f->fd, off, &part, 1);
}

int env_uv__truncate(struct env *env, struct env_file *f, uint64_t size)
{
    int rv;

    (void)env;
    do {
        rv = ftruncate(f->fd, (off_t)size);
    } while (rv != 0 && errno == EINTR);
    return rv == 0 ? 0 : env_uv__errno();
}

int env_uv__sync(struct env *env, struct env_file *f)
{
    (void)env;
    return fsync(f->fd) == 0 ? 0 : env_uv__errno(); /* I2 */
}
