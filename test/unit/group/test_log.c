/* The log tail: eviction, truncation, reading back. */
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "unit/group/lab.h"

static void append(struct glog *l, uint64_t term, uint8_t type, size_t len)
{
    struct blob *b = blob_new(len);

    memset(b->data, (int)log__last(l) + 1, len);
    log__append(
        l, (struct gent){
               .term = term, .type = type, .blob = b, .len = (uint32_t)len });
}

TEST(log, eviction_takes_the_oldest_payloads_and_keeps_configurations)
{
    struct glog l;

    log__init(&l);
    append(&l, 1, RAFT_CHANGE, 100);
    for (int i = 0; i < 9; i++)
        append(&l, 1, RAFT_COMMAND, 100);
    CHECK_EQ(l.bytes, 1000);
    log__evict(&l, 10, 450);
    CHECK_EQ(l.bytes, 400);
    CHECK(log__at(&l, 1)->blob != NULL);
    CHECK(log__at(&l, 7)->blob == NULL);
    CHECK(log__at(&l, 8)->blob != NULL);
    log__check(&l);
    log__close(&l);
}

TEST(log, eviction_stops_at_what_is_not_durable_yet)
{
    struct glog l;

    log__init(&l);
    for (int i = 0; i < 10; i++)
        append(&l, 1, RAFT_COMMAND, 100);
    log__evict(&l, 4, 0);
    CHECK(log__at(&l, 4)->blob == NULL);
    CHECK(log__at(&l, 5)->blob != NULL);
    CHECK_EQ(l.bytes, 600);
    log__close(&l);
}

TEST(log, truncation_gives_payloads_back_and_appending_goes_on)
{
    struct glog l;

    log__init(&l);
    for (int i = 0; i < 10; i++)
        append(&l, 1, RAFT_COMMAND, 100);
    log__evict(&l, 10, 300);
    log__truncate(&l, 5);
    CHECK_EQ(log__last(&l), 4);
    CHECK_EQ(l.bytes, 0);
    CHECK_EQ(log__term(&l, 5), 0);
    append(&l, 2, RAFT_COMMAND, 50);
    CHECK_EQ(log__term(&l, 5), 2);
    CHECK_EQ(l.bytes, 50);
    log__evict(&l, 5, 0);
    CHECK_EQ(l.bytes, 0);
    log__check(&l);
    log__close(&l);
}

TEST_ABORTS(log, a_term_that_falls_is_our_bug)
{
    struct glog l;

    log__init(&l);
    append(&l, 2, RAFT_COMMAND, 10);
    append(&l, 1, RAFT_COMMAND, 10);
}

static unsigned arrived;

static void on_ready(void *ctx, int status)
{
    int *got = ctx;

    arrived++;
    *got = status;
}

/* A log of n durable entries in the WAL double, none in memory. */
static void evicted_log(struct lab *lab, struct glog *l, unsigned n)
{
    struct wal *w = &lab->node[1].wal;

    log__init(l);
    for (unsigned i = 1; i <= n; i++) {
        struct blob *b = blob_new(8);
        struct wal_entry e = {
            .term = 1, .type = RAFT_COMMAND, .len = 8, .blob = b
        };
        uint64_t v = i;

        memcpy(b->data, &v, 8);
        wal_put_entries(w, 0, i, &e, 1);
        log__append(l, (struct gent){ .term = 1,
                                      .type = RAFT_COMMAND,
                                      .blob = b,
                                      .len = 8,
                                      .pos = e.pos });
    }
    w->synced = w->end;
    log__evict(l, n, 0);
}

TEST(log, a_reader_reads_ahead_and_hands_out_in_any_order)
{
    struct lab *lab = lab_new(1, 1);
    struct log_reader *rd;
    struct glog l;
    int status = 1;

    evicted_log(lab, &l, 200);
    rd = reader__new(&lab->node[1].wal, on_ready, &status);
    reader__want(rd, &l, 10, 200);
    CHECK_EQ(lab->node[1].wal.n_reads, LOG_READ_AHEAD);
    CHECK(reader__get(rd, &l, 10) == NULL);
    lab_reads(lab, 1);
    CHECK_EQ(status, 0);
    CHECK_EQ(arrived, LOG_READ_AHEAD);
    for (uint64_t i = 10; i < 10 + LOG_READ_AHEAD; i++) {
        struct blob *b = reader__get(rd, &l, i);

        CHECK(b != NULL);
        CHECK_MEM(b->data, &i, 8);
    }
    reader__want(rd, &l, 12, 200);
    CHECK_EQ(lab->node[1].wal.n_reads, LOG_READ_AHEAD + 2);
    CHECK(reader__get(rd, &l, 11) == NULL);
    reader__free(rd); /* two reads are under way: it lives until they end */
    lab_reads(lab, 1);
    CHECK_EQ(arrived, LOG_READ_AHEAD);
    log__close(&l);
    lab_free(lab);
}

TEST(log, a_reader_does_not_hand_out_what_was_truncated_meanwhile)
{
    struct lab *lab = lab_new(1, 1);
    struct log_reader *rd;
    struct glog l;
    int status = 1;

    evicted_log(lab, &l, 5);
    rd = reader__new(&lab->node[1].wal, on_ready, &status);
    reader__want(rd, &l, 4, 5);
    log__truncate(&l, 4);
    append(&l, 2, RAFT_COMMAND, 8);
    lab_reads(lab, 1);
    CHECK(reader__get(rd, &l, 4) == NULL);
    CHECK(reader__get(rd, &l, 5) == NULL);
    reader__free(rd);
    log__close(&l);
    lab_free(lab);
}

TEST(log, a_reader_holds_a_bounded_number_of_bytes)
{
    struct lab *lab = lab_new(1, 1);
    struct log_reader *rd;
    struct glog l;
    int status = 1;

    evicted_log(lab, &l, 10);
    for (int i = 0; i < 10; i++)
        l.e[i].len = LOG_READ_BYTES_MAX / 2;
    rd = reader__new(&lab->node[1].wal, on_ready, &status);
    reader__want(rd, &l, 1, 10);
    CHECK_EQ(lab->node[1].wal.n_reads, 2);
    lab_reads(lab, 1);
    reader__free(rd);
    log__close(&l);
    lab_free(lab);
}
