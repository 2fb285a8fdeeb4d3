/* Reading of replies.  Not the product's parser: one mistake must not hide another.
 *
 *   +text  -text  :number  $length bytes  $-1  *count of bulk strings
 *
 * each line ended by CR LF. */
#include "kvsim/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 512u
#define BULK_MAX_BYTES (1u << 20) /* more than any value that is written */

bool answer_int(struct slice text, int64_t *ret)
{
    bool minus = text.n > 0 && text.p[0] == '-';
    size_t i = minus;
    uint64_t v = 0;

    if (text.n == i || text.n - i > 18 || (text.p[i] == '0' && text.n != 1))
        return false;
    for (; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

/* The line at the front without its end: bytes taken, 0, -1. */
static long line_read(struct slice in, struct slice *ret)
{
    const uint8_t *end = in.n == 0 ? NULL : memchr(in.p, '\n', in.n);

    if (end == NULL)
        return in.n > LINE_MAX_BYTES ? -1 : 0;
    if (end == in.p || end[-1] != '\r')
        return -1;
    *ret = slice_make(in.p, (size_t)(end - in.p) - 1);
    return memchr(ret->p, '\r', ret->n) != NULL ? -1 : (long)(end - in.p) + 1;
}

/* After "$": length, CR LF, bytes, CR LF. */
static long bulk_read(struct slice in, struct answer_item *ret)
{
    struct slice line;
    long head = line_read(in, &line);
    int64_t n;

    if (head <= 0)
        return head;
    if (!answer_int(line, &n) || n < -1 || n > (int64_t)BULK_MAX_BYTES)
        return -1;
    *ret = (struct answer_item){ .nil = n == -1 };
    if (n == -1)
        return head;
    if (in.n - (size_t)head < (size_t)n + 2)
        return 0;
    ret->text = slice_make(in.p + head, (size_t)n);
    if (memcmp(in.p + head + n, "\r\n", 2) != 0)
        return -1;
    return head + (long)n + 2;
}

static struct slice after(struct slice in, long n)
{
    return slice_make(in.p + n, in.n - (size_t)n);
}

static long array_read(struct slice in, struct answer *ret)
{
    struct slice line;
    long used = line_read(in, &line), n;
    int64_t count;

    if (used <= 0)
        return used;
    if (!answer_int(line, &count) || count < 0 ||
        count > (int64_t)ANSWER_ITEMS_MAX)
        return -1;
    ret->n_items = (unsigned)count;
    for (unsigned i = 0; i < ret->n_items; i++) {
        if (in.n == (size_t)used)
            return 0;
        if (in.p[used] != '$')
            return -1;
        n = bulk_read(after(in, used + 1), &ret->item[i]);
        if (n <= 0)
            return n;
        used += n + 1;
    }
    return used;
}

long answer_read(struct slice in, struct answer *ret)
{
    struct answer_item item;
    long n;

    if (in.n == 0)
        return 0;
    *ret = (struct answer){ .type = ANSWER_SIMPLE };
    switch (in.p[0]) {
    case '-':
        ret->type = ANSWER_ERROR;
        /* fall through */
    case '+':
        n = line_read(after(in, 1), &ret->text);
        break;
    case ':':
        ret->type = ANSWER_INT;
        n = line_read(after(in, 1), &ret->text);
        if (n > 0 && !answer_int(ret->text, &ret->num))
            return -1;
        break;
    case '$':
        n = bulk_read(after(in, 1), &item);
        if (n > 0) {
            ret->type = item.nil ? ANSWER_NIL : ANSWER_BULK;
            ret->text = item.text;
        }
        break;
    case '*':
        ret->type = ANSWER_ARRAY;
        n = array_read(after(in, 1), ret);
        break;
    default:
        return -1;
    }
    return n > 0 ? n + 1 : n;
}

void answer_text(const struct answer *a, char *buf, size_t n)
{
    int len = a->text.n < 80 ? (int)a->text.n : 80;

    switch (a->type) {
    case ANSWER_SIMPLE:
    case ANSWER_ERROR:
    case ANSWER_BULK:
        snprintf(buf, n, "\"%.*s\"%s", len, (const char *)a->text.p,
                 a->text.n > 80 ? "..." : "");
        break;
    case ANSWER_INT:
        snprintf(buf, n, "%" PRId64, a->num);
        break;
    case ANSWER_NIL:
        snprintf(buf, n, "nil");
        break;
    case ANSWER_ARRAY:
        snprintf(buf, n, "an array of %u", a->n_items);
        break;
    }
}
