/* Committed entries into the state machine.
 *
 * An entry is applied when it is committed and stored here: min(commit_max,
 * last_stored).  The core's commit index alone may name entries this node has
 * not made durable, and would after a crash not have any more; what is applied
 * must never be lost, because results of it may have been told.
 *
 * Invariants
 *   A1  Entries are applied in order of index, each once per life of the
 *       process.
 *   A2  BARRIER and CHANGE entries are not shown to the state machine but
 *       count.
 *   A3  After a CHANGE above index 1 the core gets CONFIGURATION, in order.  It
 *       ignores those that rule S14 gave it before, and those that START took
 *       for committed because another CHANGE follows.
 *   A4  One turn applies at most GROUP_APPLY_ENTRIES_MAX entries or
 *       GROUP_APPLY_BYTES_MAX bytes of a group, so that a long replay leaves
 *       the loop to others.
 *
 * A payload that is not in memory is read back, LOG_READ_AHEAD entries ahead.
 */
#include "group/group_int.h"

#include <inttypes.h>

uint64_t apply__target(const struct group *g)
{
    uint64_t stored = g->r.last_stored;

    if (!g->started || g->r.snapshot.installing)
        return g->applied;
    return g->commit_max < stored ? g->commit_max : stored;
}

static void read_ready(void *ctx, int status)
{
    struct group *g = ctx;

    if (status != 0) {
        group__unreadable(g, status);
        return;
    }
    g->gs->stats.entries_read++;
    groupset__work(g);
}

/* The payload of the next entry, or NULL: it is on its way. */
static struct blob *payload_at(struct group *g, uint64_t index, uint64_t last)
{
    const struct gent *e = log__at(&g->log, index);
    struct blob *b;

    ASSERT(e != NULL);
    ASSERT(index > g->applied);
    if (e->blob != NULL)
        return e->blob;
    if (g->apply_reader == NULL)
        g->apply_reader = reader__new(g->gs->wal, read_ready, g);
    b = reader__get(g->apply_reader, &g->log, index);
    if (b == NULL || index % (LOG_READ_AHEAD / 4) == 0)
        reader__want(g->apply_reader, &g->log, index, last);
    return b;
}

void apply__configuration(struct group *g, uint64_t index,
                          const struct blob *payload)
{
    struct raft_event ev = { .type = RAFT_CONFIGURATION };
    struct raft_buffer b = { .len = payload->len };
    struct blob *copy = blob_copy(blob_slice(payload));

    b.base = copy->data;
    ev.configuration.index = index;
    if (raft_configuration_decode(&b, &ev.configuration.conf) != 0)
        group__fatal(g, "a committed configuration is malformed",
                     "index=%" PRIu64, index);
    blob_unref(copy);
    step__run(g, &ev, NULL, NULL, 0); /* takes the configuration */
}

/* Apply entry applied+1, whose payload is b (held by a reference of ours). */
static void apply_entry(struct group *g, struct blob *b)
{
    uint64_t index = g->applied + 1;
    uint64_t term = log__term(&g->log, index);
    uint8_t type = log__at(&g->log, index)->type;

    ASSERT(term > 0);
    ASSERT(index <= g->commit_max);
    ASSERT(index <= g->r.last_stored);
    if (type == RAFT_COMMAND)
        g->ops->apply(g->ctx, index, term, blob_slice(b));
    ASSERT(g->applied + 1 == index); /* A1 */
    g->applied = index;
    if (type == RAFT_CHANGE && index > 1)
        apply__configuration(g, index, b);
}

bool apply__run(struct group *g)
{
    uint64_t before = g->applied;
    uint64_t last = apply__target(g);
    size_t bytes = 0;
    bool waiting = false;

    ASSERT(g->started);
    ASSERT(g->gs->in_turn);
    while (g->applied < last && g->applied - before < GROUP_APPLY_ENTRIES_MAX &&
           bytes < GROUP_APPLY_BYTES_MAX) {
        struct blob *b = payload_at(g, g->applied + 1, last);

        if (b == NULL) {
            waiting = true; /* read_ready resumes */
            break;
        }
        bytes += b->len;
        blob_ref(b);
        apply_entry(g, b);
        blob_unref(b);
        last = apply__target(g);
    }
    if (g->applied == before)
        return false;
    if (g->apply_reader != NULL && g->apply_reader->pending == 0 &&
        g->applied == last) {
        reader__free(g->apply_reader);
        g->apply_reader = NULL;
    }
    log__evict(&g->log, g->applied, g->gs->cfg.tail_bytes_max);
    group__note_state(g);
    read__applied(g);
    return g->applied < last && !waiting;
}
