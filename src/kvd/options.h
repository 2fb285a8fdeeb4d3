/* kvd's command line: --config FILE first, then flags, which override it. */
#ifndef KV_KVD_OPTIONS_H
#define KV_KVD_OPTIONS_H

#include <stdio.h>

#include "env/env.h"
#include "node/config.h"

enum options_action {
    OPTIONS_RUN,     /* start the node */
    OPTIONS_CHECK,   /* --check-config: settings are fine, say so and end */
    OPTIONS_HELP,
    OPTIONS_VERSION
};

/* Fill cfg from defaults, the file and argv.  Files are read through env.
 * KV_EINVAL, KV_ENOENT, KV_EIO: errmsg says which flag or which file:line, and why. */
int options_read(struct env *env, int argc, char **argv, struct config *cfg,
                 enum options_action *ret, char *errmsg, size_t n);
void options_help(FILE *out);

#endif
