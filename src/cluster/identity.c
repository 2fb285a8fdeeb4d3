/* The identity of a data directory.
 *
 * <dir>/meta says whose data this is: it is written before the first byte of
 * the log, and from then on only read.  A node that was pointed at the wrong
 * directory, or at an empty one after it had voted, could break promises made in
 * another node's name (rule R5), so every doubt refuses to start.
 *
 * Format, version 1: one JSON object, members in any order, at most
 * META_BYTES_MAX:
 *
 *   "version"       1
 *   "cluster_id"    16 hex digits, see directory_cluster_id
 *   "cluster_name"  text
 *   "node_id"       number
 *   "instance_id"   16 hex digits, random, never 0: this directory, not that
 *                   of a node which once had the same id
 *   "shards", "replicas"   numbers
 *   "created_ms"    wall clock, ms since 1970
 *   "members"       the initial cluster: [{"id", "host", "port", "peer_port"}]
 *   "digest"        16 hex digits: XXH3 of this object without "digest", written
 *                   compactly (no blanks) with sorted names.  So the file may be
 *                   reindented, but any changed value is noticed.
 *
 * Creating: write meta.tmp, fsync, rename to meta, fsync the directory.
 *   crash before the rename:  no meta, perhaps a meta.tmp, no log: the next start
 *                             creates again and overwrites meta.tmp;
 *   crash after the rename:   the directory may or may not remember it; if not,
 *                             as above: nothing was promised yet.
 *
 * What is compared with the directory derived from the configuration: node id,
 * cluster name, shards, replicas, and the cluster id, which covers the member
 * ids as well.  Addresses may change. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cluster/directory.h"

#define META_VERSION 1
#define META_BYTES_MAX (64u << 10)
#define PATH_BYTES_MAX 4096

/* What meta says. */
struct meta {
    uint64_t cluster_id;
    uint64_t instance_id;
    uint64_t node_id;
    unsigned shards;
    unsigned replicas;
    char name[DIRECTORY_NAME_MAX + 1];
};

/* The arguments of identity_load_or_create. */
struct ask {
    struct env *env;
    const char *dir;
    const struct directory *d;
    uint64_t node_id;
    char *errmsg;
    size_t n;
    char path[PATH_BYTES_MAX];     /* <dir>/meta */
    char path_tmp[PATH_BYTES_MAX]; /* <dir>/meta.tmp */
};

/* "cannot <what>: <status>" */
static int io_failed(struct ask *a, const char *what, const char *path, int rv)
{
    (void)snprintf(a->errmsg, a->n, "cannot %s %s: %s", what, path,
                   kv_strerror(rv));
    return rv;
}

/* ---- the JSON object ---- */

static json_t *hex_new(uint64_t v)
{
    char text[17];

    (void)snprintf(text, sizeof(text), "%016" PRIx64, v);
    return json_string(text);
}

static bool hex_get(const json_t *root, const char *name, uint64_t *ret)
{
    const char *text = json_string_value(json_object_get(root, name));

    if (text == NULL || strlen(text) != 16 ||
        strspn(text, "0123456789abcdef") != 16)
        return false;
    *ret = strtoull(text, NULL, 16);
    return true;
}

static bool number_get(const json_t *root, const char *name, uint64_t max,
                       uint64_t *ret)
{
    const json_t *v = json_object_get(root, name);

    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (uint64_t)json_integer_value(v) > max)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

/* The text of root: *ret_n bytes, no terminator, to be freed by the caller. */
static char *dump(const json_t *root, size_t flags, size_t *ret_n)
{
    size_t n = json_dumpb(root, NULL, 0, flags);
    char *text;

    ASSERT(n > 0);
    text = mem_alloc(n);
    *ret_n = json_dumpb(root, text, n, flags);
    ASSERT(*ret_n == n);
    return text;
}

/* Of root, which must not hold "digest". */
static uint64_t digest_of(const json_t *root)
{
    size_t n;
    char *text = dump(root, JSON_COMPACT | JSON_SORT_KEYS, &n);
    uint64_t digest = XXH3_64bits(text, n);

    mem_free(text);
    return digest;
}

static json_t *members_new(const struct directory *d)
{
    json_t *members = json_array();

    for (unsigned i = 0; i < directory_n_nodes(d); i++) {
        const struct directory_node *node = directory_node_at(d, i);
        json_t *m = json_object();

        json_object_set_new(m, "id", json_integer((json_int_t)node->id));
        json_object_set_new(m, "host", json_string(node->host));
        json_object_set_new(m, "port", json_integer(node->port));
        json_object_set_new(m, "peer_port", json_integer(node->peer_port));
        json_array_append_new(members, m);
    }
    return members;
}

