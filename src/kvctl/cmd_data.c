/* kvctl get, put, del, ping.
 *
 * A key or value that is no UTF-8 is {"hex": "..."} in JSON, which has no other
 * way to tell bytes.  del sends its keys in commands of DEL_KEYS_PER_COMMAND: it is
 * not atomic over shards anyway. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvctl/kvctl.h"

#define STDIN_BYTES_MAX (16u << 20) /* the server's value limit */
#define TTL_S_MAX (1ull << 40)
#define REVISION_MAX (1ull << 62)
#define DEL_KEYS_PER_COMMAND 1000   /* far below the server's client.args */
#define ARGS_NO_LIMIT 1000000000

static json_t *json_key(const char *key)
{
    return kvctl_json_bytes(key, strlen(key));
}

static int get_revision(struct kvctl *k, const char *key)
{
    uint64_t rev;
    int rv = kv_revision(k->client, key, strlen(key), &rev);
    int status;

    if (rv != 0)
        return kvctl_fail(k, "get", rv, false);
    status = rev != 0 ? EXIT_OK : EXIT_NOT_FOUND;
    if (k->json)
        return kvctl_print_json(json_pack("{s:o, s:I}", "key", json_key(key),
                                          "revision", (json_int_t)rev),
                                status);
    if (rev != 0)
        printf("%llu\n", (unsigned long long)rev);
    else
        fprintf(stderr, "kvctl: get: no such key: %s\n", key);
    return status;
}

int cmd_get(struct kvctl *k, int argc, char **argv)
{
    bool rev = false;
    const struct kvctl_option options[] = { { "--rev", &rev, 0, 0, NULL },
                                            { NULL, NULL, 0, 0, NULL } };
    char *value;
    size_t len;
    int rv;

    if (kvctl_parse(k, argc, argv, options, 1, 1) < 0)
        return EXIT_BAD_USAGE;
    if (rev)
        return get_revision(k, argv[1]);
    rv = kv_get(k->client, argv[1], strlen(argv[1]), &value, &len);
    if (rv != 0)
        return kvctl_fail(k, "get", rv, false);
    rv = value != NULL ? EXIT_OK : EXIT_NOT_FOUND;
    if (k->json) {
        rv = kvctl_print_json(
            json_pack("{s:o, s:o}", "key", json_key(argv[1]), "value",
                      value != NULL ? kvctl_json_bytes(value, len)
                                    : json_null()),
            rv);
    } else if (value != NULL) {
        fwrite(value, 1, len, stdout);
        putchar('\n');
    } else {
        fprintf(stderr, "kvctl: get: no such key: %s\n", argv[1]);
    }
    kv_free(value);
    return rv;
}

/* All of standard input, or NULL (said why).  Free with free. */
static char *read_stdin(size_t *ret_len)
{
    size_t n = 0, cap = 65536;
    char *p = malloc(cap);

    while (p != NULL) {
        size_t got = fread(p + n, 1, cap - n, stdin);
        char *q;

        n += got;
        if (got == 0)
            break;
        if (n > STDIN_BYTES_MAX) {
            fprintf(stderr, "kvctl: put: more than %u bytes on standard "
                            "input\n", STDIN_BYTES_MAX);
            free(p);
            return NULL;
        }
        if (n < cap)
            continue;
        q = realloc(p, cap * 2);
        if (q == NULL) {
            free(p);
            p = NULL;
            break;
        }
        p = q;
        cap *= 2;
    }
    if (p == NULL || ferror(stdin)) {
        perror("kvctl: put: standard input");
        free(p);
        return NULL;
    }
    *ret_len = n;
    return p;
}

int cmd_put(struct kvctl *k, int argc, char **argv)
{
    unsigned long long ttl_s = 0, rev = 0;
    bool has_ttl = false, has_rev = false;
    const struct kvctl_option options[] = {
        { "--ttl", &has_ttl, 1, TTL_S_MAX, &ttl_s },
        { "--if-rev", &has_rev, 0, REVISION_MAX, &rev },
        { NULL, NULL, 0, 0, NULL },
    };
    char *from_stdin = NULL;
    const char *value;
    size_t len;
    int rv, done = 1;

    if (kvctl_parse(k, argc, argv, options, 2, 2) < 0)
        return EXIT_BAD_USAGE;
    if (has_ttl && has_rev)
        return kvctl_usage("put", "--ttl and --if-rev do not go together");
    value = argv[2];
    len = strlen(value);
    if (strcmp(value, "-") == 0 && !kvctl_is_literal(k, &argv[2])) {
        value = from_stdin = read_stdin(&len);
        if (value == NULL)
            return EXIT_BAD_USAGE;
    }
    if (has_rev)
        rv = kv_put_if_revision(k->client, argv[1], strlen(argv[1]), value,
                                len, rev, &done);
    else
        rv = kv_put(k->client, argv[1], strlen(argv[1]), value, len,
                    ttl_s * 1000);
    free(from_stdin);
    if (rv != 0)
        return kvctl_fail(k, "put", rv, true);
    rv = done ? EXIT_OK : EXIT_NOT_FOUND;
    if (k->json)
        return kvctl_print_json(json_pack("{s:o, s:b}", "key",
                                          json_key(argv[1]), "done", done),
                                rv);
    puts(done ? "OK" : "not done: the key has another revision");
    return rv;
}

