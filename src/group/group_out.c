/* The output gate and the frames that leave.
 *
 * The core tells what to send; this file decides when.  Every message carries
 * a gate, the WAL position of the group's latest term and vote at the time it
 * was made, and leaves only when the WAL is synced up to there: a vote, a term
 * in any message or an acknowledgement can then not be forgotten by a crash.  A
 * stable leader's gate is long past, so its AppendEntries leave while its own
 * disk still writes the same entries; and acknowledgements of entries need no
 * gate of their own, because the core reports only what PERSISTED_ENTRIES told
 * it is stored.
 *
 * AppendEntries arrive from the core as a range [prev+1, prev+n]: it keeps no
 * entries.  They are cut into messages of at most ae_bytes_max payload bytes,
 * each anchored at the entry before it.  When a payload was evicted, or the
 * link's queue is long, the rest of the range waits, not as frames but as
 * numbers, so that a follower that is far behind costs no memory.
 *
 * Invariants
 *   O1  Per group and peer, frames leave in the order the core made them: what
 *       has to wait holds up everything behind it.
 *   O2  No frame leaves before its gate is durable.
 *   O3  A range is built into frames only while this node leads the term it was
 *       made in: then its log only grows, and the entries are those meant.
 *   O4  What was sent from the same anchor within half a heartbeat is not sent
 *       again: the core repeats everything to a peer it probes (rule S13), and
 *       sends two empty messages per entry when a window is full. */
#include "group/group_int.h"

#include <string.h>

#include "base/mem.h"
#include "group/group_rules.h"
#include "group/group_wire.h"

static void reader_ready(void *ctx, int status);

static struct gpeer *peer_of(struct group *g, uint64_t id)
{
    struct gpeer *p;

    for (unsigned i = 0; i < g->n_peers; i++)
        if (g->peer[i].id == id)
            return &g->peer[i];
    if (g->n_peers == GROUP_MEMBERS_MAX)
        return NULL;
    p = &g->peer[g->n_peers++];
    *p = (struct gpeer){ .id = id, .g = g };
    list_init(&p->held);
    return p;
}

static void send_frame(struct group *g, struct gpeer *p, struct frame *f)
{
    struct groupset *gs = g->gs;

    ASSERT(f->head.kind == FRAME_RAFT);
    ASSERT(p->id != g->r.id);
    frame_seal(f);
    gs->stats.frames_out++;
    if (links_send(gs->links, p->id, f) != 0) {
        gs->stats.frames_dropped++;
        p->ae_term = 0; /* nothing of it counts as sent */
    }
}

/* The payload of an entry, from the tail or from what was read back. */
static struct blob *payload_of(struct group *g, struct gpeer *p, uint64_t index)
{
    const struct gent *e = log__at(&g->log, index);

    ASSERT(e != NULL);
    if (e->blob != NULL)
        return e->blob;
    return p->reader == NULL ? NULL : reader__get(p->reader, &g->log, index);
}

/* How many entries from prev+1 on fit one message and are at hand.  0: some
 * must be read back first.  A window under way is waited for as a whole. */
static unsigned next_piece(struct group *g, struct gpeer *p,
                           const struct gout *o)
{
    size_t bytes = 0;
    unsigned k = 0;

    while (k < o->n && k < WIRE_ENTRIES_MAX) {
        const struct gent *e = log__at(&g->log, o->prev + 1 + k);

        ASSERT(e != NULL);
        if (k > 0 && bytes + e->len > g->gs->cfg.ae_bytes_max)
            break;
        if (payload_of(g, p, o->prev + 1 + k) == NULL)
            return p->reader != NULL && p->reader->pending > 0 ? 0 : k;
        bytes += e->len;
        k++;
    }
    return k;
}

static void send_piece(struct group *g, struct gpeer *p, const struct gout *o,
                       unsigned k)
{
    struct raft_append_entries ae = {
        .term = o->term,
        .prev_log_index = o->prev,
        .prev_log_term = log__term(&g->log, o->prev),
        .leader_commit = o->commit,
        .n_entries = k,
    };
    struct frame *f;

    ASSERT(k <= o->n);
    ASSERT(o->prev + k <= log__last(&g->log));
    ASSERT(o->prev == 0 || ae.prev_log_term > 0);
    f = wire_encode_ae(g->id, &ae);
    for (unsigned i = 0; i < k; i++) {
        const struct gent *e = log__at(&g->log, o->prev + 1 + i);

        wire_put_entry(f, e->term, e->type, payload_of(g, p, o->prev + 1 + i));
    }
    send_frame(g, p, f);
}

/* Read back what the range needs next.  Its first entry may be at hand: a
 * CHANGE stays in memory among others that were evicted. */
static void want_payloads(struct group *g, struct gpeer *p,
                          const struct gout *o)
{
    ASSERT(o->n > 0);
    if (p->reader == NULL)
        p->reader = reader__new(g->gs->wal, reader_ready, p);
    reader__want(p->reader, &g->log, o->prev + 1, o->prev + o->n);
}

/* Send as much of the range as may go now.  True when nothing is left. */
static bool send_range(struct group *g, struct gpeer *p, struct gout *o)
{
    size_t aes = GROUP_LINK_BACKLOG_AES * g->gs->cfg.ae_bytes_max;
    size_t backlog = aes > GROUP_LINK_BACKLOG_MIN ? aes : GROUP_LINK_BACKLOG_MIN;

    if (g->r.state != RAFT_LEADER || g->r.current_term != o->term)
        return true; /* O3: nobody would listen */
    if (!links_is_up(g->gs->links, p->id)) {
        g->gs->stats.frames_dropped++;
        p->ae_term = 0;
        return true; /* not worth building */
    }
    if (o->n == 0) {
        send_piece(g, p, o, 0);
        return true;
    }
    while (o->n > 0) {
        unsigned k;

        if (links_queued(g->gs->links, p->id) > backlog)
            return false;
        k = next_piece(g, p, o);
        if (k == 0) {
            want_payloads(g, p, o);
            return false;
        }
        send_piece(g, p, o, k);
        o->prev += k;
        o->n -= k;
    }
    return true;
}

