/* kill -9 under load: no acknowledged write is lost, no INCR counted twice. */
#include <stdio.h>
#include <string.h>

#include "integration/cluster.h"
#include "integration/load.h"
#include "lib/test.h"

TEST(crash, kill_of_each_node_in_turn_loses_nothing_acknowledged)
{
    static struct cluster c;
    static struct load l;
    const int nodes[] = { 0, 1, 2 };

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    load_start(&l, &c, 6, nodes, 3);
    for (int i = 0; i < 3; i++) {
        load_wait(&l, 300);
        cluster_kill(&c, i);
        load_wait(&l, 300);
        cluster_start_node(&c, i);
        cluster_wait(&c);
    }
    load_wait(&l, 100);
    load_stop(&l);
    load_verify(&l);
    cluster_check_digests(&c);
    load_free(&l);
    cluster_stop(&c);
}

TEST(crash, clients_of_surviving_nodes_get_every_reply)
{
    static struct cluster c;
    static struct load l;
    const int nodes[] = { 1, 2 };

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    load_start(&l, &c, 4, nodes, 2);
    load_wait(&l, 300);
    cluster_kill(&c, 0); /* leads a third of the shards */
    load_wait(&l, 300);
    load_stop(&l);
    for (int i = 0; i < l.n; i++) {
        CHECK_EQ(l.w[i].n_skipped, 0);
        CHECK_EQ(l.w[i].refused, 0);
    }
    load_verify(&l);
    load_free(&l);
    cluster_stop(&c);
}

TEST(crash, kill_of_all_at_once_loses_nothing_acknowledged)
{
    static struct cluster c;
    static struct load l;
    const int nodes[] = { 0, 1, 2 };

    cluster_init(&c, 3, 16);
    cluster_start(&c);
    for (int round = 0; round < 3; round++) {
        load_start(&l, &c, 6, nodes, 3);
        load_wait(&l, 300);
        for (int i = 0; i < 3; i++)
            cluster_kill(&c, i);
        load_stop(&l);
        cluster_start(&c);
        load_verify(&l);
        cluster_check_digests(&c);
        load_free(&l);
        /* The next round's writers use the same keys: start from nothing. */
        {
            struct kv_client *k = cluster_client(&c, 0);

            CHECK_STR(cluster_ask(k, "FLUSHALL"), "OK");
            kv_close(k);
        }
    }
    cluster_stop(&c);
}

TEST(crash, a_minority_refuses_and_says_so)
{
    static struct cluster c;
    struct kv_client *k;

    cluster_init(&c, 3, 4);
    c.extra[0] = "--request-deadline";
    c.extra[1] = "500ms";
    cluster_start(&c);
    cluster_kill(&c, 0);
    cluster_kill(&c, 1);
    k = cluster_client(&c, 2);
    for (int i = 0; i < 20; i++) {
        char command[64];
        const char *said;

        snprintf(command, sizeof command, "SET key%d v", i);
        said = cluster_ask(k, command);
        CHECK(strncmp(said, "CLUSTERDOWN", 11) == 0 ||
              strncmp(said, "UNKNOWN", 7) == 0);
        snprintf(command, sizeof command, "GET key%d", i);
        CHECK(strncmp(cluster_ask(k, command), "CLUSTERDOWN", 11) == 0);
    }
    kv_close(k);
    cluster_start_node(&c, 0);
    cluster_wait(&c);
    k = cluster_client(&c, 2);
    CHECK_STR(cluster_ask(k, "SET key v"), "OK");
    kv_close(k);
    cluster_stop(&c);
}

TEST(crash, expiry_survives_a_restart_of_all)
{
    static struct cluster c;
    struct kv_client *k;

    cluster_init(&c, 3, 4);
    cluster_start(&c);
    k = cluster_client(&c, 0);
    CHECK_STR(cluster_ask(k, "SET short v PX 300"), "OK");
    CHECK_STR(cluster_ask(k, "SET long v EX 1000"), "OK");
    kv_close(k);
    for (int i = 0; i < 3; i++)
        cluster_kill(&c, i);
    cluster_start(&c);
    k = cluster_client(&c, 1);
    while (strcmp(cluster_ask(k, "GET short"), "(nil)") != 0)
        ; /* expires by itself: the runner's watchdog bounds this */
    CHECK_STR(cluster_ask(k, "GET long"), "v");
    CHECK_STR(cluster_ask(k, "EXISTS short"), "(integer) 0");
    kv_close(k);
    cluster_check_digests(&c);
    cluster_stop(&c);
}
