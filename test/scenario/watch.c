/* Watching a cluster: after every event, what changed on each node becomes facts
 * for the ledger and lines of the transcript.
 *
 * A node's log is compared with the copy of its terms kept from last time.  Equal
 * length and equal last term mean an equal log (Log Matching, which the ledger
 * checks entry by entry), so the usual look is short.  Otherwise the first
 * difference is looked for from the end: what follows it was truncated, what is new
 * was appended.
 *
 * The wire is watched as bytes: each direction of each connection is put back
 * together into frames, once as they leave and once as they arrive. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc.h"
#include "base/mem.h"
#include "scenario/cluster.h"

/* ---- lines ---- */

static void line(struct cluster *c, const char *who, const char *fmt,
                 va_list ap)
{
    struct mem_arena *old = mem_arena_use(NULL);
    char text[512];

    vsnprintf(text, sizeof text, fmt, ap);
    buf_printf(&c->transcript, "%10.3f  %-8s  %s\n", cluster_ms(c), who, text);
    if (c->echo)
        printf("%10.3f  %-8s  %s\n", cluster_ms(c), who, text);
    mem_arena_use(old);
}

void watch_line(struct cluster *c, unsigned node, const char *fmt, ...)
{
    char who[16];
    va_list ap;

    snprintf(who, sizeof who, "n%u", node);
    va_start(ap, fmt);
    line(c, who, fmt, ap);
    va_end(ap);
}

__attribute__((format(printf, 4, 5))) static void
message_line(struct cluster *c, unsigned from, unsigned to, const char *fmt,
             ...)
{
    char who[16];
    va_list ap;

    snprintf(who, sizeof who, "n%u->n%u", from, to);
    va_start(ap, fmt);
    line(c, who, fmt, ap);
    va_end(ap);
}

void cluster_note(struct cluster *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line(c, "--", fmt, ap);
    va_end(ap);
}

static bool shows(const struct cluster *c, unsigned what)
{
    return (c->cfg.show & what) != 0;
}

/* "4" or "4..9" */
static const char *range(char *buf, size_t n, uint64_t first, uint64_t last)
{
    if (first == last)
        snprintf(buf, n, "%" PRIu64, first);
    else
        snprintf(buf, n, "%" PRIu64 "..%" PRIu64, first, last);
    return buf;
}

/* ---- the log of a node ---- */

static void seen_reserve(struct seen *s, uint64_t last)
{
    if (last < s->cap)
        return;
    s->cap = 2 * last < 64 ? 64 : 2 * last;
    s->terms = mem_realloc(s->terms, (size_t)s->cap * sizeof *s->terms);
    s->terms[0] = 0;
}

static void note_entry(struct member *m, uint64_t index)
{
    const struct gent *e = log__at(&m->g->log, index);
    struct ledger_entry fact = {
        .index = index,
        .term = e->term,
        .prev_term = m->seen.terms[index - 1],
    };

    if (e->blob != NULL) {
        fact.crc = crc32c(0, e->blob->data, e->blob->len);
        fact.has_crc = true;
    }
    ledger_entry(&m->c->ledger, m->id, &fact);
}

/* ---- the configuration ---- */

/* "vvs": the roles of servers 1, 2, 3. */
static void members_text(char *text, const struct raft_configuration *conf)
{
    ASSERT(conf->n <= CLUSTER_NODES_MAX);
    for (unsigned i = 0; i < conf->n; i++) {
        ASSERT(conf->servers[i].id == i + 1);
        text[i] = conf->servers[i].role == RAFT_VOTER ? 'v' : 's';
    }
    text[conf->n] = 0;
}

/* Where the last configuration is in a log that changed above index `same`. */
static uint64_t last_change(const struct member *m, uint64_t same)
{
    const struct glog *log = &m->g->log;
    uint64_t low = m->seen.change <= same ? m->seen.change : 0;

    for (uint64_t i = log__last(log); i > low; i--)
        if (log__at(log, i)->type == RAFT_CHANGE)
            return i;
    return low;
}

