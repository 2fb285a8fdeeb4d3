/* COMMAND, CONFIG, TIME and WAIT. */
#include "server/server_int.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/reply.h"

/* The HELP subcommand of any container, from the table. */
void rq__help(struct rq *q, enum cmd_id container)
{
    const struct cmd_spec *spec = &cmd_table[container];
    size_t skip = strlen(spec->name) + 1;

    reply_array(q->out, 1 + 2 * (uint64_t)spec->n_subs);
    buf_printf(q->out, "+Subcommands of %s:\r\n", spec->name);
    for (unsigned i = 0; i < spec->n_subs; i++) {
        const struct cmd_spec *sub = &spec->subs[i];

        buf_printf(q->out, "+%s %s\r\n", sub->name + skip, sub->syntax);
        buf_printf(q->out, "+    %s\r\n", sub->summary);
    }
}

/* ---- TIME, WAIT ---- */

void cmd_do_time(struct rq *q)
{
    int64_t ms = env_wall_ms(q->s->env);

    reply_array(q->out, 2);
    reply_bulk_int(q->out, ms / 1000);
    reply_bulk_int(q->out, ms % 1000 * 1000);
}

/* WAIT replicas timeout.  A write is acknowledged when a majority of its shard's
 * replicas has it on disk, so every write of this connection whose reply came is on
 * (replicas / 2) nodes besides the leader at least: that number, and at once.
 * Whether more have it is not known here, so waiting longer would tell no more. */
void cmd_do_wait(struct rq *q)
{
    const struct directory_shard *shard;
    unsigned least = DIRECTORY_REPLICAS_MAX;
    int64_t replicas, timeout;

    if (!rq__int(q, q->argv[1], &replicas))
        return;
    if (!resp_int64(q->argv[2], &timeout)) {
        reply_error(q->out, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout < 0) {
        reply_error(q->out, "ERR timeout is negative");
        return;
    }
    for (unsigned i = 0; i < directory_n_shards(q->s->dir); i++) {
        shard = directory_shard(q->s->dir, i);
        least = shard->n < least ? shard->n : least;
    }
    reply_int(q->out, least / 2);
}

/* ---- CONFIG ---- */

struct config_get {
    struct rq *q;
    const char *const *own; /* names already told; NULL: these are they */
    struct buf pairs;
    uint64_t n;
};

static bool wanted(const struct rq *q, const char *name)
{
    for (uint32_t i = 2; i < q->argc; i++)
        if (text__glob(q->argv[i], slice_str(name)))
            return true;
    return false;
}

static void put_pair(struct config_get *g, const char *name, const char *value)
{
    if (!wanted(g->q, name))
        return;
    reply_bulk_str(&g->pairs, name);
    reply_bulk_str(&g->pairs, value);
    g->n++;
}

static void put_number(struct config_get *g, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_pair(g, name, text);
}

/* What Redis clients ask for, in Redis' names; then the node's settings. */
static const char *const own_settings[] = {
    "appendfsync", "appendonly", "bind", "client-query-buffer-limit",
    "cluster-enabled", "databases", "io-threads", "maxclients",
    "maxmemory-policy", "notify-keyspace-events", "port",
    "proto-max-bulk-len", "replica-read-only", "save", "slave-read-only",
    "timeout", NULL
};

static void put_own(struct config_get *g)
{
    const struct server_config *cfg = &g->q->s->cfg;

    put_pair(g, "appendfsync", "always");
    put_pair(g, "appendonly", "yes");
    put_pair(g, "bind", cfg->host);
    put_number(g, "client-query-buffer-limit", cfg->query_bytes_max);
    put_pair(g, "cluster-enabled", "yes");
    put_number(g, "databases", 1);
    put_number(g, "io-threads", 1);
    put_number(g, "maxclients", cfg->clients_max);
    put_pair(g, "maxmemory-policy", "noeviction");
    put_pair(g, "notify-keyspace-events", "");
    put_number(g, "port", g->q->s->port);
    put_number(g, "proto-max-bulk-len", cfg->bulk_bytes_max);
    put_pair(g, "replica-read-only", "yes");
    put_pair(g, "save", "");
    put_pair(g, "slave-read-only", "yes");
    put_number(g, "timeout", cfg->idle_timeout_ms / 1000);
}

static void put_node(void *arg, const char *name, const char *value)
{
    for (unsigned i = 0; own_settings[i] != NULL; i++)
        if (strcmp(own_settings[i], name) == 0)
            return;
    put_pair(arg, name, value);
}

void cmd_do_config(struct rq *q)
{
    struct config_get g = { .q = q };

    if (q->spec->id == (enum cmd_id)CMD_CONFIG_HELP) {
        rq__help(q, CMD_CONFIG);
        return;
    }
    buf_init(&g.pairs);
    put_own(&g);
    if (q->s->info->config != NULL)
        q->s->info->config(q->s->info_ctx, put_node, &g);
    reply_map(q->out, q->c->resp, g.n);
    buf_put_slice(q->out, buf_slice(&g.pairs));
    buf_close(&g.pairs);
}

/* ---- COMMAND ---- */

/* "get" or "config|get"; NULL: unknown. */
static const struct cmd_spec *find_name(const struct server *s,
                                        struct slice name)
{
    const uint8_t *bar = name.n > 0 ? memchr(name.p, '|', name.n) : NULL;
    const struct cmd_spec *spec;
    size_t head;

    if (bar == NULL)
        return cmd_find(&s->index, name);
    head = (size_t)(bar - name.p);
    spec = cmd_find(&s->index, slice_make(name.p, head));
    return spec == NULL ? NULL
                        : cmd_find_sub(spec, slice_make(bar + 1,
                                                        name.n - head - 1));
}

static void command_info(struct rq *q)
{
    if (q->argc <= 2) {
        reply_array(q->out, CMD_COUNT);
        for (unsigned i = 0; i < CMD_COUNT; i++)
            cmd_put_info(q->out, q->c->resp, &cmd_table[i]);
        return;
    }
    reply_array(q->out, q->argc - 2);
    for (uint32_t i = 2; i < q->argc; i++) {
        const struct cmd_spec *spec = find_name(q->s, q->argv[i]);

        if (spec == NULL)
            reply_nil(q->out, q->c->resp);
        else
            cmd_put_info(q->out, q->c->resp, spec);
    }
}

static void command_docs(struct rq *q)
{
    uint64_t n = 0;

    if (q->argc == 2) {
        reply_map(q->out, q->c->resp, CMD_COUNT);
        for (unsigned i = 0; i < CMD_COUNT; i++)
            cmd_put_docs(q->out, q->c->resp, &cmd_table[i]);
        return;
    }
    for (uint32_t i = 2; i < q->argc; i++)
        n += find_name(q->s, q->argv[i]) != NULL;
    reply_map(q->out, q->c->resp, n);
    for (uint32_t i = 2; i < q->argc; i++) {
        const struct cmd_spec *spec = find_name(q->s, q->argv[i]);

        if (spec != NULL)
            cmd_put_docs(q->out, q->c->resp, spec);
    }
}

enum list_filter { LIST_ALL, LIST_MODULE, LIST_ACL, LIST_PATTERN };

static unsigned acl_bit(struct slice name)
{
#define X(id, bit, text) \
    if (rq__is(name, text)) \
        return CMD_ACL_##id;
    CMD_ACL_MAP(X)
#undef X
    return 0;
}

static void list_one(const struct cmd_spec *spec, enum list_filter by,
                     struct slice arg, struct buf *names, uint64_t *n)
{
    bool hit = by == LIST_ALL ||
               (by == LIST_ACL && (spec->acl & acl_bit(arg)) != 0) ||
               (by == LIST_PATTERN &&
                text__glob(arg, slice_str(spec->name)));

    if (!hit)
        return;
    reply_bulk_str(names, spec->name);
    (*n)++;
}

static void command_list(struct rq *q)
{
    enum list_filter by = LIST_ALL;
    struct slice arg = { NULL, 0 };
    struct buf names;
    uint64_t n = 0;

    if (q->argc == 5 && rq__is(q->argv[2], "filterby")) {
        arg = q->argv[4];
        by = rq__is(q->argv[3], "module")    ? LIST_MODULE
             : rq__is(q->argv[3], "aclcat")  ? LIST_ACL
             : rq__is(q->argv[3], "pattern") ? LIST_PATTERN
                                             : LIST_ALL;
    }
    if (q->argc != 2 && by == LIST_ALL) {
        rq__syntax(q);
        return;
    }
    buf_init(&names);
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        list_one(&cmd_table[i], by, arg, &names, &n);
        for (unsigned j = 0; by != LIST_ALL && j < cmd_table[i].n_subs; j++)
            list_one(&cmd_table[i].subs[j], by, arg, &names, &n);
    }
    if (by == LIST_ALL)
        reply_set(q->out, q->c->resp, n);
    else
        reply_array(q->out, n);
    buf_put_slice(q->out, buf_slice(&names));
    buf_close(&names);
}

