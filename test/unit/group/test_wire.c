/* Raft messages on the wire: round trips, and what a stranger may send. */
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "group/group_wire.h"
#include "lib/test.h"
#include "unit/group/lab.h"

/* The payload of a frame as contiguous bytes. */
static struct buf flat(struct frame *f)
{
    struct slice part[16];
    struct buf b;
    unsigned n;

    frame_seal(f);
    n = frame_n_parts(f);
    CHECK(n <= 16);
    frame_parts(f, part, 16);
    buf_init(&b);
    for (unsigned i = 0; i < n; i++)
        buf_put_slice(&b, part[i]);
    buf_consume(&b, FRAME_HEAD_BYTES);
    frame_free(f);
    return b;
}

static struct buf sample(enum raft_message_type type)
{
    struct raft_message m = { .type = type };

    switch (type) {
    case RAFT_APPEND_ENTRIES_RESULT:
        m.append_entries_result = (struct raft_append_entries_result){
            .term = 7, .rejected = 300, .last_log_index = 299
        };
        break;
    case RAFT_REQUEST_VOTE:
        m.request_vote = (struct raft_request_vote){ .term = 9,
                                                     .candidate_id = 3,
                                                     .last_log_index = 1000,
                                                     .last_log_term = 8,
                                                     .disrupt_leader = true };
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        m.request_vote_result = (struct raft_request_vote_result){
            .term = 9, .vote_granted = true, .pre_vote = true
        };
        break;
    case RAFT_TIMEOUT_NOW:
        m.timeout_now = (struct raft_timeout_now){ .term = 4,
                                                   .last_log_index = 70,
                                                   .last_log_term = 3 };
        break;
    case RAFT_APPEND_ENTRIES:
    case RAFT_INSTALL_SNAPSHOT:
    default:
        FAIL("no sample");
    }
    return flat(wire_encode(5, &m));
}

/* prev 10^2, then entries of the given terms; the last may be a CHANGE. */
static struct buf sample_ae(const uint64_t *terms, unsigned n,
                            struct blob *conf, size_t extra)
{
    struct raft_append_entries ae = { .term = 6,
                                      .prev_log_index = 10,
                                      .prev_log_term = 2,
                                      .leader_commit = 9,
                                      .n_entries = n };
    struct frame *f = wire_encode_ae(5, &ae);

    for (unsigned i = 0; i < n; i++) {
        struct blob *b = blob_new(3 + extra);

        memset(b->data, 'a' + (int)i, b->len);
        if (conf != NULL && i == n - 1)
            wire_put_entry(f, terms[i], RAFT_CHANGE, conf);
        else
            wire_put_entry(f, terms[i], RAFT_COMMAND, b);
        blob_unref(b);
    }
    return flat(f);
}

static int decode(struct buf *b, struct wire_msg *ret)
{
    int rv = wire_decode(3, buf_slice(b), ret);

    buf_close(b);
    return rv;
}

TEST(wire, every_message_comes_back_as_it_was_sent)
{
    struct wire_msg w;
    struct buf b = sample(RAFT_APPEND_ENTRIES_RESULT);

    CHECK_EQ(decode(&b, &w), 0);
    CHECK_EQ(w.m.server_id, 3);
    CHECK_EQ(w.m.append_entries_result.term, 7);
    CHECK_EQ(w.m.append_entries_result.rejected, 300);
    CHECK_EQ(w.m.append_entries_result.last_log_index, 299);
    b = sample(RAFT_REQUEST_VOTE);
    CHECK_EQ(decode(&b, &w), 0);
    CHECK_EQ(w.m.request_vote.candidate_id, 3);
    CHECK_EQ(w.m.request_vote.last_log_index, 1000);
    CHECK_EQ(w.m.request_vote.last_log_term, 8);
    CHECK(w.m.request_vote.disrupt_leader);
    CHECK(!w.m.request_vote.pre_vote);
    b = sample(RAFT_REQUEST_VOTE_RESULT);
    CHECK_EQ(decode(&b, &w), 0);
    CHECK_EQ(w.m.request_vote_result.term, 9);
    CHECK(w.m.request_vote_result.vote_granted);
    CHECK(w.m.request_vote_result.pre_vote);
    CHECK(w.m.request_vote_result.version >= 2);
    b = sample(RAFT_TIMEOUT_NOW);
    CHECK_EQ(decode(&b, &w), 0);
    CHECK_EQ(w.m.timeout_now.last_log_index, 70);
    CHECK_EQ(w.m.timeout_now.last_log_term, 3);
}

TEST(wire, entries_come_back_in_order_with_their_payloads)
{
    static const uint64_t terms[] = { 2, 5, 6 };
    struct blob *conf = lab_conf("vvv");
    struct buf b = sample_ae(terms, 3, conf, FRAME_SPLICE_MIN);
    struct wire_msg w;
    struct slice payload;
    enum raft_entry_type type;
    raft_term term;

    CHECK_EQ(wire_decode(3, buf_slice(&b), &w), 0);
    CHECK_EQ(w.n_entries, 3);
    CHECK_EQ(w.m.append_entries.prev_log_index, 10);
    CHECK_EQ(w.m.append_entries.leader_commit, 9);
    for (int i = 0; i < 2; i++) {
        wire_entry(&w.entries, &term, &type, &payload);
        CHECK_EQ(term, terms[i]);
        CHECK_EQ(type, RAFT_COMMAND);
        CHECK_EQ(payload.n, 3 + FRAME_SPLICE_MIN);
        CHECK_EQ(payload.p[payload.n - 1], 'a' + i);
    }
    wire_entry(&w.entries, &term, &type, &payload);
    CHECK_EQ(type, RAFT_CHANGE);
    CHECK(slice_eq(payload, blob_slice(conf)));
    CHECK_EQ(w.entries.n, 0);
    blob_unref(conf);
    buf_close(&b);
}

