/* The identity file: created once, then every doubt refuses. */
#include <stdio.h>
#include <string.h>

#include "cluster/directory.h"
#include "unit/cluster/disk_double.h"
#include "lib/test.h"

#define THREE "1=a:7001,2=b:7002,3=c:7003"

static struct disk_double disk;
static char errmsg[512];

static struct directory *derive(const char *name, const char *spec,
                                unsigned shards, unsigned replicas)
{
    struct directory *d = NULL;

    if (directory_derive(name, spec, shards, replicas, &d, errmsg,
                         sizeof(errmsg)) != 0)
        FAIL("%s", errmsg);
    return d;
}

static int identify(const char *name, const char *spec, unsigned shards,
                    unsigned replicas, uint64_t node, struct identity *ret)
{
    struct directory *d = derive(name, spec, shards, replicas);
    int rv;

    rv = identity_load_or_create(&disk.env, "data", d, node, ret, errmsg,
                                 sizeof(errmsg));
    directory_free(d);
    return rv;
}

static void says(const char *expect)
{
    if (strstr(errmsg, expect) == NULL)
        FAIL("'%s' should contain '%s'", errmsg, expect);
}

/* A fresh disk on which node 1 of cluster "kv" has started once. */
static struct identity started(void)
{
    struct identity id = { .node_id = 0 };

    disk_double_init(&disk);
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), 0);
    return id;
}

TEST(identity, is_created_durably_in_an_empty_directory)
{
    struct identity id = started();
    struct directory *d = derive("kv", THREE, 16, 3);

    CHECK_EQ(id.cluster_id, directory_cluster_id(d));
    CHECK_EQ(id.node_id, 1);
    CHECK(id.instance_id != 0);
    disk_double_crash(&disk);
    CHECK(disk_double_find(&disk, "data/meta") != NULL);
    CHECK(disk_double_find(&disk, "data/meta.tmp") == NULL);
    directory_free(d);
}

TEST(identity, is_the_same_after_a_restart)
{
    struct identity first = started();
    struct identity second;

    disk_double_crash(&disk);
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &second), 0);
    CHECK_EQ(first.instance_id, second.instance_id);
    CHECK_EQ(first.cluster_id, second.cluster_id);
}

TEST(identity, addresses_may_change)
{
    struct identity first = started();
    struct identity second;

    CHECK_EQ(identify("kv", "1=x:1,2=y:2,3=z:3", 16, 3, 1, &second), 0);
    CHECK_EQ(first.instance_id, second.instance_id);
}

TEST(identity, of_another_node_is_refused)
{
    struct identity id;

    started();
    CHECK_EQ(identify("kv", THREE, 16, 3, 2, &id), KV_EMISMATCH);
    says("belongs to node 1");
    says("started as node 2");
    says("--node-id 1");
}

TEST(identity, of_another_cluster_name_is_refused)
{
    struct identity id;

    started();
    CHECK_EQ(identify("other", THREE, 16, 3, 1, &id), KV_EMISMATCH);
    says("cluster 'kv'");
    says("'other'");
    says("--cluster-name kv");
}

TEST(identity, of_other_members_is_refused)
{
    struct identity id;

    started();
    CHECK_EQ(identify("kv", "1=a:7001,2=b:7002,4=c:7003", 16, 3, 1, &id),
             KV_EMISMATCH);
    says("--initial-cluster");
}

TEST(identity, of_another_number_of_shards_is_refused)
{
    struct identity id;

    started();
    CHECK_EQ(identify("kv", THREE, 32, 3, 1, &id), KV_EMISMATCH);
    says("16 shards");
    says("32 are configured");
    says("--cluster-shards 16");
}

TEST(identity, of_another_number_of_replicas_is_refused)
{
    struct identity id;

    started();
    CHECK_EQ(identify("kv", THREE, 16, 1, 1, &id), KV_EMISMATCH);
    says("--cluster-replicas 3");
}

