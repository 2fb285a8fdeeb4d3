/* A server that follows a script: what it expects and what it says, byte for byte.
 *
 *     struct fake_server s;
 *     fake_server_start(&s, (struct fake_step[]){
 *         { FAKE_ACCEPT }, { FAKE_EXPECT, PING }, { FAKE_SEND, "+PONG\r\n" },
 *         { FAKE_HOLD }, { FAKE_END } });
 *
 * It runs in a thread and listens on a free loopback port. */
#ifndef KV_TEST_UNIT_CLIENT_FAKE_SERVER_H
#define KV_TEST_UNIT_CLIENT_FAKE_SERVER_H

#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>

#define FAKE_STEPS_MAX 32

enum fake_op {
    FAKE_END = 0,
    FAKE_ACCEPT,     /* wait for a connection */
    FAKE_EXPECT,     /* read exactly this text */
    FAKE_SEND,       /* send this text */
    FAKE_DRIP,       /* send this text, one byte a packet */
    FAKE_SEND_BIG,   /* send n bytes of 'x' */
    FAKE_EXPECT_BIG, /* read n bytes, whatever they are */
    FAKE_CLOSE,      /* close the connection */
    FAKE_SYNC,       /* let fake_server_wait go on */
    FAKE_HOLD        /* read until the client closes; it may send nothing more */
};

struct fake_step {
    enum fake_op op;
    const char *text;
    size_t n;
};

struct fake_server {
    int port;
    int listener;
    int conn;           /* -1: none */
    pthread_t thread;
    sem_t sync;
    struct fake_step steps[FAKE_STEPS_MAX];
    char error[512];    /* what was not as the script says */
};

void fake_server_start(struct fake_server *s, const struct fake_step *steps);
void fake_server_wait(struct fake_server *s);   /* for the next FAKE_SYNC */
/* The script must have come to its end, and as written; the client is closed. */
void fake_server_finish(struct fake_server *s);
/* A loopback port on which nobody listens. */
int fake_closed_port(void);

#endif
