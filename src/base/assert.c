/* The end of a process that finds itself in an impossible state.
 *
 * One line on standard error, then SIGABRT, so that a core dump shows the
 * state as it was.  Nothing is flushed, unwound or closed: whatever the node
 * had made durable is what it will find after its restart, and the crash tests
 * rely on exactly that. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s at %s:%d\n", cond, file, line);
    abort();
}
