/* kvctl get, put, del, ping. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvctl/kvctl.h"

#define STDIN_BYTES_MAX (16u << 20) /* the server's value limit */

/* Print obj on one line and drop it. */
static void print_json(json_t *obj)
{
    json_dumpf(obj, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(obj);
}

/* A JSON string if s is UTF-8, else {"hex": ...}. */
static json_t *json_bytes(const char *s, size_t n)
{
    json_t *str = json_stringn(s, n);
    char *hex;

    if (str != NULL)
        return str;
    hex = malloc(2 * n + 1);
    if (hex == NULL)
        return json_null();
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)s[i]);
    str = json_pack("{s:s}", "hex", hex);
    free(hex);
    return str;
}

static int get_revision(struct kvctl *k, const char *key)
{
    uint64_t rev;
    int rv = kv_revision(k->client, key, strlen(key), &rev);

    if (rv != 0)
        return kvctl_fail(k, "get", rv);
    if (k->json)
        print_json(json_pack("{s:s, s:I}", "key", key, "revision",
                             (json_int_t)rev));
    else if (rev != 0)
        printf("%llu\n", (unsigned long long)rev);
    return rev != 0 ? EXIT_OK : EXIT_NOT_FOUND;
}

int cmd_get(struct kvctl *k, int argc, char **argv)
{
    bool rev = argc == 3 && strcmp(argv[2], "--rev") == 0;
    char *value;
    size_t len;
    int rv;

    if (argc != 2 && !rev)
        return kvctl_usage("get", "one KEY is expected");
    if (rev)
        return get_revision(k, argv[1]);
    rv = kv_get(k->client, argv[1], strlen(argv[1]), &value, &len);
    if (rv != 0)
        return kvctl_fail(k, "get", rv);
    if (k->json) {
        print_json(json_pack("{s:s, s:o}", "key", argv[1], "value",
                             value != NULL ? json_bytes(value, len)
                                           : json_null()));
    } else if (value != NULL) {
        fwrite(value, 1, len, stdout);
        putchar('\n');
    } else {
        fprintf(stderr, "kvctl: get: no such key: %s\n", argv[1]);
    }
    rv = value != NULL ? EXIT_OK : EXIT_NOT_FOUND;
    kv_free(value);
    return rv;
}

/* All of standard input, or NULL (said why).  Free with free. */
static char *read_stdin(size_t *ret_len)
{
    size_t n = 0, cap = 4096;
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

struct put_options {
    unsigned long long ttl_s, rev;
    bool has_ttl, has_rev;
};

static bool put_parse(int argc, char **argv, struct put_options *o)
{
    for (int i = 3; i < argc; i += 2) {
        if (i + 1 >= argc)
            return false;
        if (strcmp(argv[i], "--ttl") == 0)
            o->has_ttl = kvctl_number(argv[i + 1], 1, 1ull << 40, &o->ttl_s);
        else if (strcmp(argv[i], "--if-rev") == 0)
            o->has_rev = kvctl_number(argv[i + 1], 0, 1ull << 62, &o->rev);
        else
            return false;
        if (!o->has_ttl && !o->has_rev)
            return false;
    }
    return !(o->has_ttl && o->has_rev);
}

int cmd_put(struct kvctl *k, int argc, char **argv)
{
    struct put_options o = { .has_ttl = false };
    char *from_stdin = NULL;
    const char *value;
    size_t len;
    int done = 1;
    int rv;

    if (argc < 3 || !put_parse(argc, argv, &o))
        return kvctl_usage("put", "KEY and VALUE, then --ttl or --if-rev "
                                  "with a number, are expected");
    value = argv[2];
    len = strlen(value);
    if (strcmp(value, "-") == 0) {
        value = from_stdin = read_stdin(&len);
        if (value == NULL)
            return EXIT_BAD_USAGE;
    }
    if (o.has_rev)
        rv = kv_put_if_revision(k->client, argv[1], strlen(argv[1]), value,
                                len, o.rev, &done);
    else
        rv = kv_put(k->client, argv[1], strlen(argv[1]), value, len,
                    o.ttl_s * 1000);
    free(from_stdin);
    if (rv != 0)
        return kvctl_fail(k, "put", rv);
    if (k->json)
        print_json(json_pack("{s:s, s:b}", "key", argv[1], "done", done));
    else
        printf(done ? "OK\n" : "not done: the revision is another\n");
    return done ? EXIT_OK : EXIT_NOT_FOUND;
}

int cmd_del(struct kvctl *k, int argc, char **argv)
{
    const char *args[256] = { "DEL" };
    struct kv_reply *r;
    long long n;
    int rv;

    if (argc < 2 || argc > 255)
        return kvctl_usage("del", "1 to 254 keys are expected");
    for (int i = 1; i < argc; i++)
        args[i] = argv[i];
    rv = kv_command(k->client, argc, args, NULL, 0, &r);
    if (rv != 0)
        return kvctl_fail(k, "del", rv);
    n = r->integer;
    kv_reply_free(r);
    if (k->json)
        print_json(json_pack("{s:I}", "removed", (json_int_t)n));
    else
        printf("%lld removed\n", n);
    return n > 0 ? EXIT_OK : EXIT_NOT_FOUND;
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Ping one endpoint; returns whether it answered. */
static bool ping_one(struct kvctl *k, const char *endpoint, json_t *list)
{
    const char *argv[] = { "PING" };
    struct kv_client *c = NULL;
    struct kv_reply *r = NULL;
    double start = now_ms();
    int rv = kv_open(endpoint, k->timeout_ms, &c);

    if (rv == 0)
        rv = kv_command(c, 1, argv, NULL, 1, &r); /* connects */
    if (rv == 0) {
        kv_reply_free(r);
        start = now_ms();
        rv = kv_command(c, 1, argv, NULL, 1, &r);
    }
    if (k->json)
        json_array_append_new(
            list, rv == 0 ? json_pack("{s:s, s:f}", "endpoint", endpoint,
                                      "ms", now_ms() - start)
                          : json_pack("{s:s, s:s}", "endpoint", endpoint,
                                      "error", c ? kv_error(c) : "invalid"));
    else if (rv == 0)
        printf("%s: %.3f ms\n", endpoint, now_ms() - start);
    else
        printf("%s: %s\n", endpoint, c != NULL ? kv_error(c) : "invalid");
    if (rv == 0)
        kv_reply_free(r);
    kv_close(c);
    return rv == 0;
}

int cmd_ping(struct kvctl *k, int argc, char **argv)
{
    char *all = strdup(k->endpoints);
    json_t *list = json_array();
    bool ok = true;
    char *save;

    (void)argv;
    if (argc != 1 || all == NULL) {
        free(all);
        json_decref(list);
        return kvctl_usage("ping", "no arguments are expected");
    }
    for (char *e = strtok_r(all, ",", &save); e != NULL;
         e = strtok_r(NULL, ",", &save))
        ok = ping_one(k, e, list) && ok;
    free(all);
    if (k->json)
        print_json(list);
    else
        json_decref(list);
    return ok ? EXIT_OK : EXIT_CANNOT_CONNECT;
}
