/* Encoding and decoding of the frames between routers; the format is in
 * forward.h.  No state, no I/O.  A decoder stops at the first thing that is
 * wrong: what came before it is good, because the frame's checksum held. */
#include "router/forward.h"

#include "base/assert.h"
#include "base/err.h"

#define REQ_WRITE 1u   /* flags of a request */
#define RES_LOST 1u    /* flags of a frame of results */
#define OP_HEAD_BYTES 4u /* never referred to: see struct opbuf */

struct frame *forward_new(uint8_t kind, const struct forward_head *h)
{
    struct frame *f = frame_new(kind, FRAME_GROUP_NODE);

    ASSERT(kind == FRAME_FORWARD || kind == FRAME_FORWARD_RESULT);
    buf_put_u8(&f->body, FORWARD_VERSION);
    if (kind == FRAME_FORWARD)
        buf_put_u8(&f->body, h->hops);
    else
        buf_put_u8(&f->body, h->lost ? RES_LOST : 0);
    buf_put_u64(&f->body, h->origin);
    buf_put_u64(&f->body, h->epoch);
    return f;
}

size_t forward_put_req(struct frame *f, const struct forward_req *r,
                       struct blob *blob)
{
    size_t before = f->body.len;

    ASSERT(r->op.n > OP_HEAD_BYTES);
    buf_put_varint(&f->body, r->id);
    buf_put_varint(&f->body, r->shard);
    buf_put_u8(&f->body, r->write ? REQ_WRITE : 0);
    buf_put_varint(&f->body, r->gen);
    buf_put_varint(&f->body, r->deadline_ms);
    buf_put_varint(&f->body, r->witness_term);
    buf_put_varint(&f->body, r->op.n);
    if (blob == NULL) {
        buf_put_slice(&f->body, r->op);
        return f->body.len - before;
    }
    ASSERT(r->op.p == blob->data && r->op.n == blob->len);
    buf_put(&f->body, r->op.p, OP_HEAD_BYTES);
    before = f->body.len - before;
    frame_put_blob(f, blob, OP_HEAD_BYTES, r->op.n - OP_HEAD_BYTES);
    return before + r->op.n - OP_HEAD_BYTES;
}

void forward_put_res(struct frame *f, const struct forward_res *r)
{
    size_t at;
    size_t len;

    buf_put_varint(&f->body, r->id);
    buf_put_varint(&f->body, r->gen);
    buf_put_varint(&f->body, r->leader);
    buf_put_u32(&f->body, 0);
    at = f->body.len;
    op_result_encode(&f->body, &r->res);
    len = f->body.len - at;
    ASSERT(len > 0 && len <= FRAME_BYTES_MAX);
    put_u32le(buf_at(&f->body) + at - 4, (uint32_t)len);
}

int forward_open(uint8_t kind, struct slice payload, struct forward_head *ret,
                 struct cursor *ret_rest)
{
    struct cursor c = cursor_make(payload);
    struct forward_head h = { .hops = 0 };
    uint8_t version = cursor_u8(&c);
    uint8_t second = cursor_u8(&c);

    h.origin = cursor_u64(&c);
    h.epoch = cursor_u64(&c);
    if (c.failed)
        return KV_EPROTO;
    if (version != FORWARD_VERSION)
        return KV_EVERSION;
    if (kind == FRAME_FORWARD)
        h.hops = second;
    else
        h.lost = (second & RES_LOST) != 0;
    *ret = h;
    *ret_rest = c;
    return 0;
}

int forward_next_req(struct cursor *c, struct forward_req *ret)
{
    struct forward_req r;
    uint64_t shard;

    if (c->n == 0 && !c->failed)
        return KV_EEOF;
    r.id = cursor_varint(c);
    shard = cursor_varint(c);
    r.write = (cursor_u8(c) & REQ_WRITE) != 0;
    r.gen = cursor_varint(c);
    r.deadline_ms = cursor_varint(c);
    r.witness_term = cursor_varint(c);
    r.op = cursor_bytes(c);
    if (c->failed || shard > UINT32_MAX)
        return KV_EPROTO;
    r.shard = (uint32_t)shard;
    *ret = r;
    return 0;
}

int forward_next_res(struct cursor *c, struct forward_res *ret)
{
    struct forward_res r;
    struct slice enc;

    if (c->n == 0 && !c->failed)
        return KV_EEOF;
    r.id = cursor_varint(c);
    r.gen = cursor_varint(c);
    r.leader = cursor_varint(c);
    enc = cursor_raw(c, cursor_u32(c));
    if (c->failed || op_result_decode(enc, &r.res) != 0)
        return KV_EPROTO;
    *ret = r;
    return 0;
}
