/* Temporary directories, see tmpdir.h.
 *
 * The runner chooses the name before it forks, the case creates the directory
 * on demand, and the runner removes it afterwards: so a case that was killed
 * leaves nothing behind either. */
#include "lib/tmpdir.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/test.h"

/* File descriptors that the removal may hold open at a time. */
#define TMPDIR_WALK_FDS 16

static char tmpdir_path[4096];
static unsigned tmpdir_serial;

void test_tmpdir_prepare(void)
{
    const char *root = getenv("TMPDIR");
    int n;

    if (root == NULL || root[0] != '/')
        root = "/tmp";
    n = snprintf(tmpdir_path, sizeof tmpdir_path, "%s/kvtest.%ld.%u", root,
                 (long)getpid(), ++tmpdir_serial);
    if (n < 0 || (size_t)n >= sizeof tmpdir_path) {
        fprintf(stderr, "TMPDIR is too long: %s\n", root);
        exit(99);
    }
}

const char *test_tmpdir(void)
{
    static bool made;

    if (made)
        return tmpdir_path;
    if (mkdir(tmpdir_path, 0700) != 0)
        FAIL("cannot make %s: %s", tmpdir_path, strerror(errno));
    made = true;
    return tmpdir_path;
}

static int tmpdir_unlink(const char *path, const struct stat *st, int type,
                         struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    if (remove(path) != 0)
        fprintf(stderr, "cannot remove %s: %s\n", path, strerror(errno));
    return 0;
}

void test_tmpdir_remove(void)
{
    const char *keep = getenv("KV_TEST_KEEP");
    struct stat st;

    if (lstat(tmpdir_path, &st) != 0)
        return;
    if (keep != NULL && strcmp(keep, "1") == 0) {
        fprintf(stderr, "kept %s\n", tmpdir_path);
        return;
    }
    nftw(tmpdir_path, tmpdir_unlink, TMPDIR_WALK_FDS, FTW_DEPTH | FTW_PHYS);
}