/* Send o if it may go.  True when it is done with (sent or obsolete). */
static bool send_out(struct group *g, struct gpeer *p, struct gout *o)
{
    if (o->gate > wal_synced(g->gs->wal))
        return false; /* O2 */
    if (o->frame == NULL)
        return send_range(g, p, o);
    send_frame(g, p, o->frame);
    o->frame = NULL;
    return true;
}

static void hold(struct group *g, struct gpeer *p, const struct gout *o)
{
    struct gout *copy;

    if (p->n_held == GROUP_HELD_MAX) { /* Raft copes with loss */
        g->gs->stats.frames_dropped++;
        p->ae_term = 0;
        frame_free(o->frame);
        return;
    }
    ASSERT(o->frame == NULL || o->n == 0);
    copy = mem_alloc(sizeof *copy);
    *copy = *o;
    list_add_tail(&p->held, &copy->link);
    p->n_held++;
    g->gs->stats.frames_held++;
    if (list_empty(&g->held))
        list_add_tail(&g->gs->held, &g->held);
}

static void pass(struct group *g, struct gpeer *p, struct gout *o)
{
    if (!list_empty(&p->held) || !send_out(g, p, o))
        hold(g, p, o); /* O1 */
}

static bool release_peer(struct group *g, struct gpeer *p)
{
    while (!list_empty(&p->held)) {
        struct gout *o = LIST_FIRST(&p->held, struct gout, link);

        if (!send_out(g, p, o))
            return false;
        list_del(&o->link);
        mem_free(o);
        ASSERT(p->n_held > 0);
        p->n_held--;
    }
    ASSERT(p->n_held == 0);
    if (p->reader != NULL) {
        reader__free(p->reader);
        p->reader = NULL;
    }
    return true;
}

bool out__release(struct group *g)
{
    bool all = true;

    for (unsigned i = 0; i < g->n_peers; i++)
        all = release_peer(g, &g->peer[i]) && all;
    return all;
}

static void reader_ready(void *ctx, int status)
{
    struct gpeer *p = ctx;
    struct group *g = p->g;

    if (status != 0) {
        group__unreadable(g, status);
        return;
    }
    g->gs->stats.entries_read++;
    env_wake(g->gs->env); /* the turn releases what is held */
}

void out__forget(struct group *g, uint64_t peer)
{
    struct gpeer *p = peer_of(g, peer);

    if (p != NULL)
        p->ae_term = 0;
}

/* O4: cut off what went out lately from the same anchor.  False: nothing is
 * left. */
static bool cut_repeated(struct group *g, struct gpeer *p, struct gout *o)
{
    uint64_t now = env_now_ms(g->gs->env);
    uint64_t end = o->prev + o->n;
    bool again = p->ae_term == o->term && p->ae_prev == o->prev &&
                 now - p->ae_ms < g->gs->cfg.heartbeat_ms / 2;

    if (!again) {
        p->ae_term = o->term;
        p->ae_prev = o->prev;
        p->ae_end = end;
        p->ae_ms = now;
        return true;
    }
    if (end <= p->ae_end) {
        o->n = 0;
        return g->in_timeout; /* a heartbeat is due in any case */
    }
    ASSERT(p->ae_end >= o->prev);
    o->prev = p->ae_end;
    o->n = end - p->ae_end;
    p->ae_end = end;
    return true;
}

void out__message(struct group *g, const struct raft_message *in)
{
    struct raft_message m = *in;
    struct gpeer *p = peer_of(g, m.server_id);
    struct gout o = { .gate = g->meta_lsn };

    if (p == NULL) {
        g->gs->stats.frames_dropped++;
        return;
    }
    if (SABOTAGE(VOTE_UNGATED) ||
        (SABOTAGE(TERM_UNGATED) && m.type != RAFT_REQUEST_VOTE_RESULT))
        o.gate = 0;
    switch (m.type) {
    case RAFT_APPEND_ENTRIES:
        o.term = m.append_entries.term;
        o.commit = m.append_entries.leader_commit;
        o.prev = m.append_entries.prev_log_index;
        o.n = m.append_entries.n_entries;
        if (!cut_repeated(g, p, &o))
            return;
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        if (g->stale_ae)
            m.append_entries_result.last_log_index =
                0; /* the core left it unset */
        rules__s12_hint(&g->r, &m.append_entries_result);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        rules__s5_term(&g->r, &m.request_vote_result);
        break;
    case RAFT_REQUEST_VOTE:
    case RAFT_TIMEOUT_NOW:
        break;
    case RAFT_INSTALL_SNAPSHOT:
    default:
        UNREACHABLE(); /* the log is never compacted, so that no snapshot is
                          needed */
    }
    if (m.type != RAFT_APPEND_ENTRIES)
        o.frame = wire_encode(g->id, &m);
    pass(g, p, &o);
}

void out__close(struct group *g)
{
    for (unsigned i = 0; i < g->n_peers; i++) {
        struct gpeer *p = &g->peer[i];

        while (!list_empty(&p->held)) {
            struct gout *o = LIST_FIRST(&p->held, struct gout, link);

            list_del(&o->link);
            frame_free(o->frame);
            mem_free(o);
        }
        reader__free(p->reader);
        p->reader = NULL;
    }
}
