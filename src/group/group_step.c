/* Events in, updates out: the only place that calls raft_step.
 *
 *   frame --- step__receive --.                  .-> HARDSTATE record, gate
 *   timer --- step__timeout --+                  +-> APPEND record, log tail
 *   client -- step__submit ---+--> step__run ----+-> messages (group_out.c)
 *   WAL ----- step__durable --+   (raft_step)    +-> role, leader, barrier due
 *   apply --- CONFIGURATION --'                  '-> commit index
 *
 * The core is told at once that everything is on its way and later, by
 * PERSISTED_ENTRIES, what is stored.  It never needs to know when its term and
 * vote are durable: the gate keeps every message that depends on them.
 *
 * Runs.  Each APPEND record is remembered as {lsn, first, last} until the WAL
 * has synced it.  A truncation at t cuts the runs that reach beyond t - 1:
 * their later entries are durable, perhaps, but are no longer the current ones.
 * When the WAL is synced up to p, the highest entry that is durable and current
 * is the last one of the last run at or below p.  (Comparing terms, as
 * libraft's own host does, gives the same: two logs that agree on an entry's
 * term at an index agree below it.)
 *
 * Invariants
 *   T1  Runs are in order of lsn and of index; they end at the log's end or are
 *       empty.
 *   T2  Nothing above runs inside raft_step, and raft_step is not entered
 *       twice.
 *   T3  commit_max is the highest commit index seen: the core's may move back
 *       (an AppendEntries that ends below it), what is committed stays
 *       committed.
 *   T4  A follower's timeout is not fired while its log is not stored: the core
 *       would throw it away and wait for a whole new one. */
#include "group/group_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "group/group_rules.h"
#include "group/group_wire.h"

#define BARRIER_BYTES 8u /* as long as the core's own */

/* ---- updates out ---- */

static void put_hardstate(struct group *g)
{
    uint64_t term = g->r.current_term;
    unsigned last = g->n_terms - 1;

    if (term == g->put_term && g->r.voted_for == g->put_vote)
        return; /* the core says so again, for a vote that is asked for twice */
    g->put_term = term;
    g->put_vote = g->r.voted_for;
    g->meta_lsn = wal_put_hardstate(g->gs->wal, g->id, term, g->r.voted_for);
    if (list_empty(&g->dirty))
        list_add_tail(&g->gs->dirty, &g->dirty);
    if (g->n_terms > 0 && g->terms[last].term == term)
        return; /* a vote in a term whose record is on its way already */
    if (g->n_terms == 0 && term == g->durable_term)
        return;
    if (g->n_terms == GROUP_TERMS_PENDING_MAX) {
        /* To state a term too early is safe: it confirms no reads of older
         * ones. */
        g->durable_term = g->terms[0].term;
        memmove(&g->terms[0], &g->terms[1], last * sizeof g->terms[0]);
        g->n_terms--;
    }
    ASSERT(term > g->durable_term);
    ASSERT(g->n_terms == 0 || term > g->terms[g->n_terms - 1].term);
    g->terms[g->n_terms].lsn = g->meta_lsn;
    g->terms[g->n_terms].term = term;
    g->n_terms++;
}

static void run_add(struct group *g, uint64_t lsn, uint64_t first,
                    uint64_t last)
{
    ASSERT(first <= last);
    ASSERT(g->n_runs == 0 ||
           g->runs[g->runs_head + g->n_runs - 1].last < first);
    if (g->runs_head > 0 && g->runs_head + g->n_runs == g->cap_runs) {
        memmove(g->runs, g->runs + g->runs_head, g->n_runs * sizeof *g->runs);
        g->runs_head = 0;
    }
    if (g->n_runs == g->cap_runs) {
        g->cap_runs = g->cap_runs == 0 ? 16 : g->cap_runs * 2;
        g->runs = mem_realloc(g->runs, g->cap_runs * sizeof *g->runs);
    }
    g->runs[g->runs_head + g->n_runs++] =
        (struct grun){ .lsn = lsn, .first = first, .last = last };
    if (list_empty(&g->dirty))
        list_add_tail(&g->gs->dirty, &g->dirty);
}

