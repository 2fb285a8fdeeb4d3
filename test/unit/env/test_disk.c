/* Synchronous files, directories and locks of env_uv. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/env_uv.h"
#include "lib/test.h"
#include "lib/tmpdir.h"

static struct env *open_env(void)
{
    struct env *env;

    CHECK_EQ(env_uv_open(&env), 0);
    return env;
}

/* A path in the temporary directory; four at a time are valid. */
static const char *at(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", test_tmpdir(), name);
    return path;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    CHECK_EQ(stat(path, &st), 0);
    return st.st_mode & 07777;
}

TEST(env_disk, what_was_written_is_read_and_reads_are_short_at_the_end_only)
{
    struct env *env = open_env();
    struct env_file *f;
    uint64_t size;
    size_t n;
    char buf[16] = { 0 };

    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    CHECK_EQ(env_write(env, f, 0, "hello world", 11), 0);
    CHECK_EQ(env_write(env, f, 6, "there", 5), 0);
    CHECK_EQ(env_sync(env, f), 0);
    CHECK_EQ(env_size(env, f, &size), 0);
    CHECK_EQ(size, 11);
    CHECK_EQ(env_read(env, f, 0, buf, 11, &n), 0);
    CHECK_EQ(n, 11);
    CHECK_STR(buf, "hello there");
    CHECK_EQ(env_read(env, f, 6, buf, sizeof buf, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(env_read(env, f, 100, buf, sizeof buf, &n), 0);
    CHECK_EQ(n, 0);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, truncate_cuts_and_extends_with_zeros)
{
    struct env *env = open_env();
    struct env_file *f;
    uint64_t size;
    size_t n;
    char buf[4];

    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    CHECK_EQ(env_write(env, f, 0, "abcd", 4), 0);
    CHECK_EQ(env_truncate(env, f, 2), 0);
    CHECK_EQ(env_truncate(env, f, 4), 0);
    CHECK_EQ(env_size(env, f, &size), 0);
    CHECK_EQ(size, 4);
    CHECK_EQ(env_read(env, f, 0, buf, 4, &n), 0);
    CHECK_MEM(buf, "ab\0\0", 4);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, files_and_directories_are_private_to_their_user)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_mkdir(env, at("d")), 0);
    CHECK_EQ(env_open(env, at("d/f"), ENV_OPEN_CREATE, &f), 0);
    CHECK_EQ(mode_of(at("d")), 0700);
    CHECK_EQ(mode_of(at("d/f")), 0600);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, opening_says_which_way_the_name_was_wrong)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_open(env, at("none"), 0, &f), KV_ENOENT);
    CHECK_EQ(env_open(env, at("none"), ENV_OPEN_RDONLY, &f), KV_ENOENT);
    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE | ENV_OPEN_EXCL, &f), 0);
    env_close(env, f);
    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE | ENV_OPEN_EXCL, &f),
             KV_EEXIST);
    CHECK_EQ(env_open(env, at("f/under"), ENV_OPEN_CREATE, &f), KV_ENOENT);
    CHECK_EQ(env_open(env, test_tmpdir(), 0, &f), KV_EINVAL);
    env_uv_free(env);
}

TEST(env_disk, mkdir_accepts_a_directory_that_is_there_but_no_file)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_mkdir(env, at("d")), 0);
    CHECK_EQ(env_mkdir(env, at("d")), 0);
    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    env_close(env, f);
    CHECK_EQ(env_mkdir(env, at("f")), KV_EEXIST);
    CHECK_EQ(env_mkdir(env, at("none/d")), KV_ENOENT);
    env_uv_free(env);
}

static void append_name(void *data, const char *name)
{
    strcat(data, name);
    strcat(data, " ");
}

TEST(env_disk, names_are_listed_sorted_and_without_the_dots)
{
    static const char *const names[] = { "c", "a", "d", "b" };
    struct env *env = open_env();
    char got[64] = "";

    CHECK_EQ(env_list(env, test_tmpdir(), append_name, got), 0);
    CHECK_STR(got, "");
    for (int i = 0; i < 4; i++) {
        struct env_file *f;

        CHECK_EQ(env_open(env, at(names[i]), ENV_OPEN_CREATE, &f), 0);
        env_close(env, f);
    }
    CHECK_EQ(env_list(env, test_tmpdir(), append_name, got), 0);
    CHECK_STR(got, "a b c d ");
    CHECK_EQ(env_list(env, at("none"), append_name, got), KV_ENOENT);
    env_uv_free(env);
}

TEST(env_disk, rename_replaces_and_unlink_removes)
{
    struct env *env = open_env();
    struct env_file *f;
    char got[64] = "";

    CHECK_EQ(env_open(env, at("a"), ENV_OPEN_CREATE, &f), 0);
    env_close(env, f);
    CHECK_EQ(env_open(env, at("b"), ENV_OPEN_CREATE, &f), 0);
    env_close(env, f);
    CHECK_EQ(env_rename(env, at("a"), at("b")), 0);
    CHECK_EQ(env_rename(env, at("a"), at("b")), KV_ENOENT);
    CHECK_EQ(env_sync_dir(env, test_tmpdir()), 0);
    CHECK_EQ(env_sync_dir(env, at("none")), KV_ENOENT);
    CHECK_EQ(env_list(env, test_tmpdir(), append_name, got), 0);
    CHECK_STR(got, "b ");
    CHECK_EQ(env_unlink(env, at("b")), 0);
    CHECK_EQ(env_unlink(env, at("b")), KV_ENOENT);
    env_uv_free(env);
}

