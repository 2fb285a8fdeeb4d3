/* libkv: the C client of kvmesh.  The only installed header.
 *
 * A client knows several endpoints and talks to one of them at a time; any node
 * serves any request.  When the connection fails it goes on to the next
 * endpoint.  Calls block, at most timeout_ms, connecting included; only the
 * look-up of a host name, which is the system's, may take longer.
 *
 * What a failure means for a write: ECONNECT, EDOWN, EBUSY: surely not executed;
 * EREPLY: refused, with the reason in kv_error; EUNKNOWN, ETIMEOUT, EPROTO,
 * ENOMEM: it may or may not have happened.  EINVAL: nothing was sent.
 * Reads are repeated on the next endpoint by themselves, writes only when the
 * broken connection cannot have carried the whole command.
 *
 * After a failure other than an error reply the connection is dropped, and with
 * it the replies to whatever was pipelined on it.
 *
 * Threads: one client, one thread at a time.  Memory: replies belong to the
 * caller and are freed by kv_reply_free. */
#ifndef KV_H
#define KV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KV_API __attribute__((visibility("default")))

struct kv_client;

enum kv_status {
    KV_CLIENT_OK = 0,
    KV_CLIENT_ENOMEM = -101,   /* out of memory */
    KV_CLIENT_EINVAL = -102,   /* bad argument or endpoint */
    KV_CLIENT_ECONNECT = -103, /* no endpoint could be reached */
    KV_CLIENT_ETIMEOUT = -104, /* no answer in time; a write may have happened */
    KV_CLIENT_EPROTO = -105,   /* the other side does not speak RESP */
    KV_CLIENT_EUNKNOWN = -106, /* a write whose outcome is unknown */
    KV_CLIENT_EDOWN = -107,    /* CLUSTERDOWN: surely not executed */
    KV_CLIENT_EBUSY = -108,    /* BUSY or LOADING: surely not executed, try later */
    KV_CLIENT_EREPLY = -109    /* any other error reply: see kv_error */
};

enum kv_reply_type {
    KV_REPLY_STRING = 1, /* str, len */
    KV_REPLY_STATUS,     /* str, len: "OK" */
    KV_REPLY_ERROR,      /* str, len: "ERR ..." */
    KV_REPLY_INTEGER,    /* integer */
    KV_REPLY_NIL,
    KV_REPLY_ARRAY,      /* element, elements (maps: key, value, ...) */
    KV_REPLY_DOUBLE,     /* str, len: its text */
    KV_REPLY_BOOL        /* integer: 0 or 1 */
};

struct kv_reply {
    enum kv_reply_type type;
    long long integer;
    char *str;                 /* ends with a NUL that len does not count */
    size_t len;
    struct kv_reply **element;
    size_t elements;
};

/* endpoints: "host:port,host:port,..." ("host", "[v6]" and "[v6]:port" too; the
 * default port is 6379).  Connects at the first call.  KV_CLIENT_EINVAL,
 * KV_CLIENT_ENOMEM. */
KV_API int kv_open(const char *endpoints, unsigned timeout_ms,
                   struct kv_client **ret);
KV_API void kv_close(struct kv_client *c); /* c may be NULL */

/* The text of the last failure on c, with the endpoint: for people.  Valid until
 * the next call on c. */
KV_API const char *kv_error(const struct kv_client *c);
KV_API const char *kv_status_text(int status);
/* The endpoint in use ("host:port"), or "" when not connected. */
KV_API const char *kv_endpoint(const struct kv_client *c);

/* Run any command.  lens may be NULL (then argv are C strings).  An error reply
 * of the server is a non-zero status and *ret is NULL.  read_only: may be
 * repeated on another endpoint. */
KV_API int kv_command(struct kv_client *c, int argc, const char *const *argv,
                      const size_t *lens, int read_only,
                      struct kv_reply **ret);
KV_API void kv_reply_free(struct kv_reply *r); /* r may be NULL */

/* Linearizable get; *ret_value (NUL-terminated) is NULL if there is no such key.
 * Free with kv_free. */
KV_API int kv_get(struct kv_client *c, const char *key, size_t key_len,
                  char **ret_value, size_t *ret_len);
/* ttl_ms 0: no expiry. */
KV_API int kv_put(struct kv_client *c, const char *key, size_t key_len,
                  const char *value, size_t value_len, uint64_t ttl_ms);
KV_API int kv_del(struct kv_client *c, const char *key, size_t key_len,
                  int *ret_existed);
/* Put only if the key's revision is rev (0: only if absent); *ret_done tells. */
KV_API int kv_put_if_revision(struct kv_client *c, const char *key,
                              size_t key_len, const char *value,
                              size_t value_len, uint64_t rev, int *ret_done);
/* *ret_rev is 0 if there is no such key. */
KV_API int kv_revision(struct kv_client *c, const char *key, size_t key_len,
                       uint64_t *ret_rev);
KV_API void kv_free(void *p);

/* Pipelining: append without waiting, then take the replies in order.  An error
 * reply is a reply here (type KV_REPLY_ERROR).  Nothing is ever repeated: when
 * kv_take fails, all replies still to come are lost, and what was appended may or
 * may not have been executed (KV_CLIENT_ECONNECT: none of it was). */
KV_API int kv_append(struct kv_client *c, int argc, const char *const *argv,
                     const size_t *lens);
KV_API int kv_take(struct kv_client *c, struct kv_reply **ret);

#ifdef __cplusplus
}
#endif

#endif
