/* The links of one node: its listener, the peers it knows, who may come in.
 *
 * Each peer has at most one way out (mine to it: peer->out, link_dial.c) and
 * one way in (its to me: peer->in).  Inbound connections are strangers until
 * their HELLO has been accepted.
 *
 *  I1  peer->in is READY and inbound, and every READY inbound connection is its
 *      peer's `in`: a newer one replaces the older, whose unread frames are
 *      lost with it (S3).  Connections are numbered as they are accepted, which
 *      is the order in which the peer opened them, so that a HELLO that was
 *      delayed cannot replace a younger connection.
 *  I2  At most LINK_STRANGERS_MAX strangers: one more drops the oldest.  An
 *      idle stranger cannot keep peers out, who say HELLO at once.
 *  I3  n_open counts the listener, each dial and each connection until it has
 *      closed; links_close is complete when it is 0.
 *  I4  Once `closing`, nothing of links_ops is called.
 *
 * What a peer must prove is little: cluster id and a known node id.  That keeps
 * mistakes out (two clusters, swapped addresses, a copied data directory), not
 * enemies; the peer port belongs on a private network.
 *
 * A peer whose instance id changed comes from a rebuilt data directory.  The
 * link accepts it and says so in the log; whether such a node may vote is
 * decided by those who own its groups.
 *
 * A crash loses all queued frames.  Nothing here promises delivery. */
#include "peer/link.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "env/log.h"
#include "peer/link_int.h"

#define ADDRESS_BYTES 80u

static struct peer *peer_of(const struct links *l, uint64_t id)
{
    return map_get(&l->peers, id);
}

static void check_peer(const struct peer *p)
{
    ASSERT(p->in == NULL || p->in->state == CONN_READY); /* I1 */
    ASSERT(p->in == NULL || !p->in->outbound);
    ASSERT(p->out == NULL || p->out->outbound);
    ASSERT(p->out == NULL || p->dial == NULL);
    ASSERT(!env_timer_armed(&p->retry) || (p->out == NULL && p->dial == NULL));
}

void link__check(const struct links *l)
{
    const struct list *link;

    ASSERT(l->n_strangers <= LINK_STRANGERS_MAX); /* I2 */
    for (link = l->peer_list.next; link != &l->peer_list; link = link->next)
        check_peer((const struct peer *)((const char *)link -
                                         offsetof(struct peer, link)));
}

/* ---- the handshake, listener's side ---- */

/* Strangers can be many: one line a second, with the number left out. */
void link__log_refusal(struct conn *c, const char *why, uint64_t node)
{
    struct links *l = c->l;
    const uint64_t now = env_now_ms(l->env);
    char address[ADDRESS_BYTES];
    char quoted[2 * ADDRESS_BYTES];

    if (l->refusal_logged && now - l->refusal_logged_ms < LINK_REFUSAL_LOG_MS) {
        l->refusals_unlogged++;
        return;
    }
    env_stream_peer(l->env, c->stream, address, sizeof address);
    log_event(l->env, ENV_LOG_WARN, "link", "inbound connection refused",
              "why=%s from=%s node=%" PRIu64 " also_refused=%" PRIu64,
              log_quote(quoted, sizeof quoted, slice_str(why)), address, node,
              l->refusals_unlogged);
    l->refusal_logged = true;
    l->refusal_logged_ms = now;
    l->refusals_unlogged = 0;
}

void link__saw_instance(struct peer *p, uint64_t instance)
{
    if (p->instance != 0 && p->instance != instance)
        log_event(p->l->env, ENV_LOG_WARN, "link",
                  "peer came back with another data directory",
                  "peer=%" PRIu64 " instance=%016" PRIx64 " was=%016" PRIx64,
                  p->id, instance, p->instance);
    p->instance = instance;
}

static enum link_refusal judge(const struct links *l,
                               const struct link_hello *h)
{
    if (h->cluster_id != l->cfg.cluster_id)
        return LINK_REFUSED_CLUSTER;
    if (h->node_id == l->cfg.node_id)
        return LINK_REFUSED_SELF;
    if (h->receiver_id != l->cfg.node_id)
        return LINK_REFUSED_RECEIVER;
    if (peer_of(l, h->node_id) == NULL)
        return LINK_REFUSED_UNKNOWN;
    if (h->version_min > LINK_VERSION_MAX || h->version_max < LINK_VERSION_MIN)
        return LINK_REFUSED_VERSION;
    return LINK_ACCEPTED;
}

