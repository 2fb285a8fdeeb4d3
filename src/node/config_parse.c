/* Configuration files, by libinih, and checks over several settings.
 *
 * libinih cuts lines at its compiled-in limit without a word, so longer lines are
 * refused before it sees them; a long initial-cluster is given by several lines,
 * which append. */
#include "node/config.h"

#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct parse {
    struct config *c;
    char reason[512]; /* of the first error; "" if none */
    bool cluster_seen;
};

static int append_cluster(struct parse *p, const char *value)
{
    char all[CONFIG_STRING_MAX];
    int n;

    n = snprintf(all, sizeof all, "%s,%s", p->c->initial_cluster, value);
    if (n < 0 || (size_t)n >= sizeof all) {
        snprintf(p->reason, sizeof p->reason,
                 "initial-cluster: longer than %zu bytes in all",
                 sizeof all - 1);
        return KV_EINVAL;
    }
    memcpy(p->c->initial_cluster, all, (size_t)n + 1);
    return 0;
}

/* libinih's callback: 0 is an error there. */
static int on_setting(void *user, const char *section, const char *name,
                      const char *value)
{
    struct parse *p = user;
    char key[256];
    char reason[512];
    int rv;

    if (p->reason[0] != '\0')
        return 1; /* only the first error is told */
    if (section[0] != '\0')
        snprintf(key, sizeof key, "%s.%s", section, name);
    else
        snprintf(key, sizeof key, "%s", name);
    if (strcmp(key, "initial-cluster") == 0 && p->cluster_seen)
        return append_cluster(p, value) == 0;
    rv = config_set(p->c, key, value, reason, sizeof reason);
    if (rv != 0) {
        snprintf(p->reason, sizeof p->reason, "%s", reason);
        return 0;
    }
    if (strcmp(key, "initial-cluster") == 0)
        p->cluster_seen = true;
    return 1;
}

/* 0, or the number of the first line that libinih would cut. */
static unsigned find_long_line(struct slice text)
{
    unsigned line = 1;
    size_t len = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
            len = 0;
        } else if (++len >= INI_MAX_LINE - 2) {
            return line;
        }
    }
    return 0;
}

int config_parse(struct config *c, const char *file, struct slice text,
                 char *errmsg, size_t n)
{
    struct parse p = { .c = c };
    unsigned line = find_long_line(text);
    char *z;
    int rv;

    if (line != 0) {
        snprintf(errmsg, n,
                 "%s:%u: line longer than %d bytes (initial-cluster may be "
                 "given by several lines)",
                 file, line, INI_MAX_LINE - 3);
        return KV_EINVAL;
    }
    if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
        snprintf(errmsg, n, "%s: not a text file", file);
        return KV_EINVAL;
    }
    z = mem_alloc(text.n + 1);
    memcpy(z, text.n > 0 ? (const char *)text.p : "", text.n);
    z[text.n] = '\0';
    rv = ini_parse_string(z, on_setting, &p);
    mem_free(z);
    if (rv == 0)
        return 0;
    snprintf(errmsg, n, "%s:%d: %s", file, rv,
             p.reason[0] != '\0' ? p.reason : "expected 'key = value'");
    return KV_EINVAL;
}

int config_check(const struct config *c, char *reason, size_t n)
{
    if (c->node_id == 0)
        snprintf(reason, n, "node.id is missing: give --node-id N or set "
                            "node.id in the configuration file");
    else if (c->initial_cluster[0] == '\0')
        snprintf(reason, n, "initial-cluster is missing: give "
                            "--initial-cluster 1=host:port,2=host:port,... "
                            "the same on every node");
    else if (c->data_dir[0] == '\0')
        snprintf(reason, n, "data-dir is empty");
    else if ((c->wal_segment_bytes & (c->wal_segment_bytes - 1)) != 0)
        snprintf(reason, n, "wal.segment-bytes: %" PRIu64
                            " is not a power of two", c->wal_segment_bytes);
    else if (c->heartbeat_ms * 3 > c->election_ms)
        snprintf(reason, n, "raft.heartbeat (%" PRIu64 " ms) must be at most "
                            "a third of raft.election (%" PRIu64 " ms)",
                 c->heartbeat_ms, c->election_ms);
    else if (c->bulk_bytes * 2 > c->wal_segment_bytes)
        snprintf(reason, n, "wal.segment-bytes (%" PRIu64 ") must be at least "
                            "twice client.bulk-bytes (%" PRIu64 ")",
                 c->wal_segment_bytes, c->bulk_bytes);
    else
        return 0;
    return KV_EINVAL;
}
