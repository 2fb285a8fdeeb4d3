/* See walscript.h.  The model is deliberately naive: it shares no code with the
 * log. */
#include "walscript.h"

#include <string.h>

static const struct model nothing;

/* The record just put ends at the cursor. */
static void note(struct script *s, uint32_t before_off, uint64_t before_seq)
{
    const struct wal *w = s->f.w;
    struct script_record *r = &s->rec[s->n];

    CHECK(s->n < SCRIPT_RECORDS_MAX);
    r->seq = w->cur->h.seq;
    r->start = before_seq == r->seq ? before_off : WAL__SEG_HEADER;
    r->end = w->cur_off;
    r->write = s->writes;
    r->after = s->model;
    s->n++;
}

#define PUT(s, call)                                                           \
    do {                                                                       \
        const struct wal *w_ = (s)->f.w;                                       \
        uint32_t off_ = w_->cur_off;                                           \
        uint64_t seq_ = w_->cur->h.seq;                                        \
        call;                                                                  \
        note((s), off_, seq_);                                                 \
    } while (0)

static struct model_group *group_of(struct script *s, uint32_t group)
{
    CHECK(group < MODEL_GROUPS);
    s->model.g[group].there = true;
    return &s->model.g[group];
}

void script_bootstrap(struct script *s, uint32_t group)
{
    group_of(s, group)->term = 1;
    PUT(s, wal_put_bootstrap(s->f.w, group));
}

void script_hardstate(struct script *s, uint32_t group, uint64_t term,
                      uint64_t vote)
{
    struct model_group *g = group_of(s, group);

    g->term = term;
    g->vote = vote;
    PUT(s, wal_put_hardstate(s->f.w, group, term, vote));
}

void script_append(struct script *s, uint32_t group, unsigned n, uint64_t term,
                   uint32_t len)
{
    struct model_group *g = group_of(s, group);
    uint64_t index = g->last + 1;

    for (unsigned i = 0; i < n; i++) {
        g->last++;
        g->terms[g->last % MODEL_ENTRIES] = term;
        g->lens[g->last % MODEL_ENTRIES] = len;
    }
    PUT(s, fix_put_run(&s->f, group, index, term, len, n));
}

void script_truncate(struct script *s, uint32_t group, uint64_t index)
{
    group_of(s, group)->last = index - 1;
    PUT(s, wal_put_truncate(s->f.w, group, index));
}

void script_compact(struct script *s, uint32_t group, uint64_t index)
{
    struct model_group *g = group_of(s, group);
    uint64_t term = g->terms[index % MODEL_ENTRIES];

    g->snap_index = index;
    g->snap_term = term;
    PUT(s, wal_put_compact(s->f.w, group, index, term));
}

void script_install(struct script *s, uint32_t group, uint64_t index,
                    uint64_t term)
{
    struct model_group *g = group_of(s, group);

    g->snap_index = g->last = index;
    g->snap_term = term;
    PUT(s, wal_put_install(s->f.w, group, index, term));
}

void script_flush(struct script *s)
{
    fix_sync(&s->f);
    s->writes++;
}

void script_run(struct script *s)
{
    *s = (struct script){ .n = 0 };
    fix_init(&s->f);
    fix_open(&s->f);
    script_bootstrap(s, 1);
    script_append(s, 1, 3, 1, 21);
    script_hardstate(s, 1, 2, 7);
    script_flush(s);
    script_hardstate(s, 2, 1, 0);
    script_append(s, 2, 2, 1, 40);
    script_flush(s);
    script_truncate(s, 1, 3);
    script_append(s, 1, 2, 2, 9);
    script_compact(s, 1, 2);
    script_flush(s);
    script_install(s, 2, 10, 1);
    script_append(s, 2, 1, 2, 0);
    script_flush(s);
    script_append(s, 1, 1, 2, 600);
    script_hardstate(s, 2, 3, 2);
    script_append(s, 2, 2, 3, 33);
    script_flush(s);
}

static void check_group(const struct model_group *m, struct fix *f,
                        uint32_t group)
{
    const struct wal_group *g = wal_find_group(f->w, group);

    CHECK_EQ(m->there, g != NULL);
    if (g == NULL)
        return;
    CHECK_EQ(g->term, m->term);
    CHECK_EQ(g->vote, m->vote);
    CHECK_EQ(g->snap_index, m->snap_index);
    CHECK_EQ(g->snap_term, m->snap_term);
    fix_check_group(f, group, m->snap_index + 1, m->last);
    for (uint64_t i = 0; i < g->n; i++) {
        uint64_t at = (g->first + i) % MODEL_ENTRIES;
        CHECK_EQ(g->entries[i].term, m->terms[at]);
        CHECK_EQ(g->entries[i].len, m->lens[at]);
        CHECK(g->entries[i].blob != NULL);
    }
}

void model_check(const struct model *m, struct fix *f)
{
    for (uint32_t g = 0; g < MODEL_GROUPS; g++)
        check_group(&m->g[g], f, g);
}

const struct model *script_prefix(const struct script *s, unsigned n)
{
    return n == 0 ? &nothing : &s->rec[n - 1].after;
}

unsigned script_records_before(const struct script *s, uint64_t seq,
                               uint32_t off)
{
    unsigned n = 0;

    while (n < s->n && (s->rec[n].seq < seq ||
                        (s->rec[n].seq == seq && s->rec[n].end <= off)))
        n++;
    return n;
}
