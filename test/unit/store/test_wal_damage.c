/* What wal_open makes of a damaged log, for each byte of a small one:
 *
 *   what is done to it                           result
 *   cut (everything behind is zero) anywhere     exactly the records before it
 *   file made shorter                            refused
 *   byte changed in a segment header             refused
 *   byte changed in a record, log closed or      refused, naming the record's
 *     quiet since, or a later write is there       file and offset
 *   byte changed in the last write, killed at    the records before the changed
 *     once                                         one
 *   byte changed in the closing MARK             nothing is lost
 *   byte changed behind the end                  nothing is lost
 *
 * "Refused" always means: the directory is as it was. */
#include <stdio.h>
#include <string.h>

#include "base/codec.h"
#include "base/crc.h"
#include "base/mem.h"
#include "walscript.h"

static const uint8_t flips[] = { 0x01, 0x80, 0xff };

static void check_refused(struct fix *f, int rv, uint64_t seq, uint32_t off)
{
    char want[128];

    CHECK(rv == KV_ECORRUPT || rv == KV_EVERSION || rv == KV_EMISMATCH);
    CHECK(f->w == NULL);
    snprintf(want, sizeof want,
             DIR "/wal-%016llx.seg: offset %u: ", (unsigned long long)seq, off);
    if (strncmp(f->err, want, strlen(want)) != 0)
        FAIL("message is \"%s\", not \"%s...\"", f->err, want);
    CHECK(strstr(f->err, "estore") != NULL || strstr(f->err, "tart") != NULL);
}

/* Opens a copy; whatever comes out, the log that is open can be continued and
 * holds the same after another kill. */
static void check_goes_on(struct fix *f, const struct model *m)
{
    struct fix next;

    model_check(m, f);
    uint64_t last = m->g[3].last;
    fix_put(f, 3, last + 1, 1, 50);
    fix_sync(f);
    fix_init_from(&next, f);
    fix_open(&next);
    struct wal_group *g = wal_find_group(next.w, 3);
    CHECK(g != NULL);
    CHECK_EQ(g->first + g->n, last + 2);
    for (uint32_t k = 1; k < 3; k++)
        CHECK_EQ(wal_find_group(next.w, k) != NULL, m->g[k].there);
    fix_free(&next);
}

TEST(wal_damage, a_log_cut_at_any_byte_is_the_prefix_before_it)
{
    struct script s;

    script_run(&s);
    const uint8_t *good = fix_segment(&s.f, 1)->cur;
    uint32_t end = s.rec[s.n - 1].end;
    for (uint32_t c = WAL__SEG_HEADER; c <= end; c++) {
        struct fix f;
        fix_init_from(&f, &s.f);
        memset(fix_segment(&f, 1)->cur + c, 0, end - c);
        /* A cut inside trailing zeros changes nothing yet. */
        uint32_t first = c;
        while (first < end && good[first] == 0)
            first++;
        fix_open(&f);
        check_goes_on(&f,
                      script_prefix(&s, script_records_before(&s, 1, first)));
        fix_free(&f);
    }
    fix_free(&s.f);
}

TEST(wal_damage, a_file_made_shorter_is_refused)
{
    struct script s;

    script_run(&s);
    uint32_t end = s.rec[s.n - 1].end;
    for (uint32_t c = 0; c <= end + 100; c++) {
        struct fix f;
        fix_init_from(&f, &s.f);
        fix_segment(&f, 1)->cur_n = c;
        uint32_t before = memenv_digest(&f.m);
        int rv = fix_try_open(&f);
        CHECK_EQ(rv, KV_ECORRUPT);
        check_refused(&f, rv, 1, c < WAL__SEG_HEADER ? 0 : c);
        CHECK_EQ(memenv_digest(&f.m), before);
        fix_free(&f);
    }
    fix_free(&s.f);
}

static const struct script_record *record_at(const struct script *s,
                                             uint64_t seq, uint32_t off)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->rec[i].seq == seq && off >= s->rec[i].start &&
            off < s->rec[i].end)
            return &s->rec[i];
    return NULL;
}

/* The first record that note() saw begins with the segment's checkpoint. */
static uint32_t record_start(const struct fix *from, uint64_t seq, uint32_t off)
{
    const uint8_t *p = fix_segment((struct fix *)(uintptr_t)from, seq)->cur;
    uint32_t at = WAL__SEG_HEADER;

    for (;;) {
        uint32_t length = get_u32le(p + at + 4);
        if (off < at + length)
            return at;
        at += length;
    }
}

