/* Log lines in logfmt: one event a line, keys first given, values quoted where
 * needed.  No secrets, and no bytes of users but what log_quote escapes. */
#ifndef KV_ENV_LOG_H
#define KV_ENV_LOG_H

#include "env/env.h"

/* One line, unless level is below env->log_level:
 *
 *     log_event(env, ENV_LOG_INFO, "wal", "segment sealed", "seq=%u", seq);
 *     ts=2026-01-31T23:59:59.123Z level=info mod=wal msg="segment sealed" seq=7
 *
 * mod and msg are literals without quotes.  fmt holds the key=value pairs; a
 * value that may contain spaces, quotes or bytes of others goes through
 * log_quote.  Loop thread. */
void log_event(struct env *env, enum env_log_level level, const char *mod,
               const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Write s as a quoted logfmt value into buf (always terminated, cut with "..."
 * when too long). Returns buf. */
const char *log_quote(char *buf, size_t n, struct slice s);

#endif
