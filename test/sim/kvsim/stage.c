/* The stage: fields in place of groups, and what the watch asks of the world. */
#include "kvsim/stage.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"

/* ---- what the watch asks of the world ---- */

uint64_t cover_counts[COVER_COUNT];

void world_violate(struct world *w, enum verdict v, const char *fmt, ...)
{
    va_list ap;

    if (w->verdict != VERDICT_OK)
        return;
    w->verdict = v;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, ap);
    va_end(ap);
}

struct shard *world_shard(struct world *w, unsigned node, uint32_t shard)
{
    struct stage *st = CONTAINER_OF(w, struct stage, w);

    ASSERT(shard == 0);
    return node == 1 ? &st->shard : NULL;
}

bool world_owed(struct world *w, uint32_t shard)
{
    (void)w;
    (void)shard;
    return true;
}

/* ---- a shard of three replicas that are only fields ---- */

void stage_starts(struct stage *st, unsigned node)
{
    struct stage_replica *r = &st->node[node];
    struct view *v = &st->s->view[node];

    r->g.r.last_stored = log__last(&r->g.log);
    r->g.r.state = RAFT_FOLLOWER;
    r->g.commit_max = 1;
    r->g.applied = 0;
    r->g.durable_term = r->g.r.current_term;
    v->group = &r->g;
    if (v->fsm != NULL)
        fsm_free(v->fsm);
    v->fsm = fsm_new(1);
    v->looked = false;
    watch__look(st->s, node);
}

void stage_append_bytes(struct stage *st, unsigned node, uint64_t term,
                        struct slice bytes)
{
    struct group *g = &st->node[node].g;
    struct blob *b = blob_copy(bytes);

    log__append(&g->log, (struct gent){ .term = term,
                                        .blob = b,
                                        .len = b->len,
                                        .type = RAFT_COMMAND });
    g->r.last_stored = log__last(&g->log);
}

void stage_append(struct stage *st, unsigned node, uint64_t term,
                  const char *text)
{
    stage_append_bytes(st, node, term, slice_str(text));
}

void stage_append_all(struct stage *st, uint64_t term, const char *text)
{
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        stage_append(st, i, term, text);
        watch__look(st->s, i);
    }
}

void stage_term(struct stage *st, unsigned node, uint64_t term,
                    unsigned short state)
{
    struct group *g = &st->node[node].g;

    g->r.current_term = g->durable_term = term;
    g->r.state = state;
}

struct stage *stage_new(void)
{
    struct stage *st = MEM_NEW(struct stage);

    st->w.plan.nodes = STAGE_NODES;
    st->w.plan.shards = 1;
    st->w.sim = sim_new(1);
    st->w.history = history_new();
    st->set.env = sim_node_start(st->w.sim, 1);
    st->shard.set = &st->set;
    buf_init(&st->batch);
    st->t = watch_new(&st->w);
    st->s = &st->t->shard[0];
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        struct stage_replica *r = &st->node[i];

        r->gs.wal = &st->wal;
        r->g.gs = &r->gs;
        r->g.started = true;
        r->g.r.id = i;
        r->g.r.current_term = 1;
        r->g.r.configuration.servers = r->servers;
        r->g.r.configuration.n = STAGE_NODES;
        for (unsigned k = 0; k < STAGE_NODES; k++)
            r->servers[k] = (struct raft_server){ .id = k + 1,
                                                  .role = RAFT_VOTER };
        log__init(&r->g.log);
        stage_append(st, i, 1, "conf");
        stage_starts(st, i);
    }
    st->s->begun_term = UINT64_MAX; /* here, terms need no candidate */
    return st;
}

static const char *said(struct stage *st)
{
    watch__verdict(st->t, 0);
    return st->w.why;
}

void stage_fine(struct stage *st)
{
    CHECK_STR(said(st), "");
}

void stage_said(struct stage *st, const char *what)
{
    if (strstr(said(st), what) == NULL)
        FAIL("\"%s\" was expected, and this was said: \"%s\"", what, said(st));
    CHECK_EQ(st->w.verdict, VERDICT_CORRECTNESS);
}

void stage_free(struct stage *st)
{
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        log__close(&st->node[i].g.log);
        fsm_free(st->s->view[i].fsm);
        st->s->view[i].fsm = NULL;
    }
    watch_free(st->t);
    history_free(st->w.history);
    sim_free(st->w.sim);
    buf_close(&st->batch);
    mem_free(st);
}

struct stage *stage_committed(void)
{
    struct stage *st = stage_new();

    stage_term(st, 1, 2, RAFT_LEADER);
    watch__look(st->s, 1);
    stage_append_all(st, 2, "a");
    st->node[1].g.commit_max = 2;
    watch__look(st->s, 1);
    stage_fine(st);
    return st;
}

struct slice stage_set(struct stage *st, const char *key, const char *value,
                       int64_t ttl_ms)
{
    struct slice argv[2] = { slice_str(key), slice_str(value) };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    struct buf one;

    if (ttl_ms != 0) {
        op.flags = OP_TIME_REL;
        op.time = ttl_ms;
    }
    buf_init(&one);
    buf_clear(&st->batch);
    op_encode(&one, &op);
    op_batch_begin(&st->batch, 1000, 1);
    op_batch_add(&st->batch, buf_slice(&one));
    buf_close(&one);
    return buf_slice(&st->batch);
}

void stage_apply_all(struct stage *st, uint64_t index, uint64_t term,
                     struct slice batch)
{
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        stage_append_bytes(st, i, term, batch);
        ASSERT(log__last(&st->node[i].g.log) == index);
        watch__look(st->s, i);
    }
    for (unsigned i = 1; i <= STAGE_NODES; i++) {
        CHECK_EQ(fsm_apply(st->s->view[i].fsm, index, batch, NULL, NULL), 0);
        st->node[i].g.commit_max = st->node[i].g.applied = index;
        watch__look(st->s, i);
    }
}
