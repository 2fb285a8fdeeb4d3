/* The table of settings, defaults, reading and showing single values. */
#include "node/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/err.h"

#define KB (1ull << 10)
#define MB (1ull << 20)
#define GB (1ull << 30)

#define NUM(key, kind, field, lo, hi, def_, text)                       \
    { .name = key, .type = kind, .offset = offsetof(struct config, field), \
      .min = lo, .max = hi, .def = def_, .meaning = text }
#define STR(key, field, def_, text)                                      \
    { .name = key, .type = CONFIG_STRING,                                \
      .offset = offsetof(struct config, field),                          \
      .max = sizeof(((struct config *)0)->field), .def = def_,           \
      .meaning = text }
#define ENUM(key, field, words_, def_, text)                             \
    { .name = key, .type = CONFIG_ENUM,                                  \
      .offset = offsetof(struct config, field), .words = words_,         \
      .def = def_, .meaning = text }

static const struct config_key keys[] = {
    NUM("node.id", CONFIG_UINT, node_id, 1, UINT32_MAX, "0",
        "this node's number in initial-cluster; required"),
    STR("initial-cluster", initial_cluster, "",
        "all first nodes, the same on each: 1=host:port,2=host:port,...; "
        "peers use port+10000; required; may be repeated to append"),
    STR("cluster.name", cluster_name, "kvmesh",
        "keeps clusters apart: nodes of another name are refused"),
    NUM("cluster.shards", CONFIG_UINT, shards, 1, 256, "16",
        "Raft groups; fixed when the cluster first starts"),
    NUM("cluster.replicas", CONFIG_UINT, replicas, 1, 7, "3",
        "copies of each shard; fewer nodes make it fewer"),
    STR("data-dir", data_dir, "/var/lib/kvmesh",
        "where this node keeps its log; one process at a time"),
    STR("bind", bind, "127.0.0.1",
        "numeric address to listen on, for clients and peers"),
    NUM("raft.election", CONFIG_MS, election_ms, 50, 60000, "1s",
        "election timeout; real ones are drawn from 1 to 2 times this"),
    NUM("raft.heartbeat", CONFIG_MS, heartbeat_ms, 5, 30000, "100ms",
        "idle leaders say this often that they are there"),
    NUM("raft.inflight-entries", CONFIG_UINT, inflight_entries, 16, 65536,
        "4096", "entries sent to a follower and not yet acknowledged"),
    NUM("raft.append-bytes", CONFIG_BYTES, ae_bytes, 4 * KB, 32 * MB, "1mb",
        "payload of one AppendEntries message (one entry may exceed it)"),
    NUM("raft.tail-bytes", CONFIG_BYTES, tail_bytes, 64 * KB, 16 * GB, "4mb",
        "log entries of one shard kept in memory; older ones are read back"),
    NUM("raft.uncommitted-bytes", CONFIG_BYTES, uncommitted_bytes, 64 * KB,
        16 * GB, "64mb", "entries of one shard not yet committed; then BUSY"),
    NUM("wal.segment-bytes", CONFIG_BYTES, wal_segment_bytes, 64 * KB, 1 * GB,
        "64mb", "size of one log file; a power of two"),
    NUM("wal.queue-bytes", CONFIG_BYTES, wal_queue_bytes, 1 * MB, 16 * GB,
        "256mb", "log records waiting for the disk; then BUSY"),
    ENUM("wal.sync", wal_sync, "always|interval", "always",
         "interval: fsync every 100 ms or 1000 writes; a power cut of a "
         "majority may then lose acknowledged writes"),
    NUM("shard.batches-inflight", CONFIG_UINT, batches_inflight, 1, 64, "4",
        "entries of one shard in flight; later writes join the next one"),
    NUM("shard.batch-bytes", CONFIG_BYTES, batch_bytes, 4 * KB, 16 * MB, "1mb",
        "operations in one entry (one operation may exceed it)"),
    NUM("shard.queue-bytes", CONFIG_BYTES, shard_queue_bytes, 1 * MB, 16 * GB,
        "64mb", "operations of one shard waiting for an entry; then BUSY"),
    NUM("request.deadline", CONFIG_MS, deadline_ms, 100, 600000, "5s",
        "after this CLUSTERDOWN (not executed) or UNKNOWN (may have been)"),
    NUM("request.pending", CONFIG_UINT, pending_max, 16, 10000000, "200000",
        "operations this node coordinates at a time; then BUSY"),
    NUM("request.pending-bytes", CONFIG_BYTES, pending_bytes, 1 * MB, 64 * GB,
        "512mb", "their bytes; then BUSY"),
    NUM("client.max", CONFIG_UINT, clients_max, 1, 1000000, "10000",
        "connections"),
    NUM("client.query-bytes", CONFIG_BYTES, query_bytes, 64 * KB, 1 * GB,
        "64mb", "unfinished command of one client; then it is closed"),
    NUM("client.bulk-bytes", CONFIG_BYTES, bulk_bytes, 1 * KB, 16 * MB, "16mb",
        "one argument (proto-max-bulk-len)"),
    NUM("client.args", CONFIG_UINT, args_max, 16, 65536, "65536",
        "arguments of one command"),
    NUM("client.pipeline", CONFIG_UINT, pipeline_max, 1, 65536, "1024",
        "commands of one client in flight; then reading pauses"),
    NUM("client.output-bytes", CONFIG_BYTES, output_bytes, 64 * KB, 16 * GB,
        "256mb", "replies a client has not taken; then it is closed"),
    NUM("client.idle-timeout", CONFIG_MS, idle_timeout_ms, 0, UINT32_MAX, "0",
        "close clients silent for this long; 0: never"),
    NUM("peer.queue-bytes", CONFIG_BYTES, peer_queue_bytes, 1 * MB, 16 * GB,
        "128mb", "frames waiting for one peer; later ones are dropped"),
    NUM("stop.timeout", CONFIG_MS, stop_ms, 0, 600000, "10s",
        "how long a graceful stop waits for work in flight"),
    STR("log.file", log_file, "", "where log lines go; empty: standard error"),
    ENUM("log.level", log_level, "debug|info|warn|error", "info",
         "lines below this level are not written"),
    { .name = NULL },
};

