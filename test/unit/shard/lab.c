#include "unit/shard/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slot.h"
#include "lib/test.h"

struct lab lab;

/* ---- the environment: clocks and timers ---- */

static uint64_t now_us(struct env *e)
{
    (void)e;
    return lab.now_ms * 1000;
}

static int64_t wall_ms(struct env *e)
{
    (void)e;
    return lab.wall_ms;
}

static void timer_set(struct env *e, struct env_timer *t, uint64_t deadline_ms)
{
    (void)e;
    timerq_set(&lab.timers, t, deadline_ms);
}

static void timer_stop(struct env *e, struct env_timer *t)
{
    (void)e;
    timerq_stop(&lab.timers, t);
}

static void wake(struct env *e)
{
    (void)e;
    lab.woken = true;
}

static void log_line(struct env *e, enum env_log_level level, const char *line)
{
    (void)e;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static const struct env_ops ops = {
    .now_us = now_us,
    .wall_ms = wall_ms,
    .timer_set = timer_set,
    .timer_stop = timer_stop,
    .wake = wake,
    .log = log_line,
};

static void on_leader(void *ctx, uint32_t shard, uint64_t leader, bool ready)
{
    (void)ctx;
    CHECK_EQ(shard, 7);
    lab.leader_calls++;
    lab.leader = leader;
    lab.ready_here = ready;
}

/* ---- driving ---- */

void lab_open(unsigned inflight_max, size_t batch_bytes, size_t queue_bytes)
{
    const struct shard_config cfg = { .batches_inflight_max = inflight_max,
                                      .batch_bytes_max = batch_bytes,
                                      .queue_bytes_max = queue_bytes };
    const uint64_t voters[] = { 1, 2, 3 };
    char err[128];

    memset(&lab, 0, sizeof lab);
    lab.env.ops = &ops;
    lab.now_ms = 1000;
    lab.wall_ms = 1000000;
    timerq_init(&lab.timers);
    list_init(&lab.group.reads);
    lab.group.entry_max = 1u << 20;
    lab.set = shardset_new(&lab.env, NULL, &cfg, on_leader, NULL);
    CHECK_EQ(shardset_open(lab.set, 7, 1, voters, 3, true, err, sizeof err),
             0);
    lab.shard = shardset_find(lab.set, 7);
    CHECK(lab.shard != NULL);
    lab_role(GROUP_LEADER, 1, true);
}

void lab_close(void)
{
    shardset_close(lab.set);
    for (unsigned i = 0; i < lab.group.n_entries; i++)
        blob_unref(lab.group.entries[i].payload);
    timerq_close(&lab.timers); /* asserts that nothing is armed */
}

void lab_turn(void)
{
    lab.woken = false;
    shardset_turn(lab.set);
}

void lab_advance(uint64_t ms)
{
    lab.now_ms += ms;
    lab.wall_ms += (int64_t)ms;
    timerq_run(&lab.timers, lab.now_ms);
    lab_turn();
}

void lab_role(enum group_role role, uint64_t term, bool ready)
{
    lab.group.role = role;
    lab.group.term = term;
    lab.group.ready = ready;
    lab.group.ops->state(lab.group.ctx, role, term,
                         role == GROUP_LEADER ? 1 : 0, ready);
}

void lab_apply(unsigned i)
{
    const struct lab_entry *e = &lab.group.entries[i];

    CHECK(i < lab.group.n_entries);
    lab.group.applied = e->index;
    lab.group.ops->apply(lab.group.ctx, e->index, e->term,
                         blob_slice(e->payload));
}

void lab_apply_foreign(uint64_t index, uint64_t term)
{
    const struct op op = { .kind = OP_NOOP, .slot = SLOT_COUNT };
    struct buf b, enc;

    buf_init(&b);
    buf_init(&enc);
    op_encode(&enc, &op);
    op_batch_begin(&b, lab.wall_ms, 1);
    op_batch_add(&b, buf_slice(&enc));
    lab.group.applied = index;
    lab.group.ops->apply(lab.group.ctx, index, term, buf_slice(&b));
    buf_close(&b);
    buf_close(&enc);
}

unsigned lab_reads_waiting(void)
{
    unsigned n = 0;

    for (struct list *l = lab.group.reads.next; l != &lab.group.reads;
         l = l->next)
        n++;
    return n;
}

void lab_read_done(int status)
{
    struct group_read *r;

    CHECK(!list_empty(&lab.group.reads));
    r = LIST_FIRST(&lab.group.reads, struct group_read, link);
    list_del(&r->link);
    r->cb(r, status);
}

uint64_t lab_count(unsigned i)
{
    struct op_batch b;

    CHECK(i < lab.group.n_entries);
    CHECK_EQ(op_batch_open(blob_slice(lab.group.entries[i].payload), &b), 0);
    return b.count;
}

enum op_kind lab_kind(unsigned i, uint64_t nth)
{
    struct slice argv[8], enc;
    struct op_batch b;
    struct op op;

    CHECK_EQ(op_batch_open(blob_slice(lab.group.entries[i].payload), &b), 0);
    do
        CHECK_EQ(op_batch_next(&b, &enc), 0);
    while (nth-- > 0);
    CHECK_EQ(op_decode(enc, &op, argv, 8), 0);
    return op.kind;
}

/* ---- requests ---- */

static void on_answer(struct shard_req *req, const struct op_result *res)
{
    struct lab_req *r = req->data;

    r->answers++;
    r->res = *res;
    if (res->type == OP_RES_BULK)
        snprintf(r->text, sizeof r->text, "%.*s", (int)res->bulk.n,
                 (const char *)res->bulk.p);
    r->res.bulk = (struct slice){ .p = NULL, .n = 0 };
}

static enum op_kind kind_of(const char *word)
{
    if (strcmp(word, "SET") == 0)
        return OP_SET;
    if (strcmp(word, "INCR") == 0)
        return OP_INCRBY;
    if (strcmp(word, "DEL") == 0)
        return OP_DEL;
    if (strcmp(word, "MGET") == 0)
        return OP_MGET;
    CHECK_STR(word, "GET");
    return OP_GET;
}

void lab_submit(struct lab_req *r, const char *words)
{
    struct slice argv[40];
    struct op op = { .argv = argv };
    char copy[512], *save, *word;

    memset(r, 0, sizeof *r);
    buf_init(&r->op);
    snprintf(copy, sizeof copy, "%s", words);
    word = strtok_r(copy, " ", &save);
    op.kind = kind_of(word);
    while ((word = strtok_r(NULL, " ", &save)) != NULL) {
        if (strncmp(word, "PX", 2) == 0 && op.kind == OP_SET) {
            op.flags = OP_TIME_REL;
            op.time = atoll(word + 2);
            continue;
        }
        argv[op.argc++] = slice_str(word);
    }
    if (op.kind == OP_INCRBY)
        argv[op.argc++] = slice_str("1");
    op.slot = slot_of_key(argv[0]);
    op_encode(&r->op, &op);
    r->req = (struct shard_req){ .op = buf_slice(&r->op),
                                 .write = op_is_write(op.kind),
                                 .witness = 2,
                                 .witness_term = 5,
                                 .cb = on_answer,
                                 .data = r };
    shard_submit(lab.shard, &r->req);
    CHECK_EQ(r->answers, 0); /* never from inside the call */
}

void lab_check_err(const struct lab_req *r, enum op_err err)
{
    CHECK_EQ(r->answers, 1);
    CHECK_EQ(r->res.type, OP_RES_ERR);
    CHECK_EQ(r->res.num, err);
}

void lab_check_int(const struct lab_req *r, int64_t num)
{
    CHECK_EQ(r->answers, 1);
    CHECK_EQ(r->res.type, OP_RES_INT);
    CHECK_EQ(r->res.num, num);
}

void lab_req_close(struct lab_req *r)
{
    buf_close(&r->op);
}
