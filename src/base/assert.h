/* Assertions: our own invariants, never input.  Always on, release builds
 * included: a node that finds itself in a state it cannot be in stops, and
 * Raft survives a crash. */
#ifndef KV_BASE_ASSERT_H
#define KV_BASE_ASSERT_H

/* Stop the process with SIGABRT after writing the condition, file and line to
 * standard error.  Never returns.  Any thread. */
_Noreturn void assert_failed(const char *cond, const char *file, int line);

#define ASSERT(cond) \
    ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))

/* A place that control cannot reach. */
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)

/* Checks too dear for production (walks over whole structures):
 * configure --enable-debug turns them on. */
#ifdef KV_DEBUG
#define DASSERT(cond) ASSERT(cond)
#else
#define DASSERT(cond) ((void)0)
#endif

#endif
