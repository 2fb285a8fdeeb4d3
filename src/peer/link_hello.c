/* The two messages of the handshake.
 *
 *     dialler  --- HELLO ------>  listener       accepted: refusal 0
 *              <-- HELLO_ACK ---                 refused: then it closes
 *
 * HELLO payload                          HELLO_ACK payload
 *   off  0  u16  lowest version            off  0  u16  version chosen, or 0
 *   off  2  u16  highest version           off  2  u16  0
 *   off  4  u32  0                         off  4  u32  enum link_refusal
 *   off  8  u64  cluster id                off  8  u64  node id, listener's
 *   off 16  u64  node id, dialler's        off 16  u64  instance id, listener's
 *   off 24  u64  instance id, dialler's    off 24  u64  feature bits
 *   off 32  u64  node id meant
 *   off 40  u64  feature bits
 *
 *  I1  Fields are only ever appended: a decoder ignores what follows the fields
 *      it knows, so that nodes of neighbouring releases can greet each other.
 *  I2  Feature bits are what the sender can do; what both have may be used.
 *      None is defined yet.
 *
 * The version range is about what travels after the handshake; the handshake
 * itself is bound to FRAME_VERSION. */
#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "peer/link_int.h"

struct frame *link__hello_frame(const struct link_hello *h)
{
    struct frame *f = frame_new(FRAME_HELLO, FRAME_GROUP_NODE);

    ASSERT(h->version_min <= h->version_max);
    buf_put_u16(&f->body, h->version_min);
    buf_put_u16(&f->body, h->version_max);
    buf_put_u32(&f->body, 0);
    buf_put_u64(&f->body, h->cluster_id);
    buf_put_u64(&f->body, h->node_id);
    buf_put_u64(&f->body, h->instance_id);
    buf_put_u64(&f->body, h->receiver_id);
    buf_put_u64(&f->body, h->features);
    frame_seal(f);
    return f;
}

int link__hello_decode(struct slice payload, struct link_hello *ret)
{
    struct cursor c = cursor_make(payload);
    struct link_hello h;

    h.version_min = cursor_u16(&c);
    h.version_max = cursor_u16(&c);
    (void)cursor_u32(&c);
    h.cluster_id = cursor_u64(&c);
    h.node_id = cursor_u64(&c);
    h.instance_id = cursor_u64(&c);
    h.receiver_id = cursor_u64(&c);
    h.features = cursor_u64(&c);
    if (c.failed || h.version_min > h.version_max)
        return KV_EPROTO;
    *ret = h;
    return 0;
}

struct frame *link__ack_frame(const struct link_ack *a)
{
    struct frame *f = frame_new(FRAME_HELLO_ACK, FRAME_GROUP_NODE);

    ASSERT((a->version == 0) == (a->refusal != LINK_ACCEPTED));
    buf_put_u16(&f->body, a->version);
    buf_put_u16(&f->body, 0);
    buf_put_u32(&f->body, a->refusal);
    buf_put_u64(&f->body, a->node_id);
    buf_put_u64(&f->body, a->instance_id);
    buf_put_u64(&f->body, a->features);
    frame_seal(f);
    return f;
}

int link__ack_decode(struct slice payload, struct link_ack *ret)
{
    struct cursor c = cursor_make(payload);
    struct link_ack a;

    a.version = cursor_u16(&c);
    (void)cursor_u16(&c);
    a.refusal = cursor_u32(&c);
    a.node_id = cursor_u64(&c);
    a.instance_id = cursor_u64(&c);
    a.features = cursor_u64(&c);
    if (c.failed)
        return KV_EPROTO;
    *ret = a;
    return 0;
}

const char *link__refusal_text(uint32_t refusal)
{
    switch (refusal) {
#define X(name, value, text)                                                   \
    case LINK_REFUSED_##name:                                                  \
        return text;
        LINK_REFUSAL_MAP(X)
#undef X
    default:
        return "refused for a reason this release does not know";
    }
}
