/* What stops the process: assertions and impossible allocations. */
#include "base/assert.h"

#include <stdint.h>

#include "base/mem.h"
#include "lib/test.h"

TEST(assert, a_true_condition_does_nothing_and_is_evaluated_once)
{
    int n = 0;

    ASSERT(++n == 1);
    CHECK_EQ(n, 1);
}

TEST_ABORTS(assert, a_false_condition_aborts)
{
    ASSERT(1 + 1 == 3);
}

TEST_ABORTS(assert, an_unreachable_place_aborts)
{
    UNREACHABLE();
}

TEST_ABORTS(mem, allocating_nothing_is_a_bug)
{
    mem_free(mem_alloc(0));
}

TEST_ABORTS(mem, an_array_whose_size_overflows_aborts)
{
    mem_free(mem_calloc(SIZE_MAX / 2, 3));
}

TEST(mem, calloc_gives_zeroes)
{
    unsigned char *p = mem_calloc(7, 13);

    for (int i = 0; i < 7 * 13; i++)
        CHECK_EQ(p[i], 0);
    mem_free(p);
}

TEST(mem, realloc_keeps_the_content_and_takes_null)
{
    char *p = mem_realloc(NULL, 2);

    p[0] = 'a';
    p[1] = 'b';
    p = mem_realloc(p, 100000);
    CHECK_MEM(p, "ab", 2);
    mem_free(p);
    mem_free(NULL);
}

TEST(mem, strdup_is_a_copy)
{
    char text[] = "slot";
    char *copy = mem_strdup(text);

    text[0] = 'p';
    CHECK_STR(copy, "slot");
    mem_free(copy);
}