static void flip_closed(const struct script *s, uint32_t off, uint8_t bits,
                        uint32_t mark)
{
    struct fix f;

    fix_init_from(&f, &s->f);
    fix_segment(&f, 1)->cur[off] ^= bits;
    uint32_t before = memenv_digest(&f.m);
    int rv = fix_try_open(&f);
    if (off >= mark) {
        CHECK_EQ(rv, 0);
        model_check(&s->model, &f);
    } else {
        check_refused(&f, rv, 1,
                      off < WAL__SEG_HEADER ? 0 : record_start(&s->f, 1, off));
        CHECK_EQ(memenv_digest(&f.m), before);
    }
    fix_free(&f);
}

TEST(wal_damage, any_changed_byte_of_a_closed_log_is_refused)
{
    struct script s;

    script_run(&s);
    uint32_t mark = s.f.w->cur_off;
    fix_close(&s.f);
    for (uint32_t off = 0; off < mark + 200; off++)
        for (size_t k = 0; k < sizeof flips; k++)
            flip_closed(&s, off, flips[k], mark);
    memenv_close(&s.f.m);
}

TEST(wal_damage, any_changed_byte_of_a_quiet_log_is_refused_after_a_kill)
{
    struct script s;

    script_run(&s);
    uint32_t mark = s.f.w->cur_off;
    memenv_advance(&s.f.m, WAL__IDLE_MARK_MS);
    CHECK(s.f.w->cur_off > mark);
    for (uint32_t off = WAL__SEG_HEADER; off < mark + 100; off++)
        flip_closed(&s, off, 0x10, mark);
    fix_free(&s.f);
}

static void flip_killed(const struct script *s, uint32_t off, uint8_t bits)
{
    struct fix f;
    const struct script_record *r = record_at(s, 1, off);

    fix_init_from(&f, &s->f);
    fix_segment(&f, 1)->cur[off] ^= bits;
    uint32_t before = memenv_digest(&f.m);
    int rv = fix_try_open(&f);
    if (r == NULL || r->write == s->writes - 1) {
        unsigned n = r == NULL ? s->n : (unsigned)(r - s->rec);
        CHECK_EQ(rv, 0);
        check_goes_on(&f, script_prefix(s, n));
    } else {
        CHECK_EQ(rv, KV_ECORRUPT);
        check_refused(&f, rv, 1, record_start(&s->f, 1, off));
        CHECK_EQ(memenv_digest(&f.m), before);
    }
    fix_free(&f);
}

TEST(wal_damage, only_the_last_write_of_a_killed_log_may_be_unreadable)
{
    struct script s;

    script_run(&s);
    uint32_t end = s.rec[s.n - 1].end;
    for (uint32_t off = WAL__SEG_HEADER; off < end + 100; off++)
        for (size_t k = 0; k < sizeof flips; k++)
            flip_killed(&s, off, flips[k]);
    fix_free(&s.f);
}

/* Two full segments and a bit. */
static void fill_segments(struct fix *f)
{
    fix_init(f);
    fix_open(f);
    for (uint64_t i = 1; i <= 24; i++) {
        fix_put(f, 1, i, 1, 6000);
        fix_sync(f);
    }
    CHECK_EQ(f->w->cur->h.seq, 3);
}

static void flip_older(struct fix *from, uint64_t seq, uint32_t off)
{
    struct fix f;

    fix_init_from(&f, from);
    fix_segment(&f, seq)->cur[off] ^= 0x40;
    uint32_t before = memenv_digest(&f.m);
    int rv = fix_try_open(&f);
    check_refused(&f, rv, seq,
                  off < WAL__SEG_HEADER ? 0 : record_start(from, seq, off));
    CHECK_EQ(memenv_digest(&f.m), before);
    fix_free(&f);
}

TEST(wal_damage, a_changed_byte_in_an_older_segment_is_refused)
{
    struct fix f;
    struct wal__rec r;

    fill_segments(&f);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        const struct wal__head *h = &wal__seg_find(f.w, seq)->h;
        const uint8_t *p = fix_segment(&f, seq)->cur;
        for (uint32_t at = WAL__SEG_HEADER;; at += r.length) {
            CHECK_EQ(wal__rec_decode(h, at, p + at, h->bytes - at, &r), 0);
            for (uint32_t k = 0; k < WAL__REC_HEADER; k++)
                flip_older(&f, seq, at + k);
            for (uint32_t k = WAL__REC_HEADER; k < r.length; k += 97)
                flip_older(&f, seq, at + k);
            flip_older(&f, seq, at + r.length - 1);
            if (r.kind == WAL__SEAL)
                break;
        }
        flip_older(&f, seq, 100); /* header, behind its fields */
    }
    fix_free(&f);
}

