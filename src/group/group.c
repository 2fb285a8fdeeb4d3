/* One Raft group: opening it, proposing to it, looking at it.
 *
 * Opening.  The WAL's fold of the group is its durable state.  Three cases:
 *
 *   nothing          bootstrap: BOOTSTRAP, HARDSTATE (term 1, no vote) and
 * entry 1 = the first configuration go to the WAL, and START is given at once.
 *                    The gate stands behind these records, so nothing leaves
 * before they are durable.  Term 1 and entry 1 are the same on every node: a
 * crash that loses them is repaired by doing it again. term 1, no vote, a
 * bootstrap that a crash cut short: nothing ever left this no entries node.
 * Done again. entries          restart: START with term, vote and all entries.
 *
 * The core wants the configurations among the entries in memory.  Those the WAL
 * did not keep are read back first; until then the group is not started: it has
 * no role, and drops what it receives.
 *
 * Rule S1: if the configuration's only voter is this node, the term is raised
 * and this node's vote written before START.
 *
 * The preferred leader calls for votes early, and again every one to two
 * heartbeats, until it leads or hears a leader: at the start of a cluster the
 * links come up one by one, and a call that nobody heard must not cost a whole
 * election timeout.  Pre-votes disturb nobody, so it does that only while it
 * asks for them.
 *
 * Role, leader and readiness are told to the owner at the end of a turn, only
 * when they changed. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "env/log.h"
#include "group/group_int.h"
#include "group/group_rules.h"
#include "group/group_wire.h"

/* For how many election timeouts a preferred leader calls at shorter intervals.
 */
#define PREFERRED_ELECTIONS 10u