TEST(identity, a_log_without_a_meta_file_is_refused)
{
    struct identity id;

    disk_double_init(&disk);
    disk_double_put(&disk, "data/wal/00000001", "records");
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), KV_ENOENT);
    says("data/wal");
    says("empty --data-dir");
    CHECK(disk_double_find(&disk, "data/meta") == NULL);
}

TEST(identity, other_files_in_the_directory_do_no_harm)
{
    struct identity id;

    disk_double_init(&disk);
    disk_double_put(&disk, "data/kvd.pid", "17");
    disk_double_put(&disk, "data/lock", "");
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), 0);
}

TEST(identity, any_changed_digit_or_letter_is_noticed)
{
    struct disk_file *f;
    struct identity id;
    unsigned changed = 0;

    started();
    f = disk_double_find(&disk, "data/meta");
    for (size_t i = 0; i < f->n; i++) {
        uint8_t was = f->data[i];
        int rv;

        if (was == ' ' || was == '\n')
            continue;
        f->data[i] = was == '1' ? '2' : '1';
        rv = identify("kv", THREE, 16, 3, 1, &id);
        if (rv != KV_ECORRUPT && rv != KV_EVERSION)
            FAIL("byte %zu ('%c'): %d %s", i, was, rv, errmsg);
        f->data[i] = was;
        changed++;
    }
    CHECK(changed > 300);
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), 0);
}

TEST(identity, a_cut_meta_file_is_refused)
{
    struct disk_file *f;
    struct identity id;
    size_t whole;

    started();
    f = disk_double_find(&disk, "data/meta");
    whole = f->n;
    for (f->n = 0; f->n < whole; f->n++)
        CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), KV_ECORRUPT);
    says("damaged");
    says("backup");
}

TEST(identity, a_meta_file_that_is_not_ours_is_refused)
{
    static const char *texts[] = { "[]", "17", "{}", "{\"version\":1}",
                                   "{\"version\":-1}", "{\"version\":\"1\"}",
                                   "{\"version\":1,\"version\":1}" };
    struct identity id;

    disk_double_init(&disk);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        disk_double_put(&disk, "data/meta", texts[i]);
        CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), KV_ECORRUPT);
    }
}

TEST(identity, a_newer_version_is_refused_as_such)
{
    struct identity id;

    disk_double_init(&disk);
    disk_double_put(&disk, "data/meta", "{\"version\":2}");
    CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), KV_EVERSION);
    says("version 2");
}

TEST(identity, a_failed_disk_call_is_reported_and_nothing_is_half_done)
{
    uint64_t n;

    for (n = 1;; n++) {
        struct identity id;
        int rv;

        disk_double_init(&disk);
        fault_arm(&disk.fault, n, false);
        rv = identify("kv", THREE, 16, 3, 1, &id);
        if (!fault_fired(&disk.fault)) {
            CHECK_EQ(rv, 0);
            break;
        }
        CHECK_EQ(rv, KV_EIO);
        says("input/output error");
        fault_disarm(&disk.fault);
        disk_double_crash(&disk);
        CHECK_EQ(identify("kv", THREE, 16, 3, 1, &id), 0);
    }
    CHECK(n > 6);
}

TEST(identity, a_failed_read_is_reported_and_not_taken_for_damage)
{
    uint64_t n;

    for (n = 1;; n++) {
        struct identity id;
        int rv;

        started();
        fault_arm(&disk.fault, n, false);
        rv = identify("kv", THREE, 16, 3, 1, &id);
        if (!fault_fired(&disk.fault)) {
            CHECK_EQ(rv, 0);
            break;
        }
        CHECK_EQ(rv, KV_EIO);
    }
    CHECK(n > 3);
}

TEST(begun, is_said_only_once_it_was_marked)
{
    bool begun = true;

    (void)started();
    CHECK_EQ(identity_log_begun(&disk.env, "data", &begun), 0);
    CHECK(!begun);
    CHECK_EQ(identity_mark_log_begun(&disk.env, "data"), 0);
    CHECK_EQ(identity_log_begun(&disk.env, "data", &begun), 0);
    CHECK(begun);
    CHECK_EQ(identity_mark_log_begun(&disk.env, "data"), 0);
}
