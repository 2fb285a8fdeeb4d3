/* Every command and error, as conversations (conversation.h).  Those called
 * redis_*.txt hold for Redis 7.0 too: with KV_REDIS_PORT in the environment they
 * are run against the server there (test/unit/server/compare_redis.sh). */
#include "conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

static void run(const char *name)
{
    const char *srcdir = getenv("srcdir"), *redis = getenv("KV_REDIS_PORT");
    char path[4096];
    struct lab lab;

    (void)snprintf(path, sizeof path,
                   "%s/test/unit/server/conversations/%s.txt",
                   srcdir != NULL ? srcdir : ".", name);
    lab_init(&lab);
    if (redis == NULL)
        lab_open(&lab);
    else if (strncmp(name, "redis_", 6) == 0)
        lab_open_clients(&lab, (uint16_t)atoi(redis));
    else
        test_skip("not what Redis says");
    conversation_run(&lab, path);
    lab_close(&lab);
}

TEST(conversation, strings_are_set_and_read_as_in_redis)
{
    run("redis_string");
}

TEST(conversation, set_options_are_those_of_redis)
{
    run("redis_set");
}

TEST(conversation, counters_count_as_in_redis)
{
    run("redis_counter");
}

TEST(conversation, keys_and_expiry_are_those_of_redis)
{
    run("redis_key");
}

TEST(conversation, many_keys_and_scans_are_those_of_redis)
{
    run("redis_multi");
}

TEST(conversation, the_connection_behaves_as_in_redis)
{
    run("redis_conn");
}

TEST(conversation, resp3_replies_are_those_of_redis)
{
    run("redis_resp3");
}

TEST(conversation, protocol_errors_are_those_of_redis)
{
    run("redis_protocol");
}

TEST(conversation, admin_errors_are_those_of_redis)
{
    run("redis_admin");
}

TEST(conversation, what_kvmesh_adds_to_redis)
{
    run("kvmesh_own");
}

TEST(conversation, the_cluster_is_described_for_cluster_clients)
{
    run("kvmesh_cluster");
}

TEST(conversation, admin_commands_describe_this_server)
{
    run("kvmesh_admin");
}
