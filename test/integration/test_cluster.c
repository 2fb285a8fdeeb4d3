/* Clusters of real processes: serving, placement, refusals, graceful stop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "integration/cluster.h"
#include "integration/load.h"
#include "lib/test.h"

TEST(cluster, any_node_serves_any_key)
{
    static struct cluster c;
    char command[64], want[64];

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    for (int i = 0; i < 30; i++) {
        struct kv_client *w = cluster_client(&c, i % 3);
        struct kv_client *r = cluster_client(&c, (i + 1) % 3);

        snprintf(command, sizeof command, "SET key%d value%d", i, i);
        CHECK_STR(cluster_ask(w, command), "OK");
        snprintf(command, sizeof command, "GET key%d", i);
        snprintf(want, sizeof want, "value%d", i);
        CHECK_STR(cluster_ask(r, command), want);
        kv_close(w);
        kv_close(r);
    }
    cluster_check_digests(&c);
    cluster_stop(&c);
}

static bool leaders_are_even(struct cluster *c)
{
    for (int i = 0; i < 3; i++) {
        int leads = 0;

        for (int s = 0; s < 16; s++)
            leads +=
                strcmp(cluster_shard_field(c, i, s, "role"), "leader") == 0;
        if (leads < 5 || leads > 6)
            return false;
    }
    return true;
}

TEST(cluster, leaders_are_spread_evenly)
{
    static struct cluster c;

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    /* At once, unless the machine is so busy that others got there first: then
     * they hand over within seconds.  The runner's watchdog bounds this. */
    while (!leaders_are_even(&c))
        cluster_wait(&c);
    cluster_stop(&c);
}

TEST(cluster, one_node_alone_serves_and_survives_kill)
{
    static struct cluster c;
    struct kv_client *k;

    cluster_init(&c, 1, 4);
    cluster_start(&c);
    k = cluster_client(&c, 0);
    CHECK_STR(cluster_ask(k, "SET a 1"), "OK");
    CHECK_STR(cluster_ask(k, "INCR a"), "(integer) 2");
    kv_close(k);
    for (int round = 0; round < 3; round++) {
        cluster_kill(&c, 0);
        cluster_start(&c);
    }
    k = cluster_client(&c, 0);
    CHECK_STR(cluster_ask(k, "GET a"), "2");
    kv_close(k);
    cluster_stop(&c);
}

TEST(cluster, six_nodes_hold_three_replicas_of_each_shard)
{
    static struct cluster c;
    struct kv_client *k;
    char command[64];

    cluster_init(&c, 6, 16);
    cluster_start(&c);
    for (int s = 0; s < 16; s++) {
        int replicas = 0;

        for (int i = 0; i < 6; i++)
            replicas += cluster_shard_field(&c, i, s, "role")[0] != '\0';
        CHECK_EQ(replicas, 3);
    }
    for (int i = 0; i < 6; i++) {
        k = cluster_client(&c, i);
        snprintf(command, sizeof command, "SET k%d v", i);
        CHECK_STR(cluster_ask(k, command), "OK");
        CHECK_STR(cluster_ask(k, "MSET a 1 b 2 c 3 d 4"), "OK");
        CHECK_STR(cluster_ask(k, "DEL a b c d e"), "(integer) 4");
        kv_close(k);
    }
    k = cluster_client(&c, 0);
    CHECK_STR(cluster_ask(k, "DBSIZE"), "(integer) 6");
    kv_close(k);
    cluster_check_digests(&c);
    cluster_stop(&c);
}

TEST(cluster, a_graceful_stop_loses_no_reply_of_the_other_nodes)
{
    static struct cluster c;
    static struct load l;
    const int nodes[] = { 1, 2 };

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    load_start(&l, &c, 4, nodes, 2);
    load_wait(&l, 200);
    CHECK_EQ(cluster_stop_node(&c, 0), 0);
    load_wait(&l, 200);
    load_stop(&l);
    for (int i = 0; i < l.n; i++) {
        CHECK_EQ(l.w[i].n_skipped, 0);
        CHECK_EQ(l.w[i].refused, 0);
    }
    load_verify(&l);
    load_free(&l);
    cluster_start_node(&c, 0);
    cluster_wait(&c);
    cluster_check_digests(&c);
    cluster_stop(&c);
}

/* None may hand its shards to another that is stopping too and gives them back:
 * that is an entry and a term each time, thousands of them. */
