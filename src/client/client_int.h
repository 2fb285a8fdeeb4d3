/* What the files of libkv share; nobody else includes this. */
#ifndef KV_CLIENT_CLIENT_INT_H
#define KV_CLIENT_CLIENT_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kv.h"
#include "proto/resp.h"

#define CLIENT_HOST_MAX 256u
#define CLIENT_ENDPOINTS_MAX 256u
#define CLIENT_ERROR_MAX 512u                 /* bytes of kv_error's text */
#define CLIENT_READ_BYTES 65536u              /* one recv */
#define CLIENT_REPLY_BYTES_MAX (512u << 20)   /* one reply */
#define CLIENT_REQUEST_BYTES_MAX (1024u << 20) /* appended and not yet sent */

struct client_endpoint {
    char host[CLIENT_HOST_MAX];
    char port[8];
    char name[CLIENT_HOST_MAX + 16]; /* "host:port", for people */
};

struct kv_client {
    struct client_endpoint *endpoints; /* owned */
    unsigned n;
    unsigned at;         /* the one in use, or to try first */
    int fd;              /* -1: not connected */
    unsigned timeout_ms;
    struct buf out;      /* appended, not yet sent */
    struct buf in;       /* received, not yet used */
    struct resp_reply parser;
    unsigned pending;    /* pipelined replies to come */
    bool sent;           /* a byte of the pending requests has been sent */
    char error[CLIENT_ERROR_MAX];
};

/* Record the text of a failure; returns status. */
int client__fail(struct kv_client *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Fill c->endpoints from "host:port,...".  KV_CLIENT_EINVAL, KV_CLIENT_ENOMEM. */
int client__parse_endpoints(struct kv_client *c, const char *s);

uint64_t client__now_ms(void); /* monotonic */
/* Make sure of a usable connection: a new one, to endpoints[at] or the next ones,
 * if there is none or the other side has closed it meanwhile.
 * KV_CLIENT_ECONNECT. */
int client__connect(struct kv_client *c, uint64_t deadline_ms);
/* Drop the connection and what was under way on it; the next call connects to
 * the next endpoint. */
void client__drop(struct kv_client *c);
/* Send all of c->out before the deadline; replies that arrive meanwhile are put
 * into c->in.  KV_CLIENT_ECONNECT, KV_CLIENT_ETIMEOUT, KV_CLIENT_ENOMEM. */
int client__send(struct kv_client *c, uint64_t deadline_ms);
/* Receive at least one byte before the deadline.  Errors as client__send. */
int client__receive(struct kv_client *c, uint64_t deadline_ms);

/* One whole reply, from c->in and the connection.  As client__receive, and
 * KV_CLIENT_EPROTO. */
int client__read_reply(struct kv_client *c, uint64_t deadline_ms,
                       struct kv_reply **ret);

#endif
