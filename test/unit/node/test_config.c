/* Settings: defaults, single values, files, contradictions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "lib/test.h"
#include "node/config.h"

static struct config cfg;
static char reason[512];

static int set(const char *name, const char *value)
{
    reason[0] = '\0';
    return config_set(&cfg, name, value, reason, sizeof reason);
}

static int parse(const char *text)
{
    reason[0] = '\0';
    return config_parse(&cfg, "kvd.conf", slice_str(text), reason,
                        sizeof reason);
}

TEST(config, every_default_is_within_its_own_limits)
{
    char value[CONFIG_STRING_MAX];

    config_defaults(&cfg);
    for (const struct config_key *k = config_keys(); k->name != NULL; k++) {
        config_get(&cfg, k, value, sizeof value);
        if (strcmp(k->def, "0") != 0)
            CHECK_EQ(set(k->name, k->def), 0);
        CHECK(k->meaning[0] != '\0');
    }
    CHECK_EQ(cfg.shards, 16);
    CHECK_EQ(cfg.deadline_ms, 5000);
    CHECK_EQ(cfg.wal_segment_bytes, 64 << 20);
    CHECK_EQ(cfg.wal_sync, 0);
}

TEST(config, units_are_understood)
{
    config_defaults(&cfg);
    CHECK_EQ(set("raft.tail-bytes", "3MB"), 0);
    CHECK_EQ(cfg.tail_bytes, 3 << 20);
    CHECK_EQ(set("raft.election", "2s"), 0);
    CHECK_EQ(cfg.election_ms, 2000);
    CHECK_EQ(set("raft.election", "250"), 0);
    CHECK_EQ(cfg.election_ms, 250);
    CHECK_EQ(set("client.bulk-bytes", "2kb"), 0);
    CHECK_EQ(cfg.bulk_bytes, 2048);
}

TEST(config, a_bad_number_is_refused_and_changes_nothing)
{
    static const char *const bad[] = { "", "x", "-1", "1e3", "10 kb", "5kbs",
                                       "99999999999999999999999", "0" };

    config_defaults(&cfg);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(set("client.pipeline", bad[i]), KV_EINVAL);
        CHECK(strstr(reason, "client.pipeline") != NULL);
        CHECK_EQ(cfg.pipeline_max, 1024);
    }
}

TEST(config, the_wrong_unit_is_refused)
{
    config_defaults(&cfg);
    CHECK_EQ(set("raft.election", "5kb"), KV_EINVAL);
    CHECK_EQ(set("raft.tail-bytes", "5s"), KV_EINVAL);
    CHECK_EQ(set("client.max", "5s"), KV_EINVAL);
}

TEST(config, a_word_that_is_none_of_the_choices_names_them)
{
    config_defaults(&cfg);
    CHECK_EQ(set("wal.sync", "never"), KV_EINVAL);
    CHECK_STR(reason, "wal.sync: 'never' is none of always|interval");
    CHECK_EQ(set("wal.sync", "interval"), 0);
    CHECK_EQ(cfg.wal_sync, 1);
    CHECK_EQ(set("wal.sync", "alway"), KV_EINVAL);
}

TEST(config, an_unknown_setting_is_named)
{
    config_defaults(&cfg);
    CHECK_EQ(set("wal.snyc", "always"), KV_ENOENT);
    CHECK_STR(reason, "unknown setting 'wal.snyc' (see kvd.conf(5))");
}

TEST(config, a_string_longer_than_its_field_is_refused)
{
    char longer[2000];

    config_defaults(&cfg);
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CHECK_EQ(set("data-dir", longer), KV_EINVAL);
    CHECK_STR(cfg.data_dir, "/var/lib/kvmesh");
}

TEST(config, what_is_set_is_shown)
{
    char value[CONFIG_STRING_MAX];

    config_defaults(&cfg);
    CHECK_EQ(set("wal.sync", "interval"), 0);
    CHECK_EQ(set("data-dir", "/tmp/x"), 0);
    for (const struct config_key *k = config_keys(); k->name != NULL; k++) {
        config_get(&cfg, k, value, sizeof value);
        if (strcmp(k->name, "wal.sync") == 0)
            CHECK_STR(value, "interval");
        if (strcmp(k->name, "data-dir") == 0)
            CHECK_STR(value, "/tmp/x");
        if (strcmp(k->name, "raft.heartbeat") == 0)
            CHECK_STR(value, "100");
    }
}

TEST(config, a_file_with_sections_and_comments_is_read)
{
    config_defaults(&cfg);
    CHECK_EQ(parse("# a node\nnode.id = 2\ninitial-cluster = 1=a:1,2=b:2\n"
                   "\n[wal]\nsync = interval ; loud\n[raft]\nelection = 3s\n"),
             0);
    CHECK_EQ(cfg.node_id, 2);
    CHECK_STR(cfg.initial_cluster, "1=a:1,2=b:2");
    CHECK_EQ(cfg.wal_sync, 1);
    CHECK_EQ(cfg.election_ms, 3000);
}

TEST(config, initial_cluster_lines_append)
{
    config_defaults(&cfg);
    CHECK_EQ(parse("initial-cluster = 1=a:1\ninitial-cluster = 2=b:2\n"), 0);
    CHECK_STR(cfg.initial_cluster, "1=a:1,2=b:2");
}

TEST(config, a_bad_value_names_file_line_and_reason)
{
    config_defaults(&cfg);
    CHECK_EQ(parse("node.id = 1\n\nwal.sync = sometimes\nclient.max = x\n"),
             KV_EINVAL);
    CHECK_STR(reason,
              "kvd.conf:3: wal.sync: 'sometimes' is none of always|interval");
}

TEST(config, a_line_that_is_no_setting_names_its_line)
{
    config_defaults(&cfg);
    CHECK_EQ(parse("node.id = 1\nhello\n"), KV_EINVAL);
    CHECK_STR(reason, "kvd.conf:2: expected 'key = value'");
}

TEST(config, a_line_too_long_is_refused_not_cut)
{
    char text[600] = "node.id = 1\ninitial-cluster = ";

    config_defaults(&cfg);
    for (int i = 0; i < 50; i++)
        strcat(text, "1=abc:1,");
    CHECK_EQ(parse(text), KV_EINVAL);
    CHECK(strncmp(reason, "kvd.conf:2: line longer than", 28) == 0);
}

TEST(config, a_binary_file_is_refused)
{
    config_defaults(&cfg);
    CHECK_EQ(config_parse(&cfg, "f", slice_make("a\0b", 3), reason,
                          sizeof reason),
             KV_EINVAL);
    CHECK_STR(reason, "f: not a text file");
}

static void valid(void)
{
    config_defaults(&cfg);
    CHECK_EQ(set("node.id", "1"), 0);
    CHECK_EQ(set("initial-cluster", "1=127.0.0.1:7001"), 0);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), 0);
}

TEST(config, what_is_missing_or_contradicts_is_told)
{
    config_defaults(&cfg);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), KV_EINVAL);
    CHECK(strstr(reason, "node.id is missing") != NULL);
    CHECK_EQ(set("node.id", "1"), 0);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), KV_EINVAL);
    CHECK(strstr(reason, "initial-cluster is missing") != NULL);

    valid();
    CHECK_EQ(set("raft.heartbeat", "900"), 0);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), KV_EINVAL);
    CHECK(strstr(reason, "at most a third") != NULL);

    valid();
    CHECK_EQ(set("wal.segment-bytes", "100000"), 0);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), KV_EINVAL);
    CHECK(strstr(reason, "power of two") != NULL);

    valid();
    CHECK_EQ(set("wal.segment-bytes", "16mb"), 0);
    CHECK_EQ(config_check(&cfg, reason, sizeof reason), KV_EINVAL);
    CHECK(strstr(reason, "twice client.bulk-bytes") != NULL);
}

TEST(config, the_manual_names_every_setting_and_its_default)
{
    static char page[65536];
    const char *dir = getenv("srcdir");
    char path[1024], entry[128];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/man/kvd.conf.5", dir != NULL ? dir : ".");
    f = fopen(path, "r");
    CHECK(f != NULL);
    n = fread(page, 1, sizeof page - 1, f);
    fclose(f);
    page[n] = '\0';
    for (const struct config_key *k = config_keys(); k->name != NULL; k++) {
        const char *at;

        snprintf(entry, sizeof entry, "\n.B %s\n", k->name);
        at = strstr(page, entry);
        if (at == NULL)
            FAIL("%s is not in kvd.conf(5)", k->name);
        if (k->def[0] == '\0' || strcmp(k->def, "0") == 0)
            continue;
        snprintf(entry, sizeof entry, "Default %s.\n", k->def);
        n = (size_t)(strstr(at + 1, "\n.TP") != NULL
                         ? strstr(at + 1, "\n.TP") - at
                         : strstr(at + 1, "\n.SH") - at);
        if (strstr(at, entry) == NULL || strstr(at, entry) > at + n)
            FAIL("the default of %s in kvd.conf(5) is not %s", k->name,
                 k->def);
    }
}
