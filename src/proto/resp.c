/* Requests of RESP, incrementally and without copies.
 *
 *   request = "*" count CRLF count x ("$" length CRLF bytes CRLF)
 *           | line, a blank separated inline command, ended by LF or CRLF
 *
 *   START --'*'--> COUNT --line--> LENGTH --line--> BODY --bytes--> LENGTH ...
 *     |              |                                  \--last--> (complete)
 *     |              \--count <= 0: complete, no arguments
 *     \--other--> INLINE --line--> (complete)
 *
 * Invariants:
 *   1  pos <= scan <= bytes given at the last call: nothing before `scan` is
 *      searched for a line end again; a body is not looked at at all.
 *   2  args[0..argc) lie inside [0, pos).
 *   3  No memory is taken for what is only announced: the argument arrays grow
 *      with the arguments that have arrived, the caller's buffer with its bytes.
 *
 * Redis' leniency is kept because clients may rely on it: the byte after the
 * CR of a length line, and the two bytes after a body, are skipped unread. */
#include "proto/resp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/reply.h"

#define ARGS_CAP_FIRST 8u
#define ARGS_CAP_KEPT 1024u      /* entries kept between requests */
#define LINE_KEPT_BYTES 1024u

void resp_request_init(struct resp_request *r, struct resp_limits limits)
{
    *r = (struct resp_request){ .limits = limits, .state = RESP_START };
    buf_init(&r->line);
}

void resp_request_close(struct resp_request *r)
{
    mem_free(r->args);
    mem_free(r->argv);
    buf_close(&r->line);
    r->args = NULL;
    r->argv = NULL;
    r->cap = 0;
}

/* Fail for good.  The text may quote a byte of the client: no line breaks. */
__attribute__((format(printf, 2, 3))) static int broken(struct resp_request *r,
                                                        const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(r->error, sizeof r->error, fmt, ap);
    va_end(ap);
    for (char *p = r->error; *p != '\0'; p++)
        if (*p == '\r' || *p == '\n')
            *p = ' ';
    r->state = RESP_BROKEN;
    return KV_EPROTO;
}

static void args_resize(struct resp_request *r, uint32_t cap)
{
    r->args = mem_realloc(r->args, cap * sizeof *r->args);
    r->argv = mem_realloc(r->argv, cap * sizeof *r->argv);
    r->cap = cap;
}

static int add_arg(struct resp_request *r, size_t off, size_t len)
{
    if (r->argc == r->cap)
        args_resize(r, r->cap == 0 ? ARGS_CAP_FIRST : r->cap * 2);
    r->args[r->argc++] = (struct resp_arg){ .off = off, .len = len };
    return 0;
}

static void begin(struct resp_request *r)
{
    r->pos = 0;
    r->scan = 0;
    r->argc = 0;
    r->want = 0;
    if (r->cap > ARGS_CAP_KEPT)
        args_resize(r, ARGS_CAP_KEPT);
    buf_clear(&r->line);
    buf_shrink(&r->line, LINE_KEPT_BYTES);
}

/* The request is complete: turn offsets into slices. */
static int finish(struct resp_request *r, const uint8_t *base, size_t used,
                  size_t *ret_used)
{
    for (uint32_t i = 0; i < r->argc; i++) {
        /* No bytes at all: an inline request of empty words, "" "". */
        const uint8_t *p = base == NULL ? NULL : base + r->args[i].off;

        r->argv[i] = slice_make(p, r->args[i].len);
    }
    r->state = RESP_START;
    *ret_used = used;
    return 0;
}

/* Look for the CR that ends a length line and for one byte after it.  Sets
 * *ret_line to what lies between the type byte and the CR. */
static int length_line(struct resp_request *r, struct slice in,
                       const char *too_big, struct slice *ret_line)
{
    const uint8_t *cr;
    size_t end;

    if (r->scan < r->pos)
        r->scan = r->pos;
    cr = in.n > r->scan ? memchr(in.p + r->scan, '\r', in.n - r->scan) : NULL;
    if (cr == NULL) {
        r->scan = in.n;
        if (in.n - r->pos > RESP_LINE_BYTES_MAX)
            return broken(r, "Protocol error: %s", too_big);
        return KV_EAGAIN;
    }
    end = (size_t)(cr - in.p);
    r->scan = end;
    if (end - r->pos > RESP_LINE_BYTES_MAX)
        return broken(r, "Protocol error: %s", too_big);
    if (end + 2 > in.n)
        return KV_EAGAIN;
    *ret_line = end == r->pos
                    ? slice_make(in.p + end, 0)
                    : slice_make(in.p + r->pos + 1, end - r->pos - 1);
    return 0;
}

