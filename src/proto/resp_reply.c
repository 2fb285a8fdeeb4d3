/* Replies of RESP2 and RESP3, item by item.
 *
 *   item = type line CRLF                 + - : _ , # (
 *        | type length CRLF bytes CRLF    $ = !
 *        | type count CRLF                * % ~ > |   then the elements
 *
 * Aggregates are kept as a stack of "elements still expected", so that nested
 * replies need neither recursion nor memory: an item that completes an aggregate
 * completes the ones around it whose last element that was.  An attribute is not
 * an element: it precedes the element it belongs to.
 *
 * Invariants:
 *   1  left[0..depth) > 0: a finished aggregate is popped at once.
 *   2  A line is searched once, however it is cut; a bulk string's bytes are not
 *      looked at, only counted (head, body). */
#include "proto/resp.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define COUNT_MAX ((int64_t)1 << 31) /* elements of one aggregate */

void resp_reply_init(struct resp_reply *r, size_t bulk_bytes_max)
{
    *r = (struct resp_reply){ .bulk_bytes_max = bulk_bytes_max, .body = -1 };
}

static int broken(struct resp_reply *r, int code)
{
    r->broken = true;
    return code;
}

/* Find the line's end; *ret_line is what lies between type byte and CRLF. */
static int find_line(struct resp_reply *r, struct slice in,
                     struct slice *ret_line, size_t *ret_used)
{
    const uint8_t *lf;
    size_t end;

    lf = in.n > r->scan ? memchr(in.p + r->scan, '\n', in.n - r->scan) : NULL;
    end = lf == NULL ? in.n : (size_t)(lf - in.p);
    r->scan = end;
    if (end > r->bulk_bytes_max + RESP_LINE_BYTES_MAX)
        return broken(r, KV_E2BIG);
    if (lf == NULL)
        return KV_EAGAIN;
    if (end < 2 || in.p[end - 1] != '\r')
        return broken(r, KV_EPROTO);
    *ret_line = slice_make(in.p + 1, end - 2);
    *ret_used = end + 1;
    r->scan = 0;
    return 0;
}

static int read_double(struct slice s, double *ret)
{
    char text[64], *end;

    if (s.n == 0 || s.n >= sizeof text)
        return KV_EPROTO;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *ret = strtod(text, &end);
    return *end == '\0' ? 0 : KV_EPROTO;
}

static int read_bool(struct slice s, int64_t *ret)
{
    if (s.n != 1 || (s.p[0] != 't' && s.p[0] != 'f'))
        return KV_EPROTO;
    *ret = s.p[0] == 't';
    return 0;
}

/* Types that are one line. */
static int read_scalar(uint8_t type, struct slice line, struct resp_item *it)
{
    it->str = line;
    switch (type) {
    case '+':
        it->type = RESP_SIMPLE;
        return 0;
    case '-':
        it->type = RESP_ERROR;
        return 0;
    case '(':
        it->type = RESP_BIG;
        return line.n > 0 ? 0 : KV_EPROTO;
    case ':':
        it->type = RESP_INT;
        return resp_int64(line, &it->num) ? 0 : KV_EPROTO;
    case ',':
        it->type = RESP_DOUBLE;
        return read_double(line, &it->dbl);
    case '#':
        it->type = RESP_BOOL;
        return read_bool(line, &it->num);
    case '_':
        it->type = RESP_NULL;
        return line.n == 0 ? 0 : KV_EPROTO;
    default:
        return KV_EPROTO;
    }
}

/* An element at this depth is complete: close what it completes. */
static void element_done(struct resp_reply *r, struct resp_item *it)
{
    while (r->depth > 0 && --r->left[r->depth - 1] == 0)
        r->depth--;
    it->last = r->depth == 0;
}

static int read_aggregate(struct resp_reply *r, uint8_t type, int64_t count,
                          struct resp_item *it)
{
    bool pairs = type == '%' || type == '|';

    it->type = type == '*'   ? RESP_ARRAY
               : type == '%' ? RESP_MAP
               : type == '~' ? RESP_SET
               : type == '>' ? RESP_PUSH
                             : RESP_ATTRIBUTE;
    if (count == -1 && type == '*') {
        it->type = RESP_NULL;
        element_done(r, it);
        return 0;
    }
    if (count < 0 || count > COUNT_MAX)
        return KV_EPROTO;
    it->num = count;
    if (count == 0 && type != '|') {
        element_done(r, it);
        return 0;
    }
    if (r->depth == RESP_DEPTH_MAX)
        return KV_E2BIG;
    /* The reply that an attribute belongs to takes its place: one more. */
    r->left[r->depth++] = (uint64_t)count * (pairs ? 2 : 1) +
                          (type == '|' ? 1 : 0);
    return 0;
}

/* The bytes of a bulk string whose length line was read. */
static int read_body(struct resp_reply *r, struct slice in,
                     struct resp_item *it, size_t *ret_used)
{
    size_t n = (size_t)r->body;
    const uint8_t *p;

    if (in.n - r->head < n + 2)
        return KV_EAGAIN;
    p = in.p + r->head;
    if (p[n] != '\r' || p[n + 1] != '\n')
        return broken(r, KV_EPROTO);
    it->str = slice_make(p, n);
    it->type = in.p[0] == '!' ? RESP_ERROR : RESP_BULK;
    if (in.p[0] == '=') {
        if (n < 4 || p[3] != ':')
            return broken(r, KV_EPROTO);
        it->type = RESP_VERBATIM;
        memcpy(it->fmt, p, 3);
        it->str = slice_make(p + 4, n - 4);
    }
    *ret_used = r->head + n + 2;
    r->head = 0;
    r->body = -1;
    element_done(r, it);
    return 0;
}

static int read_length(struct resp_reply *r, struct slice in, int64_t len,
                       size_t line_bytes, struct resp_item *it,
                       size_t *ret_used)
{
    if (len == -1 && in.p[0] == '$') {
        it->type = RESP_NULL;
        *ret_used = line_bytes;
        element_done(r, it);
        return 0;
    }
    if (len < 0)
        return broken(r, KV_EPROTO);
    if ((uint64_t)len > r->bulk_bytes_max)
        return broken(r, KV_E2BIG);
    r->head = line_bytes;
    r->body = len;
    return read_body(r, in, it, ret_used);
}

int resp_reply_next(struct resp_reply *r, struct slice in,
                    struct resp_item *ret, size_t *ret_used)
{
    struct resp_item it = { .depth = r->depth };
    struct slice line = { NULL, 0 };
    size_t used = 0;
    int64_t n = 0;
    int rv;

    if (r->broken)
        return KV_EPROTO;
    if (in.n == 0)
        return KV_EAGAIN;
    if (r->body >= 0) {
        rv = read_body(r, in, &it, &used);
    } else {
        rv = find_line(r, in, &line, &used);
        if (rv != 0)
            return rv;
        if (strchr("$=!*%~>|", in.p[0]) == NULL || in.p[0] == '\0') {
            rv = read_scalar(in.p[0], line, &it);
            if (rv == 0)
                element_done(r, &it);
        } else if (!resp_int64(line, &n)) {
            rv = KV_EPROTO;
        } else if (strchr("$=!", in.p[0]) != NULL) {
            rv = read_length(r, in, n, used, &it, &used);
        } else {
            rv = read_aggregate(r, in.p[0], n, &it);
        }
    }
    if (rv == KV_EAGAIN)
        return rv;
    if (rv != 0)
        return broken(r, rv);
    *ret = it;
    *ret_used = used;
    return 0;
}
