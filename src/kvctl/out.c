/* What every subcommand prints in the same way: JSON and failures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvctl/kvctl.h"

int kvctl_print_json(json_t *v, int status)
{
    if (v == NULL ||
        json_dumpf(v, stdout, JSON_COMPACT | JSON_ENCODE_ANY) != 0) {
        fprintf(stderr, "kvctl: cannot print JSON: out of memory\n");
        status = EXIT_REPLY;
    } else {
        putchar('\n');
    }
    json_decref(v);
    return status;
}

json_t *kvctl_json_bytes(const char *s, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    json_t *v = json_stringn(s, n);
    char *hex;

    if (v != NULL)
        return v;
    hex = malloc(2 * n + 1);
    if (hex == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[(unsigned char)s[i] >> 4];
        hex[2 * i + 1] = digits[(unsigned char)s[i] & 15];
    }
    hex[2 * n] = '\0';
    v = json_pack("{s:s}", "hex", hex);
    free(hex);
    return v;
}

uint64_t kvctl_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int kvctl_fail(struct kvctl *k, const char *cmd, int status, bool write)
{
    fprintf(stderr, "kvctl: %s: %s\n", cmd, kv_error(k->client));
    switch (status) {
    case KV_CLIENT_EDOWN:
    case KV_CLIENT_EBUSY:
        return EXIT_NO_LEADER;
    case KV_CLIENT_ECONNECT:
        fprintf(stderr, "  (is a node running at %s? see --endpoints)\n",
                k->endpoints);
        return EXIT_CANNOT_CONNECT;
    case KV_CLIENT_EREPLY:
    case KV_CLIENT_EINVAL:
        return EXIT_REPLY;
    default:
        break;
    }
    if (write) {
        fprintf(stderr, "  (the write may or may not have happened: read the "
                        "key before trying again)\n");
        return EXIT_UNKNOWN;
    }
    return status == KV_CLIENT_ETIMEOUT ? EXIT_CANNOT_CONNECT : EXIT_REPLY;
}
