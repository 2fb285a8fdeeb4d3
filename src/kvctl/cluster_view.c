/* Reading INFO.
 *
 * Any endpoint tells the list of nodes (raft_nodeN lines); then every node is asked
 * for what it knows of its own replicas (shardN lines).  Fields this version does not
 * know are skipped, so that newer nodes can say more. */
#include "kvctl/cluster_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Waiting for one node of many must not take the whole timeout. */
#define VIEW_NODE_TIMEOUT_MS 2000u

/* Value of "name=" in a comma-separated list, or NULL; *ret_len its length. */
static const char *field(const char *list, const char *name, size_t *ret_len)
{
    size_t n = strlen(name);

    for (const char *p = list; p != NULL && *p != '\0';) {
        size_t len = strcspn(p, ",\r\n");

        if (len > n && strncmp(p, name, n) == 0 && p[n] == '=') {
            *ret_len = len - n - 1;
            return p + n + 1;
        }
        p += len;
        if (*p != ',')
            break;
        p++;
    }
    return NULL;
}

static uint64_t field_number(const char *list, const char *name)
{
    size_t n;
    const char *p = field(list, name, &n);

    return p != NULL ? strtoull(p, NULL, 10) : 0;
}

static void field_text(const char *list, const char *name, char *buf,
                       size_t size)
{
    size_t n;
    const char *p = field(list, name, &n);

    snprintf(buf, size, "%.*s", p != NULL ? (int)n : 0, p != NULL ? p : "");
}

/* The text after "key:" of the line that begins so, or NULL. */
static const char *info_line(const char *info, const char *key)
{
    size_t n = strlen(key);

    for (const char *p = info; *p != '\0';) {
        if (strncmp(p, key, n) == 0 && p[n] == ':')
            return p + n + 1;
        p += strcspn(p, "\n");
        if (*p == '\n')
            p++;
    }
    return NULL;
}

static uint64_t info_number(const char *info, const char *key)
{
    const char *p = info_line(info, key);

    return p != NULL ? strtoull(p, NULL, 10) : 0;
}

static void info_text(const char *info, const char *key, char *buf, size_t n)
{
    const char *p = info_line(info, key);

    snprintf(buf, n, "%.*s", p != NULL ? (int)strcspn(p, "\r\n") : 0,
             p != NULL ? p : "");
}

static unsigned count_words(const char *s, size_t n)
{
    unsigned words = n > 0;

    for (size_t i = 0; i < n; i++)
        words += s[i] == ';';
    return words;
}

/* Who the nodes are, from any node's INFO. */
static int read_nodes(struct cluster_view *v, const char *info)
{
    v->n_shards = (unsigned)info_number(info, "raft_shards");
    info_text(info, "raft_cluster_id", v->cluster_id, sizeof v->cluster_id);
    if (v->n_shards == 0 || v->n_shards > VIEW_SHARDS_MAX)
        return KV_CLIENT_EPROTO;
    for (uint64_t i = 0; i < VIEW_NODES_MAX; i++) {
        char key[32];
        const char *p;
        struct view_node *n = &v->nodes[v->n_nodes];

        snprintf(key, sizeof key, "raft_node%llu", (unsigned long long)i);
        p = info_line(info, key);
        if (p == NULL)
            continue;
        n->id = field_number(p, "id");
        field_text(p, "address", n->address, sizeof n->address);
        v->n_nodes++;
    }
    return v->n_nodes > 0 ? 0 : KV_CLIENT_EPROTO;
}

