/* The directory: the same everywhere, balanced, and clear about bad input. */
#include "cluster/directory.h"

#include <stdio.h>
#include <string.h>

#include "lib/test.h"

#define THREE "1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003"

static struct directory *derive(const char *spec, unsigned shards,
                                unsigned replicas)
{
    struct directory *d = NULL;
    char errmsg[256] = "";

    if (directory_derive("kv", spec, shards, replicas, &d, errmsg,
                         sizeof(errmsg)) != 0)
        FAIL("%s", errmsg);
    return d;
}

/* nodes 1..n on ports 7001.. */
static struct directory *derive_n(unsigned nodes, unsigned shards,
                                  unsigned replicas)
{
    char spec[4096];
    size_t at = 0;

    for (unsigned i = 1; i <= nodes; i++)
        at += (size_t)snprintf(spec + at, sizeof(spec) - at, "%s%u=h:%u",
                               i > 1 ? "," : "", i, 7000 + i);
    return derive(spec, shards, replicas);
}

static void refuses(const char *spec, int status, const char *expect)
{
    struct directory *d = NULL;
    char errmsg[256] = "";

    CHECK_EQ(directory_derive("kv", spec, 16, 3, &d, errmsg, sizeof(errmsg)),
             status);
    CHECK(d == NULL);
    if (strstr(errmsg, expect) == NULL)
        FAIL("'%s' should contain '%s'", errmsg, expect);
}

TEST(directory, members_are_read_and_sorted_by_id)
{
    struct directory *d =
        derive(" 30=[::1]:7003/9000 ,\n2=db-2.example.net:7002,1=10.0.0.1:6379",
               16, 3);
    const struct directory_node *n;

    CHECK_EQ(directory_n_nodes(d), 3);
    CHECK_EQ(directory_node_at(d, 0)->id, 1);
    CHECK_EQ(directory_node_at(d, 1)->id, 2);
    n = directory_node_at(d, 2);
    CHECK_EQ(n->id, 30);
    CHECK_STR(n->host, "::1");
    CHECK_EQ(n->port, 7003);
    CHECK_EQ(n->peer_port, 9000);
    CHECK_EQ(n->weight, 1);
    n = directory_node(d, 1);
    CHECK_STR(n->host, "10.0.0.1");
    CHECK_EQ(n->peer_port, 16379);
    CHECK_STR(directory_node(d, 2)->host, "db-2.example.net");
    CHECK(directory_node(d, 3) == NULL);
    CHECK(directory_node(d, 31) == NULL);
    directory_free(d);
}

TEST(directory, bad_members_are_refused_with_a_reason)
{
    refuses("", KV_EINVAL, "no members");
    refuses(" \n", KV_EINVAL, "no members");
    refuses("1=h:1,", KV_EINVAL, "empty");
    refuses("1=h:1,,2=h:2", KV_EINVAL, "empty");
    refuses("h:1", KV_EINVAL, "no '='");
    refuses("a=h:1", KV_EINVAL, "id must be a number");
    refuses("=h:1", KV_EINVAL, "id must be a number");
    refuses("-1=h:1", KV_EINVAL, "id must be a number");
    refuses("4294967296=h:1", KV_EINVAL, "id must be a number");
    refuses("99999999999999999999999=h:1", KV_EINVAL, "id must be a number");
    refuses("0=h:1", KV_EINVAL, "id 0 is reserved");
    refuses("1=h", KV_EINVAL, "no port");
    refuses("1=", KV_EINVAL, "no port");
    refuses("1=:7001", KV_EINVAL, "no host");
    refuses("1=h:", KV_EINVAL, "port must be");
    refuses("1=h:0", KV_EINVAL, "port must be");
    refuses("1=h:65536", KV_EINVAL, "port must be");
    refuses("1=h:+1", KV_EINVAL, "port must be");
    refuses("1=h:7001x", KV_EINVAL, "port must be");
    refuses("1=h:55536", KV_EINVAL, "port + 10000");
    refuses("1=h:7001/0", KV_EINVAL, "peer port must be");
    refuses("1=h:7001/", KV_EINVAL, "peer port must be");
    refuses("1=h:7001/7001", KV_EINVAL, "must differ");
    refuses("1=a b:7001", KV_EINVAL, "neither a name nor an address");
    refuses("1=::1:7001", KV_EINVAL, "no host");
    refuses("1=fe80::1:7001", KV_EINVAL, "brackets");
    refuses("1=[::1:7001", KV_EINVAL, "no ']'");
    refuses("1=[::1]", KV_EINVAL, "no port");
    refuses("1=[]:7001", KV_EINVAL, "no host");
    refuses("1=[h_]:7001", KV_EINVAL, "neither a name nor an address");
}

TEST(directory, the_highest_ports_are_accepted)
{
    struct directory *d = derive("1=h:55535,2=h:60000/1", 1, 3);

    CHECK_EQ(directory_node_at(d, 0)->peer_port, 65535);
    CHECK_EQ(directory_node_at(d, 1)->peer_port, 1);
    directory_free(d);
}

