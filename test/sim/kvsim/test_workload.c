/* What replies mean to the history. */
#include <string.h>

#include "kvsim/crowd.h"
#include "lib/test.h"

static struct world *w;
static struct workload *load;
static struct buf out;

static void open_load(enum plan_workload workload)
{
    const struct plan p = {
        .seed = 5, .nodes = 3, .shards = 2, .replicas = 3, .time_ms = 10000,
        .workload = workload, .clients = 1, .pipeline = 1, .keys_active = 1,
        .ops_per_key = 1000, .think_ms = 10, .timeout_ms = 1000,
        .election_ms = 300, .heartbeat_ms = 50, .segment_bytes = 64u << 10,
        .tail_bytes = 64u << 10,
    };

    w = world_new(&p, NULL);
    load = workload_new(w);
    buf_init(&out);
}

static void close_load(void)
{
    workload_free(load);
    buf_close(&out);
    world_free(w);
}

/* Ask until it is an action of this kind; the others are lost, if reads, or
 * answered as if nothing had been done. */
static struct action *ask(enum action_kind kind)
{
    struct answer busy = { .type = ANSWER_ERROR,
                           .text = slice_str("BUSY later") };

    for (unsigned i = 0; i < 10000; i++) {
        struct action *a;
        bool ok;

        buf_clear(&out);
        a = workload_next(load, 0, 1, &out);
        CHECK(a != NULL);
        if (a->kind == kind)
            return a;
        while (!workload_reply(load, a, &busy, &ok))
            ;
    }
    FAIL("no action of kind %d", (int)kind);
    return NULL;
}

static const struct oracle_op *answer(struct action *a, const char *reply)
{
    size_t record = a->record[0];
    struct answer r;
    bool ok;

    CHECK_EQ(answer_read(slice_str(reply), &r), (long)strlen(reply));
    CHECK(workload_reply(load, a, &r, &ok));
    return history_at(w->history, record);
}

TEST(workload, an_answer_is_ok_with_its_result)
{
    const struct oracle_op *op;

    open_load(WORKLOAD_register);
    op = answer(ask(ACTION_GET), "$5\r\nr0=77\r\n");
    CHECK_EQ(op->outcome, ORACLE_OK);
    CHECK(!op->result.nil);
    CHECK(slice_eq(op->result.bytes, slice_str("r0=77")));
    op = answer(ask(ACTION_GET), "$-1\r\n");
    CHECK(op->result.nil);
    op = answer(ask(ACTION_SET), "+OK\r\n");
    CHECK_EQ(op->outcome, ORACLE_OK);
    op = answer(ask(ACTION_SETNX), "$-1\r\n");
    CHECK(op->has_result);
    CHECK_EQ(op->number, 0);
    op = answer(ask(ACTION_CAS_VALUE), "+OK\r\n");
    CHECK_EQ(op->f, ORACLE_CAS);
    CHECK_EQ(op->number, 1);
    CHECK_EQ(w->verdict, VERDICT_OK);
    close_load();
}

TEST(workload, nothing_was_done_is_fail_and_other_errors_are_unknown)
{
    open_load(WORKLOAD_register);
    CHECK_EQ(answer(ask(ACTION_SET), "-CLUSTERDOWN no\r\n")->outcome,
             ORACLE_FAIL);
    CHECK_EQ(answer(ask(ACTION_SET), "-BUSY no\r\n")->outcome, ORACLE_FAIL);
    CHECK_EQ(answer(ask(ACTION_SET), "-LOADING no\r\n")->outcome, ORACLE_FAIL);
    CHECK_EQ(answer(ask(ACTION_SET), "-UNKNOWN perhaps\r\n")->outcome,
             ORACLE_UNKNOWN);
    CHECK_EQ(answer(ask(ACTION_SET), "-MISCONF perhaps\r\n")->outcome,
             ORACLE_UNKNOWN);
    CHECK_EQ(w->verdict, VERDICT_OK);
    close_load();
}

TEST(workload, what_is_lost_is_unknown)
{
    struct action *a;
    size_t record;

    open_load(WORKLOAD_counter);
    a = ask(ACTION_INCR);
    record = a->record[0];
    workload_lost(load, a);
    CHECK_EQ(history_at(w->history, record)->outcome, ORACLE_UNKNOWN);
    close_load();
}

static void misfit(enum plan_workload workload, enum action_kind kind,
                   const char *reply)
{
    open_load(workload);
    (void)answer(ask(kind), reply);
    if (w->verdict != VERDICT_CORRECTNESS)
        FAIL("taken for an answer: %s", reply);
    close_load();
}

TEST(workload, a_value_of_another_key_is_a_violation)
{
    misfit(WORKLOAD_register, ACTION_GET, "$5\r\nr1=77\r\n");
    misfit(WORKLOAD_register, ACTION_GET, "$6\r\nr00=77\r\n");
    misfit(WORKLOAD_append, ACTION_GET, "$10\r\na0=1;a1=2;\r\n");
    misfit(WORKLOAD_counter, ACTION_GET, "$5\r\nr0=77\r\n");
}

TEST(workload, a_reply_to_another_command_is_a_violation)
{
    misfit(WORKLOAD_register, ACTION_GET, ":1\r\n");
    misfit(WORKLOAD_register, ACTION_SET, "$-1\r\n");
    misfit(WORKLOAD_register, ACTION_DEL, ":2\r\n");
    misfit(WORKLOAD_counter, ACTION_INCR, "+OK\r\n");
    misfit(WORKLOAD_append, ACTION_APPEND, "$5\r\na0=1;\r\n");
}

TEST(workload, to_be_told_that_a_command_is_wrong_is_a_violation)
{
    misfit(WORKLOAD_counter, ACTION_INCR, "-ERR value is not an integer\r\n");
}

TEST(workload, a_value_counts_for_a_revision_only_between_two_equal_ones)
{
    const struct oracle_op *op;
    struct action *a;
    struct answer r;
    bool ok;

    open_load(WORKLOAD_register);
    a = ask(ACTION_READ_REVISION);
    CHECK(answer_read(slice_str(":7\r\n"), &r) > 0);
    CHECK(!workload_reply(load, a, &r, &ok));
    CHECK(answer_read(slice_str("$4\r\nr0=5\r\n"), &r) > 0);
    CHECK(!workload_reply(load, a, &r, &ok));
    (void)answer(a, ":7\r\n");
    a = ask(ACTION_CAS_REVISION);
    CHECK(memmem(buf_at(&out), out.len, "IFREV\r\n$1\r\n7\r\n", 14) != NULL);
    op = answer(a, "$-1\r\n");
    CHECK(slice_eq(op->expect.bytes, slice_str("r0=5")));
    CHECK_EQ(op->number, 0);
    close_load();
}
