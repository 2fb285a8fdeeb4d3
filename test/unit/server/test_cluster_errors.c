/* Errors of the cluster, and commands over several shards that fail in part. */
#include <stdio.h>
#include <string.h>

#include "lab.h"
#include "lib/test.h"

static struct lab lab;
static struct peer a;

static void start(void)
{
    lab_init(&lab);
    lab_open(&lab);
    peer_open(&a, &lab);
}

static void finish(void)
{
    peer_close(&a);
    lab_close(&lab);
}

static uint32_t shard_of(const char *key)
{
    return router_shard_of(lab.router, slice_str(key));
}

/* A key of a shard other than that of `key`. */
static const char *elsewhere(const char *key)
{
    static char other[16];

    for (int i = 0;; i++) {
        (void)snprintf(other, sizeof other, "o%d", i);
        if (shard_of(other) != shard_of(key))
            return other;
    }
}

static void check_prefix(const char *prefix)
{
    const char *line = peer_line(&a);

    CHECK(line != NULL);
    if (strncmp(line, prefix, strlen(prefix)) != 0)
        FAIL("expected %s..., got %s", prefix, line);
}

TEST(cluster_errors, each_has_its_prefix_and_says_what_happened)
{
    static const struct {
        enum op_err err;
        const char *prefix;
    } cases[] = {
        { OP_ERR_UNKNOWN, "-UNKNOWN the write may or may not have happened" },
        { OP_ERR_SESSION_LOST, "-UNKNOWN " },
        { OP_ERR_CLUSTERDOWN, "-CLUSTERDOWN no leader for the shard within "
                              "the deadline; nothing was done" },
        { OP_ERR_BUSY, "-BUSY too many requests in flight; nothing was done" },
        { OP_ERR_SESSION_FULL, "-BUSY " },
        { OP_ERR_LOADING, "-LOADING " },
        { OP_ERR_TOO_BIG, "-ERR string exceeds maximum allowed size" },
        { OP_ERR_BAD_OP, "-ERR " },
    };

    start();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double_fail(lab.router, shard_of("k"), cases[i].err);
        peer_send_str(&a, "SET k 1\r\n");
        check_prefix(cases[i].prefix);
    }
    double_fail(lab.router, shard_of("k"), 0);
    peer_send_str(&a, "SET k 1\r\n");
    peer_expect(&a, "+OK\r\n");
    finish();
}

TEST(cluster_errors, reads_and_ttl_report_them_too)
{
    start();
    double_fail(lab.router, shard_of("k"), OP_ERR_CLUSTERDOWN);
    peer_send_str(&a, "GET k\r\nTTL k\r\nTYPE k\r\nGETREV k\r\nGETEX k EX 0"
                      "\r\n");
    for (int i = 0; i < 5; i++)
        check_prefix("-CLUSTERDOWN ");
    finish();
}

TEST(cluster_errors, a_write_done_in_part_says_so)
{
    char text[80];

    start();
    double_fail(lab.router, shard_of("k"), OP_ERR_CLUSTERDOWN);
    (void)snprintf(text, sizeof text, "MSET k 1 %s 2\r\n", elsewhere("k"));
    peer_send_str(&a, text);
    check_prefix("-UNKNOWN some keys of this command were written, others "
                 "were not or perhaps not (CLUSTERDOWN no leader for the "
                 "shard within the deadline)");
    (void)snprintf(text, sizeof text, "GET %s\r\n", elsewhere("k"));
    peer_send_str(&a, text);
    peer_expect(&a, "$1\r\n2\r\n");
    finish();
}

TEST(cluster_errors, a_write_done_in_part_never_claims_that_nothing_happened)
{
    static const enum op_err errs[] = { OP_ERR_CLUSTERDOWN, OP_ERR_BUSY,
                                        OP_ERR_SESSION_FULL, OP_ERR_LOADING,
                                        OP_ERR_BAD_OP, OP_ERR_UNKNOWN };
    char text[80];

    start();
    (void)snprintf(text, sizeof text, "DEL k %s\r\n", elsewhere("k"));
    for (size_t i = 0; i < sizeof errs / sizeof errs[0]; i++) {
        double_fail(lab.router, shard_of("k"), errs[i]);
        peer_send_str(&a, text);
        check_prefix("-UNKNOWN ");
    }
    finish();
}

TEST(cluster_errors, a_read_that_fails_in_part_fails)
{
    char text[80];

    start();
    double_fail(lab.router, shard_of("k"), OP_ERR_CLUSTERDOWN);
    (void)snprintf(text, sizeof text, "MGET %s k\r\nDBSIZE\r\nSCAN 0\r\n",
                   elsewhere("k"));
    peer_send_str(&a, text);
    for (int i = 0; i < 3; i++)
        check_prefix("-CLUSTERDOWN no leader for the shard within the "
                     "deadline; nothing was done");
    finish();
}

