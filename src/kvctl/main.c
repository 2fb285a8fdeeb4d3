/* kvctl: options, the table of subcommands, errors.
 *
 * Options may stand before or after the subcommand's name; what follows "--" is
 * taken as it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvctl/kvctl.h"

#define DEFAULT_ENDPOINTS "127.0.0.1:6379"
#define DEFAULT_TIMEOUT_MS 10000u

static const struct kvctl_command commands[] = {
    { "get", "KEY [--rev]", "print the value (or revision) of a key", cmd_get },
    { "put", "KEY VALUE|- [--ttl SECONDS] [--if-rev N]",
      "set a key; '-' reads the value from standard input", cmd_put },
    { "del", "KEY...", "remove keys", cmd_del },
    { "status", "[--wait SECONDS]", "is the cluster serving?", cmd_status },
    { "members", "", "nodes, their shards and load", cmd_members },
    { "shards", "", "shards, their leaders and indexes", cmd_shards },
    { "bench", "[--clients N] [--requests N] ... (bench --help)",
      "measure throughput and latency", cmd_bench },
    { "ping", "", "round trip to each endpoint", cmd_ping },
    { NULL, NULL, NULL, NULL },
};

static void help(FILE *out)
{
    fprintf(out, "Usage: kvctl [OPTION]... COMMAND [ARGUMENT]...\n\n");
    for (const struct kvctl_command *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-8s %-42s\n           %s\n", c->name, c->args,
                c->meaning);
    fprintf(out,
            "\nOptions:\n"
            "  --endpoints H:P,...  any nodes [$KVCTL_ENDPOINTS or " DEFAULT_ENDPOINTS
            "]\n"
            "  --timeout MS         longest wait for an answer [%u]\n"
            "  --json               print JSON\n"
            "  --help, --version\n"
            "\nExit status: 0 done, 1 no such key or not done, 2 usage, 3 cannot "
            "connect,\n4 write with unknown outcome, 5 no leader or busy (not "
            "executed), 6 error\nreply, 7 cluster not fully serving.\n",
            DEFAULT_TIMEOUT_MS);
}

int kvctl_fail(struct kvctl *k, const char *cmd, int status)
{
    fprintf(stderr, "kvctl: %s: %s\n", cmd, kv_error(k->client));
    switch (status) {
    case KV_CLIENT_ECONNECT:
        fprintf(stderr, "  (is a node running at %s? see --endpoints)\n",
                k->endpoints);
        return EXIT_CANNOT_CONNECT;
    case KV_CLIENT_ETIMEOUT:
    case KV_CLIENT_EUNKNOWN:
        fprintf(stderr, "  (a write may or may not have happened: read the key "
                        "before trying again)\n");
        return EXIT_UNKNOWN;
    case KV_CLIENT_EDOWN:
    case KV_CLIENT_EBUSY:
        return EXIT_NO_LEADER;
    default:
        return EXIT_REPLY;
    }
}

int kvctl_usage(const char *cmd, const char *text)
{
    fprintf(stderr, "kvctl: %s: %s\n", cmd, text);
    for (const struct kvctl_command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, cmd) == 0)
            fprintf(stderr, "usage: kvctl %s %s\n", c->name, c->args);
    return EXIT_BAD_USAGE;
}

bool kvctl_number(const char *s, unsigned long long min,
                  unsigned long long max, unsigned long long *ret)
{
    unsigned long long v = 0;

    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        unsigned d = (unsigned)(*s - '0');

        if (*s < '0' || *s > '9' || v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v < min)
        return false;
    *ret = v;
    return true;
}

/* The value of option argv[*i], also as --name=value; NULL if it is not name. */
static const char *option_value(char **argv, int argc, int *i,
                                const char *name)
{
    size_t n = strlen(name);

    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    if (argv[*i][n] != '\0')
        return NULL;
    if (*i + 1 >= argc) {
        fprintf(stderr, "kvctl: %s needs a value\n", name);
        exit(EXIT_BAD_USAGE);
    }
    return argv[++*i];
}

/* Take the general options out of argv; returns the new argc, or -1 when there
 * is nothing more to do (*ret_status says how to end). */
static int take_options(struct kvctl *k, int argc, char **argv, int *ret_status)
{
    unsigned long long ms;
    const char *v;
    int n = 1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                argv[n++] = argv[i];
        } else if (strcmp(argv[i], "--json") == 0) {
            k->json = true;
        } else if ((strcmp(argv[i], "--help") == 0 ||
                    strcmp(argv[i], "-h") == 0) && n == 1) {
            help(stdout);
            *ret_status = EXIT_OK;
            return -1;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("kvctl %s\n", PACKAGE_VERSION);
            *ret_status = EXIT_OK;
            return -1;
        } else if ((v = option_value(argv, argc, &i, "--endpoints")) != NULL) {
            k->endpoints = v;
        } else if ((v = option_value(argv, argc, &i, "--timeout")) != NULL) {
            if (!kvctl_number(v, 1, 3600000, &ms)) {
                fprintf(stderr, "kvctl: --timeout: '%s' is no number of "
                                "milliseconds\n", v);
                *ret_status = EXIT_BAD_USAGE;
                return -1;
            }
            k->timeout_ms = (unsigned)ms;
        } else {
            argv[n++] = argv[i];
        }
    }
    argv[n] = NULL;
    return n;
}

int main(int argc, char **argv)
{
    const char *env = getenv("KVCTL_ENDPOINTS");
    struct kvctl k = { .endpoints = env != NULL && *env != '\0'
                                        ? env
                                        : DEFAULT_ENDPOINTS,
                       .timeout_ms = DEFAULT_TIMEOUT_MS };
    const struct kvctl_command *c = commands;
    int status = EXIT_OK;

    argc = take_options(&k, argc, argv, &status);
    if (argc < 0)
        return status;
    if (argc < 2) {
        help(stderr);
        return EXIT_BAD_USAGE;
    }
    while (c->name != NULL && strcmp(c->name, argv[1]) != 0)
        c++;
    if (c->name == NULL) {
        fprintf(stderr, "kvctl: no command '%s' (see kvctl --help)\n", argv[1]);
        return EXIT_BAD_USAGE;
    }
    if (kv_open(k.endpoints, k.timeout_ms, &k.client) != 0) {
        fprintf(stderr, "kvctl: --endpoints: '%s' is not host:port,...\n",
                k.endpoints);
        return EXIT_BAD_USAGE;
    }
    status = c->run(&k, argc - 1, argv + 1);
    kv_close(k.client);
    if (fflush(stdout) != 0) {
        perror("kvctl: standard output");
        return EXIT_REPLY;
    }
    return status;
}
