/* Looking for situations.
 *
 * The product counts most of what is asked for nowhere, so its structures are read
 * after each event, and what changed since the last one is a situation:
 *
 *   old_leader_read     reads waited at a leader, and it leads no more
 *   read_index_waited   a confirmed read outlived the turn that confirmed it: its index
 *                       is not applied
 *   follower_forwarded  the router's own count
 *   forward_lost        a node says that a peer went down, which it does before its
 *                       router hears of it: then what is still out there is lost */
#include "kvsim/look.h"

#include <stdlib.h>
#include <string.h>

#include "group/group_int.h"
#include "kvsim/cover.h"
#include "router/router_int.h"

#define PEER_DOWN "mod=node msg=\"peer down\" peer="

static void look_group(struct look *l, struct group *g)
{
    bool leads = g->r.state == RAFT_LEADER;
    bool behind = !list_empty(&g->reads_apply);

    if (l->asked[g->id] && !leads)
        COVER(old_leader_read);
    l->asked[g->id] = leads && !list_empty(&g->reading);
    if (behind && !l->behind[g->id])
        COVER(read_index_waited);
    l->behind[g->id] = behind;
}

void look_node(struct look *l, struct node *n)
{
    struct list *all = &n->groups->all;
    struct router_stats st;

    for (struct list *p = all->next; p != all; p = p->next)
        look_group(l, CONTAINER_OF(p, struct group, all));
    router_get_stats(n->router, &st);
    cover_counts[COVER_follower_forwarded] += st.forwarded - l->forwarded;
    l->forwarded = st.forwarded;
}

static bool out_at(struct list *sent, uint64_t peer)
{
    for (struct list *p = sent->next; p != sent; p = p->next) {
        const struct rq *q = CONTAINER_OF(p, struct rq, link);

        if (q->state == RQ_REMOTE && q->dest == peer)
            return true;
    }
    return false;
}

void look_line(struct node *n, const char *line)
{
    const char *at = strstr(line, PEER_DOWN);
    uint64_t peer;

    if (at == NULL || n->router == NULL || n->stage >= NODE_CLOSING)
        return;
    peer = strtoull(at + strlen(PEER_DOWN), NULL, 10);
    for (unsigned i = 0; i < n->router->n_shards; i++) {
        struct rshard *s = &n->router->shard[i];

        if (out_at(&s->sent, peer) || out_at(&s->reads_sent, peer))
            COVER(forward_lost);
    }
}
