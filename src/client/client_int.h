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
#define CLIENT_ERROR_MAX 512u
#define CLIENT_READ_BYTES 65536u
#define CLIENT_REPLY_BYTES_MAX (512u << 20)

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
    unsigned pending;    /* replies to come */
    char error[CLIENT_ERROR_MAX];
};

/* Record the text of a failure; returns status. */
int client__fail(struct kv_client *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Connect to endpoints[at], or the next ones.  KV_CLIENT_ECONNECT. */
int client__connect(struct kv_client *c);
/* Drop the connection and what was under way on it; the next call connects to
 * the next endpoint. */
void client__drop(struct kv_client *c);
/* Send all of c->out before the deadline. */
int client__send(struct kv_client *c, uint64_t deadline_ms);
/* Receive at least one byte before the deadline. */
int client__receive(struct kv_client *c, uint64_t deadline_ms);
uint64_t client__now_ms(void); /* monotonic */

/* One whole reply, from c->in and the connection. */
int client__read_reply(struct kv_client *c, uint64_t deadline_ms,
                       struct kv_reply **ret);

#endif
