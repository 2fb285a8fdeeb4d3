/* Comparing words that clients type in any case.  ASCII only and without the
 * locale: a command must mean the same on every node. */
#include "base/slice.h"

static uint8_t slice_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

bool slice_eq_nocase(struct slice a, const char *s)
{
    for (size_t i = 0; i < a.n; i++) {
        /* The end of s is a zero, and a zero byte in a is no match for it. */
        if (s[i] == '\0' || slice_lower(a.p[i]) != slice_lower((uint8_t)s[i]))
            return false;
    }
    return s[a.n] == '\0';
}
