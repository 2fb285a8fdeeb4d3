/* The typed calls of libkv, on top of kv_command. */
#include "client/client_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int wrong_type(struct kv_client *c, struct kv_reply *r, const char *cmd)
{
    int type = (int)r->type;

    kv_reply_free(r);
    return client__fail(c, KV_CLIENT_EPROTO,
                        "%s: unexpected reply type %d to %s", kv_endpoint(c),
                        type, cmd);
}

int kv_get(struct kv_client *c, const char *key, size_t key_len,
           char **ret_value, size_t *ret_len)
{
    const char *argv[] = { "GET", key };
    const size_t lens[] = { 3, key_len };
    struct kv_reply *r;
    int rv = kv_command(c, 2, argv, lens, 1, &r);

    if (rv != 0)
        return rv;
    if (r->type != KV_REPLY_STRING && r->type != KV_REPLY_NIL)
        return wrong_type(c, r, "GET");
    *ret_value = r->str; /* NULL for nil */
    *ret_len = r->len;
    r->str = NULL;
    kv_reply_free(r);
    return 0;
}

int kv_put(struct kv_client *c, const char *key, size_t key_len,
           const char *value, size_t value_len, uint64_t ttl_ms)
{
    char ttl[24];
    const char *argv[] = { "SET", key, value, "PX", ttl };
    size_t lens[] = { 3, key_len, value_len, 2, 0 };
    struct kv_reply *r;
    int rv;

    lens[4] = (size_t)snprintf(ttl, sizeof ttl, "%" PRIu64, ttl_ms);
    rv = kv_command(c, ttl_ms != 0 ? 5 : 3, argv, lens, 0, &r);
    if (rv != 0)
        return rv;
    if (r->type != KV_REPLY_STATUS)
        return wrong_type(c, r, "SET");
    kv_reply_free(r);
    return 0;
}

int kv_del(struct kv_client *c, const char *key, size_t key_len,
           int *ret_existed)
{
    const char *argv[] = { "DEL", key };
    const size_t lens[] = { 3, key_len };
    struct kv_reply *r;
    int rv = kv_command(c, 2, argv, lens, 0, &r);

    if (rv != 0)
        return rv;
    if (r->type != KV_REPLY_INTEGER)
        return wrong_type(c, r, "DEL");
    *ret_existed = r->integer != 0;
    kv_reply_free(r);
    return 0;
}

int kv_put_if_revision(struct kv_client *c, const char *key, size_t key_len,
                       const char *value, size_t value_len, uint64_t rev,
                       int *ret_done)
{
    char text[24];
    const char *argv[] = { "SET", key, value, "IFREV", text };
    size_t lens[] = { 3, key_len, value_len, 5, 0 };
    struct kv_reply *r;
    int rv;

    lens[4] = (size_t)snprintf(text, sizeof text, "%" PRIu64, rev);
    rv = kv_command(c, 5, argv, lens, 0, &r);
    if (rv != 0)
        return rv;
    if (r->type != KV_REPLY_STATUS && r->type != KV_REPLY_NIL)
        return wrong_type(c, r, "SET");
    *ret_done = r->type == KV_REPLY_STATUS;
    kv_reply_free(r);
    return 0;
}

int kv_revision(struct kv_client *c, const char *key, size_t key_len,
                uint64_t *ret_rev)
{
    const char *argv[] = { "GETREV", key };
    const size_t lens[] = { 6, key_len };
    struct kv_reply *r;
    int rv = kv_command(c, 2, argv, lens, 1, &r);

    if (rv != 0)
        return rv;
    if (r->type != KV_REPLY_INTEGER && r->type != KV_REPLY_NIL)
        return wrong_type(c, r, "GETREV");
    *ret_rev = r->type == KV_REPLY_INTEGER ? (uint64_t)r->integer : 0;
    kv_reply_free(r);
    return 0;
}
