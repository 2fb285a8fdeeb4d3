/* Words of a line: how people type commands into nc and redis-cli.
 *
 *   word    = plain byte ... with quoted parts; a quoted part ends its word
 *   "..."   \n \r \t \b \a \xHH; any other byte after \ stands for itself
 *   '...'   \' is a quote; everything else stands for itself
 *
 * A closing quote must be followed by a blank or the end of the line.  A zero
 * byte ends a line, as it does for Redis.  Words are never longer than the line, so
 * the line's own limit bounds the memory. */
#include "proto/resp.h"

struct scanner {
    const uint8_t *p;
    size_t n;
    size_t i;        /* next byte */
    struct buf *out;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static uint8_t escaped(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* One backslash sequence inside double quotes; s->i is at the backslash. */
static void put_escape(struct scanner *s)
{
    const uint8_t *p = s->p + s->i;
    size_t left = s->n - s->i;

    if (left >= 4 && p[1] == 'x' && hex_digit(p[2]) >= 0 &&
        hex_digit(p[3]) >= 0) {
        buf_put_u8(s->out,
                   (uint8_t)(hex_digit(p[2]) * 16 + hex_digit(p[3])));
        s->i += 4;
        return;
    }
    buf_put_u8(s->out, escaped(p[1]));
    s->i += 2;
}

/* The rest of a quoted part; s->i is after the opening quote. */
static int put_quoted(struct scanner *s, uint8_t quote)
{
    while (s->i < s->n) {
        uint8_t c = s->p[s->i];
        bool more = s->i + 1 < s->n;

        if (c == quote) {
            s->i++;
            return s->i == s->n || is_blank(s->p[s->i]) ? 0 : KV_EPROTO;
        }
        if (c == '\\' && quote == '"' && more) {
            put_escape(s);
        } else if (c == '\\' && quote == '\'' && more &&
                   s->p[s->i + 1] == '\'') {
            buf_put_u8(s->out, '\'');
            s->i += 2;
        } else {
            buf_put_u8(s->out, c);
            s->i++;
        }
    }
    return KV_EPROTO;
}

static int put_one(struct scanner *s)
{
    while (s->i < s->n && !is_blank(s->p[s->i])) {
        uint8_t c = s->p[s->i++];

        if (c == '"' || c == '\'')
            return put_quoted(s, c);
        buf_put_u8(s->out, c);
    }
    return 0;
}

int resp_split_line(struct slice line, struct buf *out,
                    int (*put)(void *ctx, size_t off, size_t len), void *ctx)
{
    const uint8_t *zero = line.n > 0 ? memchr(line.p, 0, line.n) : NULL;
    struct scanner s = { .p = line.p, .n = line.n, .i = 0, .out = out };

    if (zero != NULL)
        s.n = (size_t)(zero - line.p);
    for (;;) {
        size_t start;
        int rv;

        while (s.i < s.n && is_blank(s.p[s.i]))
            s.i++;
        if (s.i == s.n)
            return 0;
        start = out->len;
        rv = put_one(&s);
        if (rv == 0)
            rv = put(ctx, start, out->len - start);
        if (rv != 0)
            return rv;
    }
}