TEST(directory, a_bad_member_is_named_in_the_message)
{
    refuses("1=h:7001,2=h:x,3=h:7003", KV_EINVAL, "'2=h:x'");
}

TEST(directory, an_id_or_address_given_twice_is_refused)
{
    refuses("1=a:7001,2=b:7001,1=c:7001", KV_EEXIST, "id 1");
    refuses("1=a:7001,2=a:7001", KV_EEXIST, "share a port");
    refuses("1=a:7001,2=a:17001", KV_EEXIST, "share a port");
    refuses("1=a:7001/9000,2=a:7002/9000", KV_EEXIST, "share a port");
}

TEST(directory, more_than_64_nodes_are_refused)
{
    char spec[2048];
    size_t at = 0;

    for (unsigned i = 1; i <= 65; i++)
        at += (size_t)snprintf(spec + at, sizeof(spec) - at, "%s%u=h:%u",
                               i > 1 ? "," : "", i, 7000 + i);
    refuses(spec, KV_EINVAL, "at most 64");
    directory_free(derive_n(64, 256, 7));
}

TEST(directory, a_long_host_is_refused_and_its_message_cut)
{
    char spec[512];

    memset(spec, 'a', sizeof(spec));
    memcpy(spec, "1=", 2);
    memcpy(spec + 300, ":7001", 6);
    refuses(spec, KV_EINVAL, "...': the host is longer");
}

TEST(directory, bad_settings_are_refused)
{
    struct directory *d = NULL;
    char e[256];
    char name[80];

    memset(name, 'x', sizeof(name));
    name[65] = '\0';
    CHECK_EQ(directory_derive("", THREE, 16, 3, &d, e, sizeof(e)), KV_EINVAL);
    CHECK(strstr(e, "cluster name") != NULL);
    CHECK_EQ(directory_derive("a b", THREE, 16, 3, &d, e, sizeof(e)),
             KV_EINVAL);
    CHECK_EQ(directory_derive(name, THREE, 16, 3, &d, e, sizeof(e)), KV_EINVAL);
    CHECK_EQ(directory_derive("kv", THREE, 0, 3, &d, e, sizeof(e)), KV_EINVAL);
    CHECK_EQ(directory_derive("kv", THREE, 257, 3, &d, e, sizeof(e)),
             KV_EINVAL);
    CHECK(strstr(e, "257") != NULL);
    CHECK_EQ(directory_derive("kv", THREE, 16, 0, &d, e, sizeof(e)), KV_EINVAL);
    CHECK_EQ(directory_derive("kv", THREE, 16, 8, &d, e, sizeof(e)), KV_EINVAL);
    CHECK(d == NULL);
}

TEST(directory, every_shard_owns_slots_whatever_their_number)
{
    for (unsigned shards = 1; shards <= DIRECTORY_SHARDS_MAX; shards++) {
        struct directory *d = derive(THREE, shards, 3);
        unsigned owned[DIRECTORY_SHARDS_MAX] = { 0 };

        for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
            owned[directory_shard_of_slot(d, (uint16_t)slot)]++;
        for (unsigned s = 0; s < shards; s++)
            CHECK(owned[s] > 0);
        CHECK_EQ(directory_n_shards(d), shards);
        CHECK_EQ(directory_shard(d, shards - 1)->id, shards - 1);
        CHECK(directory_shard(d, shards) == NULL);
        directory_free(d);
    }
}

TEST(directory, slots_are_spread_within_a_fifth_over_16_shards)
{
    struct directory *d = derive(THREE, 16, 3);
    unsigned owned[16] = { 0 };

    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        owned[directory_shard_of_slot(d, (uint16_t)slot)]++;
    for (unsigned s = 0; s < 16; s++) {
        CHECK(owned[s] >= 1024 * 80 / 100);
        CHECK(owned[s] <= 1024 * 120 / 100);
    }
    directory_free(d);
}

/* A fixed mix of the whole table and placement. */
static uint64_t fingerprint(const struct directory *d)
{
    uint64_t h = directory_cluster_id(d);

    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        h = h * 31 + directory_shard_of_slot(d, (uint16_t)slot);
    for (unsigned s = 0; s < directory_n_shards(d); s++) {
        const struct directory_shard *shard = directory_shard(d, s);

        for (unsigned i = 0; i < shard->n; i++)
            h = h * 31 + shard->replicas[i];
    }
    return h;
}

TEST(directory, derivation_is_frozen)
{
    struct directory *d = derive(THREE, 16, 3);
    struct directory *six = derive_n(6, 16, 3);

    CHECK_EQ(directory_cluster_id(d), 0x5c9c589d9c44b293u);
    CHECK_EQ(fingerprint(d), 0xf6d47d0e76770016u);
    CHECK_EQ(directory_cluster_id(six), 0xccedbdb5ce55f555u);
    CHECK_EQ(fingerprint(six), 0x8f0d9bbc97a4d775u);
    directory_free(d);
    directory_free(six);
}