static void truncate_from(struct group *g, uint64_t index)
{
    check__truncate(g, index);
    for (uint64_t i = index; i <= log__last(&g->log); i++)
        g->uncommitted_bytes -= log__at(&g->log, i)->len;
    if (!SABOTAGE(NO_TRUNCATE))
        log__truncate(&g->log, index);
    if (g->open_last >= index)
        g->open_last = index - 1;
    for (unsigned i = 0; i < g->n_runs; i++) {
        struct grun *run = &g->runs[g->runs_head + i];

        if (run->last >= index)
            run->last = index - 1;
    }
}

/* The payload of entry k of an update: one of the event's, or the core's own
 * barrier, which becomes ours to free. */
static struct blob *update_blob(const struct raft_update *u, unsigned k,
                                const struct raft_entry *ents,
                                struct blob *const *blobs, unsigned n)
{
    const struct raft_entry *e = &u->entries.batch[k];
    struct blob *b;

    if (n > 0 && e >= ents && e < ents + n)
        return blob_ref(blobs[e - ents]);
    ASSERT(e->type == RAFT_BARRIER);
    b = blob_copy(slice_make(e->buf.base, e->buf.len));
    raft_free(e->batch);
    return b;
}

/* A planted fault: an entry that conflicts keeps its old payload in memory. */
static bool keep_replaced(struct group *g, uint64_t index,
                          const struct wal_entry *w)
{
    struct gent *e = log__at(&g->log, index);

    if (e == NULL)
        return false;
    g->uncommitted_bytes += e->len;
    g->uncommitted_bytes -= w->len;
    e->term = w->term;
    blob_unref(w->blob);
    return true;
}

static void put_entries(struct group *g, const struct raft_update *u,
                        const struct raft_entry *ents,
                        struct blob *const *blobs, unsigned n)
{
    struct groupset *gs = g->gs;
    uint64_t first = u->entries.index;
    unsigned count = u->entries.n;
    uint64_t lsn;

    ASSERT(count > 0);
    if (first <= log__last(&g->log))
        truncate_from(g, first);
    ASSERT(first == log__last(&g->log) + 1 || SABOTAGE(NO_TRUNCATE));
    groupset__wal_scratch(gs, count);
    for (unsigned i = 0; i < count; i++) {
        const struct raft_entry *e = &u->entries.batch[i];
        struct blob *b = update_blob(u, i, ents, blobs, n);

        gs->wents[i] = (struct wal_entry){
            .term = e->term, .type = (uint8_t)e->type, .len = b->len, .blob = b
        };
    }
    lsn = wal_put_entries(gs->wal, g->id, first, gs->wents, count);
    for (unsigned i = 0; i < count; i++) {
        const struct wal_entry *w = &gs->wents[i];

        g->uncommitted_bytes += w->len;
        if (SABOTAGE(NO_TRUNCATE) && keep_replaced(g, first + i, w))
            continue;
        log__append(&g->log, (struct gent){ .term = w->term,
                                            .blob = w->blob,
                                            .pos = w->pos,
                                            .len = w->len,
                                            .type = w->type });
    }
    ASSERT(log__last(&g->log) == first + count - 1 || SABOTAGE(NO_TRUNCATE));
    run_add(g, lsn, first, log__last(&g->log));
    if (rules__s15_gated(&g->r, u->entries.batch, count))
        g->meta_lsn = lsn;
}

/* Planted faults, for tests of the checkers only: what is taken for committed
 * although it is not. */
static uint64_t sabotaged_commit(const struct group *g)
{
    uint64_t best = g->r.commit_index;
    raft_index match;

    if (SABOTAGE(APPLY_UNCOMMITTED))
        return g->r.last_stored > best ? g->r.last_stored : best;
    for (uint64_t i = best + 1; i <= g->r.last_stored; i++) {
        const struct raft_configuration *c = &g->r.configuration;
        unsigned voters = 0, have = 0;

        for (unsigned k = 0; k < c->n; k++) {
            voters += c->servers[k].role == RAFT_VOTER;
            if (c->servers[k].role == RAFT_VOTER)
                have += c->servers[k].id == g->r.id ||
                        (raft_match_index(&g->r, c->servers[k].id, &match) ==
                             0 && match >= i);
        }
        if (have > voters / 2)
            best = i;
    }
    return best;
}

