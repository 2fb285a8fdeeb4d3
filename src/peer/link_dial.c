/* My way out to one peer: dial, greet, and when it ends begin again, for ever.
 *
 *      +--> dialling ---> greeting ---> up ---+
 *      |       | failed      | refused        | lost
 *      |       v             v                v
 *      +---- waiting <------------------------+
 *
 *  I1  In each state exactly one thing is there that will move it on: the dial,
 *      the connection, or the retry timer; none once the links are closing.
 *  I2  The n-th failure in a row is followed by a wait of half to all of
 *      min(retry_ms_max, retry_ms_min * 2^n), drawn at random so that the nodes
 *      of a cluster do not dial in step.  Being up resets n.
 *  I3  A peer that has just greeted us is alive: the wait ends at once.
 *  I4  A failure is logged when it differs from the last one, not at each
 *      attempt. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "env/log.h"
#include "peer/link_int.h"

#define DOUBLINGS_MAX 16u

static uint64_t backoff_ms(struct peer *p)
{
    const struct link_config *cfg = &p->l->cfg;
    const unsigned doublings =
        p->n_failures < DOUBLINGS_MAX ? p->n_failures : DOUBLINGS_MAX;
    uint64_t ms = cfg->retry_ms_min << doublings;

    if (ms > cfg->retry_ms_max)
        ms = cfg->retry_ms_max;
    return ms - rng_below(&p->l->rng, ms / 2 + 1); /* I2 */
}

static void wait_to_retry(struct peer *p)
{
    ASSERT(p->dial == NULL);
    ASSERT(p->out == NULL);
    if (p->l->closing)
        return;
    env_timer_set(&p->retry, env_now_ms(p->l->env) + backoff_ms(p));
    p->n_failures++;
}

/* I4. */
static void log_failure(struct peer *p, int reason, const char *why)
{
    char quoted[192];

    ASSERT(reason != 0);
    if (p->logged == reason || p->l->closing)
        return;
    p->logged = reason;
    log_event(p->l->env, ENV_LOG_WARN, "link", "cannot reach peer",
              "peer=%" PRIu64 " address=%s:%u why=%s", p->id, p->host,
              (unsigned)p->port,
              log_quote(quoted, sizeof quoted, slice_str(why)));
}

static void greet(struct peer *p)
{
    const struct link_config *cfg = &p->l->cfg;
    const struct link_hello h = { .version_min = LINK_VERSION_MIN,
                                  .version_max = LINK_VERSION_MAX,
                                  .cluster_id = cfg->cluster_id,
                                  .node_id = cfg->node_id,
                                  .instance_id = cfg->instance_id,
                                  .receiver_id = p->id };

    link__conn_put(p->out, link__hello_frame(&h));
    link__conn_flush(p->out);
}

static void on_dialed(void *ctx, int status, struct env_stream *stream)
{
    struct peer *p = ctx;
    struct links *l = p->l;

    ASSERT(p->dial != NULL);
    p->dial = NULL;
    if (status != 0) {
        log_failure(p, status, kv_strerror(status));
        wait_to_retry(p);
    } else {
        ASSERT(!l->closing); /* links_close cancels all dials */
        p->out = link__conn_new(l, stream, p);
        greet(p);
        link__check(l);
    }
    link__released(l);
}

void link__peer_dial(struct peer *p)
{
    struct links *l = p->l;
    int rv;

    ASSERT(p->dial == NULL);
    ASSERT(p->out == NULL);
    ASSERT(!env_timer_armed(&p->retry));
    rv = env_dial(l->env, p->host, p->port, l->cfg.dial_timeout_ms, on_dialed,
                  p, &p->dial);
    if (rv != 0) {
        p->dial = NULL;
        log_failure(p, rv, kv_strerror(rv));
        wait_to_retry(p);
        return;
    }
    l->n_open++;
}

void link__peer_on_retry(struct env_timer *t)
{
    link__peer_dial(t->data);
}

void link__peer_hurry(struct peer *p)
{
    if (env_timer_armed(&p->retry))
        env_timer_set(&p->retry, env_now_ms(p->l->env)); /* I3 */
}

void link__peer_on_ack(struct conn *c, struct slice payload)
{
    struct peer *p = c->peer;
    struct links *l = c->l;
    struct link_ack ack;
    int rv = link__ack_decode(payload, &ack);

    ASSERT(p->out == c);
    if (rv != 0) {
        link__conn_drop(c, rv);
        return;
    }
    if (ack.refusal != LINK_ACCEPTED) {
        /* Distinct from every KV_E*, so that each refusal is logged. */
        log_failure(p, (int)(ack.refusal & 0xffff) + 1,
                    link__refusal_text(ack.refusal));
        link__conn_drop(c, KV_EMISMATCH);
        return;
    }
    if (ack.node_id != p->id) {
        log_failure(p, KV_EMISMATCH, "another node answers at this address");
        link__conn_drop(c, KV_EMISMATCH);
        return;
    }
    if (ack.version < LINK_VERSION_MIN || ack.version > LINK_VERSION_MAX) {
        log_failure(p, KV_EVERSION, kv_strerror(KV_EVERSION));
        link__conn_drop(c, KV_EMISMATCH);
        return;
    }
    link__saw_instance(p, ack.instance_id);
    link__conn_ready(c);
    p->n_failures = 0;
    p->logged = 0;
    log_event(l->env, ENV_LOG_INFO, "link", "up",
              "peer=%" PRIu64 " instance=%016" PRIx64, p->id, ack.instance_id);
    l->ops->up(l->ctx, p->id);
}

void link__peer_out_closed(struct peer *p, bool was_ready, int reason)
{
    struct links *l = p->l;

    ASSERT(p->out == NULL);
    ASSERT(reason < 0);
    if (l->closing)
        return;
    if (was_ready)
        log_event(l->env, ENV_LOG_INFO, "link", "down",
                  "peer=%" PRIu64 " why=\"%s\"", p->id, kv_strerror(reason));
    else if (reason != KV_EMISMATCH) /* link__peer_on_ack logged those */
        log_failure(p, reason, kv_strerror(reason));
    wait_to_retry(p);
    if (was_ready)
        l->ops->down(l->ctx, p->id, reason);
}
