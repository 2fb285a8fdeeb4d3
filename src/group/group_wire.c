/* Raft messages <-> frame payloads.
 *
 *   off 0  u8   version   WIRE_RAFT_VERSION
 *   off 1  u8   type      enum raft_message_type
 *   off 2  u16  flags     per type, below; unknown bits are refused
 *   off 4  varints:
 *     AppendEntries        term prev_index prev_term leader_commit count, then
 *                          count times {term, u8 type, bytes payload}
 *     AppendEntriesResult  term rejected last_index
 *     RequestVote          term candidate last_index last_term
 *                          flag 1: disrupt leader   flag 2: pre-vote
 *     RequestVoteResult    term    flag 1: granted  flag 2: pre-vote
 *     TimeoutNow           term last_index last_term
 *   InstallSnapshot has type 5 reserved and is refused until snapshots exist.
 *
 * The bytes come from another process, perhaps a broken one.  libraft's own
 * decoders and step functions trust them: entries of term 0, terms that fall
 * along the log, a CHANGE whose configuration is cut short (configuration.c
 * reads past its end), a same-term surprise - all of it is an assertion that
 * distributions compile out.  So everything the core assumes about a message is
 * checked here:
 *
 *   W1  terms and indexes are below GROUP_INDEX_MAX, terms at least 1;
 *   W2  prev_term is 0 exactly when prev_index is;
 *   W3  prev_term <= first entry's term <= ... <= last entry's term <= term;
 *   W4  types are COMMAND, BARRIER or CHANGE, and a CHANGE decodes, with 1 to
 *       GROUP_MEMBERS_MAX distinct servers in roles we use;
 *   W5  a candidate asks for itself;
 *   W6  nothing follows the message. */
#include "group/group_wire.h"

#include <string.h>

#include "base/codec.h"
#include "base/mem.h"
#include "group/group_int.h"

#define FLAG_1 1u
#define FLAG_2 2u
#define VERSION_RESULT 2 /* of libraft's result messages: carries pre_vote */
#define CONF_FORMAT 1u   /* first byte of libraft's encoded configuration */
#define CONF_ADDRESS_MAX 64u

static struct frame *begin(uint32_t group, enum raft_message_type type,
                           unsigned flags, uint64_t term)
{
    struct frame *f = frame_new(FRAME_RAFT, group);

    buf_put_u8(&f->body, WIRE_RAFT_VERSION);
    buf_put_u8(&f->body, (uint8_t)type);
    buf_put_u16(&f->body, (uint16_t)flags);
    buf_put_varint(&f->body, term);
    return f;
}

static unsigned flags_of(bool one, bool two)
{
    return (one ? FLAG_1 : 0) | (two ? FLAG_2 : 0);
}

static struct frame *encode_vote(uint32_t group,
                                 const struct raft_request_vote *v)
{
    struct frame *f = begin(group, RAFT_REQUEST_VOTE,
                            flags_of(v->disrupt_leader, v->pre_vote), v->term);

    buf_put_varint(&f->body, v->candidate_id);
    buf_put_varint(&f->body, v->last_log_index);
    buf_put_varint(&f->body, v->last_log_term);
    return f;
}

struct frame *wire_encode(uint32_t group, const struct raft_message *m)
{
    const struct raft_append_entries_result *a = &m->append_entries_result;
    const struct raft_request_vote_result *v = &m->request_vote_result;
    const struct raft_timeout_now *t = &m->timeout_now;
    struct frame *f;

    switch (m->type) {
    case RAFT_APPEND_ENTRIES_RESULT:
        f = begin(group, m->type, 0, a->term);
        buf_put_varint(&f->body, a->rejected);
        buf_put_varint(&f->body, a->last_log_index);
        return f;
    case RAFT_REQUEST_VOTE:
        return encode_vote(group, &m->request_vote);
    case RAFT_REQUEST_VOTE_RESULT:
        return begin(group, m->type, flags_of(v->vote_granted, v->pre_vote),
                     v->term);
    case RAFT_TIMEOUT_NOW:
        f = begin(group, m->type, 0, t->term);
        buf_put_varint(&f->body, t->last_log_index);
        buf_put_varint(&f->body, t->last_log_term);
        return f;
    case RAFT_APPEND_ENTRIES:
    case RAFT_INSTALL_SNAPSHOT:
    default:
        UNREACHABLE();
    }
}

