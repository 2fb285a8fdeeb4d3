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
    { "get", "KEY [--rev]", "print a key's value, or revision", cmd_get },
    { "put", "KEY VALUE|- [--ttl S] [--if-rev N]",
      "set a key ('-': standard input)", cmd_put },
    { "del", "KEY...", "remove keys", cmd_del },
    { "status", "[--wait S]", "is the cluster serving?", cmd_status },
    { "members", "", "nodes, their shards and load", cmd_members },
    { "shards", "", "shards, leaders, log indexes", cmd_shards },
    { "bench", "[OPTION N]... (bench --help)", "throughput and latency",
      cmd_bench },
    { "ping", "", "round trip to each endpoint", cmd_ping },
    { NULL, NULL, NULL, NULL },
};

/* Fits a screen of 80 by 24; a test sees to it. */
static void help(FILE *out)
{
    fprintf(out, "Usage: kvctl [OPTION]... COMMAND [ARGUMENT]...\n\n");
    for (const struct kvctl_command *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-7s %-35s %s\n", c->name, c->args, c->meaning);
    fprintf(out,
            "\nOptions:\n"
            "  --endpoints H:P,...  any nodes [$KVCTL_ENDPOINTS or "
            DEFAULT_ENDPOINTS "]\n"
            "  --timeout MS         longest wait for an answer [%u]\n"
            "  --json               print one JSON value\n"
            "  --                   what follows is taken as it is\n"
            "  --help, --version\n"
            "\nExit status: 0 done, 1 no such key or not done, 2 usage, 3 no "
            "node answers,\n4 a write of unknown outcome, 5 no leader or busy "
            "(not executed),\n6 another error, 7 the cluster does not fully "
            "serve.\n",
            DEFAULT_TIMEOUT_MS);
}

static void usage_line(FILE *out, const struct kvctl_command *c)
{
    fprintf(out, "usage: kvctl %s%s%s\n", c->name, *c->args ? " " : "",
            c->args);
}

int kvctl_usage(const char *cmd, const char *text)
{
    fprintf(stderr, "kvctl: %s: %s\n", cmd, text);
    for (const struct kvctl_command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, cmd) == 0)
            usage_line(stderr, c);
    return EXIT_BAD_USAGE;
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
            k->literal = &argv[n];
            while (++i < argc)
                argv[n++] = argv[i];
        } else if (strcmp(argv[i], "--json") == 0) {
            k->json = true;
        } else if (strcmp(argv[i], "--help") == 0 ||
                   (strcmp(argv[i], "-h") == 0 && n == 1)) {
            k->help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("kvctl %s\n", PACKAGE_VERSION);
            *ret_status = EXIT_OK;
            return -1;
        } else if ((v = option_value(argv, argc, &i, "--endpoints")) != NULL) {
            k->endpoints = v;
        } else if ((v = option_value(argv, argc, &i, "--timeout")) != NULL) {
            if (!kvctl_number(v, 1, 3600000, &ms)) {
                fprintf(stderr, "kvctl: --timeout: '%s' is not 1 to 3600000 "
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
    if (k->literal == NULL)
        k->literal = &argv[n];
    return n;
}

static int run(struct kvctl *k, int argc, char **argv)
{
    const struct kvctl_command *c = commands;
    int status, rv;

    while (c->name != NULL && strcmp(c->name, argv[1]) != 0)
        c++;
    if (c->name == NULL) {
        fprintf(stderr, "kvctl: no command '%s' (see kvctl --help)\n", argv[1]);
        return EXIT_BAD_USAGE;
    }
    if (k->help && c->run != cmd_bench) {
        usage_line(stdout, c);
        printf("  %s\n", c->meaning);
        return EXIT_OK;
    }
    rv = kv_open(k->endpoints, k->timeout_ms, &k->client);
    if (rv == KV_CLIENT_EINVAL)
        fprintf(stderr, "kvctl: --endpoints: '%s' is not host:port,...\n",
                k->endpoints);
    else if (rv != 0)
        fprintf(stderr, "kvctl: %s\n", kv_status_text(rv));
    if (rv != 0)
        return rv == KV_CLIENT_EINVAL ? EXIT_BAD_USAGE : EXIT_REPLY;
    status = c->run(k, argc - 1, argv + 1);
    kv_close(k->client);
    return status;
}

int main(int argc, char **argv)
{
    const char *env = getenv("KVCTL_ENDPOINTS");
    struct kvctl k = { .endpoints = env != NULL && *env != '\0'
                                        ? env
                                        : DEFAULT_ENDPOINTS,
                       .timeout_ms = DEFAULT_TIMEOUT_MS };
    int status = EXIT_OK;

    argc = take_options(&k, argc, argv, &status);
    if (argc < 0)
        return status;
    if (argc >= 2) {
        status = run(&k, argc, argv);
    } else {
        help(k.help ? stdout : stderr);
        status = k.help ? EXIT_OK : EXIT_BAD_USAGE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("kvctl: standard output");
        return EXIT_REPLY;
    }
    return status;
}