TEST(wire, a_message_cut_short_or_too_long_is_refused)
{
    static const uint64_t terms[] = { 2, 6 };
    struct buf b[5] = { sample(RAFT_APPEND_ENTRIES_RESULT),
                        sample(RAFT_REQUEST_VOTE),
                        sample(RAFT_REQUEST_VOTE_RESULT),
                        sample(RAFT_TIMEOUT_NOW),
                        sample_ae(terms, 2, NULL, 0) };
    struct wire_msg w;

    for (int i = 0; i < 5; i++) {
        struct slice s = buf_slice(&b[i]);

        CHECK_EQ(wire_decode(3, s, &w), 0);
        for (size_t n = 0; n < s.n; n++)
            CHECK_EQ(wire_decode(3, slice_make(s.p, n), &w), KV_EPROTO);
        buf_put_u8(&b[i], 0);
        CHECK_EQ(wire_decode(3, buf_slice(&b[i]), &w), KV_EPROTO);
        buf_close(&b[i]);
    }
}

TEST(wire, another_version_is_told_apart_from_garbage)
{
    struct buf b = sample(RAFT_TIMEOUT_NOW);
    struct wire_msg w;

    buf_at(&b)[0] = WIRE_RAFT_VERSION + 1;
    CHECK_EQ(decode(&b, &w), KV_EVERSION);
}

TEST(wire, a_candidate_must_ask_for_itself)
{
    struct buf b = sample(RAFT_REQUEST_VOTE); /* by node 3 */
    struct wire_msg w;

    CHECK_EQ(wire_decode(3, buf_slice(&b), &w), 0);
    CHECK_EQ(wire_decode(2, buf_slice(&b), &w), KV_EPROTO);
    CHECK_EQ(wire_decode(0, buf_slice(&b), &w), KV_EPROTO);
    buf_close(&b);
}

TEST(wire, terms_that_fall_or_exceed_the_leaders_are_refused)
{
    static const uint64_t bad[][2] = { { 1, 6 }, { 5, 4 }, { 2, 7 }, { 0, 2 } };
    struct wire_msg w;

    for (int i = 0; i < 4; i++) {
        struct buf b = sample_ae(bad[i], 2, NULL, 0);

        CHECK_EQ(decode(&b, &w), KV_EPROTO);
    }
}

static int decode_ae(struct raft_append_entries ae)
{
    struct buf b = flat(wire_encode_ae(5, &ae));
    struct wire_msg w;

    return decode(&b, &w);
}

TEST(wire, an_anchor_that_contradicts_itself_is_refused)
{
    struct raft_append_entries ok = { .term = 3,
                                      .prev_log_index = 5,
                                      .prev_log_term = 2 };
    struct raft_append_entries ae = ok;

    CHECK_EQ(decode_ae(ok), 0);
    ae.prev_log_term = 0;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
    ae = ok;
    ae.prev_log_index = 0;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
    ae = ok;
    ae.prev_log_term = 4;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
    ae = ok;
    ae.prev_log_index = GROUP_INDEX_MAX;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
    ae = ok;
    ae.leader_commit = UINT64_MAX;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
    ae = ok;
    ae.term = 0;
    ae.prev_log_term = ae.prev_log_index = 0;
    CHECK_EQ(decode_ae(ae), KV_EPROTO);
}

TEST(wire, a_configuration_cut_short_or_changed_never_reaches_the_core)
{
    struct blob *conf = lab_conf("vvs");
    uint8_t copy[256];

    CHECK(wire_conf_ok(blob_slice(conf)));
    for (size_t n = 0; n + 8 <= conf->len; n++)
        CHECK(!wire_conf_ok(slice_make(conf->data, n)));
    CHECK(conf->len <= sizeof copy);
    for (size_t i = 0; i < conf->len; i++)
        for (unsigned v = 0; v < 256; v++) {
            memcpy(copy, conf->data, conf->len);
            copy[i] = (uint8_t)v;
            wire_conf_ok(slice_make(copy, conf->len)); /* must not crash */
        }
    memcpy(copy, conf->data, conf->len);
    copy[1] = 200; /* 200 servers */
    CHECK(!wire_conf_ok(slice_make(copy, conf->len)));
    copy[1] = 0;
    CHECK(!wire_conf_ok(slice_make(copy, conf->len)));
    blob_unref(conf);
}

TEST(wire, changed_bytes_are_refused_or_still_obey_the_rules)
{
    static const uint64_t terms[] = { 2, 5, 6 };
    struct blob *conf = lab_conf("vvv");
    struct buf b = sample_ae(terms, 3, conf, 0);
    struct rng rng;
    struct wire_msg w;

    rng_seed(&rng, test_seed());
    for (int i = 0; i < 50000; i++) {
        uint8_t copy[512];
        size_t n = b.len;

        CHECK(n <= sizeof copy);
        memcpy(copy, buf_at(&b), n);
        for (uint64_t k = rng_below(&rng, 3) + 1; k > 0; k--)
            copy[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        if (wire_decode(3, slice_make(copy, n), &w) != 0 ||
            w.m.type != RAFT_APPEND_ENTRIES)
            continue;
        for (unsigned k = 0; k < w.n_entries; k++) {
            struct slice payload;
            enum raft_entry_type type;
            raft_term term;

            wire_entry(&w.entries, &term, &type, &payload);
            CHECK(term > 0 && term <= w.m.append_entries.term);
            CHECK(type != RAFT_CHANGE || wire_conf_ok(payload));
        }
    }
    blob_unref(conf);
    buf_close(&b);
}