static void answer(struct conn *c, const struct link_hello *h,
                   enum link_refusal refusal)
{
    const struct link_config *cfg = &c->l->cfg;
    struct link_ack ack = { .refusal = refusal,
                            .node_id = cfg->node_id,
                            .instance_id = cfg->instance_id };

    if (refusal == LINK_ACCEPTED)
        ack.version = h->version_max < LINK_VERSION_MAX
                          ? h->version_max
                          : (uint16_t)LINK_VERSION_MAX;
    link__conn_put(c, link__ack_frame(&ack));
    link__conn_flush(c);
}

void link__on_hello(struct conn *c, struct slice payload)
{
    struct link_hello h;
    enum link_refusal refusal;
    struct peer *p;
    int rv = link__hello_decode(payload, &h);

    ASSERT(c->state == CONN_HELLO);
    if (rv != 0) {
        link__conn_drop(c, rv);
        return;
    }
    refusal = judge(c->l, &h);
    if (refusal != LINK_ACCEPTED) {
        link__log_refusal(c, link__refusal_text(refusal), h.node_id);
        answer(c, &h, refusal);
        link__conn_drop(c, KV_EMISMATCH);
        return;
    }
    p = peer_of(c->l, h.node_id);
    if (p->in != NULL && p->in->seq > c->seq) { /* I1 */
        link__conn_drop(c, KV_ECANCELED);
        return;
    }
    if (p->in != NULL)
        link__conn_drop(p->in, KV_ECANCELED);
    link__saw_instance(p, h.instance_id);
    c->peer = p;
    link__conn_ready(c);
    p->in = c;
    answer(c, &h, LINK_ACCEPTED);
    link__peer_hurry(p);
    link__check(c->l);
}

static void on_accept(void *ctx, struct env_stream *stream)
{
    struct links *l = ctx;

    if (l->n_strangers == LINK_STRANGERS_MAX) { /* I2 */
        struct conn *oldest = LIST_FIRST(&l->strangers, struct conn, link);

        link__log_refusal(oldest, "too many connections without a HELLO", 0);
        link__conn_drop(oldest, KV_EBUSY);
    }
    link__conn_new(l, stream, NULL);
    link__check(l);
}

/* ---- closing ---- */

static void free_links(struct links *l)
{
    ASSERT(list_empty(&l->strangers));
    ASSERT(list_empty(&l->conns));
    while (!list_empty(&l->peer_list)) {
        struct peer *p = LIST_FIRST(&l->peer_list, struct peer, link);

        ASSERT(p->dial == NULL);
        ASSERT(!env_timer_armed(&p->retry));
        list_del(&p->link);
        mem_free(p->host);
        mem_free(p);
    }
    map_close(&l->peers);
    mem_free(l);
}

void link__released(struct links *l)
{
    env_close_cb cb = l->close_cb;
    void *ctx = l->close_ctx;

    ASSERT(l->n_open > 0);
    if (--l->n_open > 0)
        return;
    ASSERT(l->closing); /* the listener is open until then */
    free_links(l);
    cb(ctx);
}

/* The peer's process may be gone if its end of file or a reset came, not if we
 * gave the connection up.  Giving it up for its bytes is worth a line here: the
 * peer sees an end of file only. */
static void in_closed(const struct conn *c)
{
    struct links *l = c->l;

    if (c->was_ready && (c->reason == KV_ECORRUPT || c->reason == KV_EPROTO ||
                         c->reason == KV_EVERSION))
        log_event(l->env, ENV_LOG_WARN, "link", "inbound connection dropped",
                  "peer=%" PRIu64 " why=\"%s\"", c->peer->id,
                  kv_strerror(c->reason));
    if (c->was_ready && (c->reason == KV_EEOF || c->reason == KV_ECONN))
        l->ops->lost(l->ctx, c->peer->id);
}

void link__on_closed(struct conn *c)
{
    struct links *l = c->l;

    if (c->outbound) {
        ASSERT(c->peer->out == c);
        c->peer->out = NULL;
        link__peer_out_closed(c->peer, c->was_ready, c->reason);
    } else if (!l->closing) {
        in_closed(c);
    }
    link__released(l);
}

static void listener_closed(void *ctx)
{
    link__released(ctx);
}

