/* A borrowed run of bytes. */
#ifndef KV_BASE_SLICE_H
#define KV_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p; /* borrowed; may be NULL when n is 0 */
    size_t n;         /* bytes */
};

static inline struct slice slice_make(const void *p, size_t n)
{
    return (struct slice){ .p = p, .n = n };
}

/* The bytes of a C string, without its terminator. */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){ .p = (const uint8_t *)s, .n = strlen(s) };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Equal to a C string, ASCII case ignored (Redis command and option words). */
bool slice_eq_nocase(struct slice a, const char *s);

#endif
