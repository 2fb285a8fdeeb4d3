/* Reading --initial-cluster.
 *
 *   spec   := member { "," member }
 *   member := id "=" host ":" port [ "/" peerport ]
 *   id     := decimal, 1 .. 2^32-1            port := decimal, 1 .. 65535
 *   host   := name or IPv4 address | "[" IPv6 address "]"
 *
 * Blanks around a member are ignored, so that the list may be broken over the
 * lines of a file.  peerport is port + 10000 unless given.
 *
 * What is refused names the member and says what to write instead: this is
 * the first line that a user gets wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/slice.h"
#include "cluster/directory_int.h"

/* One member under scrutiny. */
struct member {
    struct slice text; /* whole, for messages */
    char *errmsg;
    size_t n;
};

/* Write "initial cluster: member 'text': why". */
static int refuse(const struct member *m, const char *why)
{
    int shown = m->text.n > 80 ? 80 : (int)m->text.n;

    (void)snprintf(m->errmsg, m->n, "initial cluster: member '%.*s%s': %s",
                   shown, (const char *)m->text.p,
                   m->text.n > 80 ? "..." : "", why);
    return KV_EINVAL;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = slice_make(s.p + 1, s.n - 1);
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Cut s at the first c: *ret_head is what stood before it, s the rest after it. */
static bool cut(struct slice *s, char c, struct slice *ret_head)
{
    const uint8_t *at = s->n > 0 ? memchr(s->p, c, s->n) : NULL;
    size_t head;

    if (at == NULL)
        return false;
    head = (size_t)(at - s->p);
    *ret_head = slice_make(s->p, head);
    *s = slice_make(at + 1, s->n - head - 1);
    return true;
}

/* Decimal digits only, at most max. */
static bool parse_number(struct slice s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit > 9 || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

static bool is_host_byte(uint8_t c, bool bracketed)
{
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                 (c >= '0' && c <= '9');

    if (bracketed)
        return alnum || c == ':' || c == '.' || c == '%';
    return alnum || c == '.' || c == '-' || c == '_';
}

/* Take "host:" or "[address]:" off the front of *rest. */
static int parse_host(const struct member *m, struct slice *rest,
                      struct directory_node *node)
{
    bool bracketed = rest->n > 0 && rest->p[0] == '[';
    struct slice host;

    if (bracketed) {
        *rest = slice_make(rest->p + 1, rest->n - 1);
        if (!cut(rest, ']', &host))
            return refuse(m, "no ']' after the address; write "
                             "id=[address]:port");
        if (rest->n == 0 || rest->p[0] != ':')
            return refuse(m, "no port; write id=[address]:port");
        *rest = slice_make(rest->p + 1, rest->n - 1);
    } else if (!cut(rest, ':', &host)) {
        return refuse(m, "no port; write id=host:port");
    }
    if (host.n == 0)
        return refuse(m, "no host; write id=host:port");
    if (host.n > DIRECTORY_HOST_MAX)
        return refuse(m, "the host is longer than 255 bytes");
    if (!bracketed && memchr(rest->p, ':', rest->n) != NULL)
        return refuse(m, "more than one ':'; an IPv6 address goes in "
                         "brackets: id=[address]:port");
    for (size_t i = 0; i < host.n; i++) {
        if (!is_host_byte(host.p[i], bracketed))
            return refuse(m, "the host is neither a name nor an address");
    }
    memcpy(node->host, host.p, host.n);
    node->host[host.n] = '\0';
    return 0;
}

static int parse_ports(const struct member *m, struct slice rest,
                       struct directory_node *node)
{
    struct slice head = rest;
    bool has_peer = cut(&rest, '/', &head);
    uint64_t port;
    uint64_t peer;

    if (!parse_number(head, UINT16_MAX, &port) || port == 0)
        return refuse(m, "the port must be a number from 1 to 65535");
    peer = port + DIRECTORY_PEER_PORT_OFFSET;
    if (has_peer && (!parse_number(rest, UINT16_MAX, &peer) || peer == 0))
        return refuse(m, "the peer port must be a number from 1 to 65535");
    if (peer > UINT16_MAX)
        return refuse(m, "the peer port (port + 10000) is above 65535; choose "
                         "a port up to 55535 or write id=host:port/peerport");
    if (peer == port)
        return refuse(m, "port and peer port must differ");
    node->port = (uint16_t)port;
    node->peer_port = (uint16_t)peer;
    return 0;
}

static int parse_member(const struct member *m, struct directory_node *node)
{
    struct slice rest = m->text;
    struct slice id;
    int rv;

    *node = (struct directory_node){ .weight = 1 };
    if (rest.n == 0)
        return refuse(m, "it is empty; write id=host:port and no comma too "
                         "many");
    if (!cut(&rest, '=', &id))
        return refuse(m, "no '='; write id=host:port");
    if (!parse_number(id, DIRECTORY_NODE_ID_MAX, &node->id))
        return refuse(m, "the id must be a number from 1 to 4294967295");
    if (node->id == 0)
        return refuse(m, "id 0 is reserved; ids begin at 1");
    rv = parse_host(m, &rest, node);
    if (rv != 0)
        return rv;
    return parse_ports(m, rest, node);
}

static int node_cmp(const void *a, const void *b)
{
    const struct directory_node *x = a;
    const struct directory_node *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* No id and no address twice.  Two nodes clash on an address if any of their
 * ports is the same. */
static int check_distinct(const struct directory_node *a,
                          const struct directory_node *b, char *errmsg,
                          size_t n)
{
    if (a->id == b->id) {
        (void)snprintf(errmsg, n,
                       "initial cluster: id %llu is given to two members, "
                       "%s:%u and %s:%u; each node needs its own",
                       (unsigned long long)a->id, a->host, (unsigned)a->port,
                       b->host, (unsigned)b->port);
        return KV_EEXIST;
    }
    if (strcmp(a->host, b->host) != 0)
        return 0;
    if (a->port != b->port && a->port != b->peer_port &&
        a->peer_port != b->port && a->peer_port != b->peer_port)
        return 0;
    (void)snprintf(errmsg, n,
                   "initial cluster: members %llu and %llu share a port of "
                   "%s (%u/%u and %u/%u); each needs its own",
                   (unsigned long long)a->id, (unsigned long long)b->id,
                   a->host, (unsigned)a->port, (unsigned)a->peer_port,
                   (unsigned)b->port, (unsigned)b->peer_port);
    return KV_EEXIST;
}

int directory__parse(const char *spec,
                     struct directory_node nodes[DIRECTORY_NODES_MAX],
                     unsigned *ret_n, char *errmsg, size_t n)
{
    struct slice rest = trim(slice_str(spec));
    unsigned count = 0;
    bool more = true;
    int rv;

    if (rest.n == 0) {
        (void)snprintf(errmsg, n, "initial cluster: no members; write "
                                  "id=host:port,id=host:port,...");
        return KV_EINVAL;
    }
    while (more) {
        struct slice text = rest;
        struct member m = { .errmsg = errmsg, .n = n };

        more = cut(&rest, ',', &text);
        m.text = trim(text);
        if (count == DIRECTORY_NODES_MAX)
            return refuse(&m, "a cluster has at most 64 nodes");
        rv = parse_member(&m, &nodes[count]);
        if (rv != 0)
            return rv;
        for (unsigned i = 0; i < count; i++) {
            rv = check_distinct(&nodes[i], &nodes[count], errmsg, n);
            if (rv != 0)
                return rv;
        }
        count++;
    }
    ASSERT(count >= 1);
    qsort(nodes, count, sizeof(*nodes), node_cmp);
    *ret_n = count;
    return 0;
}
