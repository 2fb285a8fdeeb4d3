/* Log lines in logfmt: one event a line, keys first given, values quoted where
 * needed.  No secrets, no key bytes of users beyond what log_put_bytes escapes.
 * */
#ifndef KV_ENV_LOG_H
#define KV_ENV_LOG_H

#include "env/env.h"

/* log_event(env, ENV_LOG_INFO, "wal", "segment sealed", "seq=%u bytes=%zu",
 * ...) writes `ts=... level=info mod=wal msg="segment sealed" seq=7
 * bytes=123`.  fmt holds the key=value pairs; values that may contain spaces or
 * quotes are passed through log_quote.  Loop thread. */
void log_event(struct env *env, enum env_log_level level, const char *mod,
               const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Write s as a quoted logfmt value into buf (always terminated, cut with "..."
 * when too long). Returns buf. */
const char *log_quote(char *buf, size_t n, struct slice s);

#endif