TEST(env_disk, a_full_disk_is_reported_as_such)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_open(env, "/dev/full", 0, &f), 0);
    CHECK_EQ(env_write(env, f, 0, "x", 1), KV_ENOSPC);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, the_file_size_limit_is_an_error_and_no_signal)
{
    const struct rlimit small = { .rlim_cur = 100, .rlim_max = 100 };
    struct env *env = open_env();
    struct env_file *f;
    char block[200] = { 0 };

    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    CHECK_EQ(env_write(env, f, 0, block, sizeof block), KV_ENOSPC);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, writing_to_a_file_opened_for_reading_fails)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    env_close(env, f);
    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_RDONLY, &f), 0);
    CHECK_EQ(env_write(env, f, 0, "x", 1), KV_EIO);
    env_close(env, f);
    env_uv_free(env);
}

TEST(env_disk, what_the_kernel_forbids_is_permission_denied)
{
    struct env *env = open_env();

    CHECK_EQ(env_unlink(env, "/proc/version"), KV_EACCES); /* to root too */
    env_uv_free(env);
}

TEST(env_disk, without_descriptors_neither_a_file_nor_an_env_opens)
{
    struct rlimit limit, old;
    struct env *env = open_env();
    struct env *second;
    struct env_file *f;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), KV_EMFILE);
    CHECK_EQ(env_uv_open(&second), KV_EMFILE);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(env_uv_open(&second), 0);
    env_uv_free(second);
    env_uv_free(env);
}

TEST_ABORTS(env_disk, freeing_an_env_with_an_open_file_is_refused)
{
    struct env *env = open_env();
    struct env_file *f;

    CHECK_EQ(env_open(env, at("f"), ENV_OPEN_CREATE, &f), 0);
    env_uv_free(env);
}

/* ---- locks ---- */

/* A second process that asks for the lock when it is told to.  It starts before
 * this one has threads. */
struct other {
    pid_t pid;
    int tell, hear; /* pipes to and from it */
    char path[512];
};

static _Noreturn void other_main(const char *path, int from, int to)
{
    struct env *env;
    char c;

    if (env_uv_open(&env) != 0)
        _exit(1);
    while (read(from, &c, 1) == 1) {
        struct env_file *lock;
        int rv = env_lock(env, path, &lock);

        if (write(to, &rv, sizeof rv) != (ssize_t)sizeof rv)
            _exit(1);
    }
    _exit(0);
}

static void other_start(struct other *o)
{
    int there[2], back[2];

    snprintf(o->path, sizeof o->path, "%s/lock", test_tmpdir());
    CHECK_EQ(pipe(there), 0);
    CHECK_EQ(pipe(back), 0);
    o->pid = fork();
    CHECK(o->pid >= 0);
    if (o->pid == 0) {
        close(there[1]);
        other_main(o->path, there[0], back[1]);
    }
    o->tell = there[1];
    o->hear = back[0];
}

/* What it gets; it keeps the lock if it gets that. */
static int other_locks(struct other *o)
{
    int rv = 1;

    CHECK_EQ(write(o->tell, "l", 1), 1);
    CHECK_EQ(read(o->hear, &rv, sizeof rv), sizeof rv);
    return rv;
}

static void other_kill(struct other *o)
{
    int status;

    CHECK_EQ(kill(o->pid, SIGKILL), 0);
    CHECK_EQ(waitpid(o->pid, &status, 0), o->pid);
}

TEST(env_lock, a_second_process_is_refused_until_the_first_lets_go)
{
    struct other o;
    struct env *env;
    struct env_file *lock;

    other_start(&o);
    env = open_env();
    CHECK_EQ(env_lock(env, o.path, &lock), 0);
    CHECK_EQ(other_locks(&o), KV_ELOCKED);
    env_close(env, lock);
    CHECK_EQ(other_locks(&o), 0);
    CHECK_EQ(env_lock(env, o.path, &lock), KV_ELOCKED);
    other_kill(&o);
    env_uv_free(env);
}

TEST(env_lock, a_lock_dies_with_its_process_even_when_that_is_killed)
{
    struct other o;
    struct env *env;
    struct env_file *lock;

    other_start(&o);
    env = open_env();
    CHECK_EQ(other_locks(&o), 0);
    other_kill(&o);
    CHECK_EQ(env_lock(env, o.path, &lock), 0);
    env_close(env, lock);
    env_uv_free(env);
}

TEST(env_lock, a_second_lock_in_the_same_process_is_refused_too)
{
    struct env *env = open_env();
    struct env_file *lock, *again;

    CHECK_EQ(env_lock(env, at("lock"), &lock), 0);
    CHECK_EQ(env_lock(env, at("lock"), &again), KV_ELOCKED);
    env_close(env, lock);
    env_uv_free(env);
}

TEST(env_lock, the_lock_file_names_its_process)
{
    struct env *env = open_env();
    struct env_file *lock;
    char want[32], got[32] = { 0 };
    size_t n;

    CHECK_EQ(env_lock(env, at("lock"), &lock), 0);
    snprintf(want, sizeof want, "%ld\n", (long)getpid());
    CHECK_EQ(env_read(env, lock, 0, got, sizeof got - 1, &n), 0);
    CHECK_STR(got, want);
    env_close(env, lock);
    CHECK_EQ(env_lock(env, at("none/lock"), &lock), KV_ENOENT);
    env_uv_free(env);
}