/* DEL of n keys; args[0] is room for the command's name. */
static int del_some(struct kvctl *k, char **args, int n, long long *ret_removed)
{
    const char *argv[DEL_KEYS_PER_COMMAND + 1] = { "DEL" };
    struct kv_reply *r;
    int rv;

    for (int i = 1; i <= n; i++)
        argv[i] = args[i];
    rv = kv_command(k->client, n + 1, argv, NULL, 0, &r);
    if (rv != 0)
        return rv;
    *ret_removed += r->integer;
    kv_reply_free(r);
    return 0;
}

int cmd_del(struct kvctl *k, int argc, char **argv)
{
    long long removed = 0;
    int n = kvctl_parse(k, argc, argv, NULL, 1, ARGS_NO_LIMIT);
    int status;

    if (n < 0)
        return EXIT_BAD_USAGE;
    for (int done = 0; done < n;) {
        int some = n - done < DEL_KEYS_PER_COMMAND ? n - done
                                                   : DEL_KEYS_PER_COMMAND;
        int rv = del_some(k, argv + done, some, &removed);

        if (rv != 0) {
            if (done > 0)
                fprintf(stderr, "kvctl: del: the first %d of %d keys are done, "
                                "%lld removed\n", done, n, removed);
            return kvctl_fail(k, "del", rv, true);
        }
        done += some;
    }
    status = removed > 0 ? EXIT_OK : EXIT_NOT_FOUND;
    if (k->json)
        return kvctl_print_json(
            json_pack("{s:I}", "removed", (json_int_t)removed), status);
    printf("%lld removed\n", removed);
    return status;
}

/* Ping one endpoint and print the time, or add it to list; returns whether it
 * answered.  The first round trip connects and is not counted. */
static bool ping_one(struct kvctl *k, const char *endpoint, json_t *list)
{
    const char *argv[] = { "PING" };
    struct kv_client *c = NULL;
    struct kv_reply *r;
    uint64_t start = 0;
    double ms = 0;
    int rv = kv_open(endpoint, k->timeout_ms, &c);

    for (int i = 0; i < 2 && rv == 0; i++) {
        start = kvctl_now_us();
        rv = kv_command(c, 1, argv, NULL, 1, &r);
        if (rv == 0)
            kv_reply_free(r);
    }
    ms = (double)(kvctl_now_us() - start) / 1e3;
    if (k->json && rv == 0)
        json_array_append_new(
            list, json_pack("{s:s, s:f}", "endpoint", endpoint, "ms", ms));
    else if (k->json)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "endpoint", endpoint,
                                        "error", c ? kv_error(c)
                                                   : kv_status_text(rv)));
    else if (rv == 0)
        printf("%s: %.3f ms\n", endpoint, ms);
    else
        printf("%s\n", c != NULL ? kv_error(c) : kv_status_text(rv));
    kv_close(c);
    return rv == 0;
}

int cmd_ping(struct kvctl *k, int argc, char **argv)
{
    bool ok = true;
    json_t *list;
    char *all, *save;

    if (kvctl_parse(k, argc, argv, NULL, 0, 0) < 0)
        return EXIT_BAD_USAGE;
    all = strdup(k->endpoints);
    list = json_array();
    if (all == NULL || list == NULL) {
        fprintf(stderr, "kvctl: ping: out of memory\n");
        free(all);
        json_decref(list);
        return EXIT_REPLY;
    }
    for (char *e = strtok_r(all, ",", &save); e != NULL;
         e = strtok_r(NULL, ",", &save))
        ok = ping_one(k, e, list) && ok;
    free(all);
    if (k->json)
        return kvctl_print_json(list, ok ? EXIT_OK : EXIT_CANNOT_CONNECT);
    json_decref(list);
    return ok ? EXIT_OK : EXIT_CANNOT_CONNECT;
}
