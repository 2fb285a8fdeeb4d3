/* The mark that a node's log has begun.
 *
 * A voter that lost its log must never vote again under the same id (rule R5): it
 * could vote a second time in a term it has forgotten.  An empty log directory alone
 * does not tell a new node from one that lost its log, so an empty file <dir>/begun
 * says that something may have been promised: it is made durable after the first
 * record of the log is, and before anything leaves the node that depends on it.
 *
 *   crash before the mark:  the log may hold records, but nobody was told of them:
 *                           the next start marks first;
 *   crash after it:         the log must be there, or the node refuses to start. */
#include <stdio.h>

#include "base/assert.h"
#include "cluster/directory.h"

#define PATH_BYTES_MAX 4096

static void path_of(const char *dir, char path[PATH_BYTES_MAX])
{
    int n = snprintf(path, PATH_BYTES_MAX, "%s/begun", dir);

    ASSERT(n > 0 && n < PATH_BYTES_MAX);
}

int identity_log_begun(struct env *env, const char *dir, bool *ret)
{
    char path[PATH_BYTES_MAX];
    struct env_file *f;
    int rv;

    path_of(dir, path);
    rv = env_open(env, path, ENV_OPEN_RDONLY, &f);
    if (rv != 0 && rv != KV_ENOENT)
        return rv;
    if (rv == 0)
        env_close(env, f);
    *ret = rv == 0;
    return 0;
}

int identity_mark_log_begun(struct env *env, const char *dir)
{
    char path[PATH_BYTES_MAX];
    struct env_file *f;
    int rv;

    path_of(dir, path);
    rv = env_open(env, path, ENV_OPEN_CREATE, &f);
    if (rv != 0)
        return rv;
    rv = env_sync(env, f);
    env_close(env, f);
    return rv != 0 ? rv : env_sync_dir(env, dir);
}