static void read_replica(struct cluster_view *v, struct view_node *n,
                         unsigned shard, const char *p)
{
    struct view_replica *r = &n->shards[shard];
    size_t len;
    const char *replicas = field(p, "replicas", &len);

    field_text(p, "role", r->role, sizeof r->role);
    r->present = true;
    r->leader = strcmp(r->role, "leader") == 0;
    r->ready = field_number(p, "ready") != 0;
    r->term = field_number(p, "term");
    r->last = field_number(p, "last");
    r->commit = field_number(p, "commit");
    r->applied = field_number(p, "applied");
    r->keys = field_number(p, "keys");
    field_text(p, "digest", r->digest, sizeof r->digest);
    n->holds++;
    n->leads += r->leader;
    if (replicas != NULL)
        v->voters[shard] = count_words(replicas, len);
}

static void read_node(struct cluster_view *v, struct view_node *n,
                      const char *info)
{
    n->reachable = true;
    n->clients = info_number(info, "connected_clients");
    n->ops_per_sec = info_number(info, "instantaneous_ops_per_sec");
    info_text(info, "kvmesh_version", n->version, sizeof n->version);
    for (unsigned s = 0; s < v->n_shards; s++) {
        char key[32];
        const char *p;

        snprintf(key, sizeof key, "shard%u", s);
        p = info_line(info, key);
        if (p != NULL)
            read_replica(v, n, s, p);
    }
}

static int ask_info(struct kv_client *c, struct kv_reply **ret)
{
    const char *argv[] = { "INFO", "everything" };
    int rv = kv_command(c, 2, argv, NULL, 1, ret);

    if (rv == 0 && (*ret)->type != KV_REPLY_STRING) {
        kv_reply_free(*ret);
        return KV_CLIENT_EPROTO;
    }
    return rv;
}

static void ask_node(struct kvctl *k, struct cluster_view *v,
                     struct view_node *n)
{
    unsigned timeout = k->timeout_ms < VIEW_NODE_TIMEOUT_MS
                           ? k->timeout_ms
                           : VIEW_NODE_TIMEOUT_MS;
    struct kv_client *c;
    struct kv_reply *r;
    int rv = kv_open(n->address, timeout, &c);

    if (rv != 0) {
        snprintf(n->error, sizeof n->error, "%s", kv_status_text(rv));
        return;
    }
    rv = ask_info(c, &r);
    if (rv != 0) {
        snprintf(n->error, sizeof n->error, "%s", kv_error(c));
    } else {
        read_node(v, n, r->str);
        kv_reply_free(r);
    }
    kv_close(c);
}

static void find_leaders(struct cluster_view *v)
{
    for (unsigned s = 0; s < v->n_shards; s++) {
        uint64_t term = 0;

        for (unsigned i = 0; i < v->n_nodes; i++) {
            const struct view_replica *r = &v->nodes[i].shards[s];

            if (r->leader && r->ready && r->term >= term) {
                term = r->term;
                v->leader[s] = v->nodes[i].id;
            }
        }
    }
}

int cluster_view_load(struct kvctl *k, struct cluster_view *v)
{
    struct kv_reply *r;
    int rv = ask_info(k->client, &r);

    memset(v, 0, sizeof *v);
    if (rv != 0)
        return rv;
    v->nodes = calloc(VIEW_NODES_MAX, sizeof *v->nodes);
    rv = v->nodes != NULL ? read_nodes(v, r->str) : KV_CLIENT_ENOMEM;
    kv_reply_free(r);
    if (rv != 0) {
        cluster_view_free(v);
        return rv;
    }
    for (unsigned i = 0; i < v->n_nodes; i++)
        ask_node(k, v, &v->nodes[i]);
    find_leaders(v);
    return 0;
}

void cluster_view_free(struct cluster_view *v)
{
    free(v->nodes);
    memset(v, 0, sizeof *v);
}

unsigned cluster_view_led(const struct cluster_view *v)
{
    unsigned n = 0;

    for (unsigned s = 0; s < v->n_shards; s++)
        n += v->leader[s] != 0;
    return n;
}

unsigned cluster_view_reachable(const struct cluster_view *v)
{
    unsigned n = 0;

    for (unsigned i = 0; i < v->n_nodes; i++)
        n += v->nodes[i].reachable;
    return n;
}