/* Text of a new meta: *ret_n bytes, to be freed by the caller. */
static char *meta_text(const struct ask *a, uint64_t instance_id, size_t *ret_n)
{
    const struct directory *d = a->d;
    json_t *root = json_object();
    char *text;

    json_object_set_new(root, "version", json_integer(META_VERSION));
    json_object_set_new(root, "cluster_id", hex_new(directory_cluster_id(d)));
    json_object_set_new(root, "cluster_name",
                        json_string(directory_cluster_name(d)));
    json_object_set_new(root, "node_id", json_integer((json_int_t)a->node_id));
    json_object_set_new(root, "instance_id", hex_new(instance_id));
    json_object_set_new(root, "shards", json_integer(directory_n_shards(d)));
    json_object_set_new(root, "replicas", json_integer(directory_replicas(d)));
    json_object_set_new(root, "created_ms",
                        json_integer((json_int_t)env_wall_ms(a->env)));
    json_object_set_new(root, "members", members_new(d));
    json_object_set_new(root, "digest", hex_new(digest_of(root)));
    text = dump(root, JSON_INDENT(2), ret_n);
    json_decref(root);
    return text;
}

/* ---- reading ---- */

static int refuse_corrupt(struct ask *a, const char *why)
{
    (void)snprintf(a->errmsg, a->n,
                   "%s is damaged (%s): restore it from a backup, or, if this "
                   "node's data may be given up, remove it from the cluster and "
                   "start with an empty --data-dir; do not edit the file",
                   a->path, why);
    return KV_ECORRUPT;
}

/* Take the fields out of root, which loses its "digest". */
static int meta_decode(struct ask *a, json_t *root, struct meta *m)
{
    uint64_t version;
    uint64_t digest;
    uint64_t shards;
    uint64_t replicas;
    const char *name;

    if (!number_get(root, "version", UINT32_MAX, &version) || version == 0)
        return refuse_corrupt(a, "no version");
    if (version != META_VERSION) {
        (void)snprintf(a->errmsg, a->n,
                       "%s has version %" PRIu64 ", this kvd knows version %d: "
                       "start the kvd that wrote it, or a newer one",
                       a->path, version, META_VERSION);
        return KV_EVERSION;
    }
    if (!hex_get(root, "digest", &digest))
        return refuse_corrupt(a, "no digest");
    json_object_del(root, "digest");
    if (digest != digest_of(root))
        return refuse_corrupt(a, "its digest does not match its content");

    name = json_string_value(json_object_get(root, "cluster_name"));
    if (name == NULL || strlen(name) > DIRECTORY_NAME_MAX ||
        !hex_get(root, "cluster_id", &m->cluster_id) ||
        !hex_get(root, "instance_id", &m->instance_id) ||
        m->instance_id == 0 ||
        !number_get(root, "node_id", DIRECTORY_NODE_ID_MAX, &m->node_id) ||
        !number_get(root, "shards", DIRECTORY_SHARDS_MAX, &shards) ||
        !number_get(root, "replicas", DIRECTORY_REPLICAS_MAX, &replicas))
        return refuse_corrupt(a, "a field is missing or malformed");
    (void)snprintf(m->name, sizeof(m->name), "%s", name);
    m->shards = (unsigned)shards;
    m->replicas = (unsigned)replicas;
    return 0;
}

static int meta_parse(struct ask *a, const char *text, size_t len,
                      struct meta *m)
{
    json_error_t err;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
    int rv;

    if (!json_is_object(root)) {
        json_decref(root);
        return refuse_corrupt(a, root == NULL ? err.text : "no JSON object");
    }
    rv = meta_decode(a, root, m);
    json_decref(root);
    return rv;
}

/* KV_ENOENT, silently, if there is no meta. */
static int meta_load(struct ask *a, struct meta *m)
{
    struct env_file *f;
    uint64_t size;
    size_t got;
    char *text;
    int rv;

    rv = env_open(a->env, a->path, ENV_OPEN_RDONLY, &f);
    if (rv == KV_ENOENT)
        return rv;
    if (rv != 0)
        return io_failed(a, "open", a->path, rv);
    rv = env_size(a->env, f, &size);
    if (rv != 0) {
        env_close(a->env, f);
        return io_failed(a, "read", a->path, rv);
    }
    if (size == 0 || size > META_BYTES_MAX) {
        env_close(a->env, f);
        return refuse_corrupt(a, size == 0 ? "empty" : "too large");
    }
    text = mem_alloc((size_t)size);
    rv = env_read(a->env, f, 0, text, (size_t)size, &got);
    env_close(a->env, f);
    rv = rv != 0 ? io_failed(a, "read", a->path, rv)
                 : meta_parse(a, text, got, m);
    mem_free(text);
    return rv;
}