void group__fatal(const struct group *g, const char *what, const char *fmt, ...)
{
    char why[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    log_event(g->gs->env, ENV_LOG_ERROR, "group", what,
              "group=%" PRIu32 " node=%" PRIu64 " term=%llu state=%s %s do=%s",
              g->id, g->gs->cfg.node_id, g->r.current_term,
              raft_state_name(g->r.state), why,
              "\"stop this node, keep its data directory, and restore the "
              "replica from its peers\"");
    assert_failed(what, __FILE__, __LINE__);
}

void group__unreadable(const struct group *g, int status)
{
    char what[64];

    ASSERT(status < 0);
    if (status == KV_ECANCELED)
        return;
    snprintf(what, sizeof what, "an entry of group %" PRIu32, g->id);
    wal_unreadable(g->gs->wal, status, what);
}

/* ---- start ---- */

/* Decode the last configuration of the log.  False: there is none. */
static bool last_configuration(const struct group *g,
                               struct raft_configuration *ret)
{
    for (uint64_t i = log__last(&g->log); i > g->log.off; i--) {
        const struct gent *e = log__at(&g->log, i);
        struct raft_buffer b;

        if (e->type != RAFT_CHANGE)
            continue;
        b.base = e->blob->data;
        b.len = e->blob->len;
        return raft_configuration_decode(&b, ret) == 0;
    }
    return false;
}

static void raise_term(struct group *g)
{
    struct raft_configuration conf;

    if (!last_configuration(g, &conf))
        return;
    if (rules__s1_raise_term(&conf, g->gs->cfg.node_id)) {
        g->start_term++;
        g->start_vote = g->gs->cfg.node_id;
        g->meta_lsn =
            wal_put_hardstate(g->gs->wal, g->id, g->start_term, g->start_vote);
        g->terms[g->n_terms].lsn = g->meta_lsn;
        g->terms[g->n_terms++].term = g->start_term;
        if (list_empty(&g->dirty))
            list_add_tail(&g->gs->dirty, &g->dirty);
    }
    raft_configuration_close(&conf);
}

static void start(struct group *g)
{
    struct raft_event ev = { .type = RAFT_START };
    uint64_t n = g->log.n;
    struct raft_entry *ents = mem_calloc(n, sizeof *ents);

    ASSERT(!g->started);
    ASSERT(n > 0 && n <= UINT32_MAX);
    ASSERT(g->log.off == 0 && g->applied == 0);
    raise_term(g);
    ASSERT(g->start_term > 0);
    for (uint64_t i = 0; i < n; i++) {
        const struct gent *e = &g->log.e[i];

        ents[i].term = e->term;
        ents[i].type = (enum raft_entry_type)e->type;
        if (e->type == RAFT_CHANGE) {
            ents[i].buf.base = e->blob->data;
            ents[i].buf.len = e->blob->len;
        }
    }
    ev.start.term = g->start_term;
    ev.start.voted_for = g->start_vote;
    ev.start.start_index = g->log.off + 1;
    ev.start.entries = ents;
    ev.start.n_entries = (unsigned)n;
    g->put_term = g->start_term;
    g->put_vote = g->start_vote;
    g->started = true;
    step__run(g, &ev, NULL, NULL, 0);
    mem_free(ents);
    g->opened_ms = env_now_ms(g->gs->env);
    group__hasten_preferred(g);
}

void group__hasten_preferred(struct group *g)
{
    const struct groupset_config *cfg = &g->gs->cfg;
    uint64_t now = env_now_ms(g->gs->env);
    unsigned hb = cfg->heartbeat_ms;

    if (!g->preferred || g->heard_ms != 0 || g->led || !member__votes(g) ||
        now - g->opened_ms > PREFERRED_ELECTIONS * (uint64_t)cfg->election_ms)
        return;
    if (g->r.state == RAFT_LEADER ||
        (g->r.state == RAFT_CANDIDATE && !g->r.candidate_state.in_pre_vote))
        return;
    rules__hasten(&g->r, now, hb + raft_random(&g->r.random, 0, hb));
    group__arm(g);
}

/* The configurations the WAL did not keep in memory. */
static bool configurations_missing(struct group *g, uint64_t *ret_first,
                                   uint64_t *ret_last)
{
    *ret_first = 0;
    for (uint64_t i = g->log.off + 1; i <= log__last(&g->log); i++) {
        const struct gent *e = log__at(&g->log, i);

        if (e->type != RAFT_CHANGE || e->blob != NULL)
            continue;
        *ret_first = *ret_first == 0 ? i : *ret_first;
        *ret_last = i;
    }
    return *ret_first != 0;
}

static void configuration_read(void *ctx, int status)
{
    struct group *g = ctx;
    uint64_t first, last;

    if (status != 0) {
        group__unreadable(g, status);
        return;
    }
    while (configurations_missing(g, &first, &last)) {
        struct gent *e = log__at(&g->log, first);
        struct blob *b = reader__get(g->apply_reader, &g->log, first);

        if (b == NULL) {
            reader__want(g->apply_reader, &g->log, first, first);
            return;
        }
        if (!wire_conf_ok(blob_slice(b)))
            group__fatal(g, "a configuration in the log is malformed",
                         "index=%" PRIu64, first);
        e->blob = blob_ref(b);
        g->log.bytes += e->len;
    }
    groupset__work(g); /* the next turn starts the group */
}

void group__start(struct group *g)
{
    uint64_t first, last;

    ASSERT(!g->started);
    if (!configurations_missing(g, &first, &last)) {
        reader__free(g->apply_reader);
        g->apply_reader = NULL;
        start(g);
        return;
    }
    if (g->apply_reader == NULL)
        g->apply_reader = reader__new(g->gs->wal, configuration_read, g);
    reader__want(g->apply_reader, &g->log, first, first);
}

/* ---- open ---- */

static struct group *group_new(struct groupset *gs, uint32_t id,
                               const struct group_ops *ops, void *ctx)
{
    struct group *g = MEM_NEW(struct group);
    uint32_t seed;
    char address[32];

    g->gs = gs;
    g->id = id;
    g->ops = ops;
    g->ctx = ctx;
    snprintf(address, sizeof address, "n%" PRIu64, gs->cfg.node_id);
    if (raft_init(&g->r, NULL, NULL, gs->cfg.node_id, address) != 0)
        UNREACHABLE(); /* only for want of memory, which stops the process */
    g->r.tracer =
        NULL; /* the default one formats a line per event, even when disabled */
    env_random(gs->env, &seed, sizeof seed);
    raft_seed(&g->r, seed);
    raft_set_election_timeout(&g->r, gs->cfg.election_ms);
    raft_set_heartbeat_timeout(&g->r, gs->cfg.heartbeat_ms);
    raft_set_max_inflight_entries(&g->r, gs->cfg.inflight_entries);
    raft_set_pre_vote(&g->r, true);
    log__init(&g->log);
    list_init(&g->all);
    list_init(&g->dirty);
    list_init(&g->held);
    list_init(&g->work);
    list_init(&g->reading);
    list_init(&g->changed);
    list_init(&g->reads_new);
    list_init(&g->reads_apply);
    for (unsigned i = 0; i < GROUP_READ_ROUNDS_MAX; i++)
        list_init(&g->batch[i].reads);
    return g;
}

void group__free(struct group *g)
{
    read__close(g);
    out__close(g);
    reader__free(g->apply_reader);
    if (heap_contains(&g->timer))
        heap_remove(&g->gs->timers, &g->timer);
    list_del(&g->all);
    list_del(&g->dirty);
    list_del(&g->held);
    list_del(&g->work);
    list_del(&g->reading);
    list_del(&g->changed);
    raft_close(&g->r, NULL);
    log__close(&g->log);
    mem_free(g->runs);
    mem_free(g);
}

static int encode_voters(const uint64_t *voters, unsigned n, struct blob **ret)
{
    struct raft_configuration conf;
    struct raft_buffer b;
    int rv = 0;

    if (n == 0 || n > GROUP_MEMBERS_MAX)
        return KV_EINVAL;
    raft_configuration_init(&conf);
    for (unsigned i = 0; i < n && rv == 0; i++) {
        char address[32];

        snprintf(address, sizeof address, "n%" PRIu64, voters[i]);
        rv = raft_configuration_add(&conf, voters[i], address, RAFT_VOTER);
    }
    if (rv == 0)
        rv = raft_configuration_encode(&conf, &b);
    raft_configuration_close(&conf);
    if (rv != 0)
        return KV_EINVAL; /* an id twice */
    *ret = blob_copy(slice_make(b.base, b.len));
    raft_free(b.base);
    return wire_conf_ok(blob_slice(*ret)) ? 0 : KV_EINVAL; /* an id of 0 */
}

/* known: the WAL has a BOOTSTRAP of an attempt that a crash cut short. */
static int bootstrap(struct group *g, const uint64_t *voters, unsigned n,
                     bool known)
{
    struct wal_entry w = { .term = 1, .type = RAFT_CHANGE };
    struct blob *conf = NULL;
    int rv = encode_voters(voters, n, &conf);

    if (rv != 0) {
        blob_unref(conf);
        return rv;
    }
    w.blob = conf;
    w.len = conf->len;
    if (!known)
        wal_put_bootstrap(g->gs->wal, g->id);
    wal_put_hardstate(g->gs->wal, g->id, 1, 0);
    g->meta_lsn = wal_put_entries(g->gs->wal, g->id, 1, &w, 1);
    log__append(&g->log, (struct gent){ .term = 1,
                                        .blob = conf,
                                        .pos = w.pos,
                                        .len = w.len,
                                        .type = RAFT_CHANGE });
    g->uncommitted_bytes = w.len;
    g->start_term = 1;
    g->terms[g->n_terms].lsn = g->meta_lsn;
    g->terms[g->n_terms++].term = 1;
    list_add_tail(&g->gs->dirty, &g->dirty);
    return 0;
}

static int contradiction(char *errmsg, size_t n, uint32_t id, const char *what,
                         uint64_t at)
{
    snprintf(
        errmsg, n,
        "the log of group %" PRIu32 " contradicts itself: %s (%" PRIu64
        "); keep the data directory and restore this replica from its peers",
        id, what, at);
    return KV_ECORRUPT;
}

/* Take over the log's fold, distrusting it. */
static int restore(struct group *g, const struct wal_group *wg, char *errmsg,
                   size_t errmsg_n)
{
    uint64_t term = 0;

    if (wg->snap_index != 0 || wg->first != 1) {
        snprintf(errmsg, errmsg_n,
                 "group %" PRIu32 " was compacted up to entry %" PRIu64
                 " by a newer version of this program; run that version",
                 g->id, wg->snap_index);
        return KV_EVERSION;
    }
    for (uint64_t i = 0; i < wg->n; i++) {
        const struct wal_entry *w = &wg->entries[i];

        if (w->term == 0 || w->term < term || w->term > wg->term)
            return contradiction(errmsg, errmsg_n, g->id,
                                 "terms are out of order at entry", i + 1);
        if (w->type != RAFT_COMMAND && w->type != RAFT_BARRIER &&
            w->type != RAFT_CHANGE)
            return contradiction(errmsg, errmsg_n, g->id,
                                 "unknown type of entry", i + 1);
        if (w->type == RAFT_CHANGE && w->blob != NULL &&
            !wire_conf_ok(blob_slice(w->blob)))
            return contradiction(errmsg, errmsg_n, g->id,
                                 "malformed configuration in entry", i + 1);
        if (w->blob != NULL && w->blob->len != w->len)
            return contradiction(errmsg, errmsg_n, g->id,
                                 "wrong length of entry", i + 1);
        term = w->term;
        if (w->blob != NULL)
            blob_ref(w->blob);
        log__append(&g->log, (struct gent){ .term = w->term,
                                            .blob = w->blob,
                                            .pos = w->pos,
                                            .len = w->len,
                                            .type = w->type });
        g->uncommitted_bytes += w->len;
    }
    if (g->log.e[0].type != RAFT_CHANGE || g->log.e[0].term != 1)
        return contradiction(errmsg, errmsg_n, g->id,
                             "no first configuration in entry", 1);
    g->start_term = g->durable_term = wg->term;
    g->start_vote = SABOTAGE(VOTE_FORGOTTEN) ? 0 : wg->vote;
    g->open_last = log__last(&g->log);
    return 0;
}

static int load(struct group *g, const uint64_t *voters, unsigned n,
                char *errmsg, size_t errmsg_n)
{
    const struct wal_group *wg = wal_find_group(g->gs->wal, g->id);
    int rv;

    if (wg != NULL && wg->n > 0)
        return restore(g, wg, errmsg, errmsg_n);
    if (wg != NULL && (wg->term > 1 || wg->vote != 0 || wg->snap_index != 0))
        return contradiction(errmsg, errmsg_n, g->id, "no entries in term",
                             wg->term);
    rv = bootstrap(g, voters, n, wg != NULL);
    if (rv != 0)
        snprintf(errmsg, errmsg_n,
                 "group %" PRIu32
                 ": its voters must be 1 to %u distinct node ids above 0",
                 g->id, GROUP_MEMBERS_MAX);
    return rv;
}

int groupset_open_group(struct groupset *gs, uint32_t id,
                        const uint64_t *voters, unsigned n, bool preferred,
                        const struct group_ops *ops, void *ctx,
                        struct group **ret, char *errmsg, size_t errmsg_n)
{
    struct group *g;
    int rv;

    ASSERT(!gs->closing);
    ASSERT(id != FRAME_GROUP_NODE);
    ASSERT(map_get(&gs->groups, id) == NULL);
    g = group_new(gs, id, ops, ctx);
    g->preferred = preferred;
    rv = load(g, voters, n, errmsg, errmsg_n);
    if (rv != 0) {
        group__free(g);
        return rv;
    }
    map_put(&gs->groups, id, g);
    list_add_tail(&gs->all, &g->all);
    group__start(g);
    env_wake(gs->env);
    *ret = g;
    return 0;
}

/* ---- proposals ---- */

int group_propose(struct group *g, struct blob *payload, uint64_t *ret_index,
                  uint64_t *ret_term)
{
    const struct groupset_config *cfg = &g->gs->cfg;
    uint64_t index;
    int rv;

    if (!g->started || g->r.state != RAFT_LEADER || raft_transferee(&g->r) != 0)
        return KV_ENOTLEADER;
    if (!group_ready(g))
        return KV_EAGAIN;
    if (payload->len > group_entry_bytes_max(g))
        return KV_E2BIG;
    if (g->uncommitted_bytes > 0 &&
        g->uncommitted_bytes + payload->len > cfg->uncommitted_bytes_max)
        return KV_EBUSY;
    if (log__last(&g->log) - g->commit_max >= cfg->inflight_entries ||
        wal_full(g->gs->wal) || member__waits(g))
        return KV_EBUSY;
    rv = step__submit(g, RAFT_COMMAND, payload, &index);
    if (rv != 0)
        return rv;
    ASSERT(log__term(&g->log, index) == g->r.current_term);
    *ret_index = index;
    *ret_term = g->r.current_term;
    return 0;
}

size_t group_entry_bytes_max(const struct group *g)
{
    return wal_entry_bytes_max(g->gs->wal);
}

int group_transfer(struct group *g, uint64_t to)
{
    struct raft_event ev = { .type = RAFT_TRANSFER };

    if (!g->started || g->r.state != RAFT_LEADER)
        return KV_ENOTLEADER;
    if (raft_transferee(&g->r) != 0 || !group_ready(g) || member__waits(g))
        return KV_EAGAIN;
    /* The core would take the last voter if none has everything. */
    ev.transfer.server_id = to != 0 ? to : member__most_advanced(g);
    if (ev.transfer.server_id == 0)
        return KV_EINVAL; /* there is no other voter */
    switch (step__run(g, &ev, NULL, NULL, 0)) {
    case 0:
        return 0;
    case RAFT_NOTLEADER:
        return KV_ENOTLEADER;
    default:
        return KV_EINVAL; /* no voter, or myself */
    }
}

bool group_transferring(const struct group *g)
{
    return raft_transferee(&g->r) != 0;
}

/* ---- state ---- */

static enum group_role role_of(const struct group *g)
{
    switch (g->r.state) {
    case RAFT_LEADER:
        return GROUP_LEADER;
    case RAFT_CANDIDATE:
        return GROUP_CANDIDATE;
    default:
        return GROUP_FOLLOWER;
    }
}

void group__note_state(struct group *g)
{
    g->now.role = role_of(g);
    g->now.term = g->r.current_term;
    g->now.leader = group_leader(g);
    g->now.ready = group_ready(g);
    if (g->now.role == g->told.role && g->now.term == g->told.term &&
        g->now.leader == g->told.leader && g->now.ready == g->told.ready)
        return;
    if (list_empty(&g->changed))
        list_add_tail(&g->gs->changed, &g->changed);
    env_wake(g->gs->env);
}

void group__arm(struct group *g)
{
    uint64_t at = raft_timeout(&g->r);
    uint64_t now = env_now_ms(g->gs->env);

    ASSERT(g->started);
    g->timeout_held = false;
    if (at <= now)
        at = now + 1; /* a due timeout fires once a turn */
    if (heap_contains(&g->timer)) {
        if (g->timer.key <= at)
            return; /* found too early when it fires, and set again */
        heap_remove(&g->gs->timers, &g->timer);
    }
    heap_insert(&g->gs->timers, &g->timer, at);
}

enum group_role group_role(const struct group *g)
{
    return role_of(g);
}
uint64_t group_term(const struct group *g)
{
    return g->started ? g->r.current_term : g->start_term;
}
uint64_t group_durable_term(const struct group *g)
{
    return g->durable_term;
}
uint64_t group_commit(const struct group *g)
{
    return g->commit_max;
}
uint64_t group_applied(const struct group *g)
{
    return g->applied;
}
uint64_t group_last(const struct group *g)
{
    return log__last(&g->log);
}

bool group_ready(const struct group *g)
{
    return g->started && g->r.state == RAFT_LEADER &&
           g->barrier_term == g->r.current_term &&
           (SABOTAGE(SERVE_EARLY) || g->applied >= g->barrier_index);
}

uint64_t group_leader(const struct group *g)
{
    if (g->r.state == RAFT_LEADER)
        return g->r.id;
    return g->r.state == RAFT_FOLLOWER ? g->r.follower_state.current_leader.id
                                       : 0;
}

int group_match(const struct group *g, uint64_t node, uint64_t *ret)
{
    raft_index match;

    switch (raft_match_index(&g->r, node, &match)) {
    case 0:
        *ret = match;
        return 0;
    case RAFT_NOTLEADER:
        return KV_ENOTLEADER;
    default:
        return KV_ENOENT;
    }
}