static void without(struct fix *from, uint64_t seq, const char *what)
{
    struct fix f;
    char path[64];

    fix_init_from(&f, from);
    snprintf(path, sizeof path, DIR "/wal-%016llx.seg",
             (unsigned long long)seq);
    CHECK_EQ(env_unlink(&f.m.env, path), 0);
    CHECK_EQ(fix_try_open(&f), KV_ECORRUPT);
    check_refused(&f, KV_ECORRUPT, seq, 0);
    CHECK(strstr(f.err, what) != NULL);
    fix_free(&f);
}

TEST(wal_damage, a_missing_segment_is_refused)
{
    struct fix f;

    fill_segments(&f);
    without(&f, 2, "the file is missing although later segments are there");
    without(&f, 1, "entries that are still needed lie in it");
    fix_free(&f);
}

TEST(wal_damage, segments_that_changed_places_are_refused)
{
    struct fix f, g;

    fill_segments(&f);
    fix_init_from(&g, &f);
    CHECK_EQ(env_rename(&g.m.env, DIR "/wal-0000000000000001.seg", "/x"), 0);
    CHECK_EQ(env_rename(&g.m.env, DIR "/wal-0000000000000002.seg",
                        DIR "/wal-0000000000000001.seg"),
             0);
    CHECK_EQ(env_rename(&g.m.env, "/x", DIR "/wal-0000000000000002.seg"), 0);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    check_refused(&g, KV_ECORRUPT, 1, 16);
    fix_free(&g);
    fix_free(&f);
}

TEST(wal_damage, a_log_of_another_node_or_cluster_is_refused)
{
    struct script s;

    script_run(&s);
    for (int k = 0; k < 2; k++) {
        struct fix f;
        fix_init_from(&f, &s.f);
        f.cfg.node_id += k == 0;
        f.cfg.cluster_id += k == 1;
        CHECK_EQ(fix_try_open(&f), KV_EMISMATCH);
        check_refused(&f, KV_EMISMATCH, 1, 0);
        CHECK(strstr(f.err, "node 7 of cluster 00000000000000c1") != NULL);
        fix_free(&f);
    }
    fix_free(&s.f);
}

/* Replace the record at off by another intact one of the same length. */
static void forge(struct fix *f, uint32_t off, uint8_t kind, uint8_t version,
                  uint64_t index)
{
    uint8_t *p = fix_segment(f, 1)->cur + off;
    struct wal__head h;

    CHECK_EQ(wal__head_decode(fix_segment(f, 1)->cur, WAL__SEG_HEADER, &h), 0);
    p[48] = kind;
    p[49] = version;
    put_u64le(p + 24, index);
    wal__rec_finish(p, h.generation, get_u64le(p + 16));
}

TEST(wal_damage, intact_records_that_make_no_sense_are_refused)
{
    static const struct {
        unsigned rec;
        uint8_t kind, version;
        uint64_t index;
        int want;
        const char *what;
    } cases[] = {
        { 1, WAL_APPEND, 1, 2, KV_ECORRUPT, "do not follow the last" },
        { 1, WAL_APPEND, 2, 1, KV_EVERSION, "does not know" },
        { 2, 77, 1, 0, KV_EVERSION, "does not know" },
        { 5, WAL_TRUNCATE, 1, 9, KV_ECORRUPT, "a truncation names" },
        { 5, WAL_COMPACT, 1, 9, KV_ECORRUPT, "a compaction names" },
        { 5, WAL_BOOTSTRAP, 1, 0, KV_ECORRUPT, "begins twice" },
        { 7, WAL_INSTALL, 1, UINT64_MAX, KV_ECORRUPT, "out of range" },
        { 7, WAL__CHECKPOINT, 1, 0, KV_ECORRUPT, "damaged" },
    };
    struct script s;

    script_run(&s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fix f;
        const struct script_record *r = &s.rec[cases[i].rec];
        fix_init_from(&f, &s.f);
        forge(&f, r->start, cases[i].kind, cases[i].version, cases[i].index);
        uint32_t before = memenv_digest(&f.m);
        CHECK_EQ(fix_try_open(&f), cases[i].want);
        check_refused(&f, cases[i].want, 1, r->start);
        if (strstr(f.err, cases[i].what) == NULL)
            FAIL("case %zu: %s", i, f.err);
        CHECK_EQ(memenv_digest(&f.m), before);
        fix_free(&f);
    }
    fix_free(&s.f);
}

