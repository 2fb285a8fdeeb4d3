/* One case for each way in which a case can end.  test/lib/check-runner runs
 * this program and compares what the runner reports; it is no test itself. */
#include "lib/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "lib/tmpdir.h"

TEST(good, returns)
{
    printf("not shown\n");
}

TEST(good, is_skipped)
{
    test_skip("no such %s", "thing");
}

TEST_ABORTS(good, asserts)
{
    ASSERT(1 == 2);
}

TEST(good, leaves_files_and_processes)
{
    char name[4200];
    FILE *f;

    snprintf(name, sizeof name, "%s/file", test_tmpdir());
    f = fopen(name, "w");
    CHECK(f != NULL);
    CHECK_EQ(fclose(f), 0);
    if (fork() == 0) {
        for (;;)
            pause();
    }
}

TEST(bad, check)
{
    printf("said before\n");
    CHECK(1 == 2);
}

TEST(bad, check_eq)
{
    CHECK_EQ(6 * 7, 41);
}

TEST(bad, check_str)
{
    CHECK_STR("left", "right");
}

TEST(bad, check_mem)
{
    CHECK_MEM("abcdef", "abcXef", 6);
}

TEST(bad, says_fail)
{
    FAIL("because of %d", 7);
}

TEST(bad, asserts)
{
    ASSERT(1 == 2);
}

TEST(bad, is_killed)
{
    raise(SIGKILL);
}

TEST(bad, exits)
{
    _exit(3);
}

TEST(bad, crashes_in_its_directory)
{
    test_tmpdir();
    raise(SIGKILL);
}

TEST_ABORTS(bad, does_not_assert)
{
}

TEST_ABORTS(bad, aborts_without_assert)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

TEST_ABORTS(bad, fails_before_it_asserts)
{
    CHECK(1 == 2);
    ASSERT(1 == 2);
}

TEST(slow, hangs)
{
    for (;;)
        pause();
}
