/* Encoders of RESP2 and RESP3.
 *
 *   RESP2: +simple  -error  :int  $bulk  $-1  *array  *-1
 *   RESP3: also %map ~set ,double #bool =verbatim _null
 *
 * Everything is appended in place: the header of a string is formatted on the
 * stack and the bytes are copied once. */
#include "proto/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERROR_BYTES_MAX 1024u

static void put_head(struct buf *b, char type, int64_t v)
{
    char digits[24];
    unsigned n = reply_format_int(digits, v);
    uint8_t *p = buf_grow(b, n + 3);

    p[0] = (uint8_t)type;
    memcpy(p + 1, digits, n);
    p[n + 1] = '\r';
    p[n + 2] = '\n';
}

unsigned reply_format_int(char out[24], int64_t v)
{
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char tmp[24];
    unsigned n = 0, len = 0;

    do {
        tmp[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (v < 0)
        out[len++] = '-';
    while (n > 0)
        out[len++] = tmp[--n];
    return len;
}

void reply_simple(struct buf *b, const char *s)
{
    buf_put(b, "+", 1);
    buf_put_str(b, s);
    buf_put(b, "\r\n", 2);
}

void reply_error(struct buf *b, const char *fmt, ...)
{
    char text[ERROR_BYTES_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\r' || *p == '\n')
            *p = ' ';
    buf_put(b, "-", 1);
    buf_put_str(b, text);
    buf_put(b, "\r\n", 2);
}

void reply_int(struct buf *b, int64_t v)
{
    put_head(b, ':', v);
}

void reply_bulk(struct buf *b, struct slice s)
{
    char digits[24];
    unsigned n = reply_format_int(digits, (int64_t)s.n);
    uint8_t *p = buf_grow(b, s.n + n + 5);

    *p++ = '$';
    memcpy(p, digits, n);
    p += n;
    *p++ = '\r';
    *p++ = '\n';
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p += s.n;
    *p++ = '\r';
    *p = '\n';
}

void reply_bulk_str(struct buf *b, const char *s)
{
    reply_bulk(b, slice_str(s));
}

void reply_bulk_int(struct buf *b, int64_t v)
{
    char digits[24];

    reply_bulk(b, slice_make(digits, reply_format_int(digits, v)));
}

void reply_nil(struct buf *b, int resp)
{
    buf_put_str(b, resp >= 3 ? "_\r\n" : "$-1\r\n");
}

void reply_nil_array(struct buf *b, int resp)
{
    buf_put_str(b, resp >= 3 ? "_\r\n" : "*-1\r\n");
}

void reply_array(struct buf *b, uint64_t n)
{
    put_head(b, '*', (int64_t)n);
}

void reply_map(struct buf *b, int resp, uint64_t pairs)
{
    if (resp >= 3)
        put_head(b, '%', (int64_t)pairs);
    else
        put_head(b, '*', (int64_t)(pairs * 2));
}

void reply_set(struct buf *b, int resp, uint64_t n)
{
    put_head(b, resp >= 3 ? '~' : '*', (int64_t)n);
}

void reply_double(struct buf *b, int resp, double v)
{
    char text[40];

    if (isinf(v))
        (void)snprintf(text, sizeof text, v > 0 ? "inf" : "-inf");
    else if (isnan(v))
        (void)snprintf(text, sizeof text, "nan");
    else
        (void)snprintf(text, sizeof text, "%.17g", v);
    if (resp < 3) {
        reply_bulk_str(b, text);
        return;
    }
    buf_put(b, ",", 1);
    buf_put_str(b, text);
    buf_put(b, "\r\n", 2);
}

void reply_bool(struct buf *b, int resp, bool v)
{
    if (resp >= 3)
        buf_put_str(b, v ? "#t\r\n" : "#f\r\n");
    else
        reply_int(b, v);
}

void reply_verbatim(struct buf *b, int resp, const char *fmt, struct slice s)
{
    if (resp < 3) {
        reply_bulk(b, s);
        return;
    }
    put_head(b, '=', (int64_t)s.n + 4);
    buf_put(b, fmt, 3);
    buf_put(b, ":", 1);
    buf_put_slice(b, s);
    buf_put(b, "\r\n", 2);
}