TEST(directory, order_and_addresses_of_members_do_not_matter)
{
    struct directory *a = derive(THREE, 16, 3);
    struct directory *b = derive("3=x:1,1=y:2,2=z:3", 16, 3);

    CHECK_EQ(fingerprint(a), fingerprint(b));
    directory_free(a);
    directory_free(b);
}

TEST(directory, cluster_id_depends_on_name_shards_replicas_and_ids)
{
    struct directory *d[5];
    char e[256];

    d[0] = derive(THREE, 16, 3);
    d[1] = derive(THREE, 17, 3);
    d[2] = derive(THREE, 16, 2);
    d[3] = derive("1=a:1,2=a:2,4=a:4", 16, 3);
    CHECK_EQ(directory_derive("kv2", THREE, 16, 3, &d[4], e, sizeof(e)), 0);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++)
            CHECK(directory_cluster_id(d[i]) != directory_cluster_id(d[j]));
    }
    CHECK_STR(directory_cluster_name(d[4]), "kv2");
    CHECK_EQ(directory_replicas(d[2]), 2);
    CHECK_EQ(directory_epoch(d[0]), 1);
    for (int i = 0; i < 5; i++)
        directory_free(d[i]);
}

TEST(directory, fewer_nodes_than_replicas_hold_one_each)
{
    struct directory *one = derive("9=h:7001", 16, 3);
    struct directory *two = derive_n(2, 16, 3);

    for (unsigned s = 0; s < 16; s++) {
        CHECK_EQ(directory_shard(one, s)->n, 1);
        CHECK_EQ(directory_shard(one, s)->replicas[0], 9);
        CHECK_EQ(directory_shard(two, s)->n, 2);
    }
    directory_free(one);
    directory_free(two);
}

/* Shards led and held by each node, by index. */
static void tally(const struct directory *d, unsigned *leads, unsigned *holds)
{
    memset(leads, 0, DIRECTORY_NODES_MAX * sizeof(*leads));
    memset(holds, 0, DIRECTORY_NODES_MAX * sizeof(*holds));
    for (unsigned s = 0; s < directory_n_shards(d); s++) {
        const struct directory_shard *shard = directory_shard(d, s);

        for (unsigned i = 0; i < shard->n; i++) {
            unsigned at = 0;

            while (directory_node_at(d, at)->id != shard->replicas[i])
                at++;
            holds[at]++;
            leads[at] += i == 0;
        }
    }
}

TEST(directory, leaders_are_spread_to_within_one)
{
    static const unsigned counts[] = { 8, 16, 32, 64, 256 };
    unsigned leads[DIRECTORY_NODES_MAX];
    unsigned holds[DIRECTORY_NODES_MAX];

    for (unsigned nodes = 1; nodes <= 7; nodes++) {
        for (unsigned c = 0; c < 5; c++) {
            struct directory *d = derive_n(nodes, counts[c], 3);
            unsigned low = counts[c] / nodes;

            tally(d, leads, holds);
            for (unsigned i = 0; i < nodes; i++) {
                CHECK(leads[i] == low || leads[i] == low + 1);
                CHECK(holds[i] > 0);
            }
            directory_free(d);
        }
    }
}

/* Whether each node can lead at least `low` and at most `high` shards is a
 * flow problem; the largest possible minimum is found here by trying every
 * subset of nodes (Hall): nodes of a subset together can lead no more shards
 * than touch it. */
static unsigned best_minimum(const struct directory *d)
{
    unsigned n = directory_n_nodes(d);
    unsigned best = UINT32_MAX;

    for (unsigned set = 1; set < 1u << n; set++) {
        unsigned touching = 0;
        unsigned size = 0;

        for (unsigned i = 0; i < n; i++)
            size += set >> i & 1;
        for (unsigned s = 0; s < directory_n_shards(d); s++) {
            const struct directory_shard *shard = directory_shard(d, s);
            bool touches = false;

            for (unsigned i = 0; i < shard->n; i++)
                touches = touches || (set >> (shard->replicas[i] - 1) & 1) != 0;
            touching += touches;
        }
        if (touching / size < best)
            best = touching / size;
    }
    return best;
}

TEST(directory, leaders_are_as_even_as_the_replica_sets_allow)
{
    unsigned leads[DIRECTORY_NODES_MAX];
    unsigned holds[DIRECTORY_NODES_MAX];

    for (unsigned nodes = 4; nodes <= 10; nodes++) {
        for (unsigned shards = 1; shards <= 24; shards++) {
            struct directory *d = derive_n(nodes, shards, 2);
            unsigned least = UINT32_MAX;

            tally(d, leads, holds);
            for (unsigned i = 0; i < nodes; i++)
                least = leads[i] < least ? leads[i] : least;
            CHECK_EQ(least, best_minimum(d));
            directory_free(d);
        }
    }
}
