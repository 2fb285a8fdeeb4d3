/* Small texts: glob patterns and node ids. */
#include "server/server_int.h"

#include <stdio.h>

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Names of settings and commands: '*' and '?', ASCII case ignored.  A star
 * remembers its place; on a mismatch the last one takes a byte more, so
 * the time is bounded by the product of the lengths. */
bool text__glob(struct slice pattern, struct slice s)
{
    size_t i = 0, j = 0, star = SIZE_MAX, mark = 0;

    while (i < s.n) {
        if (j < pattern.n && pattern.p[j] == '*') {
            star = j++;
            mark = i;
        } else if (j < pattern.n && (pattern.p[j] == '?' ||
                                     lower(pattern.p[j]) == lower(s.p[i]))) {
            i++;
            j++;
        } else if (star != SIZE_MAX) {
            j = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (j < pattern.n && pattern.p[j] == '*')
        j++;
    return j == pattern.n;
}

/* Redis Cluster's ids are 40 hexadecimal digits: ours are the cluster's and the
 * node's, so that they are the same on every node. */
void text__node_id(char out[41], const struct directory *d, uint64_t node)
{
    (void)snprintf(out, 41, "%016llx%024llx",
                   (unsigned long long)directory_cluster_id(d),
                   (unsigned long long)node);
}