/* Overwrite a segment's header by one with these changes. */
static void forge_head(struct fix *f, uint64_t seq, uint64_t base_add,
                       uint32_t version)
{
    uint8_t *p = fix_segment(f, seq)->cur;
    struct wal__head h;

    CHECK_EQ(wal__head_decode(p, WAL__SEG_HEADER, &h), 0);
    h.base_lsn += base_add;
    wal__head_encode(&h, p);
    put_u32le(p + 8, version);
    put_u32le(p + 60, crc32c(0, p, 60));
}

TEST(wal_damage, a_header_of_another_version_or_another_log_is_refused)
{
    struct fix f, g;

    fill_segments(&f);
    fix_init_from(&g, &f);
    forge_head(&g, 2, 0, 2);
    CHECK_EQ(fix_try_open(&g), KV_EVERSION);
    check_refused(&g, KV_EVERSION, 2, 8);
    fix_free(&g);
    fix_init_from(&g, &f);
    forge_head(&g, 2, 8, 1);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    check_refused(&g, KV_ECORRUPT, 2, 48);
    fix_free(&g);
    fix_free(&f);
}

/* An intact CHECKPOINT that claims another last index for its only group. */
static void forge_checkpoint(struct fix *f, uint64_t seq, uint64_t last,
                             uint64_t snap)
{
    uint8_t *p = fix_segment(f, seq)->cur + WAL__SEG_HEADER;
    const struct wal__head *h;
    struct wal__head head;

    CHECK_EQ(wal__head_decode(fix_segment(f, seq)->cur, WAL__SEG_HEADER, &head),
             0);
    h = &head;
    CHECK_EQ(p[48], WAL__CHECKPOINT);
    struct wal__state s = wal__state_decode(p + WAL__REC_HEADER + 8);
    s.last = last;
    s.snap_index = snap;
    wal__state_encode(&s, p + WAL__REC_HEADER + 8);
    wal__rec_finish(p, h->generation, get_u64le(p + 16));
}

TEST(wal_damage, a_checkpoint_that_does_not_fit_the_log_before_it_is_refused)
{
    struct fix f, g;

    fill_segments(&f);
    fix_init_from(&g, &f);
    forge_checkpoint(&g, 2, 3, 0);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    check_refused(&g, KV_ECORRUPT, 2, WAL__SEG_HEADER);
    CHECK(strstr(g.err, "does not match the log before it") != NULL);
    fix_free(&g);
    fix_free(&f);
}

/* A log whose first segments are gone for good. */
static void shorten_segments(struct fix *f)
{
    fill_segments(f);
    wal_put_compact(f->w, 1, 22, 1);
    fix_sync(f);
    memenv_advance(&f->m, 1000);
    fix_put(f, 1, 25, 1, 100);
    fix_sync(f);
    memenv_advance(&f->m, 1000);
    CHECK(fix_segment(f, 1) == NULL);
    CHECK(fix_segment(f, 2) == NULL);
    CHECK(fix_segment(f, 3) != NULL);
}

TEST(wal_damage, the_opening_checkpoint_of_a_shortened_log_is_indispensable)
{
    struct fix f, g;

    shorten_segments(&f);
    fix_init_from(&g, &f);
    fix_open(&g);
    fix_check_group(&g, 1, 23, 25);
    fix_free(&g);

    fix_init_from(&g, &f);
    memset(fix_segment(&g, 3)->cur + WAL__SEG_HEADER, 0,
           WAL_SEGMENT_BYTES_MIN - WAL__SEG_HEADER);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    check_refused(&g, KV_ECORRUPT, 3, WAL__SEG_HEADER);
    fix_free(&g);

    fix_init_from(&g, &f);
    forge_checkpoint(&g, 3, 1, 7);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    CHECK(strstr(g.err, "contradicts itself") != NULL);
    fix_free(&g);
    fix_free(&f);
}

TEST(wal_damage, a_segment_that_begins_with_another_record_is_refused)
{
    struct fix f, g;
    struct wal__head h;

    fill_segments(&f);
    fix_init_from(&g, &f);
    uint8_t *p = fix_segment(&g, 2)->cur;
    CHECK_EQ(wal__head_decode(p, WAL__SEG_HEADER, &h), 0);
    struct wal__rec r = { .kind = WAL__MARK,
                          .length = WAL__REC_HEADER,
                          .covered = WAL__REC_HEADER,
                          .lsn = h.base_lsn + WAL__SEG_HEADER };
    wal__rec_encode(&r, p + WAL__SEG_HEADER);
    wal__rec_finish(p + WAL__SEG_HEADER, h.generation, 0);
    CHECK_EQ(fix_try_open(&g), KV_ECORRUPT);
    check_refused(&g, KV_ECORRUPT, 2, WAL__SEG_HEADER);
    fix_free(&g);
    fix_free(&f);
}