static void note_commit(struct group *g)
{
    uint64_t commit = g->r.commit_index;

    if (SABOTAGE(APPLY_UNCOMMITTED) || SABOTAGE(COMMIT_OLD_TERM))
        commit = sabotaged_commit(g);
    ASSERT(commit <= log__last(&g->log));
    while (g->commit_max < commit) { /* T3 */
        const struct gent *e = log__at(&g->log, g->commit_max + 1);

        ASSERT(e != NULL);
        ASSERT(g->uncommitted_bytes >= e->len);
        g->uncommitted_bytes -= e->len;
        g->commit_max++;
    }
    if (g->applied < apply__target(g))
        groupset__work(g);
}

static void note_role(struct group *g, const struct raft_update *u)
{
    if ((u->flags & (RAFT_UPDATE_STATE)) != 0 && g->r.state == RAFT_LEADER) {
        g->gs->stats.elections++;
        g->led = true;
        g->barrier_term = g->r.current_term;
        g->want_barrier = rules__s8_needs_barrier(&g->r, u->flags);
        g->barrier_index = g->want_barrier ? UINT64_MAX : log__last(&g->log);
        groupset__work(g);
    }
    if (g->r.state != RAFT_LEADER || g->barrier_term != g->r.current_term) {
        g->want_barrier = false;
        read__step_down(g);
    }
    group__note_state(g);
}

int step__run(struct group *g, struct raft_event *ev,
              const struct raft_entry *ents, struct blob *const *blobs,
              unsigned n)
{
    struct group_before before = check__before(g);
    struct raft_update u;
    int rv;

    ASSERT(g->started || ev->type == RAFT_START);
    ASSERT(g->r.update == NULL); /* T2 */
    ev->time = env_now_ms(g->gs->env);
    ev->capacity = 0;
    g->gs->stats.steps++;
    g->in_timeout = ev->type == RAFT_TIMEOUT;
    g->r.heartbeat_timeout = rules__s13_heartbeat(ev, g->gs->cfg.heartbeat_ms);
    rv = raft_step(&g->r, ev, &u);
    g->r.heartbeat_timeout = g->gs->cfg.heartbeat_ms;
    if (rules__s10_fatal(ev, rv))
        group__fatal(g, "the consensus core failed",
                     "event=%d error=%d reason=\"%s\"", (int)ev->type, rv,
                     rv == RAFT_SHUTDOWN
                         ? "a leader contradicts a committed entry"
                         : raft_strerror(rv));
    if (rv != 0)
        return rv;
    if ((u.flags & (RAFT_UPDATE_CURRENT_TERM)) != 0)
        put_hardstate(g);
    if ((u.flags & (RAFT_UPDATE_ENTRIES)) != 0)
        put_entries(g, &u, ents, blobs, n);
    ASSERT((u.flags & (RAFT_UPDATE_SNAPSHOT)) == 0);
    if ((u.flags & (RAFT_UPDATE_MESSAGES)) != 0)
        for (unsigned i = 0; i < u.messages.n; i++)
            out__message(g, &u.messages.batch[i]);
    note_commit(g);
    note_role(g, &u);
    check__step(g, &before, &u);
    group__arm(g);
    env_wake(g->gs->env);
    return 0;
}

/* ---- events in ---- */

/* The address of a server: its id, said as the core wants it. */
static const char *address_of(struct groupset *gs, uint64_t id)
{
    struct server_address *a = &gs->address[id % GROUP_MEMBERS_MAX];

    if (a->id != id) {
        a->id = id;
        snprintf(a->text, sizeof a->text, "n%" PRIu64, id);
    }
    return a->text;
}

static void receive_event(struct group *g, struct raft_message *m,
                          const struct raft_entry *ents,
                          struct blob *const *blobs, unsigned n)
{
    struct raft_event ev = { .type = RAFT_RECEIVE };

    m->server_address = address_of(g->gs, m->server_id);
    ev.receive.message = m;
    step__run(g, &ev, ents, blobs, n);
}

