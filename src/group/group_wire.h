/* Raft messages on the wire: the payload of a FRAME_RAFT frame.  Layout in
 * group_wire.c.  Decoding takes bytes of a stranger: what passes can be given
 * to the core without breaking any of its (compiled-out) assertions. */
#ifndef KV_GROUP_GROUP_WIRE_H
#define KV_GROUP_GROUP_WIRE_H

#include <raft.h>
#include <stdbool.h>

#include "base/slice.h"
#include "peer/frame.h"

#define WIRE_RAFT_VERSION 1u
#define WIRE_ENTRIES_MAX 65536u /* of one AppendEntries */

struct gent;

/* A decoded message.  Entries of an AppendEntries are walked with wire_entry.
 */
struct wire_msg {
    struct raft_message m; /* server_id is the sender; server_address unset */
    unsigned n_entries;    /* of an AppendEntries */
    size_t payload_max;    /* bytes of the longest entry */
    struct slice entries;  /* their encoding; borrowed from the frame */
};

/* Everything but AppendEntries.  Unsealed. */
struct frame *wire_encode(uint32_t group, const struct raft_message *m);
/* AppendEntries, of which ae->n_entries entries follow by wire_put_entry. */
struct frame *wire_encode_ae(uint32_t group,
                             const struct raft_append_entries *ae);
void wire_put_entry(struct frame *f, uint64_t term, uint8_t type,
                    struct blob *payload);

/* KV_EPROTO, KV_EVERSION; *ret is then not written. */
int wire_decode(uint64_t from, struct slice payload, struct wire_msg *ret);
/* Take the next entry off msg->entries, which wire_decode has checked. */
void wire_entry(struct slice *entries, raft_term *ret_term,
                enum raft_entry_type *ret_type, struct slice *ret_payload);

/* Is this a configuration the core can decode and work with? */
bool wire_conf_ok(struct slice s);

#endif
