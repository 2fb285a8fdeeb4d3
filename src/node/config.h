/* Settings of a node: one table names every key, its flag, type, limits, default
 * and meaning; the parser, `kvd --help`, CONFIG GET and the man page follow it.
 *
 * A file is `key = value` lines; `[section]` prefixes the keys after it with
 * "section.".  '#' and ';' begin comments.  A flag --wal-sync is the key wal.sync.
 * Later settings win, flags over the file. */
#ifndef KV_NODE_CONFIG_H
#define KV_NODE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define CONFIG_STRING_MAX 4096u

struct config {
    uint64_t node_id;
    char initial_cluster[CONFIG_STRING_MAX];
    char cluster_name[256];
    uint64_t shards, replicas;
    char data_dir[1024];
    char bind[256];
    uint64_t election_ms, heartbeat_ms;
    uint64_t inflight_entries, ae_bytes, tail_bytes, uncommitted_bytes;
    uint64_t wal_segment_bytes, wal_queue_bytes;
    uint64_t wal_sync; /* 0 always, 1 interval */
    uint64_t batches_inflight, batch_bytes, shard_queue_bytes;
    uint64_t deadline_ms, pending_max, pending_bytes;
    uint64_t clients_max, query_bytes, bulk_bytes, args_max, pipeline_max;
    uint64_t output_bytes, idle_timeout_ms;
    uint64_t peer_queue_bytes, stop_ms;
    char log_file[1024];
    uint64_t log_level; /* enum env_log_level */
    char config_file[1024]; /* where it was read from; "" if none */
    /* Not settings: what INFO says of the process, filled by the program. */
    char os[256], executable[1024];
    uint64_t process_id;
};

enum config_type {
    CONFIG_UINT,  /* decimal */
    CONFIG_BYTES, /* decimal with optional kb, mb, gb (powers of 1024) */
    CONFIG_MS,    /* milliseconds, optional suffix ms, s, m */
    CONFIG_STRING,
    CONFIG_ENUM
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset;       /* in struct config */
    uint64_t min, max;   /* numbers: limits; strings: max is the size of the field */
    const char *def;     /* default as text */
    const char *words;   /* CONFIG_ENUM: "a|b|c", values 0, 1, 2 */
    const char *meaning;
};

/* All keys, in the order of the manual page; the last has name NULL. */
const struct config_key *config_keys(void);

/* Set every key to its default. */
void config_defaults(struct config *c);
/* Set one key.  KV_ENOENT: no such key; KV_EINVAL: bad value; reason says why. */
int config_set(struct config *c, const char *name, const char *value,
               char *reason, size_t n);
/* The present value of a key as text. */
void config_get(const struct config *c, const struct config_key *k, char *buf,
                size_t n);
/* Apply the text of a configuration file.  KV_EINVAL: errmsg is
 * "file:line: reason"; c is then half changed. */
int config_parse(struct config *c, const char *file, struct slice text,
                 char *errmsg, size_t n);
/* Settings that contradict each other or are missing.  KV_EINVAL with a reason. */
int config_check(const struct config *c, char *reason, size_t n);

#endif