TEST(cluster_errors, an_unknown_part_makes_the_whole_unknown)
{
    char text[80];
    const char *other;

    start();
    other = elsewhere("k");
    double_fail(lab.router, shard_of("k"), OP_ERR_CLUSTERDOWN);
    double_fail(lab.router, shard_of(other), OP_ERR_UNKNOWN);
    (void)snprintf(text, sizeof text, "DEL k %s\r\n", other);
    peer_send_str(&a, text);
    check_prefix("-UNKNOWN ");
    finish();
}

TEST(cluster_errors, a_shard_without_leader_shows_in_cluster_info)
{
    start();
    double_no_leader(lab.router, 2);
    peer_send_str(&a, "CLUSTER INFO\r\nCLUSTER SLOTS\r\n");
    (void)peer_line(&a);
    CHECK_STR(peer_line(&a), "cluster_state:fail");
    while (strncmp(peer_line(&a), "total_cluster", 13) != 0)
        ;
    (void)peer_line(&a);
    check_prefix("*"); /* the slot map has no holes all the same */
    finish();
}

TEST(cluster, slots_cover_all_16384_in_order)
{
    long n, next = 0;

    start();
    peer_send_str(&a, "CLUSTER SLOTS\r\n");
    CHECK_EQ(sscanf(peer_line(&a), "*%ld", &n), 1);
    for (long i = 0; i < n; i++) {
        long first, last;

        CHECK_STR(peer_line(&a), "*5");
        CHECK_EQ(sscanf(peer_line(&a), ":%ld", &first), 1);
        CHECK_EQ(sscanf(peer_line(&a), ":%ld", &last), 1);
        CHECK_EQ(first, next);
        CHECK(last >= first);
        next = last + 1;
        for (int node = 0; node < 3; node++) {
            CHECK_STR(peer_line(&a), "*4");
            CHECK_STR(peer_line(&a), "$9");
            CHECK_STR(peer_line(&a), "127.0.0.1");
            check_prefix(":700");
            CHECK_STR(peer_line(&a), "$40");
            CHECK_EQ(strlen(peer_line(&a)), 40);
            CHECK_STR(peer_line(&a), "*0");
        }
    }
    CHECK_EQ(next, 16384);
    finish();
}

TEST(cluster, shards_are_listed_with_slots_and_nodes)
{
    start();
    peer_send_str(&a, "CLUSTER SHARDS\r\n");
    peer_expect(&a, "*4\r\n*4\r\n$5\r\nslots\r\n");
    while (strcmp(peer_line(&a), "nodes") != 0)
        ;
    peer_expect(&a, "*3\r\n*14\r\n$2\r\nid\r\n$40\r\n");
    finish();
}

/* Every key is returned once at least, whatever COUNT says. */
static void scan_all(unsigned keys, unsigned count)
{
    bool seen[300] = { false };
    char text[80];
    unsigned long long cursor = 0;
    unsigned calls = 0, found = 0;

    do {
        long n;

        (void)snprintf(text, sizeof text, "SCAN %llu COUNT %u MATCH key*\r\n",
                       cursor, count);
        peer_send_str(&a, text);
        CHECK_STR(peer_line(&a), "*2");
        (void)peer_line(&a);
        CHECK_EQ(sscanf(peer_line(&a), "%llu", &cursor), 1);
        CHECK_EQ(sscanf(peer_line(&a), "*%ld", &n), 1);
        while (n-- > 0) {
            unsigned k;

            (void)peer_line(&a);
            CHECK_EQ(sscanf(peer_line(&a), "key%u", &k), 1);
            CHECK(k < keys);
            found += !seen[k];
            seen[k] = true;
        }
        CHECK(++calls < 2000);
    } while (cursor != 0);
    CHECK_EQ(found, keys);
}

TEST(scan, walks_over_all_shards)
{
    char text[40];

    start();
    for (int i = 0; i < 200; i++) {
        (void)snprintf(text, sizeof text, "SET key%d v\r\n", i);
        peer_send_str(&a, text);
        peer_expect(&a, "+OK\r\n");
    }
    scan_all(200, 1);
    scan_all(200, 7);
    scan_all(200, 100);
    scan_all(200, 100000);
    finish();
}

TEST(fanout, results_of_all_shards_are_merged_in_order)
{
    start();
    double_backwards(lab.router, true);
    peer_send_str(&a, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8\r\n");
    peer_expect(&a, "+OK\r\n");
    peer_send_str(&a, "MGET h g zz f e d c b a a\r\nDBSIZE\r\nKEYS *\r\n");
    peer_expect(&a, "*10\r\n$1\r\n8\r\n$1\r\n7\r\n$-1\r\n$1\r\n6\r\n$1\r\n5"
                    "\r\n$1\r\n4\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n1"
                    "\r\n:8\r\n*8\r\n");
    for (int i = 0; i < 8; i++) {
        CHECK_STR(peer_line(&a), "$1");
        CHECK_EQ(strlen(peer_line(&a)), 1);
    }
    peer_send_str(&a, "DEL a b c d e f g h\r\nRANDOMKEY\r\n");
    peer_expect(&a, ":8\r\n$-1\r\n");
    finish();
}
