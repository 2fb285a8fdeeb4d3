/* A server on a loopback port in this process, and clients for it.
 *
 * Everything runs on one loop: the functions that wait run it until what they wait
 * for has happened.  No timing: a wait that never ends is ended by the runner. */
#ifndef KV_TEST_SERVER_LAB_H
#define KV_TEST_SERVER_LAB_H

#include "double/router_double.h"
#include "server/server.h"

struct lab {
    struct env *env;
    struct directory *dir;
    struct router *router;
    struct server *server; /* NULL: clients talk to `port` of another process */
    uint16_t port;
    struct server_config cfg;
    bool loading, closed;
};

/* Defaults of the configuration, to be changed before lab_open. */
void lab_init(struct lab *lab);
void lab_open(struct lab *lab);
/* Only clients, for a server that runs on this port. */
void lab_open_clients(struct lab *lab, uint16_t port);
void lab_close(struct lab *lab);
/* One iteration of the loop at least. */
void lab_run(struct lab *lab);

struct peer {
    struct lab *lab;
    struct env_stream *stream;
    struct env_write write;
    struct buf in;         /* received, not taken */
    struct buf out;        /* being written */
    bool connected, writing, ended, closed;
};

void peer_open(struct peer *p, struct lab *lab);
void peer_close(struct peer *p);
void peer_send(struct peer *p, struct slice bytes);
void peer_send_str(struct peer *p, const char *s);
/* Wait for a line and give it without its CRLF, terminated; NULL: the server closed
 * the connection.  Valid until the next call. */
const char *peer_line(struct peer *p);
/* Wait until exactly these bytes come next. */
void peer_expect(struct peer *p, const char *bytes);
/* Wait until the server closes; what comes before it stays in p->in. */
void peer_wait_end(struct peer *p);
/* Read nothing, and everything again. */
void peer_stop_reading(struct peer *p);
void peer_read_on(struct peer *p);

#endif
