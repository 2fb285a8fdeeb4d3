/* From the items of a reply to a tree that belongs to the caller.
 *
 * The parser tells one item at a time with its depth; `open` holds the aggregates
 * under way.  Maps become arrays of key, value, ...; attributes and pushes are
 * skipped: nothing here asked for them. */
#include <stdlib.h>
#include <string.h>

#include "client/client_int.h"

struct builder {
    struct kv_reply *root;
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
    case RESP_ATTRIBUTE:
        return reply_new(KV_REPLY_ARRAY);
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

int client__read_reply(struct kv_client *c, uint64_t deadline_ms,
                       struct kv_reply **ret)
{
    struct builder b = { .root = NULL };
    struct resp_item it = { .last = false };
    size_t used;
    int rv;

    while (!it.last) {
        struct kv_reply *r;

        rv = resp_reply_next(&c->parser, buf_slice(&c->in), &it, &used);
        if (rv == KV_EAGAIN) {
            rv = client__receive(c, deadline_ms);
            if (rv == 0)
                continue;
            goto err_free;
        }
        if (rv != 0) {
            rv = client__fail(c, KV_CLIENT_EPROTO,
                              "%s: the answer is not RESP: is this a kvmesh "
                              "client port?", kv_endpoint(c));
            goto err_free;
        }
        r = reply_of_item(&it);
        buf_consume(&c->in, used);
        if (r == NULL || !builder_add(&b, it.depth, r)) {
            rv = client__fail(c, KV_CLIENT_ENOMEM, "out of memory");
            goto err_free;
        }
    }
    *ret = b.root;
    return 0;
err_free:
    kv_reply_free(b.root);
    return rv;
}
