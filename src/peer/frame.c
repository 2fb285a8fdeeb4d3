/* Frames: building them without copying large payloads, and taking them apart
 * without trusting a byte.
 *
 * A frame under construction is a buffer of small bytes, which begins with room
 * for the header, and a list of blob ranges, each with the place in the buffer
 * where it belongs:
 *
 *     body    |header|aaaa|bbb|cc|          parts[0].at ---^ (after aaaa)
 *     wire    |header|aaaa|<parts[0]>|bbb|<parts[1]>|cc|
 *
 *  I1  parts are in order of `at`, and header <= at <= body.len.
 *  I2  bytes = body.len + sum of parts[].len once sealed, and the checksum
 *      covers the wire order from offset 8 on.
 *  I3  The decoder reads no byte that is not there, takes no length on trust
 *      (it never allocates) and hands out nothing before the checksum has
 *      matched.
 *  I4  No length is waited for before the check of the head has matched.
 *
 * The format is in frame.h. */
#include "peer/frame.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/mem.h"

#define OFF_LENGTH 0u
#define OFF_CRC 4u
#define OFF_VERSION 8u
#define OFF_KIND 9u
#define OFF_CHECK 10u
#define OFF_GROUP 12u
#define LENGTH_BYTES 4u /* the length field does not count itself */

/* The check of a head whose other fields are set. */
static uint16_t head_check(const uint8_t *head)
{
    uint32_t crc = crc32c(0, head + OFF_LENGTH, LENGTH_BYTES);

    crc = crc32c(crc, head + OFF_VERSION, OFF_CHECK - OFF_VERSION);
    crc = crc32c(crc, head + OFF_GROUP, FRAME_HEAD_BYTES - OFF_GROUP);
    return (uint16_t)(crc >> 16 ^ crc);
}

struct frame *frame_new(uint8_t kind, uint32_t group)
{
    struct frame *f = MEM_NEW(struct frame);

    list_init(&f->link);
    f->head = (struct frame_head){ .kind = kind, .group = group };
    buf_init(&f->body);
    memset(buf_grow(&f->body, FRAME_HEAD_BYTES), 0, FRAME_HEAD_BYTES);
    return f;
}

void frame_free(struct frame *f)
{
    if (f == NULL)
        return;
    for (unsigned i = 0; i < f->n_parts; i++)
        blob_unref(f->parts[i].blob);
    mem_free(f->parts);
    buf_close(&f->body);
    mem_free(f);
}

void frame_put_blob(struct frame *f, struct blob *b, size_t off, size_t len)
{
    ASSERT(f->bytes == 0); /* not sealed */
    ASSERT(off <= b->len);
    ASSERT(len <= b->len - off);
    if (len < FRAME_SPLICE_MIN) {
        buf_put(&f->body, b->data + off, len);
        return;
    }
    if (f->n_parts == f->cap_parts) {
        f->cap_parts = f->cap_parts == 0 ? 4 : f->cap_parts * 2;
        f->parts = mem_realloc(f->parts, f->cap_parts * sizeof *f->parts);
    }
    f->parts[f->n_parts++] = (struct frame_part){
        .at = f->body.len, .blob = blob_ref(b), .off = off, .len = len
    };
}

size_t frame_bytes(const struct frame *f)
{
    size_t bytes = f->body.len;

    for (unsigned i = 0; i < f->n_parts; i++)
        bytes += f->parts[i].len;
    return bytes;
}

/* ---- the wire order ---- */

/* A walk over the runs of bytes of a frame in wire order. */
struct walk {
    const struct frame *f;
    unsigned part; /* next blob */
    size_t at;     /* body bytes already walked */
};

/* The next run that is not empty; false at the end. */
static bool walk_next(struct walk *w, struct slice *ret)
{
    const struct frame *f = w->f;
    const struct frame_part *p =
        w->part < f->n_parts ? &f->parts[w->part] : NULL;
    const size_t until = p != NULL ? p->at : f->body.len;

    ASSERT(w->at <= until); /* I1 */
    if (w->at < until) {
        *ret = slice_make(buf_at(&f->body) + w->at, until - w->at);
        w->at = until;
        return true;
    }
    if (p == NULL)
        return false;
    *ret = slice_make(p->blob->data + p->off, p->len);
    w->part++;
    return true;
}

void frame_seal(struct frame *f)
{
    struct walk w = { .f = f, .at = OFF_VERSION };
    struct slice run;
    uint32_t crc = 0;
    uint8_t *head = buf_at(&f->body);

    ASSERT(f->bytes == 0);
    ASSERT(f->body.len >= FRAME_HEAD_BYTES);
    f->bytes = frame_bytes(f);
    ASSERT(f->bytes <= FRAME_BYTES_MAX);
    put_u32le(head + OFF_LENGTH, (uint32_t)f->bytes - LENGTH_BYTES);
    head[OFF_VERSION] = FRAME_VERSION;
    head[OFF_KIND] = f->head.kind;
    put_u32le(head + OFF_GROUP, f->head.group);
    put_u16le(head + OFF_CHECK, head_check(head));
    while (walk_next(&w, &run))
        crc = crc32c(crc, run.p, run.n);
    put_u32le(head + OFF_CRC, crc);
}

unsigned frame_n_parts(const struct frame *f)
{
    struct walk w = { .f = f };
    struct slice run;
    unsigned n = 0;

    while (walk_next(&w, &run))
        n++;
    return n;
}

unsigned frame_rest(const struct frame *f, size_t skip, struct slice *ret,
                    unsigned max)
{
    struct walk w = { .f = f };
    struct slice run;
    unsigned n = 0;

    ASSERT(f->bytes > 0); /* sealed */
    ASSERT(skip <= f->bytes);
    while (n < max && walk_next(&w, &run)) {
        if (skip >= run.n) {
            skip -= run.n;
            continue;
        }
        ret[n++] = slice_make(run.p + skip, run.n - skip);
        skip = 0;
    }
    return n;
}

unsigned frame_parts(const struct frame *f, struct slice *ret, unsigned max)
{
    return frame_rest(f, 0, ret, max);
}

/* ---- decoding ---- */

int frame_decode(struct slice in, struct frame_head *ret_head,
                 struct slice *ret_payload, size_t *ret_used)
{
    uint32_t length;
    size_t bytes;

    if (in.n < LENGTH_BYTES) {
        *ret_used = 0;
        return KV_EAGAIN;
    }
    length = get_u32le(in.p + OFF_LENGTH);
    if (length < FRAME_HEAD_BYTES - LENGTH_BYTES ||
        length > FRAME_BYTES_MAX - LENGTH_BYTES)
        return KV_EPROTO;
    if (in.n > OFF_VERSION && in.p[OFF_VERSION] != FRAME_VERSION)
        return KV_EVERSION;
    if (in.n >= FRAME_HEAD_BYTES &&
        get_u16le(in.p + OFF_CHECK) != head_check(in.p))
        return KV_ECORRUPT; /* I4 */
    bytes = (size_t)length + LENGTH_BYTES;
    if (in.n < bytes) {
        *ret_used = bytes;
        return KV_EAGAIN;
    }
    if (crc32c(0, in.p + OFF_VERSION, bytes - OFF_VERSION) !=
        get_u32le(in.p + OFF_CRC))
        return KV_ECORRUPT; /* I3 */
    *ret_head = (struct frame_head){ .kind = in.p[OFF_KIND],
                                     .group = get_u32le(in.p + OFF_GROUP) };
    *ret_payload =
        slice_make(in.p + FRAME_HEAD_BYTES, bytes - FRAME_HEAD_BYTES);
    *ret_used = bytes;
    return 0;
}