TEST(cluster, nodes_that_stop_together_do_not_hand_shards_round)
{
    static struct cluster c;

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    CHECK_EQ(cluster_stop_node(&c, 0), 0);
    for (int i = 1; i < 3; i++)
        CHECK_EQ(kill(c.pid[i], SIGTERM), 0);
    for (int i = 1; i < 3; i++) {
        CHECK_EQ(waitpid(c.pid[i], NULL, 0), c.pid[i]);
        c.pid[i] = 0;
    }
    cluster_start(&c);
    for (int s = 0; s < 16; s++)
        CHECK(atoi(cluster_shard_field(&c, 0, s, "term")) < 50);
    cluster_stop(&c);
}

TEST(cluster, a_second_process_on_the_data_directory_is_refused)
{
    static struct cluster c;
    static char err[4096];

    cluster_init(&c, 1, 2);
    cluster_start(&c);
    CHECK_EQ(cluster_try(&c, 0, NULL, err, sizeof err), 1);
    CHECK(strstr(err, "held by another process") != NULL);
    cluster_stop(&c);
}

TEST(cluster, a_data_directory_of_another_node_or_cluster_is_refused)
{
    static struct cluster c;
    static char err[4096], data[600];
    const char *as_two[] = { "--data-dir", data, NULL };
    const char *other_name[] = { "--cluster-name", "other", NULL };
    const char *other_shards[] = { "--cluster-shards", "8", NULL };

    cluster_init(&c, 3, 4);
    cluster_start(&c);
    cluster_stop(&c);
    snprintf(data, sizeof data, "%s/node-1", c.dir);
    CHECK_EQ(cluster_try(&c, 1, as_two, err, sizeof err), 1);
    CHECK(strstr(err, "node") != NULL);
    CHECK_EQ(cluster_try(&c, 0, other_name, err, sizeof err), 1);
    CHECK(strstr(err, "cluster") != NULL);
    CHECK_EQ(cluster_try(&c, 0, other_shards, err, sizeof err), 1);
    cluster_start(&c);
    cluster_stop(&c);
}

TEST(cluster, bad_settings_are_told_and_exit_with_two)
{
    static struct cluster c;
    static char err[4096];
    const char *bad_value[] = { "--wal-sync", "never", NULL };
    const char *bad_flag[] = { "--wal-snyc", "always", NULL };
    const char *no_file[] = { "--config", "/nonexistent/kvd.conf", NULL };

    cluster_init(&c, 1, 1);
    CHECK_EQ(cluster_try(&c, 0, bad_value, err, sizeof err), 2);
    CHECK(strstr(err, "'never' is none of always|interval") != NULL);
    CHECK_EQ(cluster_try(&c, 0, bad_flag, err, sizeof err), 2);
    CHECK(strstr(err, "unknown flag --wal-snyc") != NULL);
    CHECK_EQ(cluster_try(&c, 0, no_file, err, sizeof err), 2);
    CHECK(strstr(err, "/nonexistent/kvd.conf") != NULL);
}

TEST(cluster, a_huge_file_as_configuration_is_refused_unread)
{
    static struct cluster c;
    static char file[600], err[4096];
    const char *flags[] = { "--config", file, NULL };
    FILE *f;

    cluster_init(&c, 1, 1);
    snprintf(file, sizeof file, "%s/huge.conf", c.dir);
    f = fopen(file, "w");
    CHECK(f != NULL);
    CHECK_EQ(ftruncate(fileno(f), (off_t)1 << 40), 0); /* a hole */
    CHECK_EQ(fclose(f), 0);
    CHECK_EQ(cluster_try(&c, 0, flags, err, sizeof err), 2);
    CHECK(strstr(err, "cannot read") != NULL);
    CHECK(strstr(err, "huge.conf") != NULL);
}

TEST(cluster, a_node_that_lost_its_log_may_not_vote_again)
{
    static struct cluster c;
    static char err[4096];
    char command[700];

    cluster_init(&c, 3, 4);
    cluster_start(&c);
    cluster_stop(&c);
    snprintf(command, sizeof command, "rm -r %s/node-2/wal", c.dir);
    CHECK_EQ(system(command), 0);
    CHECK_EQ(cluster_try(&c, 1, NULL, err, sizeof err), 1);
    CHECK(strstr(err, "is gone") != NULL);
    CHECK_EQ(cluster_try(&c, 1, NULL, err, sizeof err), 1); /* still */
}