/* Make entries of the scratch arrays: payloads become blobs of their own. */
static void take_entries(struct group *g, struct wire_msg *w)
{
    struct groupset *gs = g->gs;
    struct slice rest = w->entries;

    groupset__scratch(gs, w->n_entries);
    for (unsigned i = 0; i < w->n_entries; i++) {
        struct raft_entry *e = &gs->ents[i];
        struct slice payload;

        *e = (struct raft_entry){
            .batch = NULL
        }; /* so that the core frees nothing */
        wire_entry(&rest, &e->term, &e->type, &payload);
        gs->blobs[i] = blob_copy(payload);
        e->buf.base = gs->blobs[i]->data;
        e->buf.len = payload.n;
    }
    w->m.append_entries.entries = gs->ents;
}

/* Rule S14: the leader that sent the piece knew this one committed. */
static void settle_configuration(struct group *g,
                                 const struct raft_append_entries *piece)
{
    uint64_t index = g->r.configuration_uncommitted_index;

    if (!rules__s14_settled(&g->r, piece,
                            log__term(&g->log, piece->prev_log_index)))
        return;
    ASSERT(log__at(&g->log, index) != NULL);
    apply__configuration(g, index, log__at(&g->log, index)->blob);
    ASSERT(g->r.configuration_uncommitted_index == 0);
}

/* Rules S2, S3: hand the message to the core in pieces it can digest. */
static void receive_entries(struct group *g, struct raft_message *m)
{
    struct groupset *gs = g->gs;
    const struct raft_append_entries *ae = &m->append_entries;

    rules__s3_trim(&g->r, &m->append_entries);
    for (;;) {
        struct raft_message piece = *m;
        unsigned k = rules__s2_piece(ae);

        piece.append_entries.n_entries = k;
        settle_configuration(g, &piece.append_entries);
        receive_event(g, &piece, ae->entries,
                      gs->blobs + (ae->entries - gs->ents), k);
        if (k == ae->n_entries)
            break;
        m->append_entries.prev_log_index += k;
        m->append_entries.prev_log_term = ae->entries[k - 1].term;
        m->append_entries.entries += k;
        m->append_entries.n_entries -= k;
    }
}

static void receive_ae(struct group *g, uint64_t from, struct wire_msg *w)
{
    unsigned n = w->n_entries;
    uint64_t term = w->m.append_entries.term;

    if (w->payload_max > wal_entry_bytes_max(g->gs->wal)) {
        /* It has no room here; the peers are configured otherwise. */
        groupset__garbage(g->gs, from, "an entry is too large for this log");
        return;
    }
    g->stale_ae = term < g->r.current_term;
    if (!g->stale_ae && !check__heard(g, term, from)) {
        groupset__garbage(g->gs, from,
                          "claims to lead a term that has another leader");
        return;
    }
    if (!g->stale_ae)
        g->heard_ms = env_now_ms(g->gs->env);
    /* Back-pressure: with a full disk queue it is a heartbeat; the leader will
     * find out and send the entries again. */
    if (g->stale_ae || wal_full(g->gs->wal))
        w->m.append_entries.n_entries = w->n_entries = n = 0;
    take_entries(g, w);
    receive_entries(g, &w->m);
    for (unsigned i = 0; i < n; i++)
        blob_unref(g->gs->blobs[i]);
    g->stale_ae = false;
}

static void receive_vote(struct group *g, uint64_t from, struct wire_msg *w)
{
    struct rules_s6 s6;

    rules__s11_forget(&g->r, from, env_now_ms(g->gs->env), g->heard_ms);
    rules__s6_begin(&g->r, &w->m.request_vote, &s6);
    receive_event(g, &w->m, NULL, NULL, 0);
    rules__s6_end(&g->r, &s6);
}

void step__receive(struct group *g, uint64_t from, struct wire_msg *w)
{
    ASSERT(g->started);
    switch (w->m.type) {
    case RAFT_APPEND_ENTRIES:
        receive_ae(g, from, w);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        if (rules__s4_stale(&g->r, from, &w->m.append_entries_result))
            break;
        if (w->m.append_entries_result.rejected > 0)
            out__forget(g, from);
        receive_event(g, &w->m, NULL, NULL, 0);
        member__stored(g);
        break;
    case RAFT_REQUEST_VOTE:
        receive_vote(g, from, w);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        if (!rules__s7_late(&g->r))
            receive_event(g, &w->m, NULL, NULL, 0);
        break;
    case RAFT_TIMEOUT_NOW:
        if (rules__s1_raise_term(&g->r.configuration, g->r.id))
            break; /* nobody can hand over to me: my own timer is enough */
        receive_event(g, &w->m, NULL, NULL, 0);
        break;
    case RAFT_INSTALL_SNAPSHOT:
    default:
        UNREACHABLE(); /* refused by wire_decode */
    }
}

