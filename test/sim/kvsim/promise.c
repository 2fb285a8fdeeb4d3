/* What nodes tell each other, read from the bytes as they leave.
 *
 * Every direction of every connection between nodes is cut into frames again; of a
 * frame only the first bytes are kept, which hold all that is asked for (the entries
 * of an AppendEntries are not: the logs tell them).  Checksums are not looked at: the
 * bytes are those of the sender.
 *
 *   P1  A message that states a term (all but pre-votes) leaves when the term is on
 *       the sender's disk, and a granted vote when the vote is.
 *   P2  An acknowledgement names no entry that its sender does not call durable.
 *   P3  A voter gives one vote in a term, over its restarts; to ask for votes is to
 *       vote for oneself.  AppendEntries come from the leader of their term.
 *
 * P1 and P2 believe the sender's own account of what is durable.  Whether that is
 * true is asked at its next start: terms, votes and entries that left are promises,
 * which watch.c compares with what a crash has left (V7). */
#include "kvsim/watch.h"

#include <inttypes.h>

#include "base/codec.h"
#include "base/mem.h"
#include "group/group_wire.h"
#include "peer/frame.h"

#define RAFT_HEAD_BYTES 96u /* of a FRAME_RAFT: more than fixed fields take */

void promise__init(struct watch *t)
{
    map_init(&t->streams);
    sim_on_wire(t->w->sim, promise__sent, t);
}

void promise__close(struct watch *t)
{
    struct watch_stream *st;
    size_t it = 0;
    uint64_t id;

    sim_on_wire(t->w->sim, NULL, NULL);
    while ((st = map_next(&t->streams, &it, &id)) != NULL)
        mem_free(st);
    map_close(&t->streams);
}

/* ---- messages ---- */

/* P1. */
static void claims_term(struct watch_shard *s, unsigned from, uint64_t term,
                        const char *how)
{
    struct view *v = &s->view[from];

    if (v->group->durable_term < term)
        ledger_violate(&s->ledger, "node %u states term %" PRIu64 " in %s, and "
                       "has only term %" PRIu64 " durable", from, term, how,
                       v->group->durable_term);
}

/* And it must still be so after a crash (V7). */
static void states_term(struct watch_shard *s, unsigned from, unsigned to,
                        uint64_t term, const char *how)
{
    struct view *v = &s->view[from];

    claims_term(s, from, term, how);
    hostrule__stated(s, from, to, term, how);
    if (term > v->said_term)
        v->said_term = term;
}

static void gives_vote(struct watch_shard *s, unsigned from, uint64_t term,
                       unsigned to)
{
    const struct view *v = &s->view[from];
    const struct group *g = v->group;
    bool seen = v->vote_term == term && v->vote == to;

    ledger_vote(&s->ledger, term, from, to);
    if (g->r.current_term == term && !v->closing &&
        (seen ? v->vote_lsn : g->meta_lsn) > wal_synced(g->gs->wal))
        ledger_violate(&s->ledger, "node %u votes for node %u in term %" PRIu64
                       " before its vote is durable", from, to, term);
}

static void acknowledges(struct watch_shard *s, unsigned from,
                         const struct raft_append_entries_result *r)
{
    struct view *v = &s->view[from];

    /* Of an older term: it waited, and the log may be another by now. */
    if (r->rejected > 0 || r->term != v->group->r.current_term)
        return;
    if (r->last_log_index > v->group->r.last_stored)
        ledger_violate(&s->ledger, "node %u acknowledges entry %" PRIu64
                       ", and calls only entry %" PRIu64 " durable", from,
                       (uint64_t)r->last_log_index,
                       (uint64_t)v->group->r.last_stored);
    if (r->last_log_index > v->stored)
        v->stored = r->last_log_index;
}

static void see_short(struct watch_shard *s, unsigned from, unsigned to,
                      const struct raft_message *m)
{
    const struct raft_request_vote_result *r = &m->request_vote_result;

    switch (m->type) {
    case RAFT_REQUEST_VOTE:
        if (m->request_vote.pre_vote)
            break;
        states_term(s, from, to, m->request_vote.term, "a request for votes");
        gives_vote(s, from, m->request_vote.term, from);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        if (r->pre_vote)
            break;
        states_term(s, from, to, r->term, "an answer to a candidate");
        if (r->vote_granted)
            gives_vote(s, from, r->term, to);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        states_term(s, from, to, m->append_entries_result.term,
                    "an answer to a leader");
        acknowledges(s, from, &m->append_entries_result);
        break;
    case RAFT_TIMEOUT_NOW:
        states_term(s, from, to, m->timeout_now.term, "a handover");
        s->handed_to = to;
        s->handed_term = m->timeout_now.term;
        break;
    case RAFT_APPEND_ENTRIES:
    case RAFT_INSTALL_SNAPSHOT:
    default:
        UNREACHABLE();
    }
}

