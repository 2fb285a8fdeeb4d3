/* The helpers of test/lib that tests of other layers lean on. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sabotage.h"
#include "lib/fault.h"
#include "lib/test.h"
#include "lib/tmpdir.h"

TEST(testlib, a_fault_hits_the_chosen_call_only)
{
    struct fault f;

    fault_arm(&f, 3, false);
    CHECK(!fault_hit(&f));
    CHECK(!fault_hit(&f));
    CHECK(!fault_fired(&f));
    CHECK(fault_hit(&f));
    CHECK(fault_fired(&f));
    CHECK(!fault_hit(&f));
    CHECK(fault_fired(&f));
    fault_disarm(&f);
    CHECK(!fault_hit(&f));
    CHECK(!fault_fired(&f));
}

TEST(testlib, a_fault_for_ever_hits_all_later_calls)
{
    struct fault f;

    fault_arm(&f, 2, true);
    CHECK(!fault_hit(&f));
    CHECK(fault_hit(&f));
    CHECK(fault_hit(&f));
}

TEST(testlib, the_temporary_directory_is_there_and_stays_the_same)
{
    const char *dir = test_tmpdir();
    char name[4200];
    struct stat st;
    FILE *f;

    CHECK_EQ(stat(dir, &st), 0);
    CHECK(S_ISDIR(st.st_mode));
    snprintf(name, sizeof name, "%s/left behind", dir);
    f = fopen(name, "w"); /* the runner removes it with the directory */
    CHECK(f != NULL);
    CHECK_EQ(fclose(f), 0);
    CHECK(test_tmpdir() == dir);
}

TEST(testlib, planted_faults_are_off_in_the_product)
{
    CHECK_EQ(SABOTAGE(ACK_BEFORE_FSYNC), 0);
}