struct frame *wire_encode_ae(uint32_t group,
                             const struct raft_append_entries *ae)
{
    struct frame *f = begin(group, RAFT_APPEND_ENTRIES, 0, ae->term);

    ASSERT(ae->n_entries <= WIRE_ENTRIES_MAX);
    buf_put_varint(&f->body, ae->prev_log_index);
    buf_put_varint(&f->body, ae->prev_log_term);
    buf_put_varint(&f->body, ae->leader_commit);
    buf_put_varint(&f->body, ae->n_entries);
    return f;
}

void wire_put_entry(struct frame *f, uint64_t term, uint8_t type,
                    struct blob *payload)
{
    ASSERT(payload != NULL);
    buf_put_varint(&f->body, term);
    buf_put_u8(&f->body, type);
    buf_put_varint(&f->body, payload->len);
    frame_put_blob(f, payload, 0, payload->len);
}

/* ---- decoding ---- */

static bool conf_server_ok(struct cursor *c, uint64_t *ids, unsigned n)
{
    size_t len = 0;

    ids[n] = cursor_u64(c);
    while (len < c->n && c->p[len] != 0)
        len++;
    if (c->failed || len == c->n || len == 0 || len > CONF_ADDRESS_MAX)
        return false;
    cursor_raw(c, len + 1);
    if (cursor_u8(c) > RAFT_VOTER || c->failed || ids[n] == 0)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (ids[i] == ids[n])
            return false;
    return true;
}

bool wire_conf_ok(struct slice s)
{
    struct cursor c = cursor_make(s);
    uint64_t ids[GROUP_MEMBERS_MAX];
    uint64_t n;

    if (cursor_u8(&c) != CONF_FORMAT)
        return false;
    n = cursor_u64(&c);
    if (c.failed || n == 0 || n > GROUP_MEMBERS_MAX)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!conf_server_ok(&c, ids, i))
            return false;
    if (c.n >= 8) /* padded to 8 bytes */
        return false;
    /* The core refuses two servers of one address: ours are made from the id.
     */
    struct raft_configuration conf;
    struct raft_buffer b = { .base = mem_alloc(s.n), .len = s.n };
    memcpy(b.base, s.p, s.n);
    int rv = raft_configuration_decode(&b, &conf);
    mem_free(b.base);
    if (rv != 0)
        return false;
    raft_configuration_close(&conf);
    return true;
}

static bool bounded(uint64_t v)
{
    return v < GROUP_INDEX_MAX;
}

void wire_entry(struct slice *entries, raft_term *ret_term,
                enum raft_entry_type *ret_type, struct slice *ret_payload)
{
    struct cursor c = cursor_make(*entries);

    *ret_term = cursor_varint(&c);
    *ret_type = (enum raft_entry_type)cursor_u8(&c);
    *ret_payload = cursor_bytes(&c);
    ASSERT(!c.failed);
    *entries = slice_make(c.p, c.n);
}

/* W3, W4: walk the entries. */
static bool entries_ok(struct cursor *c, struct wire_msg *w)
{
    const uint64_t prev_term = w->m.append_entries.prev_log_term;
    uint64_t low = prev_term > 0 ? prev_term : 1;

    for (unsigned i = 0; i < w->n_entries; i++) {
        uint64_t t = cursor_varint(c);
        uint8_t type = cursor_u8(c);
        struct slice payload = cursor_bytes(c);

        if (c->failed || t < low || t > w->m.append_entries.term)
            return false;
        if (type != RAFT_COMMAND && type != RAFT_BARRIER && type != RAFT_CHANGE)
            return false;
        if (type == RAFT_CHANGE && !wire_conf_ok(payload))
            return false;
        low = t;
        if (payload.n > w->payload_max)
            w->payload_max = payload.n;
    }
    return true;
}

