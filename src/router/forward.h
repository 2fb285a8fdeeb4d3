/* What routers say to each other: the payloads of FORWARD and FORWARD_RESULT.
 *
 * FORWARD, group FRAME_GROUP_NODE:
 *   u8 version (1) | u8 hops (1) | u64 origin | u64 directory epoch | requests
 *   request: varint id | varint shard | u8 flags (1: write) | varint gen
 *            | varint deadline ms, from now | varint witness term (reads; 0: none)
 *            | varint length, encoded op
 *
 * FORWARD_RESULT:
 *   u8 version (1) | u8 flags (1: lost) | u64 origin | u64 directory epoch | results
 *   result:  varint id | varint gen | varint leader hint (0: unknown)
 *            | u32 length, encoded op_result
 *
 * origin   the requesting process; a result for another one is ignored.
 * hops     a request is forwarded once at most: it is 1, always.
 * gen      of the shard at the requester.  A node that refuses a write of some gen
 *          refuses all later writes of that gen or an older one, so that a batch is
 *          not executed with a hole in its order (router.c).
 * lost     results sent before may be missing: ask again for what is unanswered.
 *
 * Numbers are little-endian; decoders accept any bytes. */
#ifndef KV_ROUTER_FORWARD_H
#define KV_ROUTER_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/codec.h"
#include "base/slice.h"
#include "peer/frame.h"
#include "proto/op.h"

#define FORWARD_VERSION 1
#define FORWARD_HOPS 1

struct forward_head {
    uint8_t hops;        /* requests */
    bool lost;           /* results */
    uint64_t origin;
    uint64_t epoch;
};

struct forward_req {
    uint64_t id;
    uint32_t shard;
    bool write;
    uint64_t gen;
    uint64_t deadline_ms;
    uint64_t witness_term;
    struct slice op;     /* encoded; decoding: borrows from the payload */
};

struct forward_res {
    uint64_t id;
    uint64_t gen;
    uint64_t leader;
    struct op_result res; /* decoding: bulk borrows from the payload */
};

struct frame *forward_new(uint8_t kind, const struct forward_head *h);
/* Append; blob, if not NULL, holds r->op, whose bytes from 4 on may then be
 * referred to instead of copied.  Returns the bytes it added. */
size_t forward_put_req(struct frame *f, const struct forward_req *r, struct blob *blob);
void forward_put_res(struct frame *f, const struct forward_res *r);

/* KV_EPROTO, KV_EVERSION. *ret_rest is positioned at the first item. */
int forward_open(uint8_t kind, struct slice payload, struct forward_head *ret, struct cursor *ret_rest);
/* The next item.  KV_EEOF after the last one, KV_EPROTO. */
int forward_next_req(struct cursor *c, struct forward_req *ret);
int forward_next_res(struct cursor *c, struct forward_res *ret);

#endif
