/* kvctl status, members, shards: tables for people, JSON for programs. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kvctl/cluster_view.h"
#include "kvctl/kvctl.h"

#define WAIT_POLL_MS 50
#define WAIT_S_MAX 86400

static bool view_whole(const struct cluster_view *v)
{
    return cluster_view_led(v) == v->n_shards &&
           cluster_view_reachable(v) == v->n_nodes;
}

static json_t *status_json(const struct cluster_view *v)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:b}", "cluster_id",
                     v->cluster_id, "nodes", (int)v->n_nodes,
                     "nodes_reachable", (int)cluster_view_reachable(v),
                     "shards", (int)v->n_shards, "shards_serving",
                     (int)cluster_view_led(v), "ok", view_whole(v));
}

static void print_status(const struct cluster_view *v)
{
    printf("cluster %s: %u of %u shards serve, %u of %u nodes answer\n",
           v->cluster_id, cluster_view_led(v), v->n_shards,
           cluster_view_reachable(v), v->n_nodes);
    for (unsigned i = 0; i < v->n_nodes; i++)
        if (!v->nodes[i].reachable)
            printf("  node %llu (%s): %s\n",
                   (unsigned long long)v->nodes[i].id, v->nodes[i].address,
                   v->nodes[i].error);
    for (unsigned s = 0; s < v->n_shards; s++)
        if (v->leader[s] == 0)
            printf("  shard %u: no leader among the nodes that answer\n", s);
}

int cmd_status(struct kvctl *k, int argc, char **argv)
{
    const struct timespec pause = { .tv_nsec = WAIT_POLL_MS * 1000000L };
    unsigned long long wait_s = 0;
    const struct kvctl_option options[] = {
        { "--wait", NULL, 0, WAIT_S_MAX, &wait_s },
        { NULL, NULL, 0, 0, NULL },
    };
    struct cluster_view v;
    uint64_t end;
    int rv, status;

    if (kvctl_parse(k, argc, argv, options, 0, 0) < 0)
        return EXIT_BAD_USAGE;
    end = kvctl_now_us() + wait_s * 1000000;
    for (;;) {
        rv = cluster_view_load(k, &v);
        if ((rv == 0 && view_whole(&v)) || kvctl_now_us() >= end)
            break;
        if (rv == 0)
            cluster_view_free(&v);
        nanosleep(&pause, NULL);
    }
    if (rv != 0)
        return kvctl_fail(k, "status", rv, false);
    status = view_whole(&v) ? EXIT_OK : EXIT_DEGRADED;
    if (k->json)
        status = kvctl_print_json(status_json(&v), status);
    else
        print_status(&v);
    cluster_view_free(&v);
    return status;
}

static json_t *member_json(const struct view_node *n)
{
    return json_pack("{s:I, s:s, s:b, s:s, s:i, s:i, s:I, s:I, s:s}", "id",
                     (json_int_t)n->id, "address", n->address, "reachable",
                     n->reachable, "error", n->error, "leads", (int)n->leads,
                     "holds", (int)n->holds, "clients", (json_int_t)n->clients,
                     "ops_per_sec", (json_int_t)n->ops_per_sec, "version",
                     n->version);
}

static json_t *members_json(const struct cluster_view *v)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < v->n_nodes; i++)
        json_array_append_new(list, member_json(&v->nodes[i]));
    return list;
}

static void print_members(const struct cluster_view *v)
{
    printf("%4s  %-24s %-6s %6s %6s %8s %8s  %s\n", "node", "address",
           "state", "leads", "holds", "clients", "ops/s", "version");
    for (unsigned i = 0; i < v->n_nodes; i++) {
        const struct view_node *n = &v->nodes[i];

        if (n->reachable)
            printf("%4llu  %-24s %-6s %6u %6u %8llu %8llu  %s\n",
                   (unsigned long long)n->id, n->address, "up", n->leads,
                   n->holds, (unsigned long long)n->clients,
                   (unsigned long long)n->ops_per_sec, n->version);
        else
            printf("%4llu  %-24s %-6s %s\n", (unsigned long long)n->id,
                   n->address, "down", n->error);
    }
}

int cmd_members(struct kvctl *k, int argc, char **argv)
{
    struct cluster_view v;
    int rv, status;

    if (kvctl_parse(k, argc, argv, NULL, 0, 0) < 0)
        return EXIT_BAD_USAGE;
    rv = cluster_view_load(k, &v);
    if (rv != 0)
        return kvctl_fail(k, "members", rv, false);
    status = cluster_view_reachable(&v) == v.n_nodes ? EXIT_OK : EXIT_DEGRADED;
    if (k->json)
        status = kvctl_print_json(members_json(&v), status);
    else
        print_members(&v);
    cluster_view_free(&v);
    return status;
}

static json_t *replica_json(const struct view_node *n,
                            const struct view_replica *r)
{
    return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "node",
                     (json_int_t)n->id, "role",
                     r->role, "term",
                     (json_int_t)r->term, "last", (json_int_t)r->last,
                     "commit", (json_int_t)r->commit, "applied",
                     (json_int_t)r->applied, "keys", (json_int_t)r->keys,
                     "digest", r->digest);
}

static json_t *shard_json(const struct cluster_view *v, unsigned s)
{
    json_t *replicas = json_array();

    for (unsigned i = 0; i < v->n_nodes; i++)
        if (v->nodes[i].shards[s].present)
            json_array_append_new(
                replicas, replica_json(&v->nodes[i], &v->nodes[i].shards[s]));
    return json_pack("{s:i, s:I, s:i, s:o}", "shard", (int)s, "leader",
                     (json_int_t)v->leader[s], "voters", (int)v->voters[s],
                     "replicas", replicas);
}

static json_t *shards_json(const struct cluster_view *v)
{
    json_t *list = json_array();

    for (unsigned s = 0; s < v->n_shards; s++)
        json_array_append_new(list, shard_json(v, s));
    return list;
}

static void print_shard(const struct cluster_view *v, unsigned s)
{
    printf("%5u  ", s);
    if (v->leader[s] != 0)
        printf("%6llu ", (unsigned long long)v->leader[s]);
    else
        printf("%6s ", "none");
    for (unsigned i = 0; i < v->n_nodes; i++) {
        const struct view_replica *r = &v->nodes[i].shards[s];

        if (r->present)
            printf(" %llu:%s%llu/%llu/%llu", (unsigned long long)v->nodes[i].id,
                   r->leader ? "*" : "", (unsigned long long)r->applied,
                   (unsigned long long)r->commit, (unsigned long long)r->last);
    }
    putchar('\n');
}

int cmd_shards(struct kvctl *k, int argc, char **argv)
{
    struct cluster_view v;
    int rv, status;

    if (kvctl_parse(k, argc, argv, NULL, 0, 0) < 0)
        return EXIT_BAD_USAGE;
    rv = cluster_view_load(k, &v);
    if (rv != 0)
        return kvctl_fail(k, "shards", rv, false);
    status = cluster_view_led(&v) == v.n_shards ? EXIT_OK : EXIT_DEGRADED;
    if (k->json) {
        status = kvctl_print_json(shards_json(&v), status);
    } else {
        printf("shard  leader  node:applied/commit/last (* leads)\n");
        for (unsigned s = 0; s < v.n_shards; s++)
            print_shard(&v, s);
    }
    cluster_view_free(&v);
    return status;
}
