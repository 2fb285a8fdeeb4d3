/* Numbers in values.
 *
 * INCRBY accepts a value only if it is what INCRBY itself would have written:
 * then a counter has one text, and "007" or "+1" stays a string.
 *
 * INCRBYFLOAT computes in long double and writes decimal without an exponent.
 * The C library rounds both conversions correctly, so the result is a function
 * of the operands on every machine with the same long double.  It is not the
 * same on x86-64 (64-bit mantissa) and on AArch64 (113 bits): the replicas of
 * one cluster must be of one kind, which src/fsm/README.md says.  No locale is
 * ever set, so the point is a point. */
#include "fsm/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

bool number_parse_int(struct slice s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    size_t i = negative;
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t v = 0;

    if (s.n == i || s.n - i > 19)
        return false;
    if (s.p[i] == '0' && s.n != 1)
        return false;
    for (; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';

        if (digit > 9)
            return false;
        v = v * 10 + digit; /* at most 19 digits: no overflow in 64 bits */
    }
    if (v > limit)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

size_t number_format_int(char out[NUMBER_INT_TEXT_MAX], int64_t v)
{
    int n = snprintf(out, NUMBER_INT_TEXT_MAX, "%lld", (long long)v);

    ASSERT(n > 0 && n < NUMBER_INT_TEXT_MAX);
    return (size_t)n;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool number_parse_float(struct slice s, long double *ret)
{
    char text[NUMBER_FLOAT_TEXT_MAX];
    long double v;
    char *end;

    if (s.n == 0 || s.n >= sizeof(text) || is_blank(s.p[0]))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    errno = 0;
    v = strtold(text, &end);
    if (end != text + s.n || isnan(v))
        return false;
    if (errno == ERANGE && (isinf(v) || fpclassify(v) == FP_ZERO))
        return false;
    *ret = v;
    return true;
}

size_t number_format_float(char out[NUMBER_FLOAT_TEXT_MAX], long double v)
{
    int n = snprintf(out, NUMBER_FLOAT_TEXT_MAX, "%.17Lf", v);

    ASSERT(isfinite(v));
    ASSERT(n > 0 && n < (int)NUMBER_FLOAT_TEXT_MAX);
    while (out[n - 1] == '0')
        n--;
    if (out[n - 1] == '.')
        n--;
    out[n] = '\0';
    if (n == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        out[1] = '\0';
        n = 1;
    }
    return (size_t)n;
}
