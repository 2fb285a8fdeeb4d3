/* Encoding of results.
 *
 * A result is produced by apply or by a read, travels from the leader's node to
 * the coordinating one, and lies in the dedupe sessions until its origin has
 * acknowledged it.  One byte of type, then what the type needs:
 *
 *   OK, NIL       nothing
 *   INT           i64
 *   BULK, ARRAY   varint length, bytes
 *   ERR           u8 code (enum op_err; unknown codes pass, a newer peer may
 *   send
 *                 them)
 *   PAIR          i64, i64
 *   SCAN          i64 cursor, varint length, bytes
 *
 * The bytes of an ARRAY or SCAN are items: varint 0 is nil, otherwise varint
 * (length + 1) and that many bytes.  Decoding walks them once, so that nobody
 * who lists the items later has an error to handle. */
#include "proto/op.h"

#include "base/assert.h"
#include "base/err.h"

void op_result_encode(struct buf *b, const struct op_result *r)
{
    buf_put_u8(b, (uint8_t)r->type);
    switch (r->type) {
    case OP_RES_OK:
    case OP_RES_NIL:
        break;
    case OP_RES_INT:
        buf_put_u64(b, (uint64_t)r->num);
        break;
    case OP_RES_BULK:
    case OP_RES_ARRAY:
        buf_put_bytes(b, r->bulk);
        break;
    case OP_RES_ERR:
        ASSERT(r->num > 0 && r->num < 256);
        buf_put_u8(b, (uint8_t)r->num);
        break;
    case OP_RES_PAIR:
        buf_put_u64(b, (uint64_t)r->num);
        buf_put_u64(b, (uint64_t)r->num2);
        break;
    case OP_RES_SCAN:
        buf_put_u64(b, (uint64_t)r->num);
        buf_put_bytes(b, r->bulk);
        break;
    default:
        UNREACHABLE();
    }
}

static bool items_ok(struct slice items)
{
    struct cursor c = cursor_make(items);
    struct slice item;
    bool nil;

    while (op_items_next(&c, &nil, &item))
        continue;
    return cursor_done(&c);
}

/* What follows the type; false if the type is not known or its items are
 * bad. */
static bool decode_body(struct cursor *c, struct op_result *r)
{
    switch (r->type) {
    case OP_RES_OK:
    case OP_RES_NIL:
        return true;
    case OP_RES_INT:
        r->num = (int64_t)cursor_u64(c);
        return true;
    case OP_RES_BULK:
        r->bulk = cursor_bytes(c);
        return true;
    case OP_RES_ARRAY:
        r->bulk = cursor_bytes(c);
        return items_ok(r->bulk);
    case OP_RES_ERR:
        r->num = cursor_u8(c);
        return r->num != 0;
    case OP_RES_PAIR:
        r->num = (int64_t)cursor_u64(c);
        r->num2 = (int64_t)cursor_u64(c);
        return true;
    case OP_RES_SCAN:
        r->num = (int64_t)cursor_u64(c);
        r->bulk = cursor_bytes(c);
        return items_ok(r->bulk);
    }
    return false;
}

int op_result_decode(struct slice in, struct op_result *ret)
{
    struct cursor c = cursor_make(in);
    struct op_result r = { .type = (enum op_result_type)cursor_u8(&c) };

    if (in.n > OP_RESULT_BYTES_MAX)
        return KV_E2BIG;
    if (c.failed || !decode_body(&c, &r) || !cursor_done(&c))
        return KV_EPROTO;
    *ret = r;
    return 0;
}

void op_items_put(struct buf *b, struct slice item)
{
    buf_put_varint(b, (uint64_t)item.n + 1);
    buf_put_slice(b, item);
}

void op_items_put_nil(struct buf *b)
{
    buf_put_varint(b, 0);
}

bool op_items_next(struct cursor *c, bool *ret_nil, struct slice *ret)
{
    struct slice item = { .p = NULL, .n = 0 };
    uint64_t n;

    if (c->failed || c->n == 0)
        return false;
    n = cursor_varint(c);
    if (n > 0)
        item = cursor_raw(c, (size_t)(n - 1));
    if (c->failed)
        return false;
    *ret_nil = n == 0;
    *ret = item;
    return true;
}
