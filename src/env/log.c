/* Log lines in logfmt, built on the stack and handed to env as one string.
 *
 *   ts=2026-01-31T23:59:59.123Z level=info mod=wal msg="sealed" seq=7 bytes=9
 *
 *  I1  One event is one line: control characters that a caller let through are
 *      replaced by spaces, so that no value can forge a second event.
 *  I2  A line never exceeds LOG_LINE_BYTES_MAX; a longer one ends in " ...". */
#include "env/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

#define LOG_LINE_BYTES_MAX 2048

/* Longest escape of one byte: \xNN. */
#define ESCAPE_BYTES_MAX 4

static const char *level_name(enum env_log_level level)
{
    switch (level) {
    case ENV_LOG_DEBUG:
        return "debug";
    case ENV_LOG_INFO:
        return "info";
    case ENV_LOG_WARN:
        return "warn";
    case ENV_LOG_ERROR:
        return "error";
    }
    UNREACHABLE();
}

/* What snprintf wrote into room bytes, its terminator not counted. */
static size_t written(int rv, size_t room)
{
    ASSERT(rv >= 0);
    ASSERT(room > 0);
    return (size_t)rv < room ? (size_t)rv : room - 1;
}

static size_t put_prefix(char *line, size_t room, struct env *env,
                         enum env_log_level level)
{
    const int64_t wall = env_wall_ms(env);
    int64_t ms = wall % 1000;
    time_t s = (time_t)(wall / 1000);
    struct tm tm;

    if (ms < 0) {
        ms += 1000;
        s--;
    }
    if (gmtime_r(&s, &tm) == NULL)
        tm = (struct tm){ .tm_year = 70, .tm_mday = 1 };
    return written(
        snprintf(line, room, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ level=%s",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec, (int)ms, level_name(level)),
        room);
}

/* I1. */
static void blank_controls(char *line)
{
    for (; *line != '\0'; line++) {
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = ' ';
    }
}

void log_event(struct env *env, enum env_log_level level, const char *mod,
               const char *msg, const char *fmt, ...)
{
    static const char cut[] = " ...";
    char line[LOG_LINE_BYTES_MAX];
    size_t n;
    va_list ap;

    ASSERT(mod != NULL);
    ASSERT(msg != NULL);
    if (level < env->log_level)
        return;

    n = put_prefix(line, sizeof line, env, level);
    n += written(
        snprintf(line + n, sizeof line - n, " mod=%s msg=\"%s\" ", mod, msg),
        sizeof line - n);
    va_start(ap, fmt);
    n +=
        written(vsnprintf(line + n, sizeof line - n, fmt, ap), sizeof line - n);
    va_end(ap);
    if (n == sizeof line - 1)
        memcpy(line + sizeof line - sizeof cut, cut, sizeof cut); /* I2 */
    else if (line[n - 1] == ' ')
        line[n - 1] = '\0'; /* no pairs */
    blank_controls(line);
    env->ops->log(env, level, line);
}

/* One byte of a quoted value into out; returns how many it took. */
static size_t escape(uint8_t c, char out[ESCAPE_BYTES_MAX])
{
    static const char hex[] = "0123456789abcdef";

    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c >= 0x20 && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

const char *log_quote(char *buf, size_t n, struct slice s)
{
    static const char cut[] = "...\"";
    size_t at = 0;
    size_t safe = 1; /* where the cut mark still fits, after the quote */

    ASSERT(n >= 1 + sizeof cut);
    buf[at++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        char out[ESCAPE_BYTES_MAX];
        size_t len = escape(s.p[i], out);

        if (at + len + 2 > n) { /* the closing quote and the terminator */
            memcpy(buf + safe, cut, sizeof cut);
            return buf;
        }
        memcpy(buf + at, out, len);
        at += len;
        if (at + sizeof cut <= n)
            safe = at;
    }
    buf[at++] = '"';
    buf[at] = '\0';
    return buf;
}
