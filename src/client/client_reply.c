/* From the items of a reply to a tree that belongs to the caller.
 *
 * The parser tells one item at a time with its depth; `open` holds the aggregates
 * under way.  Maps become arrays of key, value, ...  An attribute is parsed as an
 * array whose last element is the reply it belongs to, and is replaced by that one
 * at the end; pushes are dropped: nothing here asked for them. */
#include <stdlib.h>
#include <string.h>

#include "client/client_int.h"

/* In kv_reply.integer of an array, which is otherwise 0, while a reply is built. */
#define IS_ATTRIBUTE 1

struct builder {
    struct kv_reply *root;
    size_t bytes; /* of the reply so far */
    bool push;    /* the root is out of band */
    struct kv_reply *open[RESP_DEPTH_MAX + 1];
    size_t filled[RESP_DEPTH_MAX + 1];
    size_t capacity[RESP_DEPTH_MAX + 1];
};

void kv_reply_free(struct kv_reply *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->elements; i++)
        kv_reply_free(r->element[i]);
    free(r->element);
    free(r->str);
    free(r);
}

static struct kv_reply *reply_new(enum kv_reply_type type)
{
    struct kv_reply *r = calloc(1, sizeof *r);

    if (r != NULL)
        r->type = type;
    return r;
}

static struct kv_reply *reply_text(enum kv_reply_type type, struct slice s)
{
    struct kv_reply *r = reply_new(type);

    if (r == NULL)
        return NULL;
    r->str = malloc(s.n + 1);
    if (r->str == NULL) {
        free(r);
        return NULL;
    }
    if (s.n > 0)
        memcpy(r->str, s.p, s.n);
    r->str[s.n] = '\0';
    r->len = s.n;
    return r;
}

static struct kv_reply *reply_number(enum kv_reply_type type, int64_t num)
{
    struct kv_reply *r = reply_new(type);

    if (r != NULL)
        r->integer = num;
    return r;
}

static struct kv_reply *reply_of_item(const struct resp_item *it)
{
    struct kv_reply *r;

    switch (it->type) {
    case RESP_SIMPLE:
        return reply_text(KV_REPLY_STATUS, it->str);
    case RESP_ERROR:
        return reply_text(KV_REPLY_ERROR, it->str);
    case RESP_BULK:
    case RESP_VERBATIM:
    case RESP_BIG:
        return reply_text(KV_REPLY_STRING, it->str);
    case RESP_DOUBLE:
        return reply_text(KV_REPLY_DOUBLE, it->str);
    case RESP_INT:
        return reply_number(KV_REPLY_INTEGER, it->num);
    case RESP_BOOL:
        return reply_number(KV_REPLY_BOOL, it->num);
    case RESP_NULL:
        return reply_new(KV_REPLY_NIL);
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_SET:
    case RESP_PUSH:
        return reply_new(KV_REPLY_ARRAY);
    case RESP_ATTRIBUTE:
        r = reply_new(KV_REPLY_ARRAY);
        if (r != NULL)
            r->integer = IS_ATTRIBUTE;
        return r;
    }
    return NULL;
}

/* Hang r under the aggregate at depth-1.  The array grows with what arrives, not
 * with what was announced.  False: out of memory (r is then freed). */
static bool builder_add(struct builder *b, unsigned depth, struct kv_reply *r)
{
    struct kv_reply *parent;
    unsigned d = depth - 1;

    b->open[depth] = r;
    b->filled[depth] = b->capacity[depth] = 0;
    if (depth == 0) {
        b->root = r;
        return true;
    }
    parent = b->open[d];
    if (b->filled[d] == b->capacity[d]) {
        size_t cap = b->capacity[d] == 0 ? 8 : b->capacity[d] * 2;
        struct kv_reply **p =
            realloc(parent->element, cap * sizeof(struct kv_reply *));

        if (p == NULL) {
            kv_reply_free(r);
            return false;
        }
        parent->element = p;
        b->capacity[d] = cap;
    }
    parent->element[b->filled[d]++] = r;
    parent->elements = b->filled[d];
    return true;
}

/* The tree with each attribute replaced by the reply that it belongs to.  Depth is
 * at most RESP_DEPTH_MAX. */
static struct kv_reply *without_attributes(struct kv_reply *r)
{
    if (r->type != KV_REPLY_ARRAY)
        return r;
    if (r->integer == IS_ATTRIBUTE) {
        struct kv_reply *of = r->element[--r->elements];

        kv_reply_free(r);
        return without_attributes(of);
    }
    for (size_t i = 0; i < r->elements; i++)
        r->element[i] = without_attributes(r->element[i]);
    return r;
}

/* The next item, from c->in or the connection, into the tree. */
static int read_item(struct kv_client *c, struct builder *b,
                     uint64_t deadline_ms, bool *ret_last)
{
    struct resp_item it;
    struct kv_reply *r;
    size_t used;
    int rv;

    for (;;) {
        rv = resp_reply_next(&c->parser, buf_slice(&c->in), &it, &used);
        if (rv != KV_EAGAIN)
            break;
        rv = client__receive(c, deadline_ms);
        if (rv != 0)
            return rv;
    }
    b->bytes += rv == 0 ? used : 0;
    if (rv == KV_E2BIG || b->bytes > CLIENT_REPLY_BYTES_MAX)
        return client__fail(c, KV_CLIENT_EPROTO,
                            "%s: the reply is longer than %u bytes or nested "
                            "deeper than %u", kv_endpoint(c),
                            CLIENT_REPLY_BYTES_MAX, RESP_DEPTH_MAX);
    if (rv != 0)
        return client__fail(c, KV_CLIENT_EPROTO,
                            "%s: the answer is not RESP: is this a kvmesh "
                            "client port?", kv_endpoint(c));
    if (it.depth == 0)
        b->push = it.type == RESP_PUSH;
    r = reply_of_item(&it);
    buf_consume(&c->in, used);
    if (r == NULL || !builder_add(b, it.depth, r))
        return client__fail(c, KV_CLIENT_ENOMEM, "out of memory");
    *ret_last = it.last;
    return 0;
}

int client__read_reply(struct kv_client *c, uint64_t deadline_ms,
                       struct kv_reply **ret)
{
    struct builder b = { .root = NULL };
    bool last = false;

    while (!last) {
        int rv = read_item(c, &b, deadline_ms, &last);

        if (rv != 0) {
            kv_reply_free(b.root);
            return rv;
        }
        if (last && b.push) {
            kv_reply_free(b.root);
            b.root = NULL;
            b.bytes = 0;
            last = false;
        }
    }
    buf_shrink(&c->in, CLIENT_READ_BYTES);
    *ret = without_attributes(b.root);
    return 0;
}
