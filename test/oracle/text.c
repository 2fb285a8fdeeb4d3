/* Operations and bytes in words, for people. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "oracle/oracle_int.h"

/* Bytes of a value that are shown. */
#define SHOWN_BYTES 80u

void text_bytes(struct buf *b, struct slice s)
{
    buf_put_u8(b, '"');
    for (size_t i = 0; i < s.n && i < SHOWN_BYTES; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_printf(b, "\\%c", s.p[i]);
        else if (s.p[i] >= 0x20 && s.p[i] < 0x7f)
            buf_put_u8(b, s.p[i]);
        else
            buf_printf(b, "\\x%02x", s.p[i]);
    }
    buf_put_u8(b, '"');
    if (s.n > SHOWN_BYTES)
        buf_printf(b, "... (%zu bytes)", s.n);
}

static void text_value(struct buf *b, const struct oracle_value *v)
{
    if (v->nil)
        buf_put_str(b, "nil");
    else
        text_bytes(b, v->bytes);
}

static void text_call(struct buf *b, const struct oracle_op *op)
{
    static const char *const names[ORACLE_F_COUNT] = {
        [ORACLE_GET] = "GET",       [ORACLE_SET] = "SET",
        [ORACLE_SETNX] = "SETNX",   [ORACLE_CAS] = "CAS",
        [ORACLE_DEL] = "DEL",       [ORACLE_INCR] = "INCR",
        [ORACLE_APPEND] = "APPEND", [ORACLE_GETDEL] = "GETDEL",
        [ORACLE_PERSIST] = "PERSIST",
    };

    ASSERT(op->f < ORACLE_F_COUNT);
    buf_printf(b, "%s ", names[op->f]);
    text_bytes(b, op->key);
    if (op->f == ORACLE_CAS) {
        buf_put_u8(b, ' ');
        text_value(b, &op->expect);
    }
    if (op->f == ORACLE_SET || op->f == ORACLE_SETNX || op->f == ORACLE_CAS ||
        op->f == ORACLE_APPEND) {
        buf_put_u8(b, ' ');
        text_bytes(b, op->arg);
    }
    if (op->f == ORACLE_INCR)
        buf_printf(b, " %" PRId64, op->by);
    if (op->ttl != 0)
        buf_printf(b, " ttl %" PRIu64, op->ttl);
}

void text_op(struct buf *b, const struct oracle_op *op)
{
    text_call(b, op);
    buf_put_str(b, " -> ");
    if (op->outcome == ORACLE_FAIL)
        buf_put_str(b, "failed");
    else if (op->outcome != ORACLE_OK)
        buf_put_str(b, "unknown");
    else if (!op->has_result)
        buf_put_str(b, "ok");
    else if (op->f == ORACLE_GET || op->f == ORACLE_GETDEL)
        text_value(b, &op->result);
    else
        buf_printf(b, "%" PRId64, op->number);
}

void oracle_op_text(const struct oracle_op *op, char *buf, size_t n)
{
    struct buf b;
    size_t len;

    if (n == 0)
        return;
    buf_init(&b);
    text_op(&b, op);
    len = b.len < n - 1 ? b.len : n - 1;
    memcpy(buf, buf_at(&b), len);
    buf[len] = '\0';
    buf_close(&b);
}