/* What is in use is the last configuration in the log. */
static void look_at_members(struct member *m)
{
    struct raft_configuration conf;
    char text[CLUSTER_NODES_MAX + 1], want[CLUSTER_NODES_MAX + 1];
    struct blob *blob = log__at(&m->g->log, m->seen.change)->blob;
    struct raft_buffer b = { .base = blob->data, .len = blob->len };

    members_text(text, &m->g->r.configuration);
    if (raft_configuration_decode(&b, &conf) != 0)
        UNREACHABLE();
    members_text(want, &conf);
    raft_configuration_close(&conf);
    if (strcmp(text, want) != 0)
        ledger_violate(&m->c->ledger, "node %u counts %s, and its log says %s",
                       m->id, text, want);
    if (strcmp(text, m->seen.members) == 0)
        return;
    if (shows(m->c, SHOW_ROLES) && m->seen.members[0] != 0)
        watch_line(m->c, m->id, "counts %s", text);
    strcpy(m->seen.members, text);
}

/* ---- the log of a node, continued ---- */

static void look_at_log(struct member *m)
{
    struct seen *s = &m->seen;
    const struct glog *log = &m->g->log;
    uint64_t last = log__last(log), same = s->last;
    char r[48];

    if (log->bytes > m->tail_bytes_max)
        m->tail_bytes_max = log->bytes;
    if (same > last)
        same = last;
    if (last == s->last && (last == 0 || s->terms[last] == log__term(log, last)))
        return;
    while (same > 0 && s->terms[same] != log__term(log, same))
        same--;
    if (same < s->last && shows(m->c, SHOW_LOG))
        watch_line(m->c, m->id, "truncates %s",
                   range(r, sizeof r, same + 1, s->last));
    seen_reserve(s, last);
    for (uint64_t i = same + 1; i <= last; i++) {
        s->terms[i] = log__term(log, i);
        note_entry(m, i);
    }
    s->change = last_change(m, same);
    s->last = last;
    if (last > same && shows(m->c, SHOW_LOG))
        watch_line(m->c, m->id, "appends %s, term %" PRIu64,
                   range(r, sizeof r, same + 1, last), s->terms[last]);
}

/* Leader Completeness: a new leader has every entry that was committed. */
static void check_complete(struct member *m, uint64_t term)
{
    const struct ledger *l = &m->c->ledger;

    if (ledger_committed(l, l->max_committed) > term)
        return; /* its votes were late: what a later leader commits is not owed */
    for (uint64_t i = 1; i <= l->max_committed; i++) {
        uint64_t t = ledger_committed(l, i);

        if (t != 0 && log__term(&m->g->log, i) != t) {
            ledger_violate(&m->c->ledger, "node %u leads term %" PRIu64
                           " without the committed entry %" PRIu64,
                           m->id, term, i);
            return;
        }
    }
}

static void look_at_role(struct member *m)
{
    static const char *const names[] = { "follower", "candidate", "leader" };
    struct seen *s = &m->seen;
    enum group_role role = group_role(m->g);
    uint64_t term = group_term(m->g), leader = group_leader(m->g);
    bool ready = group_ready(m->g);
    bool elected = role == GROUP_LEADER &&
                   (s->role != GROUP_LEADER || s->term != term);

    if (role == s->role && term == s->term && leader == s->leader &&
        ready == s->ready)
        return;
    if (shows(m->c, SHOW_ROLES) && role == GROUP_FOLLOWER && leader != 0)
        watch_line(m->c, m->id, "follower of n%" PRIu64 ", term %" PRIu64,
                   leader, term);
    else if (shows(m->c, SHOW_ROLES))
        watch_line(m->c, m->id, "%s, term %" PRIu64 "%s", names[role], term,
                   ready ? ", ready" : "");
    s->role = role;
    s->term = term;
    s->leader = leader;
    s->ready = ready;
    if (role == GROUP_LEADER)
        ledger_leads(&m->c->ledger, term, m->id);
    if (elected)
        check_complete(m, term);
}

/* True if it has applied more. */
static bool look_at_commit(struct member *m)
{
    struct seen *s = &m->seen;
    uint64_t commit = group_commit(m->g), applied = group_applied(m->g);
    bool more = applied > s->applied;
    char r[48];

    for (uint64_t i = s->commit + 1; i <= commit; i++)
        ledger_commit(&m->c->ledger, m->id, i, log__term(&m->g->log, i));
    if (commit > s->commit && shows(m->c, SHOW_COMMIT))
        watch_line(m->c, m->id, "commits %s",
                   range(r, sizeof r, s->commit + 1, commit));
    if (more && shows(m->c, SHOW_COMMIT))
        watch_line(m->c, m->id, "applies %s",
                   range(r, sizeof r, s->applied + 1, applied));
    s->commit = commit;
    s->applied = applied;
    return more;
}

