/* The laboratory: env and links doubles, and the pump. */
#include "unit/group/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "group/group_wire.h"
#include "lib/test.h"

void lab_wal_cut(struct wal *w, bool all);

/* ---- env ---- */

static struct lab_env *env_of(struct env *e)
{
    return CONTAINER_OF(e, struct lab_env, env);
}

static uint64_t env_now(struct env *e)
{
    return env_of(e)->node->lab->now_ms * 1000;
}

static void env_timer_set_(struct env *e, struct env_timer *t, uint64_t at)
{
    struct lab_env *le = env_of(e);

    if (heap_contains(&t->node))
        heap_remove(&le->timers, &t->node);
    heap_insert(&le->timers, &t->node, at);
}

static void env_timer_stop_(struct env *e, struct env_timer *t)
{
    if (heap_contains(&t->node))
        heap_remove(&env_of(e)->timers, &t->node);
}

static void env_wake_(struct env *e)
{
    env_of(e)->woken = true;
}

static void env_random_(struct env *e, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)rng_u64(&env_of(e)->rng);
}

static void env_log_(struct env *e, enum env_log_level level, const char *line)
{
    (void)e;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static int64_t env_wall(struct env *e)
{
    return (int64_t)(env_now(e) / 1000);
}

static const struct env_ops lab_env_ops = {
    .now_us = env_now,
    .wall_ms = env_wall,
    .timer_set = env_timer_set_,
    .timer_stop = env_timer_stop_,
    .wake = env_wake_,
    .random = env_random_,
    .log = env_log_,
};

/* ---- links ---- */

int links_send(struct links *l, uint64_t peer, struct frame *f)
{
    struct lab *lab = l->node->lab;
    struct lab_frame *lf = MEM_NEW(struct lab_frame);
    unsigned n = frame_n_parts(f);
    struct slice *parts = mem_calloc(n, sizeof *parts);
    size_t at = 0;
    uint8_t *all = mem_alloc(f->bytes);

    n = frame_parts(f, parts, n);
    for (unsigned i = 0; i < n; i++) {
        memcpy(all + at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    ASSERT(at == f->bytes);
    lf->from = l->node->id;
    lf->to = peer;
    lf->head = f->head;
    lf->n = at - FRAME_HEAD_BYTES;
    lf->bytes = mem_alloc(lf->n + 1);
    memcpy(lf->bytes, all + FRAME_HEAD_BYTES, lf->n);
    mem_free(all);
    mem_free(parts);
    frame_free(f);
    lab->sent[lf->from]
             [lf->head.kind == FRAME_RAFT ? lf->bytes[1] : lf->head.kind]++;
    list_add_tail(&lab->wire, &lf->link);
    return 0;
}

bool links_is_up(const struct links *l, uint64_t peer)
{
    const struct lab *lab = l->node->lab;

    return peer <= lab->nodes && lab->node[peer].up;
}

size_t links_queued(const struct links *l, uint64_t peer)
{
    (void)peer;
    return l->queued;
}

/* ---- the owner of the groups ---- */

static struct lab_fsm *fsm_of(void *ctx)
{
    return ctx;
}

static void fsm_apply(void *ctx, uint64_t index, uint64_t term,
                      struct slice payload)
{
    struct lab_fsm *f = fsm_of(ctx);

    (void)term;
    CHECK(f->n < LAB_APPLIED_MAX);
    CHECK(payload.n >= 8);
    CHECK(f->n == 0 || f->index[f->n - 1] < index);
    f->index[f->n] = index;
    memcpy(&f->value[f->n], payload.p, 8);
    f->n++;
}

static void fsm_state(void *ctx, enum group_role role, uint64_t term,
                      uint64_t leader, bool ready)
{
    struct lab_fsm *f = fsm_of(ctx);

    f->role = role;
    f->term = term;
    f->leader = leader;
    f->ready = ready;
    f->states++;
}

static const struct group_ops lab_group_ops = {
    .apply = fsm_apply,
    .state = fsm_state,
};

/* ---- nodes ---- */

struct lab *lab_new(unsigned nodes, unsigned groups)
{
    struct lab *lab = MEM_NEW(struct lab);

    CHECK(nodes <= LAB_NODES && groups <= LAB_GROUPS);
    lab->now_ms = 1000;
    lab->nodes = nodes;
    lab->groups = groups;
    list_init(&lab->wire);
    lab->cfg = (struct groupset_config){
        .election_ms = 1000,
        .heartbeat_ms = 100,
        .inflight_entries = 1024,
        .ae_bytes_max = 64 << 10,
        .tail_bytes_max = 1 << 20,
        .uncommitted_bytes_max = 16 << 20,
    };
    for (uint64_t id = 1; id <= nodes; id++) {
        struct lab_node *n = &lab->node[id];

        n->lab = lab;
        n->id = id;
        n->wal.node = n;
        n->wal.keep_max = SIZE_MAX;
        n->wal.entry_max = 1 << 20;
        list_init(&n->wal.reads);
        n->links.node = n;
        n->env.env.ops = &lab_env_ops;
        n->env.node = n;
        heap_init(&n->env.timers);
        rng_seed(&n->env.rng, id * 7919);
    }
    return lab;
}

int lab_try_start(struct lab *lab, uint64_t id, char *errmsg, size_t errmsg_n)
{
    struct lab_node *n = &lab->node[id];
    uint64_t voters[LAB_NODES];
    int rv = 0;

    for (unsigned i = 0; i < lab->nodes; i++)
        voters[i] = i + 1;
    lab->cfg.node_id = id;
    n->gs = groupset_new(&n->env.env, &lab->cfg, &n->wal, &n->links);
    memset(n->fsm, 0, sizeof n->fsm);
    for (unsigned g = 0; g < lab->groups && rv == 0; g++)
        rv = groupset_open_group(n->gs, g, voters, lab->nodes,
                                 lab->preferred == id, &lab_group_ops,
                                 &n->fsm[g], &n->g[g], errmsg, errmsg_n);
    n->up = rv == 0;
    if (rv != 0) {
        groupset_close(n->gs);
        n->gs = NULL;
    }
    return rv;
}

void lab_start(struct lab *lab, uint64_t id)
{
    char errmsg[256] = "";

    if (lab_try_start(lab, id, errmsg, sizeof errmsg) != 0)
        FAIL("node %d: %s", (int)id, errmsg);
}

void lab_crash(struct lab *lab, uint64_t id)
{
    struct lab_node *n = &lab->node[id];
    struct list *l, *next;

    CHECK(n->up);
    groupset_close(n->gs);
    n->gs = NULL;
    n->up = false;
    n->env.woken = false;
    lab_wal_cut(&n->wal, false);
    for (l = lab->wire.next; l != &lab->wire; l = next) {
        struct lab_frame *f = CONTAINER_OF(l, struct lab_frame, link);

        next = l->next;
        if (f->to == id) {
            list_del(l);
            mem_free(f->bytes);
            mem_free(f);
        }
    }
}

void lab_free(struct lab *lab)
{
    for (uint64_t id = 1; id <= lab->nodes; id++) {
        if (lab->node[id].up)
            lab_crash(lab, id);
        lab_wal_cut(&lab->node[id].wal, true);
        heap_close(&lab->node[id].env.timers);
    }
    lab_lose(lab);
    mem_free(lab);
}

void lab_turn(struct lab *lab, uint64_t id)
{
    struct lab_node *n = &lab->node[id];
    struct heap_node *h;

    if (!n->up)
        return;
    while ((h = heap_min(&n->env.timers)) != NULL && h->key <= lab->now_ms) {
        struct env_timer *t = CONTAINER_OF(h, struct env_timer, node);

        heap_remove(&n->env.timers, h);
        t->cb(t);
    }
    if (!n->env.woken)
        return;
    n->env.woken = false;
    groupset_turn(n->gs);
}

void lab_sync(struct lab *lab, uint64_t id)
{
    struct wal *w = &lab->node[id].wal;

    if (!lab->node[id].up || w->synced == w->end)
        return;
    w->synced = w->end;
    groupset_synced(lab->node[id].gs, w->synced);
}

/* ---- the wire ---- */

static void frame_done(struct lab_frame *f)
{
    list_del(&f->link);
    mem_free(f->bytes);
    mem_free(f);
}

void lab_lose(struct lab *lab)
{
    while (!list_empty(&lab->wire))
        frame_done(LIST_FIRST(&lab->wire, struct lab_frame, link));
}

bool lab_deliver_one(struct lab *lab)
{
    struct lab_frame *f = NULL;
    bool lost;

    for (struct list *l = lab->wire.next; f == NULL && l != &lab->wire;
         l = l->next) {
        f = CONTAINER_OF(l, struct lab_frame, link);
        if (lab->stall[f->from][f->to] > lab->now_ms)
            f = NULL;
    }
    if (f == NULL)
        return false;
    lost = (lab->drop != NULL && lab->drop(f)) || lab->cut[f->from][f->to];
    if (!lost && f->to <= lab->nodes && lab->node[f->to].up)
        groupset_frame(lab->node[f->to].gs, f->from, &f->head,
                       slice_make(f->bytes, f->n));
    frame_done(f);
    return true;
}

void lab_deliver(struct lab *lab)
{
    while (lab_deliver_one(lab))
        ;
}

void lab_settle(struct lab *lab)
{
    bool moved = true;

    for (int i = 0; moved; i++) {
        if (i == 100000)
            FAIL("the lab does not come to rest");
        moved = lab_deliver_one(lab);
        lab_deliver(lab);
        for (uint64_t id = 1; id <= lab->nodes; id++) {
            struct lab_node *n = &lab->node[id];

            if (!n->up)
                continue;
            moved = moved || n->env.woken;
            lab_turn(lab, id);
            if (!n->slow && n->wal.synced < n->wal.end) {
                lab_sync(lab, id);
                moved = true;
            }
            if (!n->wal.hold_reads && !list_empty(&n->wal.reads)) {
                lab_reads(lab, id);
                moved = true;
            }
        }
    }
}

void lab_run(struct lab *lab, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        lab->now_ms++;
        for (uint64_t id = 1; id <= lab->nodes; id++)
            lab_turn(lab, id);
        lab_settle(lab);
    }
}

uint64_t lab_elect(struct lab *lab, unsigned g, unsigned ms)
{
    for (unsigned i = 0; i <= ms; i++) {
        for (uint64_t id = 1; id <= lab->nodes; id++)
            if (lab->node[id].up && group_ready(lab->node[id].g[g]))
                return id;
        lab_run(lab, 1);
    }
    return 0;
}

int lab_propose(struct lab *lab, uint64_t node, unsigned g, uint64_t value,
                size_t extra)
{
    struct blob *b = blob_new(8 + extra);
    uint64_t index, term;
    int rv;

    memset(b->data, 'x', 8 + extra);
    memcpy(b->data, &value, 8);
    rv = group_propose(lab->node[node].g[g], b, &index, &term);
    blob_unref(b);
    return rv;
}

/* ---- staged messages and disks ---- */

static void inject(struct lab *lab, uint64_t from, uint64_t to, struct frame *f)
{
    struct slice part[8];
    struct buf all;
    unsigned n;

    buf_init(&all);
    frame_seal(f);
    n = frame_n_parts(f);
    CHECK(n <= 8);
    frame_parts(f, part, 8);
    for (unsigned i = 0; i < n; i++)
        buf_put_slice(&all, part[i]);
    buf_consume(&all, FRAME_HEAD_BYTES);
    groupset_frame(lab->node[to].gs, from, &f->head, buf_slice(&all));
    frame_free(f);
    buf_close(&all);
}

void lab_inject(struct lab *lab, uint64_t from, uint64_t to, unsigned g,
                const struct raft_message *m)
{
    inject(lab, from, to, wire_encode(g, m));
}

static struct blob *entry_payload(const struct lab_entry *e)
{
    if (e->conf != NULL)
        return e->conf;
    return blob_copy(slice_make(&e->value, sizeof e->value));
}

void lab_inject_ae(struct lab *lab, uint64_t from, uint64_t to, unsigned g,
                   struct raft_append_entries ae, struct lab_entry *e)
{
    struct frame *f = wire_encode_ae(g, &ae);

    for (unsigned i = 0; i < ae.n_entries; i++) {
        struct blob *b = entry_payload(&e[i]);

        wire_put_entry(f, e[i].term,
                       e[i].conf != NULL ? RAFT_CHANGE : RAFT_COMMAND, b);
        blob_unref(b);
    }
    inject(lab, from, to, f);
}

struct blob *lab_conf(const char *roles)
{
    struct raft_configuration conf;
    struct raft_buffer b;
    struct blob *ret;

    raft_configuration_init(&conf);
    for (unsigned i = 0; roles[i] != 0; i++) {
        char address[8] = { 'n', (char)('1' + i), 0 };

        CHECK_EQ(
            raft_configuration_add(&conf, i + 1, address,
                                   roles[i] == 'v' ? RAFT_VOTER : RAFT_STANDBY),
            0);
    }
    CHECK_EQ(raft_configuration_encode(&conf, &b), 0);
    ret = blob_copy(slice_make(b.base, b.len));
    raft_free(b.base);
    raft_configuration_close(&conf);
    return ret;
}

void lab_disk(struct lab *lab, uint64_t id, unsigned g, uint64_t term,
              uint64_t vote, struct lab_entry *e, unsigned n)
{
    struct wal *w = &lab->node[id].wal;

    wal_put_bootstrap(w, g);
    for (unsigned i = 0; i < n; i++) {
        struct wal_entry we = {
            .term = e[i].term,
            .type = e[i].conf != NULL ? RAFT_CHANGE : RAFT_COMMAND,
            .blob = entry_payload(&e[i]),
        };

        we.len = we.blob->len;
        wal_put_entries(w, g, i + 1, &we, 1);
        blob_unref(we.blob);
    }
    wal_put_hardstate(w, g, term, vote);
    w->synced = w->end;
}

uint64_t lab_sent(const struct lab *lab, uint64_t node, unsigned t)
{
    return lab->sent[node][t];
}

void lab_isolate(struct lab *lab, uint64_t id)
{
    for (uint64_t i = 1; i <= lab->nodes; i++)
        if (i != id)
            lab->cut[i][id] = lab->cut[id][i] = true;
}

void lab_heal(struct lab *lab)
{
    memset(lab->cut, 0, sizeof lab->cut);
}

void lab_check_agreement(struct lab *lab, unsigned g)
{
    for (uint64_t a = 1; a <= lab->nodes; a++)
        for (uint64_t b = 1; b <= lab->nodes; b++) {
            const struct lab_fsm *x = &lab->node[a].fsm[g];
            const struct lab_fsm *y = &lab->node[b].fsm[g];

            for (uint64_t i = 0; i < x->n && i < y->n; i++) {
                CHECK_EQ(x->index[i], y->index[i]);
                CHECK_EQ(x->value[i], y->value[i]);
            }
        }
}