/* Compare what meta says with what this process was asked to be. */
static int meta_compare(struct ask *a, const struct meta *m)
{
    const struct directory *d = a->d;

    if (strcmp(m->name, directory_cluster_name(d)) != 0)
        (void)snprintf(a->errmsg, a->n,
                       "data directory %s belongs to cluster '%s', but this kvd "
                       "was started for cluster '%s': start it with "
                       "--cluster-name %s, or give another --data-dir",
                       a->dir, m->name, directory_cluster_name(d), m->name);
    else if (m->node_id != a->node_id)
        (void)snprintf(a->errmsg, a->n,
                       "data directory %s belongs to node %" PRIu64
                       ", but this kvd was started as node %" PRIu64
                       ": start it with --node-id %" PRIu64
                       ", or give another --data-dir",
                       a->dir, m->node_id, a->node_id, m->node_id);
    else if (m->shards != directory_n_shards(d))
        (void)snprintf(a->errmsg, a->n,
                       "data directory %s was made with %u shards, but %u are "
                       "configured: start kvd with --cluster-shards %u (the "
                       "number is fixed when a cluster first starts)",
                       a->dir, m->shards, directory_n_shards(d), m->shards);
    else if (m->replicas != directory_replicas(d))
        (void)snprintf(a->errmsg, a->n,
                       "data directory %s was made with %u replicas, but %u are "
                       "configured: start kvd with --cluster-replicas %u",
                       a->dir, m->replicas, directory_replicas(d), m->replicas);
    else if (m->cluster_id != directory_cluster_id(d))
        (void)snprintf(a->errmsg, a->n,
                       "data directory %s belongs to cluster %016" PRIx64
                       ", but --initial-cluster describes %016" PRIx64
                       ": its node ids differ from those the cluster was "
                       "first started with (see \"members\" in %s); start kvd "
                       "with the same ids (addresses may change)",
                       a->dir, m->cluster_id, directory_cluster_id(d), a->path);
    else
        return 0;
    return KV_EMISMATCH;
}

/* ---- creating ---- */

static void on_log_file(void *data, const char *name)
{
    bool *found = data;

    if (name[0] != '.')
        *found = true;
}

/* No meta: is there a log all the same? */
static int check_no_log(struct ask *a)
{
    char path[PATH_BYTES_MAX];
    bool found = false;
    int rv;

    (void)snprintf(path, sizeof(path), "%s/" IDENTITY_LOG_DIR, a->dir);
    rv = env_list(a->env, path, on_log_file, &found);
    if (rv != 0 && rv != KV_ENOENT)
        return io_failed(a, "list", path, rv);
    if (!found)
        return 0;
    (void)snprintf(a->errmsg, a->n,
                   "data directory %s has a log (%s) but no %s file, so nobody "
                   "can tell whose data it is: restore %s from a backup, or "
                   "give an empty --data-dir",
                   a->dir, path, IDENTITY_FILE, a->path);
    return KV_ENOENT;
}

static int write_tmp(struct ask *a, const char *text, size_t len)
{
    struct env_file *f;
    int rv;

    rv = env_open(a->env, a->path_tmp, ENV_OPEN_CREATE, &f);
    if (rv != 0)
        return rv;
    rv = env_truncate(a->env, f, 0);
    if (rv == 0)
        rv = env_write(a->env, f, 0, text, len);
    if (rv == 0)
        rv = env_sync(a->env, f);
    env_close(a->env, f);
    return rv;
}

static int meta_create(struct ask *a, struct meta *m)
{
    size_t len;
    char *text;
    int rv;

    do
        env_random(a->env, &m->instance_id, sizeof(m->instance_id));
    while (m->instance_id == 0);

    text = meta_text(a, m->instance_id, &len);
    rv = write_tmp(a, text, len);
    if (rv != 0)
        rv = io_failed(a, "write", a->path_tmp, rv);
    mem_free(text);
    if (rv != 0)
        return rv;
    rv = env_rename(a->env, a->path_tmp, a->path);
    if (rv != 0)
        return io_failed(a, "create", a->path, rv);
    rv = env_sync_dir(a->env, a->dir);
    return rv != 0 ? io_failed(a, "sync", a->dir, rv) : 0;
}

int identity_load_or_create(struct env *env, const char *dir,
                            const struct directory *d, uint64_t node_id,
                            struct identity *ret, char *errmsg, size_t n)
{
    struct ask a = { .env = env, .dir = dir, .d = d, .node_id = node_id,
                     .errmsg = errmsg, .n = n };
    struct meta m = { .cluster_id = directory_cluster_id(d) };
    int rv;

    ASSERT(directory_node(d, node_id) != NULL);
    if (strlen(dir) > PATH_BYTES_MAX - 32) {
        (void)snprintf(errmsg, n, "--data-dir is longer than %d bytes",
                       PATH_BYTES_MAX - 32);
        return KV_EINVAL;
    }
    (void)snprintf(a.path, sizeof(a.path), "%s/" IDENTITY_FILE, dir);
    (void)snprintf(a.path_tmp, sizeof(a.path_tmp), "%s/" IDENTITY_FILE_TMP,
                   dir);

    rv = meta_load(&a, &m);
    if (rv == 0) {
        rv = meta_compare(&a, &m);
    } else if (rv == KV_ENOENT) {
        rv = check_no_log(&a);
        if (rv == 0)
            rv = meta_create(&a, &m);
    }
    if (rv != 0)
        return rv;
    ASSERT(m.instance_id != 0);
    *ret = (struct identity){ .cluster_id = m.cluster_id, .node_id = node_id,
                              .instance_id = m.instance_id };
    return 0;
}