const struct config_key *config_keys(void)
{
    return keys;
}

static void *field(const struct config *c, const struct config_key *k)
{
    return (char *)(uintptr_t)c + k->offset;
}

/* Number with an optional unit: 64, 64kb, 5s.  Returns false when it is none. */
static bool number_read(const char *s, enum config_type type, uint64_t *ret)
{
    static const struct {
        enum config_type type;
        const char *suffix;
        uint64_t factor;
    } units[] = {
        { CONFIG_BYTES, "kb", KB },  { CONFIG_BYTES, "mb", MB },
        { CONFIG_BYTES, "gb", GB },  { CONFIG_BYTES, "b", 1 },
        { CONFIG_MS, "ms", 1 },      { CONFIG_MS, "s", 1000 },
        { CONFIG_MS, "m", 60000 },
    };
    uint64_t v = 0;
    size_t i = 0;

    for (; s[i] >= '0' && s[i] <= '9'; i++) {
        if (v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(s[i] - '0');
    }
    if (i == 0)
        return false;
    if (s[i] == '\0') {
        *ret = v;
        return true;
    }
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        if (units[u].type != type || strcasecmp(s + i, units[u].suffix) != 0)
            continue;
        if (v > UINT64_MAX / units[u].factor)
            return false;
        *ret = v * units[u].factor;
        return true;
    }
    return false;
}

static const char *unit_hint(enum config_type type)
{
    return type == CONFIG_BYTES ? " (bytes, kb, mb, gb)"
           : type == CONFIG_MS  ? " (ms, s, m)"
                                : "";
}

static int set_number(struct config *c, const struct config_key *k,
                      const char *value, char *reason, size_t n)
{
    uint64_t v;

    if (!number_read(value, k->type, &v)) {
        snprintf(reason, n, "%s: '%s' is not a number%s", k->name, value,
                 unit_hint(k->type));
        return KV_EINVAL;
    }
    if (v < k->min || v > k->max) {
        snprintf(reason, n,
                 "%s: %s is outside %" PRIu64 "..%" PRIu64 "%s", k->name,
                 value, k->min, k->max, unit_hint(k->type));
        return KV_EINVAL;
    }
    *(uint64_t *)field(c, k) = v;
    return 0;
}

static int set_enum(struct config *c, const struct config_key *k,
                    const char *value, char *reason, size_t n)
{
    uint64_t i = 0;

    for (const char *w = k->words; w != NULL; i++) {
        const char *end = strchr(w, '|');
        size_t len = end != NULL ? (size_t)(end - w) : strlen(w);

        if (strlen(value) == len && strncmp(w, value, len) == 0) {
            *(uint64_t *)field(c, k) = i;
            return 0;
        }
        w = end != NULL ? end + 1 : NULL;
    }
    snprintf(reason, n, "%s: '%s' is none of %s", k->name, value, k->words);
    return KV_EINVAL;
}

int config_set(struct config *c, const char *name, const char *value,
               char *reason, size_t n)
{
    const struct config_key *k = keys;

    while (k->name != NULL && strcmp(k->name, name) != 0)
        k++;
    if (k->name == NULL) {
        snprintf(reason, n, "unknown setting '%s' (see kvd.conf(5))", name);
        return KV_ENOENT;
    }
    switch (k->type) {
    case CONFIG_UINT:
    case CONFIG_BYTES:
    case CONFIG_MS:
        return set_number(c, k, value, reason, n);
    case CONFIG_ENUM:
        return set_enum(c, k, value, reason, n);
    case CONFIG_STRING:
        if (strlen(value) >= k->max) {
            snprintf(reason, n, "%s: longer than %" PRIu64 " bytes", k->name,
                     k->max - 1);
            return KV_EINVAL;
        }
        memcpy(field(c, k), value, strlen(value) + 1);
        return 0;
    }
    UNREACHABLE();
}

void config_defaults(struct config *c)
{
    char reason[256];

    *c = (struct config){ .node_id = 0 };
    for (const struct config_key *k = keys; k->name != NULL; k++) {
        /* 0 stands for "not given" where a key is required. */
        if (strcmp(k->def, "0") == 0)
            continue;
        ASSERT(config_set(c, k->name, k->def, reason, sizeof reason) == 0);
    }
}

void config_get(const struct config *c, const struct config_key *k, char *buf,
                size_t n)
{
    uint64_t i;
    const char *w = k->words;

    switch (k->type) {
    case CONFIG_STRING:
        snprintf(buf, n, "%s", (const char *)field(c, k));
        return;
    case CONFIG_ENUM:
        for (i = *(uint64_t *)field(c, k); i > 0; i--)
            w = strchr(w, '|') + 1;
        snprintf(buf, n, "%.*s", (int)strcspn(w, "|"), w);
        return;
    case CONFIG_UINT:
    case CONFIG_BYTES:
    case CONFIG_MS:
        snprintf(buf, n, "%" PRIu64, *(uint64_t *)field(c, k));
        return;
    }
    UNREACHABLE();
}