static int step_count(struct resp_request *r, struct slice in)
{
    struct slice line;
    int64_t count;
    int rv;

    rv = length_line(r, in, "too big mbulk count string", &line);
    if (rv != 0)
        return rv;
    if (!resp_int64(line, &count) || count > (int64_t)r->limits.args_max)
        return broken(r, "Protocol error: invalid multibulk length");
    r->want = count <= 0 ? 0 : (uint32_t)count;
    r->pos = r->scan + 2;
    r->state = RESP_LENGTH;
    return 0;
}

static int step_length(struct resp_request *r, struct slice in)
{
    struct slice line;
    int64_t len;
    int rv;

    rv = length_line(r, in, "too big bulk count string", &line);
    if (rv != 0)
        return rv;
    if (in.p[r->pos] != '$')
        return broken(r, "Protocol error: expected '$', got '%c'",
                      in.p[r->pos]);
    if (!resp_int64(line, &len) || len < 0 ||
        (uint64_t)len > r->limits.bulk_bytes_max)
        return broken(r, "Protocol error: invalid bulk length");
    r->body = (size_t)len;
    r->pos = r->scan + 2;
    r->state = RESP_BODY;
    return 0;
}

static int step_body(struct resp_request *r, struct slice in)
{
    if (in.n - r->pos < r->body + 2)
        return KV_EAGAIN;
    (void)add_arg(r, r->pos, r->body);
    r->pos += r->body + 2;
    r->state = RESP_LENGTH;
    return 0;
}

static int put_word(void *ctx, size_t off, size_t len)
{
    struct resp_request *r = ctx;

    if (r->argc == r->limits.args_max)
        return KV_E2BIG;
    return add_arg(r, off, len);
}

static int step_inline(struct resp_request *r, struct slice in,
                       size_t *ret_used)
{
    const uint8_t *lf;
    size_t end;
    int rv;

    lf = in.n > r->scan ? memchr(in.p + r->scan, '\n', in.n - r->scan) : NULL;
    end = lf == NULL ? in.n : (size_t)(lf - in.p);
    r->scan = end;
    if (end > RESP_LINE_BYTES_MAX)
        return broken(r, "Protocol error: too big inline request");
    if (lf == NULL)
        return KV_EAGAIN;
    if (end > 0 && in.p[end - 1] == '\r')
        end--;
    rv = resp_split_line(slice_make(in.p, end), &r->line, put_word, r);
    if (rv == KV_E2BIG)
        return broken(r, "Protocol error: too big inline request");
    if (rv != 0)
        return broken(r, "Protocol error: unbalanced quotes in request");
    return finish(r, buf_at(&r->line), (size_t)(lf - in.p) + 1, ret_used);
}

int resp_request_parse(struct resp_request *r, struct slice in,
                       size_t *ret_used)
{
    int rv;

    if (r->state == RESP_BROKEN)
        return KV_EPROTO;
    if (r->state == RESP_START) {
        if (in.n == 0)
            return KV_EAGAIN;
        begin(r);
        r->state = in.p[0] == '*' ? RESP_COUNT : RESP_INLINE;
    }
    if (r->state == RESP_INLINE)
        return step_inline(r, in, ret_used);
    ASSERT(r->pos <= in.n);
    do {
        if (r->state == RESP_LENGTH && r->argc == r->want)
            return finish(r, in.p, r->pos, ret_used);
        if (r->state == RESP_COUNT)
            rv = step_count(r, in);
        else if (r->state == RESP_LENGTH)
            rv = step_length(r, in);
        else
            rv = step_body(r, in);
    } while (rv == 0);
    return rv;
}

size_t resp_request_need(const struct resp_request *r)
{
    return r->state == RESP_BODY ? r->pos + r->body + 2 : 0;
}

bool resp_int64(struct slice s, int64_t *ret)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    size_t i = minus ? 1 : 0;
    uint64_t v = 0;

    if (s.n - i == 0 || s.n - i > 19)
        return false;
    if (s.p[i] == '0' && (s.n > 1))
        return false;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *ret = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

void resp_request_encode(struct buf *b, const struct slice *argv,
                         uint32_t argc)
{
    reply_array(b, argc);
    for (uint32_t i = 0; i < argc; i++)
        reply_bulk(b, argv[i]);
}
