/* The group layer as the shard sees it, played by the test. */
#include <stdio.h>

#include "lib/test.h"
#include "unit/shard/lab.h"

int groupset_open_group(struct groupset *gs, uint32_t id,
                        const uint64_t *voters, unsigned n, bool preferred,
                        const struct group_ops *ops, void *ctx,
                        struct group **ret, char *errmsg, size_t errmsg_n)
{
    (void)gs;
    (void)id;
    (void)voters;
    (void)preferred;
    if (n == 0) {
        snprintf(errmsg, errmsg_n, "no voters");
        return KV_EINVAL;
    }
    lab.group.ops = ops;
    lab.group.ctx = ctx;
    *ret = &lab.group;
    return 0;
}

int group_propose(struct group *g, struct blob *payload, uint64_t *ret_index,
                  uint64_t *ret_term)
{
    if (g->refuse != 0) {
        g->refused++;
        return g->refuse;
    }
    if (payload->len > g->entry_max)
        return KV_E2BIG;
    CHECK(g->n_entries < LAB_ENTRIES_MAX);
    g->last++;
    g->entries[g->n_entries++] = (struct lab_entry){
        .index = g->last, .term = g->term, .payload = blob_ref(payload)
    };
    *ret_index = g->last;
    *ret_term = g->term;
    return 0;
}

size_t group_entry_bytes_max(const struct group *g)
{
    return g->entry_max;
}

void group_read(struct group *g, struct group_read *r, uint64_t witness,
                uint64_t witness_term)
{
    g->witness = witness;
    g->witness_term = witness_term;
    list_add_tail(&g->reads, &r->link);
}

void group_read_cancel(struct group *g, struct group_read *r)
{
    (void)g;
    list_del(&r->link);
}
