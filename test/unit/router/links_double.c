#include "base/assert.h"
#include "base/mem.h"
#include "lib/test.h"
#include "unit/router/lab.h"

bool links_is_up(const struct links *l, uint64_t peer)
{
    ASSERT(peer >= 1 && peer <= l->lab->n);
    ASSERT(peer - 1 != l->node);
    return l->up[peer - 1];
}

static struct lab_frame *flatten(struct frame *f)
{
    unsigned n = frame_n_parts(f);
    struct slice *parts = mem_alloc(n * sizeof(*parts));
    struct lab_frame *copy = mem_alloc(sizeof(*copy) + f->bytes);

    ASSERT(frame_parts(f, parts, n) == n);
    copy->n = 0;
    for (unsigned i = 0; i < n; i++) {
        memcpy(copy->data + copy->n, parts[i].p, parts[i].n);
        copy->n += parts[i].n;
    }
    ASSERT(copy->n == f->bytes);
    mem_free(parts);
    return copy;
}

int links_send(struct links *l, uint64_t peer, struct frame *f)
{
    unsigned to = (unsigned)peer - 1;
    struct lab_frame *copy;
    int rv = !l->up[to] ? KV_ECONN : l->full[to] ? KV_EBUSY : 0;

    if (rv == 0) {
        copy = flatten(f);
        copy->from = l->node;
        copy->to = to;
        list_add_tail(&l->lab->net, &copy->link);
        l->n_sent++;
    }
    frame_free(f);
    return rv;
}

unsigned links_double_drop(struct lab *l, unsigned from, unsigned to)
{
    struct list *i = l->net.next;
    unsigned n = 0;

    while (i != &l->net) {
        struct lab_frame *f = CONTAINER_OF(i, struct lab_frame, link);

        i = i->next;
        if (f->from != from || f->to != to)
            continue;
        list_del(&f->link);
        mem_free(f);
        n++;
    }
    return n;
}

void links_double_set(struct lab *l, unsigned from, unsigned to, bool up)
{
    if (l->links[from].up[to] == up)
        return;
    l->links[from].up[to] = up;
    if (up) {
        router_peer_up(l->rt[from], to + 1);
    } else {
        links_double_drop(l, from, to);
        router_peer_down(l->rt[from], to + 1);
    }
}

void links_double_deliver(struct lab *l)
{
    struct list todo;

    list_init(&todo);
    list_splice(&todo, &l->net);
    while (!list_empty(&todo)) {
        struct lab_frame *f = LIST_FIRST(&todo, struct lab_frame, link);
        struct frame_head head;
        struct slice payload;
        size_t used;

        list_del(&f->link);
        CHECK_EQ(frame_decode(slice_make(f->data, f->n), &head, &payload,
                              &used), 0);
        CHECK_EQ(used, f->n);
        router_frame(l->rt[f->to], f->from + 1, &head, payload);
        mem_free(f);
    }
}
