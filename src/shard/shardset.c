/* The shards of this node: opening, the turn, idle sessions, closing.
 *
 * In a turn, first the requests rejected since the last turn get their answer,
 * then every shard with queued writes proposes them.  A rejected request's
 * callback may submit again (to this or another shard): it waits for the next
 * turn, so that a turn ends. */
#include "shard/shard_int.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "env/log.h"

static void on_session_timer(struct env_timer *t)
{
    struct shardset *set = t->data;

    for (unsigned i = 0; i < set->n; i++)
        shard__drop_sessions(set->shards[i]);
    env_timer_set(t, env_now_ms(set->env) + SHARD_SESSION_SCAN_MS);
}

struct shardset *shardset_new(struct env *env, struct groupset *gs,
                              const struct shard_config *cfg,
                              shardset_leader_cb cb, void *ctx)
{
    struct shardset *set = MEM_NEW(struct shardset);

    ASSERT(cfg->batches_inflight_max > 0);
    ASSERT(cfg->batch_bytes_max > 0);
    set->env = env;
    set->groups = gs;
    set->cfg = *cfg;
    set->leader_cb = cb;
    set->ctx = ctx;
    list_init(&set->dirty);
    list_init(&set->rejects);
    list_init(&set->ready);
    buf_init(&set->scratch);
    env_timer_init(env, &set->session_timer, on_session_timer, set);
    env_timer_set(&set->session_timer,
                  env_now_ms(env) + SHARD_SESSION_SCAN_MS);
    return set;
}

static void shard_free(struct shard *s)
{
    shard__tick_close(s);
    fsm_free(s->fsm);
    mem_free(s);
}

int shardset_open(struct shardset *set, uint32_t id, uint64_t hash_seed,
                  const uint64_t *voters, unsigned n, bool preferred,
                  char *errmsg, size_t errmsg_n)
{
    struct shard *s = MEM_NEW(struct shard);
    int rv;

    ASSERT(shardset_find(set, id) == NULL);
    s->set = set;
    s->id = id;
    s->fsm = fsm_new(hash_seed);
    list_init(&s->queue);
    list_init(&s->inflight);
    list_init(&s->reads);
    list_init(&s->dirty);
    shard__tick_init(s);
    rv = groupset_open_group(set->groups, id, voters, n, preferred,
                             &shard__group_ops, s, &s->group, errmsg,
                             errmsg_n);
    if (rv != 0) {
        shard_free(s);
        return rv;
    }
    if (set->n == set->cap) {
        set->cap = set->cap == 0 ? 16 : set->cap * 2;
        set->shards =
            mem_realloc(set->shards, set->cap * sizeof *set->shards);
    }
    set->shards[set->n++] = s;
    return 0;
}

struct shard *shardset_find(struct shardset *set, uint32_t id)
{
    /* Ids are usually opened in order: look there first. */
    if (id < set->n && set->shards[id]->id == id)
        return set->shards[id];
    for (unsigned i = 0; i < set->n; i++)
        if (set->shards[i]->id == id)
            return set->shards[i];
    return NULL;
}

static void answer_rejects(struct shardset *set)
{
    struct list todo;

    list_init(&todo);
    list_splice(&todo, &set->rejects);
    while (!list_empty(&todo)) {
        struct shard_req *r = LIST_FIRST(&todo, struct shard_req, link);
        struct op_result res = op_result_err((enum op_err)r->pos);

        ASSERT(r->place == SHARD_REJECTED);
        list_del(&r->link);
        r->cb(r, &res);
    }
}

void shardset_turn(struct shardset *set)
{
    struct list todo;

    answer_rejects(set);
    shard__run_ready(set);
    list_init(&todo);
    list_splice(&todo, &set->dirty);
    while (!list_empty(&todo)) {
        struct shard *s = LIST_FIRST(&todo, struct shard, dirty);

        list_del(&s->dirty);
        shard__propose(s);
    }
}

bool shardset_idle(const struct shardset *set)
{
    if (!list_empty(&set->rejects) || !list_empty(&set->ready))
        return false;
    for (unsigned i = 0; i < set->n; i++) {
        const struct shard *s = set->shards[i];

        if (!list_empty(&s->queue) || s->n_inflight > 0 ||
            !list_empty(&s->reads))
            return false;
    }
    return true;
}

void shard__log_bad_entry(struct shard *s, uint64_t index, int rv)
{
    log_event(s->set->env, ENV_LOG_ERROR, "shard",
              "a committed entry cannot be decoded and changes nothing; was "
              "it written by a newer version?",
              "shard=%" PRIu32 " index=%" PRIu64 " error=%s", s->id, index,
              kv_errname(rv));
}

void shardset_close(struct shardset *set)
{
    env_timer_stop(&set->session_timer);
    for (unsigned i = 0; i < set->n; i++) {
        struct shard *s = set->shards[i];

        shard__drop_queue(s, OP_ERR_NOT_LEADER);
        shard__drop_inflight(s, UINT64_MAX);
        while (!list_empty(&s->reads)) {
            struct shard_req *r =
                LIST_FIRST(&s->reads, struct shard_req, link);

            group_read_cancel(s->group, &r->read);
            list_del(&r->link);
            shard__reject(s, r, OP_ERR_NOT_LEADER);
        }
    }
    while (!list_empty(&set->ready)) {
        struct shard_req *r = LIST_FIRST(&set->ready, struct shard_req, link);

        list_del(&r->link);
        r->place = SHARD_REJECTED;
        r->pos = OP_ERR_NOT_LEADER;
        list_add_tail(&set->rejects, &r->link);
    }
    set->closing = true;
    answer_rejects(set);
    for (unsigned i = 0; i < set->n; i++) {
        ASSERT(list_empty(&set->shards[i]->queue));
        shard_free(set->shards[i]);
    }
    ASSERT(list_empty(&set->rejects));
    mem_free(set->shards);
    buf_close(&set->scratch);
    mem_free(set);
}
