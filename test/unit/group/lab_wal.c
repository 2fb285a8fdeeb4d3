/* The WAL double: records in memory, durable when the test says so. */
#include <string.h>

#include "base/mem.h"
#include "unit/group/lab.h"

struct lab_read {
    struct list link;
    struct wal_read *rd;
};

static struct wal_record *put(struct wal *w, enum wal_kind kind, uint32_t group)
{
    if (w->n == w->cap) {
        w->cap = w->cap == 0 ? 64 : w->cap * 2;
        w->rec = mem_realloc(w->rec, w->cap * sizeof *w->rec);
    }
    w->end += 10;
    w->rec[w->n] =
        (struct wal_record){ .kind = kind, .group = group, .lsn = w->end };
    return &w->rec[w->n++];
}

uint64_t wal_put_bootstrap(struct wal *w, uint32_t group)
{
    for (unsigned i = 0; i < w->n; i++)
        ASSERT(w->rec[i].group != group); /* as the real one does */
    return put(w, WAL_BOOTSTRAP, group)->lsn;
}

uint64_t wal_put_hardstate(struct wal *w, uint32_t group, uint64_t term,
                           uint64_t vote)
{
    struct wal_record *r = put(w, WAL_HARDSTATE, group);

    r->a = term;
    r->b = vote;
    return r->lsn;
}

uint64_t wal_put_entries(struct wal *w, uint32_t group, uint64_t index,
                         struct wal_entry *e, unsigned n)
{
    struct wal_record *r = put(w, WAL_APPEND, group);

    r->index = index;
    r->n = n;
    r->entries = mem_calloc(n, sizeof *r->entries);
    for (unsigned i = 0; i < n; i++) {
        e[i].pos = (struct wal_pos){ .segment = w->n - 1, .offset = i };
        r->entries[i] = e[i];
        blob_ref(e[i].blob);
    }
    return r->lsn;
}

void wal_flush(struct wal *w)
{
    (void)w; /* lab_sync is the disk */
}

uint64_t wal_synced(const struct wal *w)
{
    return w->synced;
}

uint64_t wal_end(const struct wal *w)
{
    return w->end;
}

uint32_t wal_entry_bytes_max(const struct wal *w)
{
    return w->entry_max;
}

bool wal_full(const struct wal *w)
{
    return w->full;
}

void wal_unreadable(struct wal *w, int status, const char *what)
{
    ASSERT(what != NULL);
    w->failed = status;
}

void wal_read(struct wal *w, struct wal_read *rd)
{
    struct lab_read *r = MEM_NEW(struct lab_read);

    r->rd = rd;
    w->n_reads++;
    list_add_tail(&w->reads, &r->link);
    env_wake(&w->node->env.env);
}

void lab_reads(struct lab *lab, uint64_t id)
{
    struct wal *w = &lab->node[id].wal;
    struct list due;

    list_init(&due);
    list_splice(&due, &w->reads);
    while (!list_empty(&due)) {
        struct lab_read *r = LIST_FIRST(&due, struct lab_read, link);
        struct wal_read *rd = r->rd;
        const struct wal_record *rec = &w->rec[rd->pos.segment];

        list_del(&r->link);
        mem_free(r);
        ASSERT(rd->pos.segment < w->n && rd->pos.offset < rec->n);
        ASSERT(rec->lsn <= w->synced); /* only what is durable can be read */
        if (w->fail_reads)
            rd->cb(rd, KV_ECORRUPT, NULL);
        else
            rd->cb(rd, 0, blob_ref(rec->entries[rd->pos.offset].blob));
    }
}

static void fold_entries(struct wal *w, struct wal_group *f,
                         const struct wal_record *r)
{
    ASSERT(r->index >= 1 && r->index <= f->n + 1);
    f->n = r->index - 1;
    for (unsigned i = 0; i < r->n; i++) {
        if (f->n == f->cap) {
            f->cap = f->cap == 0 ? 64 : f->cap * 2;
            f->entries = mem_realloc(f->entries, f->cap * sizeof *f->entries);
        }
        f->entries[f->n] = r->entries[i];
        if (r->entries[i].len > w->keep_max)
            f->entries[f->n].blob = NULL;
        f->n++;
    }
}

struct wal_group *wal_find_group(struct wal *w, uint32_t group)
{
    struct wal_group *f = &w->fold[group];
    bool found = false;

    ASSERT(group < LAB_GROUPS);
    mem_free(f->entries);
    *f = (struct wal_group){ .group = group, .first = 1 };
    for (unsigned i = 0; i < w->n; i++) {
        const struct wal_record *r = &w->rec[i];

        if (r->group != group)
            continue;
        found = true;
        if (r->kind == WAL_HARDSTATE) {
            f->term = r->a;
            f->vote = r->b;
        } else if (r->kind == WAL_APPEND) {
            fold_entries(w, f, r);
        }
    }
    return found ? f : NULL;
}

static void record_free(struct wal_record *r)
{
    for (unsigned i = 0; i < r->n; i++)
        blob_unref(r->entries[i].blob);
    mem_free(r->entries);
}

/* Used by lab.c: forget what is not durable, or everything. */
void lab_wal_cut(struct wal *w, bool all);
void lab_wal_cut(struct wal *w, bool all)
{
    while (w->n > 0 && (all || w->rec[w->n - 1].lsn > w->synced))
        record_free(&w->rec[--w->n]);
    while (!list_empty(&w->reads)) {
        struct lab_read *r = LIST_FIRST(&w->reads, struct lab_read, link);

        list_del(&r->link);
        r->rd->cb(r->rd, KV_ECANCELED, NULL);
        mem_free(r);
    }
    w->end = w->synced;
    for (unsigned i = 0; all && i < LAB_GROUPS; i++)
        mem_free(w->fold[i].entries);
    if (all)
        mem_free(w->rec);
}

bool lab_durable(const struct lab *lab, uint64_t node, unsigned g,
                 uint64_t value)
{
    const struct wal *w = &lab->node[node].wal;
    bool found = false;

    for (unsigned i = 0; i < w->n && w->rec[i].lsn <= w->synced; i++) {
        const struct wal_record *r = &w->rec[i];

        for (unsigned k = 0; r->group == g && k < r->n; k++)
            if (r->entries[k].type == RAFT_COMMAND &&
                memcmp(r->entries[k].blob->data, &value, 8) == 0)
                found = true;
    }
    return found;
}
