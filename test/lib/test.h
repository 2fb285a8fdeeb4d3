/* The test runner: each case in a process of its own, one TAP line per case.
 *
 *     #include "lib/test.h"
 *
 *     TEST(wal, torn_tail_is_dropped_on_load)
 *     {
 *         CHECK_EQ(wal_load(...), 0);
 *     }
 *
 * A case registers itself; test/lib has main().  The name is a sentence about
 * behaviour.  A check that does not hold ends the case at once.  What a case
 * prints is shown only if it fails, as TAP diagnostics.
 *
 * Running one by hand:
 *
 *     test/unit/store/test_store                  all cases
 *     test/unit/store/test_store wal/torn         those that begin like this
 *     test/unit/store/test_store -n wal/torn      without fork, for a debugger
 *     test/unit/store/test_store -l               list the names
 *
 * Environment: KV_TEST_SEED (see test_seed), KV_TEST_KEEP=1 keeps temporary
 * directories, KV_TEST_TIMEOUT_S replaces the time limit of a case. */
#ifndef KV_TEST_LIB_TEST_H
#define KV_TEST_LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds that one case may take before it is killed and counts as failed; a
 * guard against hanging, never a measurement.  Six times that under a
 * sanitizer. */
#define TEST_TIMEOUT_S 120

struct test_case {
    const char *suite;
    const char *name;
    void (*run)(void);
    bool aborts; /* passes iff run ends in a failed ASSERT */
    struct test_case *next;
};

void test_register(struct test_case *c);

/* Mark the running case as failed and end it.  Used by the macros below. */
_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* End the running case as skipped, with the reason. */
_Noreturn void test_skip(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* The seed for randomised cases: KV_TEST_SEED, else a constant.  It is printed
 * with the diagnostics of a failing case that asked for it. */
uint64_t test_seed(void);

void test_check_eq(const char *file, int line, const char *a_text,
                   const char *b_text, long long a, long long b);
void test_check_str(const char *file, int line, const char *a_text,
                    const char *a, const char *b);
void test_check_mem(const char *file, int line, const char *a_text,
                    const void *a, const void *b, size_t n);

#define TEST_DEFINE(suite_, name_, aborts_)                                 \
    static void test_##suite_##_##name_(void);                              \
    static struct test_case test_case_##suite_##_##name_ = {                \
        .suite = #suite_,                                                   \
        .name = #name_,                                                     \
        .run = test_##suite_##_##name_,                                     \
        .aborts = (aborts_),                                                \
    };                                                                      \
    __attribute__((constructor)) static void test_add_##suite_##_##name_(   \
        void)                                                               \
    {                                                                       \
        test_register(&test_case_##suite_##_##name_);                       \
    }                                                                       \
    static void test_##suite_##_##name_(void)

#define TEST(suite, name) TEST_DEFINE(suite, name, false)
#define TEST_ABORTS(suite, name) TEST_DEFINE(suite, name, true)

#define CHECK(cond) \
    ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond))

/* Integers (compared as long long; a uint64_t above INT64_MAX is shown as a
 * negative number but compared rightly). */
#define CHECK_EQ(a, b)                                                \
    test_check_eq(__FILE__, __LINE__, #a, #b, (long long)(a), (long long)(b))

/* C strings; NULL equals only NULL. */
#define CHECK_STR(a, b) test_check_str(__FILE__, __LINE__, #a, (a), (b))

/* n bytes. */
#define CHECK_MEM(a, b, n) test_check_mem(__FILE__, __LINE__, #a, (a), (b), (n))

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#endif