static void drop_all(struct list *conns)
{
    struct list *link = conns->next;

    while (link != conns) {
        struct conn *c = CONTAINER_OF(link, struct conn, link);

        link = link->next; /* a stranger moves to another list */
        link__conn_drop(c, KV_ECANCELED);
    }
}

void links_close(struct links *l, env_close_cb cb, void *ctx)
{
    ASSERT(!l->closing);
    ASSERT(cb != NULL);
    link__check(l);
    l->closing = true;
    l->close_cb = cb;
    l->close_ctx = ctx;
    drop_all(&l->strangers);
    drop_all(&l->conns);
    for (struct list *link = l->peer_list.next; link != &l->peer_list;
         link = link->next) {
        struct peer *p = CONTAINER_OF(link, struct peer, link);

        env_timer_stop(&p->retry);
        if (p->dial != NULL)
            env_dial_cancel(l->env, p->dial);
    }
    env_listener_close(l->env, l->listener, listener_closed, l);
}

/* ---- the rest of the interface ---- */

static void check_config(const struct link_config *cfg)
{
    ASSERT(cfg->host != NULL);
    ASSERT(cfg->queue_bytes_max > 0);
    ASSERT(cfg->dial_timeout_ms > 0);
    ASSERT(cfg->retry_ms_min > 0);
    ASSERT(cfg->retry_ms_min <= cfg->retry_ms_max);
    ASSERT(cfg->ping_ms > 0);
    ASSERT(cfg->instance_id != 0);
}

int links_open(struct env *env, const struct link_config *cfg,
               const struct links_ops *ops, void *ctx, struct links **ret)
{
    struct links *l = MEM_NEW(struct links);
    uint64_t seed;
    int rv;

    check_config(cfg);
    l->env = env;
    l->cfg = *cfg;
    l->cfg.host = NULL; /* borrowed for this call only */
    l->ops = ops;
    l->ctx = ctx;
    env_random(env, &seed, sizeof seed);
    rng_seed(&l->rng, seed);
    map_init(&l->peers);
    list_init(&l->peer_list);
    list_init(&l->strangers);
    list_init(&l->conns);
    rv = env_listen(env, cfg->host, cfg->port, on_accept, l, &l->listener);
    if (rv != 0) {
        free_links(l);
        return rv;
    }
    l->n_open = 1;
    *ret = l;
    return 0;
}

uint16_t links_port(const struct links *l)
{
    return env_listener_port(l->env, l->listener);
}

void links_add(struct links *l, uint64_t peer, const char *host, uint16_t port)
{
    struct peer *p = MEM_NEW(struct peer);

    ASSERT(!l->closing);
    ASSERT(peer != l->cfg.node_id);
    ASSERT(peer_of(l, peer) == NULL);
    p->l = l;
    p->id = peer;
    p->host = mem_strdup(host);
    p->port = port;
    env_timer_init(l->env, &p->retry, link__peer_on_retry, p);
    map_put(&l->peers, peer, p);
    list_add_tail(&l->peer_list, &p->link);
    link__peer_dial(p);
    link__check(l);
}

bool links_is_up(const struct links *l, uint64_t peer)
{
    const struct peer *p = peer_of(l, peer);

    return p != NULL && p->out != NULL && p->out->state == CONN_READY;
}

uint64_t links_instance(const struct links *l, uint64_t peer)
{
    const struct peer *p = peer_of(l, peer);

    return p != NULL ? p->instance : 0;
}

int links_send(struct links *l, uint64_t peer, struct frame *f)
{
    const struct peer *p = peer_of(l, peer);
    int rv = 0;

    ASSERT(f->bytes > 0); /* sealed */
    if (p == NULL || p->out == NULL || p->out->state != CONN_READY)
        rv = KV_ECONN;
    else if (p->out->out_bytes > 0 &&
             p->out->out_bytes + f->bytes > l->cfg.queue_bytes_max)
        rv = KV_EBUSY;
    if (rv != 0)
        frame_free(f);
    else
        link__conn_put(p->out, f);
    return rv;
}

void links_flush(struct links *l)
{
    struct list *link;

    if (l->closing)
        return;
    for (link = l->peer_list.next; link != &l->peer_list; link = link->next) {
        struct peer *p = CONTAINER_OF(link, struct peer, link);

        if (p->out != NULL)
            link__conn_flush(p->out);
    }
}

size_t links_queued(const struct links *l, uint64_t peer)
{
    const struct peer *p = peer_of(l, peer);

    return p != NULL && p->out != NULL ? p->out->out_bytes : 0;
}
