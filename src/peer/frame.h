/* Node-to-node framing.
 *
 *   off  0  u32  length    bytes after this field: FRAME_HEAD_BYTES - 4 ..
 *                          FRAME_BYTES_MAX - 4
 *   off  4  u32  crc32c    of everything from off 8 to the end
 *   off  8  u8   version   FRAME_VERSION
 *   off  9  u8   kind      enum frame_kind
 *   off 10  u16  check     of the head: both halves of the crc32c of off 0 .. 3, 8, 9
 *                          and 12 .. 15, exclusive-ored
 *   off 12  u32  group     shard the frame is about; 0xffffffff: the node
 *   off 16       payload
 *
 * The check is for the length: if it were believed before the frame's checksum is
 * there, one changed bit would make the receiver wait for megabytes that nobody
 * sends, and take all that comes for them.
 *
 * All integers are little-endian.  A frame that does not decode closes its
 * connection: there is no resynchronisation. */
#ifndef KV_PEER_FRAME_H
#define KV_PEER_FRAME_H

#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"

#define FRAME_VERSION 1
#define FRAME_HEAD_BYTES 16u
#define FRAME_BYTES_MAX (40u << 20)  /* whole frame: largest value, overhead */
#define FRAME_GROUP_NODE 0xffffffffu

enum frame_kind {
    FRAME_HELLO = 1,      /* handshake, see link.h */
    FRAME_HELLO_ACK = 2,
    FRAME_PING = 3,       /* keeps idle links checked */
    FRAME_RAFT = 10,      /* a raft message, group/group_wire.h */
    FRAME_READ_PROBE = 11,/* read-index round, group/groupset.h */
    FRAME_READ_ACK = 12,
    FRAME_FORWARD = 20,   /* requests for shards led elsewhere, router/forward.h */
    FRAME_FORWARD_RESULT = 21,
    FRAME_DIRECTORY = 30, /* reserved: directory pull */
    FRAME_SNAPSHOT = 40   /* reserved: snapshot chunks */
};

struct frame_head {
    uint8_t kind;
    uint32_t group;
};

/* A frame being built, then queued for sending.  Small bytes go into `body`;
 * large payloads are spliced in by reference.  Sealed once, before sending. */
struct frame {
    struct list link;         /* the owner's queue */
    struct frame_head head;
    struct buf body;          /* owned: header place + small bytes */
    struct frame_part {
        size_t at;            /* offset in body where blob goes */
        struct blob *blob;    /* owned reference */
        size_t off, len;      /* the part of it */
    } *parts;                 /* owned, in order of `at` */
    unsigned n_parts, cap_parts;
    size_t bytes;             /* whole frame on the wire, after sealing */
    uint64_t gate;            /* group: WAL position that must be durable first */
};

#define FRAME_SPLICE_MIN 4096u /* payloads below are copied, above referenced */

/* A frame without payload; the caller appends to body (buf_put_*) and with
 * frame_put_blob.  The caller owns it until it hands it to links_send. */
struct frame *frame_new(uint8_t kind, uint32_t group);
void frame_free(struct frame *f); /* f may be NULL */
/* Append len bytes of b from off: copied if small, else by reference. */
void frame_put_blob(struct frame *f, struct blob *b, size_t off, size_t len);
/* Bytes on the wire so far, header included: what to hold against
 * FRAME_BYTES_MAX while appending. */
size_t frame_bytes(const struct frame *f);
/* Compute length and checksum.  No appends afterwards.  The frame must not
 * exceed FRAME_BYTES_MAX: asserted, the caller bounds what it puts in. */
void frame_seal(struct frame *f);
/* The sealed frame as parts for a gathered write; returns how many of `max`
 * were written (frame_n_parts tells how many there are). */
unsigned frame_n_parts(const struct frame *f);
unsigned frame_parts(const struct frame *f, struct slice *ret, unsigned max);
/* The same for what is left after the first `skip` bytes; 0 when nothing is. */
unsigned frame_rest(const struct frame *f, size_t skip, struct slice *ret,
                    unsigned max);

/* Incremental decoder over a byte stream, which trusts nothing.  On success the
 * first *ret_used bytes of in make up one frame, whose payload borrows from in.
 * KV_EAGAIN: more bytes are needed (*ret_used then holds how many in all, if
 * known, else 0; at most FRAME_BYTES_MAX; not to be trusted before the head is
 * there).  KV_EPROTO: length, KV_EVERSION: version, KV_ECORRUPT: checksum.  Bad heads are found as soon as
 * the head is there. */
int frame_decode(struct slice in, struct frame_head *ret_head,
                 struct slice *ret_payload, size_t *ret_used);

#endif
