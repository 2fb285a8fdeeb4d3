/* A switch between the hosts of a jepsen run: Ethernet frames from TAP devices, with
 * faults for each ordered pair of hosts.  Four parts: the fabric decides what
 * happens to a frame and when (no I/O, its own seed: unit-tested), the frame
 * functions change bytes, the taps are the devices, and main has the loop and
 * the control socket.
 *
 * Hosts are 1 .. n; a pair (src, dst) is ordered: what src sends to dst. */
#ifndef KV_JEPSEN_SWITCH_H
#define KV_JEPSEN_SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/rng.h"

#define SWITCH_HOSTS_MAX 16u
#define SWITCH_MTU_BYTES 9000u
#define SWITCH_FRAME_BYTES_MAX (SWITCH_MTU_BYTES + 18u)
/* Frames of one pair that wait to be delivered; later ones are dropped. */
#define SWITCH_QUEUE_FRAMES_MAX 4096u
#define SWITCH_PPM 1000000u

/* ---- frames ---- */

/* Where the parts of an IPv4 TCP segment are in a frame. */
struct segment {
    size_t ip, tcp, payload, end; /* offsets of the first bytes; end: past the payload */
    uint16_t src_port, dst_port;
};

/* Whether frame (len bytes) is a whole, unfragmented IPv4 TCP segment. */
bool frame_parse_tcp(const uint8_t *frame, size_t len, struct segment *ret);
/* Flip bit `bit` (0 .. 8 * payload bytes - 1) of the payload and mend the TCP
 * checksum, so that only the receiving program can notice. */
void frame_flip(uint8_t *frame, const struct segment *s, uint64_t bit);
/* Make the segment a reset of its connection, for the receiver of the segment,
 * and into reply (SWITCH_FRAME_BYTES_MAX bytes of room) one for its sender.  Both
 * have FRAME_RESET_BYTES bytes. */
#define FRAME_RESET_BYTES 54u
void frame_make_resets(uint8_t *frame, const struct segment *s, uint8_t *reply);
/* The checksum over a TCP segment and its pseudo header as it is in the frame: 0
 * when the checksum field is right. */
uint16_t frame_tcp_sum(const uint8_t *frame, const struct segment *s);

/* ---- the fabric ---- */

#define RULE_MAP(X) \
    X(cut)          /* not 0: nothing passes */ \
    X(delay_us)     \
    X(jitter_us)    /* up to this much more, each frame for itself: reorders */ \
    X(loss_ppm)     \
    X(dup_ppm)      /* a second copy, with a jitter of its own */ \
    X(corrupt_ppm)  /* of the segments with payload to or from the peer port */ \
    X(reset_ppm)    /* likewise: the connection is reset instead */ \
    X(rate_kbps)    /* kilobytes a second; 0: no limit */

struct rule {
#define X(name) uint64_t name;
    RULE_MAP(X)
#undef X
};

#define COUNTER_MAP(X)                                                        \
    X(passed) X(bytes) X(cut) X(lost) X(delayed) X(duplicated) X(corrupted)   \
    X(reset) X(full) /* the queue, or the device */

struct counters {
#define X(name) uint64_t name;
    COUNTER_MAP(X)
#undef X
};

struct pair {
    struct rule rule;
    struct counters count;
    uint64_t free_ns; /* when the line of a rate-limited pair is free again */
    unsigned waiting; /* frames in the queue */
};

/* Hand a frame to host dst; false: its device did not take it. */
typedef bool (*fabric_out_fn)(void *data, unsigned dst, const uint8_t *frame, size_t len);

struct fabric {
    unsigned hosts;
    uint16_t peer_port;
    struct pair pairs[SWITCH_HOSTS_MAX + 1][SWITCH_HOSTS_MAX + 1];
    struct rng rng;
    struct heap queue;  /* of struct waiting, by the time they are due */
    fabric_out_fn out;
    void *data;
};

void fabric_init(struct fabric *f, unsigned hosts, uint16_t peer_port, uint64_t seed,
                 fabric_out_fn out, void *data);
void fabric_close(struct fabric *f);
/* A frame that src sends to dst at now_ns; may be changed. */
void fabric_send(struct fabric *f, unsigned src, unsigned dst, uint8_t *frame,
                 size_t len, uint64_t now_ns);
/* Deliver what is due.  Returns when the next frame is, UINT64_MAX: none waits. */
uint64_t fabric_deliver(struct fabric *f, uint64_t now_ns);

/* Execute a line: "set SRC DST [name=number]..." ('*': every host; the rule
 * becomes this, what is not named is off), "clear", "count" or "pairs".  Answers in
 * text (at most n bytes).  0, or -1 with why in text. */
int fabric_command(struct fabric *f, const char *line, char *text, size_t n);

/* ---- devices ---- */

/* Make device eth0 in network namespace `name` and configure it: hardware address
 * 02:6b:76:00:00:<host>, address net.host/24 (net: "10.77.0"), SWITCH_MTU_BYTES,
 * permanent neighbour entries for hosts 1 .. hosts.  Returns its descriptor
 * (non-blocking), or -1 with why in errmsg. */
int tap_open(const char *name, const char *net, unsigned host, unsigned hosts,
             char *errmsg, size_t n);

/* ---- control ---- */

/* Send `commands` (separated by ';') to the switch at the socket `path` and print the
 * answer.  The exit status: 0; 1 a command was refused; 3 no switch. */
int control_ask(const char *path, const char *commands);

#endif