/* Rule S1 for a follower: it is about to lead. */
static void raise_term(struct group *g)
{
    if (g->r.state != RAFT_FOLLOWER || g->r.snapshot.installing ||
        !rules__s1_raise_term(&g->r.configuration, g->r.id))
        return;
    g->r.current_term++;
    g->r.voted_for = g->r.id;
    put_hardstate(g);
}

void step__timeout(struct group *g)
{
    struct raft_event ev = { .type = RAFT_TIMEOUT };

    ASSERT(env_now_ms(g->gs->env) >= raft_timeout(&g->r));
    if (g->r.state == RAFT_FOLLOWER && g->r.last_stored < log__last(&g->log)) {
        g->timeout_held = true; /* T4: step__durable arms it again */
        return;
    }
    raise_term(g);
    step__run(g, &ev, NULL, NULL, 0);
    group__hasten_preferred(g);
}

int step__submit(struct group *g, enum raft_entry_type type,
                 struct blob *payload, uint64_t *ret_index)
{
    struct raft_entry e = { .term = g->r.current_term, .type = type };
    struct raft_event ev = { .type = RAFT_SUBMIT };
    uint64_t index = log__last(&g->log) + 1;
    int rv;

    e.buf.base = payload->data;
    e.buf.len = payload->len;
    e.batch = payload; /* the core wants it set, and leaves it alone */
    ev.submit.entries = &e;
    ev.submit.n = 1;
    rv = step__run(g, &ev, &e, &payload, 1);
    if (rv != 0)
        return rv == RAFT_NOTLEADER ? KV_ENOTLEADER : KV_EBUSY;
    ASSERT(log__last(&g->log) == index);
    *ret_index = index;
    return 0;
}

void step__post(struct group *g)
{
    static const uint8_t zero[BARRIER_BYTES];
    struct blob *b;
    uint64_t index;

    if (!g->want_barrier)
        return;
    ASSERT(g->r.state == RAFT_LEADER);
    g->want_barrier = false;
    b = blob_copy(slice_make(zero, sizeof zero));
    if (step__submit(g, RAFT_BARRIER, b, &index) == 0)
        g->barrier_index = index;
    blob_unref(b);
}

/* ---- durability ---- */

static void terms_durable(struct group *g, uint64_t lsn)
{
    unsigned k = 0;

    while (k < g->n_terms && g->terms[k].lsn <= lsn)
        g->durable_term = g->terms[k++].term;
    memmove(&g->terms[0], &g->terms[k], (g->n_terms - k) * sizeof g->terms[0]);
    g->n_terms -= k;
}

void step__durable(struct group *g, uint64_t lsn)
{
    struct raft_event ev = { .type = RAFT_PERSISTED_ENTRIES };
    uint64_t stored = 0;

    ASSERT(lsn <= wal_end(g->gs->wal));
    terms_durable(g, lsn);
    while (g->n_runs > 0 && g->runs[g->runs_head].lsn <= lsn) {
        const struct grun *run = &g->runs[g->runs_head];

        if (run->last >= run->first)
            stored = run->last;
        g->runs_head++;
        g->n_runs--;
    }
    if (g->n_runs == 0)
        g->runs_head = 0;
    if (g->started && stored > g->r.last_stored) {
        ASSERT(stored <= log__last(&g->log));
        ev.persisted_entries.index = stored;
        step__run(g, &ev, NULL, NULL, 0);
    }
    if (g->timeout_held) {
        g->timeout_held = false;
        group__arm(g);
    }
    if (g->applied < g->open_last)
        return; /* replaying: what was loaded is about to be applied */
    log__evict(&g->log, g->r.last_stored, g->gs->cfg.tail_bytes_max);
}
