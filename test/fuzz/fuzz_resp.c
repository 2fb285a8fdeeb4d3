/* Fuzz target: request and reply parsers on arbitrary bytes.
 *
 * The first byte chooses where the input is cut in two.  Feeding it in two
 * pieces must give the same requests, and fail at the same place, as feeding it
 * whole. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "proto/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    uint32_t crc;     /* of all words, with their lengths */
    unsigned count;   /* requests, or items */
    size_t used;
    int rv;
};

static void note(struct outcome *o, struct slice s)
{
    o->crc = crc32c(o->crc, &s.n, sizeof s.n);
    o->crc = crc32c(o->crc, s.p, s.n);
}

static struct outcome requests(struct slice in, size_t cut)
{
    struct outcome o = { 0 };
    struct resp_request r;
    size_t used = 0, have = cut;

    resp_request_init(&r, (struct resp_limits){ .bulk_bytes_max = 1 << 20,
                                                .args_max = 1 << 16 });
    for (;;) {
        o.rv = resp_request_parse(
            &r, slice_make(in.p + o.used, have - o.used), &used);
        if (o.rv == 0) {
            ASSERT(used > 0 && used <= have - o.used);
            for (uint32_t i = 0; i < r.argc; i++)
                note(&o, r.argv[i]);
            o.count++;
            o.used += used;
        } else if (o.rv == KV_EAGAIN && have < in.n) {
            have = in.n;
        } else {
            break;
        }
    }
    resp_request_close(&r);
    return o;
}

static struct outcome replies(struct slice in, size_t cut)
{
    struct outcome o = { 0 };
    struct resp_reply r;
    struct resp_item it;
    size_t used = 0, have = cut;

    resp_reply_init(&r, 1 << 20);
    for (;;) {
        o.rv = resp_reply_next(&r, slice_make(in.p + o.used, have - o.used),
                               &it, &used);
        if (o.rv == 0) {
            ASSERT(used > 0 && used <= have - o.used);
            ASSERT(it.depth <= RESP_DEPTH_MAX);
            note(&o, it.str);
            o.count++;
            o.used += used;
        } else if (o.rv == KV_EAGAIN && have < in.n) {
            have = in.n;
        } else {
            break;
        }
    }
    return o;
}

static void same(struct outcome a, struct outcome b)
{
    ASSERT(a.crc == b.crc);
    ASSERT(a.count == b.count);
    ASSERT(a.used == b.used);
    ASSERT(a.rv == b.rv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in;
    size_t cut;

    if (size < 2)
        return 0;
    in = slice_make(data + 1, size - 1);
    cut = in.n * data[0] / 255;
    same(requests(in, in.n), requests(in, cut));
    same(replies(in, in.n), replies(in, cut));
    return 0;
}