/* ---- proposals ---- */

static void proposal_end(struct cluster *c, struct proposal *p, int state)
{
    static const char *const words[] = {
        [PROPOSAL_ACKED] = "acknowledges",
        [PROPOSAL_LOST] = "reports as lost",
        [PROPOSAL_UNKNOWN] = "can no longer tell about",
    };

    p->state = state;
    p->done_us = sim_now(c->sim);
    c->n_acked += state == PROPOSAL_ACKED;
    if (state == PROPOSAL_ACKED && p->index > c->max_acked)
        c->max_acked = p->index;
    if (shows(c, SHOW_CLIENT))
        watch_line(c, p->node, "%s %s, entry %" PRIu64, words[state], p->name,
                   p->index);
}

/* The proposer applied its entry's index: with its term, that is the
 * acknowledgement; with another, the entry is lost for good. */
static void look_at_proposals(struct cluster *c)
{
    for (size_t i = c->first_open; i < c->n_proposals; i++) {
        struct proposal *p = &c->proposals[i];
        const struct member *m = &c->node[p->node];

        if (p->state != PROPOSAL_OPEN)
            continue;
        if (m->lives != p->life)
            proposal_end(c, p, PROPOSAL_UNKNOWN);
        else if (m->seen.applied >= p->index)
            proposal_end(c, p, m->seen.terms[p->index] == p->term
                                   ? PROPOSAL_ACKED : PROPOSAL_LOST);
    }
    while (c->first_open < c->n_proposals &&
           c->proposals[c->first_open].state != PROPOSAL_OPEN)
        c->first_open++;
}

void watch_read(struct group_read *read, int status)
{
    struct mem_arena *old = mem_arena_use(NULL);
    struct reading *r = read->data;
    struct cluster *c = r->c;
    uint64_t applied = group_applied(c->node[r->node].g);

    c->n_reads_answered += status == 0;
    c->n_reads_refused += status != 0;
    if (status == 0 && applied < r->must)
        ledger_violate(&c->ledger, "node %u answered a read with %" PRIu64
                       " entries applied; entry %" PRIu64 " was acknowledged "
                       "before the read began", r->node, applied, r->must);
    if (shows(c, SHOW_CLIENT) && status == 0)
        watch_line(c, r->node, "answers the read of %s as of entry %" PRIu64,
                   r->name, applied);
    else if (shows(c, SHOW_CLIENT))
        watch_line(c, r->node, "refuses the read of %s: %s", r->name,
                   kv_errname(status));
    list_del(&r->link);
    mem_free(r);
    mem_arena_use(old);
}

void watch_event(void *ctx)
{
    struct cluster *c = ctx;
    bool more = false;

    for (unsigned i = 1; i <= c->cfg.nodes; i++) {
        struct member *m = &c->node[i];

        if (m->g == NULL || !m->g->started)
            continue;
        look_at_log(m);
        look_at_members(m);
        look_at_role(m);
        more = look_at_commit(m) || more;
    }
    if (more)
        look_at_proposals(c);
}

void watch_apply(void *ctx, uint64_t index, uint64_t term,
                 struct slice payload)
{
    struct member *m = ctx;
    struct mem_arena *old = mem_arena_use(NULL);
    const struct ledger_entry *e = ledger_find(&m->c->ledger, index, term);

    if (index <= m->applied)
        ledger_violate(&m->c->ledger, "node %u applied entry %" PRIu64
                       " after entry %" PRIu64, m->id, index, m->applied);
    if (e != NULL && e->has_crc && e->crc != crc32c(0, payload.p, payload.n))
        ledger_violate(&m->c->ledger, "node %u applied other bytes as entry %"
                       PRIu64 " than were proposed", m->id, index);
    ledger_commit(&m->c->ledger, m->id, index, term);
    m->applied = index;
    mem_arena_use(old);
}

void watch_started(struct member *m)
{
    struct seen *s = &m->seen;

    /* What its disk brought back is compared with what it had. */
    s->role = GROUP_FOLLOWER;
    s->term = s->leader = s->commit = s->applied = 0;
    s->ready = false;
    m->applied = 0;
    watch_event(m->c);
}

void watch_stopped(struct member *m)
{
    m->lives++;
    sides_stopped(m);
    m->env = NULL;
    m->wal = NULL;
    m->links = NULL;
    m->gs = NULL;
    m->g = NULL;
    look_at_proposals(m->c);
}

