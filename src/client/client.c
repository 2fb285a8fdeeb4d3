/* libkv: opening, errors, and running a command.
 *
 * A command is sent whole, then its reply is read, all within one deadline.  When
 * the connection breaks, a read-only command goes on to the next endpoint, once
 * per endpoint; a write is repeated only if it cannot have been executed: the
 * connection failed before the last byte of it was sent. */
#include "client/client_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_ARGS_MAX 1048576
#define CLIENT_ARG_HEAD_BYTES 32u /* "$length" and line ends, at most */

int client__fail(struct kv_client *c, int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->error, sizeof c->error, fmt, ap);
    va_end(ap);
    return status;
}

const char *kv_error(const struct kv_client *c)
{
    return c->error;
}

const char *kv_status_text(int status)
{
    switch (status) {
    case KV_CLIENT_OK:
        return "ok";
    case KV_CLIENT_ENOMEM:
        return "out of memory";
    case KV_CLIENT_EINVAL:
        return "invalid argument";
    case KV_CLIENT_ECONNECT:
        return "cannot connect";
    case KV_CLIENT_ETIMEOUT:
        return "no answer in time";
    case KV_CLIENT_EPROTO:
        return "not RESP";
    case KV_CLIENT_EUNKNOWN:
        return "outcome unknown";
    case KV_CLIENT_EDOWN:
        return "no leader: not executed";
    case KV_CLIENT_EBUSY:
        return "busy: not executed";
    case KV_CLIENT_EREPLY:
        return "error reply";
    default:
        return "unknown status";
    }
}

const char *kv_endpoint(const struct kv_client *c)
{
    return c->fd >= 0 ? c->endpoints[c->at].name : "";
}

int kv_open(const char *endpoints, unsigned timeout_ms, struct kv_client **ret)
{
    struct kv_client *c;
    int rv;

    if (endpoints == NULL || endpoints[0] == '\0' || timeout_ms == 0)
        return KV_CLIENT_EINVAL;
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return KV_CLIENT_ENOMEM;
    c->fd = -1;
    c->timeout_ms = timeout_ms;
    buf_init(&c->in);
    buf_init(&c->out);
    rv = client__parse_endpoints(c, endpoints);
    if (rv != 0) {
        kv_close(c);
        return rv;
    }
    *ret = c;
    return 0;
}

void kv_close(struct kv_client *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        client__drop(c);
    buf_close(&c->in);
    buf_close(&c->out);
    free(c->endpoints);
    free(c);
}

void kv_free(void *p)
{
    free(p);
}

/* Append one request to c->out. */
static int encode(struct kv_client *c, int argc, const char *const *argv,
                  const size_t *lens)
{
    size_t bytes = CLIENT_ARG_HEAD_BYTES;
    struct slice *args;

    if (argc <= 0 || argc > CLIENT_ARGS_MAX)
        return client__fail(c, KV_CLIENT_EINVAL, "%d arguments (1 to %d)", argc,
                            CLIENT_ARGS_MAX);
    args = malloc((size_t)argc * sizeof *args);
    if (args == NULL)
        return client__fail(c, KV_CLIENT_ENOMEM, "out of memory");
    for (int i = 0; i < argc; i++) {
        size_t n = lens != NULL ? lens[i] : strlen(argv[i]);

        if (n > CLIENT_REQUEST_BYTES_MAX ||
            bytes + n > CLIENT_REQUEST_BYTES_MAX - c->out.len) {
            free(args);
            return client__fail(c, KV_CLIENT_EINVAL,
                                "more than %u bytes of requests not yet sent",
                                CLIENT_REQUEST_BYTES_MAX);
        }
        bytes += n + CLIENT_ARG_HEAD_BYTES;
        args[i] = slice_make(argv[i], n);
    }
    if (!buf_try_reserve(&c->out, bytes)) {
        free(args);
        return client__fail(c, KV_CLIENT_ENOMEM, "out of memory");
    }
    resp_request_encode(&c->out, args, (uint32_t)argc);
    free(args);
    return 0;
}

static bool has_prefix(const struct kv_reply *r, const char *word)
{
    size_t n = strlen(word);

    return r->len >= n && memcmp(r->str, word, n) == 0 &&
           (r->len == n || r->str[n] == ' ');
}

/* The status of an error reply; its text becomes the client's error. */
static int reply_status(struct kv_client *c, const struct kv_reply *r)
{
    int status = KV_CLIENT_EREPLY;

    if (has_prefix(r, "UNKNOWN"))
        status = KV_CLIENT_EUNKNOWN;
    else if (has_prefix(r, "CLUSTERDOWN"))
        status = KV_CLIENT_EDOWN;
    else if (has_prefix(r, "BUSY") || has_prefix(r, "LOADING"))
        status = KV_CLIENT_EBUSY;
    return client__fail(c, status, "%s", r->str);
}

/* One try on the connection there is.  *ret_sent: the server may have the whole
 * command. */
static int try_once(struct kv_client *c, int argc, const char *const *argv,
                    const size_t *lens, uint64_t deadline_ms, bool *ret_sent,
                    struct kv_reply **ret)
{
    int rv = encode(c, argc, argv, lens);

    *ret_sent = false;
    if (rv != 0)
        return rv;
    rv = client__send(c, deadline_ms);
    if (rv == 0) {
        *ret_sent = true;
        rv = client__read_reply(c, deadline_ms, ret);
    }
    c->sent = false;
    if (rv != 0)
        client__drop(c);
    return rv;
}

int kv_command(struct kv_client *c, int argc, const char *const *argv,
               const size_t *lens, int read_only, struct kv_reply **ret)
{
    uint64_t deadline = client__now_ms() + c->timeout_ms;
    struct kv_reply *r = NULL;
    bool sent = false;
    int rv = KV_CLIENT_ECONNECT;

    if (c->pending > 0)
        return client__fail(c, KV_CLIENT_EINVAL,
                            "%u pipelined replies are still to be taken",
                            c->pending);
    /* The connection there is, then each endpoint once. */
    for (unsigned i = 0; i <= c->n && rv == KV_CLIENT_ECONNECT; i++) {
        rv = client__connect(c, deadline);
        if (rv != 0)
            return rv;
        rv = try_once(c, argc, argv, lens, deadline, &sent, &r);
        if (rv == KV_CLIENT_ECONNECT && sent && !read_only)
            rv = KV_CLIENT_EUNKNOWN;
    }
    if (rv != 0)
        return rv;
    if (r->type == KV_REPLY_ERROR) {
        rv = reply_status(c, r);
        kv_reply_free(r);
        return rv;
    }
    *ret = r;
    return 0;
}

int kv_append(struct kv_client *c, int argc, const char *const *argv,
              const size_t *lens)
{
    int rv;

    if (c->pending == 0) {
        rv = client__connect(c, client__now_ms() + c->timeout_ms);
        if (rv != 0)
            return rv;
    }
    rv = encode(c, argc, argv, lens);
    if (rv == 0)
        c->pending++;
    return rv;
}

int kv_take(struct kv_client *c, struct kv_reply **ret)
{
    uint64_t deadline = client__now_ms() + c->timeout_ms;
    int rv;

    if (c->pending == 0)
        return client__fail(c, KV_CLIENT_EINVAL, "no reply is to come");
    rv = client__send(c, deadline);
    if (rv == 0)
        rv = client__read_reply(c, deadline, ret);
    if (rv != 0) {
        if (rv == KV_CLIENT_ECONNECT && c->sent)
            rv = KV_CLIENT_EUNKNOWN;
        client__drop(c);
    } else if (--c->pending == 0) {
        c->sent = false;
    }
    return rv;
}
