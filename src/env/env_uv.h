/* The production env: one libuv loop, one disk thread, libuv's thread pool.
 *
 * Threads: all functions are called on the thread that opened the env, which is
 * the one that runs the loop. */
#ifndef KV_ENV_ENV_UV_H
#define KV_ENV_ENV_UV_H

#include "env/env.h"

typedef void (*env_uv_signal_cb)(void *ctx, int signum);

/* Start an env.  The process ignores SIGPIPE and SIGXFSZ from here on, so that
 * both show as errors of the write.  Returns 0, KV_EMFILE or KV_EIO (libuv
 * could not start: no descriptors or threads left). */
int env_uv_open(struct env **ret);

/* Serve until env_uv_stop.  May be called again afterwards. */
void env_uv_run(struct env *env);

/* Let env_uv_run return at the end of this iteration.  Loop thread. */
void env_uv_stop(struct env *env);

/* Free env.  Everything taken from it (files, streams, listeners, dials,
 * timers, requests) must have been closed and must have completed: asserted.
 * The loop is not running. */
void env_uv_free(struct env *env);

/* Call cb(ctx, signum) on the loop for each signum from now on (several
 * deliveries before the loop looks may count as one).  Until env_uv_free.  0,
 * KV_EINVAL. */
int env_uv_on_signal(struct env *env, int signum, env_uv_signal_cb cb,
                     void *ctx);

/* Append log lines to the file at path (created 0600), or with NULL write them
 * to standard error, where they go first.  Called again with the same path it
 * reopens the file, which is what log rotation needs.  On an error (as
 * env_open) lines go where they went before. */
int env_uv_log_to(struct env *env, const char *path);

#endif