static void command_getkeys(struct rq *q)
{
    const struct cmd_spec *spec = cmd_find(&q->s->index, q->argv[2]);
    uint32_t argc = q->argc - 2, last;

    if (spec != NULL && spec->n_subs > 0 && argc > 1)
        spec = cmd_find_sub(spec, q->argv[3]);
    if (spec == NULL) {
        reply_error(q->out, "ERR Invalid command specified");
        return;
    }
    if (spec->first == 0) {
        reply_error(q->out, "ERR The command has no key arguments");
        return;
    }
    if (!cmd_arity_ok(spec, argc)) {
        reply_error(q->out, "ERR Invalid number of arguments specified for "
                            "command");
        return;
    }
    last = spec->last < 0 ? argc - 1 : (uint32_t)spec->last;
    ASSERT(spec->first == 1 && spec->step > 0);
    reply_array(q->out, (last - 1) / (uint32_t)spec->step + 1);
    for (uint32_t i = 1; i <= last; i += (uint32_t)spec->step)
        reply_bulk(q->out, q->argv[2 + i]);
}

void cmd_do_command(struct rq *q)
{
    unsigned id = q->spec->id;

    if (id == CMD_COMMAND_COUNT)
        reply_int(q->out, CMD_COUNT);
    else if (id == CMD_COMMAND_DOCS)
        command_docs(q);
    else if (id == CMD_COMMAND_LIST)
        command_list(q);
    else if (id == CMD_COMMAND_GETKEYS)
        command_getkeys(q);
    else if (id == CMD_COMMAND_HELP)
        rq__help(q, CMD_COMMAND);
    else
        command_info(q);
}