static void see_raft(struct watch_shard *s, unsigned from, unsigned to,
                     struct slice payload)
{
    struct cursor c = cursor_make(payload);
    struct wire_msg w;
    uint64_t term;
    unsigned type;
    int rv;

    cursor_u8(&c);
    type = cursor_u8(&c);
    cursor_u16(&c);
    term = cursor_varint(&c);
    ASSERT(!c.failed);
    if (type == RAFT_APPEND_ENTRIES) {
        states_term(s, from, to, term, "AppendEntries");
        ledger_leads(&s->ledger, term, from);
        hostrule__append(s, from, to);
        return;
    }
    rv = wire_decode(from, payload, &w);
    ASSERT(rv == 0);
    see_short(s, from, to, &w.m);
    hostrule__message(s, from, to, &w.m);
}

/* ---- frames ---- */

/* The replica that speaks; NULL if it is none that can be asked. */
static struct watch_shard *speaker(struct watch *t, uint64_t group,
                                   unsigned from)
{
    const struct node *n = t->w->host[from].node;
    struct view *v;

    if (group >= t->n_shards)
        return NULL;
    v = &t->shard[group].view[from];
    if (v->group == NULL || !v->looked)
        return NULL;
    v->closing = n != NULL && n->stage >= NODE_CLOSING;
    return &t->shard[group];
}

static void see_read_ack(struct watch *t, unsigned from, unsigned to,
                         struct slice payload)
{
    struct cursor c = cursor_make(payload);

    cursor_u8(&c);
    cursor_varint(&c);
    while (c.n > 0) {
        uint64_t group = cursor_varint(&c);
        uint64_t term = cursor_varint(&c);
        struct watch_shard *s = c.failed ? NULL : speaker(t, group, from);

        if (s == NULL)
            continue;
        /* No promise: with many terms on their way to a slow disk the group states
         * one of them early, which confirms no read of an older leader. */
        claims_term(s, from, term, "an answer to a read round");
        if (term < s->said_to[from][to])
            hostrule__stated(s, from, to, term, "an answer to a read round");
        watch__verdict(t, (unsigned)group);
    }
}

static void see_frame(struct watch *t, const struct watch_stream *st,
                      unsigned from, unsigned to)
{
    struct slice payload = slice_make(st->head + FRAME_HEAD_BYTES,
                                      st->n - FRAME_HEAD_BYTES);
    uint32_t group = get_u32le(st->head + 12);
    struct watch_shard *s;

    if (st->head[9] == FRAME_READ_ACK && st->skip == 0)
        see_read_ack(t, from, to, payload);
    if (st->head[9] != FRAME_RAFT)
        return;
    s = speaker(t, group, from);
    if (s == NULL)
        return;
    see_raft(s, from, to, payload);
    watch__verdict(t, group);
}

/* How much of the frame that begins with these bytes is looked at. */
static void frame_begins(struct watch_stream *st)
{
    uint64_t total = (uint64_t)get_u32le(st->head) + 4;
    unsigned keep = st->head[9] == FRAME_READ_ACK ? WATCH_HEAD_BYTES
                    : st->head[9] == FRAME_RAFT   ? RAFT_HEAD_BYTES
                                                  : FRAME_HEAD_BYTES;

    ASSERT(total >= FRAME_HEAD_BYTES);
    st->want = total < keep ? (unsigned)total : keep;
    st->skip = total - st->want;
}

static struct watch_stream *stream_of(struct watch *t, uint64_t id)
{
    struct watch_stream *st = map_get(&t->streams, id);

    if (st == NULL) {
        st = MEM_NEW(struct watch_stream);
        st->want = FRAME_HEAD_BYTES;
        map_put(&t->streams, id, st);
    }
    return st;
}

static void see_bytes(struct watch *t, struct watch_stream *st, unsigned from,
                      unsigned to, struct slice in)
{
    while (in.n > 0) {
        bool head = st->n < st->want;
        size_t k = head ? st->want - st->n : (size_t)st->skip;

        k = k < in.n ? k : in.n;
        if (head) {
            memcpy(st->head + st->n, in.p, k);
            st->n += (unsigned)k;
        } else {
            st->skip -= k;
        }
        in = slice_make(in.p + k, in.n - k);
        if (head && st->n == FRAME_HEAD_BYTES && st->want == FRAME_HEAD_BYTES)
            frame_begins(st);
        if (head && st->n == st->want)
            see_frame(t, st, from, to);
        if (st->n == st->want && st->skip == 0) {
            st->n = 0;
            st->want = FRAME_HEAD_BYTES;
        }
    }
}

void promise__sent(void *ctx, uint64_t stream, unsigned from, unsigned to,
                   struct slice bytes, bool delivered)
{
    struct watch *t = ctx;
    struct mem_arena *old;

    if (delivered || from > t->w->plan.nodes || to > t->w->plan.nodes)
        return;
    old = mem_arena_use(NULL);
    see_bytes(t, stream_of(t, stream), from, to, bytes);
    mem_arena_use(old);
}