static bool decode_ae(struct cursor *c, struct wire_msg *w)
{
    struct raft_append_entries *ae = &w->m.append_entries;
    uint64_t n;

    ae->version = 0;
    ae->prev_log_index = cursor_varint(c);
    ae->prev_log_term = cursor_varint(c);
    ae->leader_commit = cursor_varint(c);
    n = cursor_varint(c);
    if (c->failed || n > WIRE_ENTRIES_MAX || !bounded(ae->prev_log_index) ||
        !bounded(ae->leader_commit))
        return false;
    if ((ae->prev_log_index == 0) != (ae->prev_log_term == 0) ||
        ae->prev_log_term > ae->term)
        return false;
    w->entries = slice_make(c->p, c->n);
    w->n_entries = ae->n_entries = (unsigned)n;
    return entries_ok(c, w);
}

static bool decode_ae_result(struct cursor *c,
                             struct raft_append_entries_result *a)
{
    a->version = VERSION_RESULT;
    a->rejected = cursor_varint(c);
    a->last_log_index = cursor_varint(c);
    return bounded(a->rejected) && bounded(a->last_log_index);
}

static bool decode_vote(struct cursor *c, uint64_t from, unsigned flags,
                        struct raft_request_vote *v)
{
    v->version = VERSION_RESULT;
    v->disrupt_leader = (flags & FLAG_1) != 0;
    v->pre_vote = (flags & FLAG_2) != 0;
    v->candidate_id = cursor_varint(c);
    v->last_log_index = cursor_varint(c);
    v->last_log_term = cursor_varint(c);
    if (v->candidate_id != from || !bounded(v->last_log_index)) /* W5 */
        return false;
    return v->last_log_term <= v->term &&
           (v->last_log_index == 0) == (v->last_log_term == 0);
}

static bool decode_body(struct cursor *c, uint64_t from, unsigned flags,
                        uint64_t term, struct wire_msg *w)
{
    struct raft_message *m = &w->m;

    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        m->append_entries.term = term;
        return flags == 0 && decode_ae(c, w);
    case RAFT_APPEND_ENTRIES_RESULT:
        m->append_entries_result.term = term;
        return flags == 0 && decode_ae_result(c, &m->append_entries_result);
    case RAFT_REQUEST_VOTE:
        m->request_vote.term = term;
        return decode_vote(c, from, flags, &m->request_vote);
    case RAFT_REQUEST_VOTE_RESULT:
        m->request_vote_result.version = VERSION_RESULT;
        m->request_vote_result.term = term;
        m->request_vote_result.vote_granted = (flags & FLAG_1) != 0;
        m->request_vote_result.pre_vote = (flags & FLAG_2) != 0;
        return true;
    case RAFT_TIMEOUT_NOW:
        m->timeout_now.term = term;
        m->timeout_now.last_log_index = cursor_varint(c);
        m->timeout_now.last_log_term = cursor_varint(c);
        return flags == 0;
    case RAFT_INSTALL_SNAPSHOT:
    default:
        return false;
    }
}

int wire_decode(uint64_t from, struct slice payload, struct wire_msg *ret)
{
    struct cursor c = cursor_make(payload);
    struct wire_msg w = { .n_entries = 0 };
    unsigned version = cursor_u8(&c);
    unsigned flags;
    uint64_t term;

    w.m.type = (enum raft_message_type)cursor_u8(&c);
    w.m.server_id = from;
    flags = cursor_u16(&c);
    term = cursor_varint(&c);
    if (c.failed || from == 0)
        return KV_EPROTO;
    if (version != WIRE_RAFT_VERSION)
        return KV_EVERSION;
    if ((flags & ~(FLAG_1 | FLAG_2)) != 0 || term == 0 || !bounded(term))
        return KV_EPROTO;
    if (!decode_body(&c, from, flags, term, &w) || !cursor_done(&c))
        return KV_EPROTO;
    *ret = w;
    return 0;
}