/* ---- the wire ---- */

static void see_vote(struct cluster *c, unsigned from, unsigned to,
                     const struct raft_message *m)
{
    const struct raft_request_vote *v = &m->request_vote;
    const struct raft_request_vote_result *r = &m->request_vote_result;

    if (m->type == RAFT_REQUEST_VOTE) {
        if (shows(c, SHOW_VOTES))
            message_line(c, from, to, "asks for a %s in term %llu, log %llu/%llu",
                         v->pre_vote ? "pre-vote" : "vote", v->term,
                         v->last_log_index, v->last_log_term);
        return;
    }
    if (r->vote_granted && !r->pre_vote)
        ledger_vote(&c->ledger, r->term, from, to);
    if (shows(c, SHOW_VOTES))
        message_line(c, from, to, "%s %s in term %llu",
                     r->vote_granted ? "gives" : "refuses",
                     r->pre_vote ? "pre-vote" : "vote", r->term);
}

static void see_append(struct cluster *c, unsigned from, unsigned to,
                       const struct wire_msg *w)
{
    const struct raft_append_entries *a = &w->m.append_entries;
    char r[48];

    ledger_leads(&c->ledger, a->term, from);
    if (w->n_entries == 0)
        return;
    c->n_appends++;
    if (shows(c, SHOW_AE))
        message_line(c, from, to, "append %s after %llu/%llu, commit %llu",
                     range(r, sizeof r, a->prev_log_index + 1,
                           a->prev_log_index + w->n_entries),
                     a->prev_log_index, a->prev_log_term, a->leader_commit);
}

static void see_result(struct cluster *c, unsigned from, unsigned to,
                       const struct raft_append_entries_result *r)
{
    struct told *told = &c->told[from][to];
    bool again = told->rejected == r->rejected && told->term == r->term &&
                 told->last == r->last_log_index;

    c->n_rejects[from] += r->rejected > 0;
    *told = (struct told){ .term = r->term, .rejected = r->rejected,
                           .last = r->last_log_index };
    if (again || !shows(c, SHOW_AE))
        return;
    if (r->rejected > 0)
        message_line(c, from, to, "rejects %llu, hints at %llu", r->rejected,
                     r->last_log_index);
    else
        message_line(c, from, to, "has stored %llu", r->last_log_index);
}

static void see_sent(struct cluster *c, unsigned from, unsigned to,
                     const struct wire_msg *w)
{
    switch (w->m.type) {
    case RAFT_REQUEST_VOTE:
    case RAFT_REQUEST_VOTE_RESULT:
        see_vote(c, from, to, &w->m);
        break;
    case RAFT_APPEND_ENTRIES:
        see_append(c, from, to, w);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        see_result(c, from, to, &w->m.append_entries_result);
        break;
    case RAFT_TIMEOUT_NOW:
        if (shows(c, SHOW_VOTES))
            message_line(c, from, to, "says: time out now, term %llu",
                         w->m.timeout_now.term);
        break;
    case RAFT_INSTALL_SNAPSHOT:
    default:
        UNREACHABLE();
    }
}

static struct buf *stream_of(struct cluster *c, uint64_t id, bool delivered)
{
    struct buf *b = map_get(&c->streams[delivered], id);

    if (b == NULL) {
        b = MEM_NEW(struct buf);
        buf_init(b);
        map_put(&c->streams[delivered], id, b);
    }
    return b;
}

void watch_wire(void *ctx, uint64_t stream, unsigned from, unsigned to,
                struct slice bytes, bool delivered)
{
    struct cluster *c = ctx;
    struct mem_arena *old = mem_arena_use(NULL);
    struct buf *b = stream_of(c, stream, delivered);
    struct frame_head head;
    struct slice payload;
    struct wire_msg w;
    size_t used;
    int rv;

    buf_put_slice(b, bytes);
    while ((rv = frame_decode(buf_slice(b), &head, &payload, &used)) == 0) {
        if (head.kind == FRAME_RAFT && head.group == CLUSTER_GROUP) {
            rv = wire_decode(from, payload, &w);
            ASSERT(rv == 0);
            if (!delivered)
                see_sent(c, from, to, &w);
            if (c->wire != NULL)
                c->wire(c->wire_ctx, from, to, &w, delivered);
        }
        buf_consume(b, used);
    }
    ASSERT(rv == KV_EAGAIN);
    mem_arena_use(old);
}
