/* Endpoints of libkv: "host", "host:port", "[v6]" or "[v6]:port", separated by
 * commas.  A list with one bad endpoint is refused as a whole: a typing mistake
 * must not quietly shrink the set of nodes that a client can turn to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_int.h"

#define DEFAULT_PORT "6379"
#define PORT_MAX 65535u

/* n digits at s that make a port. */
static bool is_port(const char *s, size_t n)
{
    unsigned port = 0;

    if (n == 0 || n > 5)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        port = port * 10 + (unsigned)(s[i] - '0');
    }
    return port >= 1 && port <= PORT_MAX;
}

/* Where the host ends and the port begins; *ret_port is NULL if none is told. */
static bool split(const char *s, size_t n, struct slice *ret_host,
                  const char **ret_port)
{
    const char *host = s, *end = s + n, *stop;

    *ret_port = NULL;
    if (n > 0 && s[0] == '[') {
        host = s + 1;
        stop = memchr(host, ']', (size_t)(end - host));
        if (stop == NULL)
            return false;
        if (stop + 1 < end && stop[1] != ':')
            return false;
        if (stop + 1 < end)
            *ret_port = stop + 2;
    } else {
        stop = memchr(s, ':', n);
        if (stop != NULL)
            *ret_port = stop + 1;
        else
            stop = end;
    }
    *ret_host = slice_make(host, (size_t)(stop - host));
    return true;
}

static bool parse_one(const char *s, size_t n, struct client_endpoint *e)
{
    struct slice host;
    const char *port;
    bool v6 = n > 0 && s[0] == '[';

    if (!split(s, n, &host, &port))
        return false;
    if (host.n == 0 || host.n >= sizeof e->host)
        return false;
    if (port != NULL && !is_port(port, (size_t)(s + n - port)))
        return false;
    memcpy(e->host, host.p, host.n);
    e->host[host.n] = '\0';
    if (strpbrk(e->host, " \t\r\n[]") != NULL)
        return false;
    if (port != NULL)
        snprintf(e->port, sizeof e->port, "%.*s", (int)(s + n - port), port);
    else
        snprintf(e->port, sizeof e->port, "%s", DEFAULT_PORT);
    snprintf(e->name, sizeof e->name, v6 ? "[%s]:%s" : "%s:%s", e->host,
             e->port);
    return true;
}

int client__parse_endpoints(struct kv_client *c, const char *s)
{
    for (;;) {
        size_t n = strcspn(s, ",");
        struct client_endpoint *p;

        if (c->n == CLIENT_ENDPOINTS_MAX)
            return KV_CLIENT_EINVAL;
        p = realloc(c->endpoints, (c->n + 1) * sizeof *p);
        if (p == NULL)
            return KV_CLIENT_ENOMEM;
        c->endpoints = p;
        if (!parse_one(s, n, &c->endpoints[c->n]))
            return KV_CLIENT_EINVAL;
        c->n++;
        if (s[n] == '\0')
            return 0;
        s += n + 1;
    }
}
