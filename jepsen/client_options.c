/* The command line of jepsen/client. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jepsen/client.h"

const char options_usage[] =
    "usage: client --nodes IP:PORT,... --workload register|counter|set|append\n"
    "              --history FILE [--stats FILE] [--time S] [--rate OPS] [--clients N]\n"
    "              [--seed N] [--keys K] [--ops-per-key N] [--timeout MS]\n"
    "              [--final-time S]\n"
    "  --time 60         seconds of load\n"
    "  --rate 1000       operations a second, all clients together\n"
    "  --clients 20      half stay with one node, half move on after an error\n"
    "  --keys K          in use at a time; default: a fifth of the clients\n"
    "  --ops-per-key 200 then a new key takes its place\n"
    "  --timeout 1500ms  of one operation\n"
    "  --final-time 20   longest wait for the reads at the end\n";

static const char *const workloads[] = { "register", "counter", "set",
                                         "append" };

static int one_node(const char *s, size_t len, struct endpoint *ret)
{
    char host[32];
    const char *colon = memchr(s, ':', len);
    unsigned long port;
    char *end;

    if (len >= sizeof ret->text || colon == NULL)
        return -1;
    memcpy(ret->text, s, len);
    ret->text[len] = '\0';
    memcpy(host, ret->text, sizeof host);
    host[colon - s] = '\0';
    port = strtoul(ret->text + (colon - s) + 1, &end, 10);
    ret->addr = (struct sockaddr_in){ .sin_family = AF_INET };
    if (*end != '\0' || port == 0 || port > 65535 ||
        inet_pton(AF_INET, host, &ret->addr.sin_addr) != 1)
        return -1;
    ret->addr.sin_port = htons((uint16_t)port);
    return 0;
}

int options_nodes(const char *list, struct options *o, char *why, size_t n)
{
    o->n_nodes = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");

        if (o->n_nodes == OPTIONS_NODES_MAX) {
            snprintf(why, n, "more than %u nodes", OPTIONS_NODES_MAX);
            return -1;
        }
        if (one_node(list, len, &o->nodes[o->n_nodes]) != 0) {
            snprintf(why, n, "not a numeric address and port: '%.*s'",
                     (int)len, list);
            return -1;
        }
        o->n_nodes++;
        list += len;
        list += *list == ',' ? 1 : 0;
    }
    return 0;
}

/* A number with a suffix that may be left out. */
static int number(const char *name, const char *s, const char *suffix,
                  uint64_t lo, uint64_t hi, uint64_t *ret, char *why, size_t n)
{
    char *end;
    unsigned long long v = strtoull(s, &end, 10);

    if (*s < '0' || *s > '9' || (*end != '\0' && strcmp(end, suffix) != 0) ||
        v < lo || v > hi) {
        snprintf(why, n, "%s needs a number from %" PRIu64 " to %" PRIu64
                 ", not '%s'", name, lo, hi, s);
        return -1;
    }
    *ret = v;
    return 0;
}

static int set_number(struct options *o, const char *name, const char *value,
                      char *why, size_t n)
{
    const struct {
        const char *name, *suffix;
        uint64_t lo, hi;
        unsigned *to;
    } table[] = {
        { "--time", "s", 0, 864000, &o->seconds },
        { "--rate", "", 1, 1000000, &o->rate },
        { "--clients", "", 1, OPTIONS_CLIENTS_MAX, &o->clients },
        { "--keys", "", 1, 100000, &o->keys },
        { "--ops-per-key", "", 1, 1000000, &o->ops_per_key },
        { "--timeout", "ms", 1, 600000, &o->timeout_ms },
        { "--final-time", "s", 0, 3600, &o->final_s },
    };
    uint64_t v;

    if (strcmp(name, "--seed") == 0)
        return number(name, value, "", 0, UINT32_MAX, &o->seed, why, n);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(name, table[i].name) != 0)
            continue;
        if (number(name, value, table[i].suffix, table[i].lo, table[i].hi, &v,
                   why, n) != 0)
            return -1;
        *table[i].to = (unsigned)v;
        return 0;
    }
    snprintf(why, n, "unknown option %s", name);
    return -1;
}

static int set_option(struct options *o, const char *name, const char *value,
                      char *why, size_t n)
{
    if (strcmp(name, "--nodes") == 0)
        return options_nodes(value, o, why, n);
    if (strcmp(name, "--history") == 0) {
        o->history = value;
        return 0;
    }
    if (strcmp(name, "--stats") == 0) {
        o->stats = value;
        return 0;
    }
    if (strcmp(name, "--workload") != 0)
        return set_number(o, name, value, why, n);
    for (int i = 0; i < 4; i++) {
        if (strcmp(value, workloads[i]) == 0) {
            o->workload = (enum workload)i;
            return 0;
        }
    }
    snprintf(why, n, "unknown workload %s", value);
    return -1;
}

int options_parse(int argc, char **argv, struct options *ret, char *why,
                  size_t n)
{
    struct options *o = ret;

    *o = (struct options){ .seconds = 60, .rate = 1000, .clients = 20,
                           .ops_per_key = 200, .timeout_ms = 1500,
                           .final_s = 20, .seed = 1 };
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) {
            snprintf(why, n, "%s needs a value", argv[i]);
            return -1;
        }
        if (set_option(o, argv[i], argv[i + 1], why, n) != 0)
            return -1;
    }
    if (o->n_nodes == 0 || o->history == NULL) {
        snprintf(why, n, "--nodes and --history are required");
        return -1;
    }
    if (o->keys == 0)
        o->keys = (o->clients + 4) / 5;
    if (o->clients > o->keys * OPTIONS_CLIENTS_PER_KEY) {
        snprintf(why, n, "at most %u clients a key: %u clients need --keys %u",
                 OPTIONS_CLIENTS_PER_KEY, o->clients,
                 (o->clients + OPTIONS_CLIENTS_PER_KEY - 1) /
                     OPTIONS_CLIENTS_PER_KEY);
        return -1;
    }
    return 0;
}
