/* Values that say whose they are, so that a reply that belongs to another request
 * is recognized at once, before any checker looks.
 *
 *   register, set   "<key>:p<process>:<n>"     n: unique in the run
 *   append          tokens "t<key number>-<n>." one after the other
 *   counter         every increment of key j is a multiple of 1009 + j, and so is
 *                   every sum
 *
 * A number beyond the last one given out is as wrong as another key's. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "jepsen/client.h"

#define COUNTER_STEP_BASE 1009

int64_t work_counter_step(uint32_t key)
{
    return COUNTER_STEP_BASE + (int64_t)key;
}

void work_value_make(struct work *w, const struct work_op *x, uint32_t process,
                     char *ret, size_t n)
{
    w->unique++;
    if (w->o->workload == WORK_APPEND)
        snprintf(ret, n, "t%" PRIu32 "-%" PRIu64 ".", x->key, w->unique);
    else
        snprintf(ret, n, "%s:p%" PRIu32 ":%" PRIu64, x->key_text, process,
                 w->unique);
}

/* Decimal digits at *p, at least one, at most 18. */
static bool number(const char **p, uint64_t *ret)
{
    uint64_t v = 0;
    int digits = 0;

    for (; **p >= '0' && **p <= '9'; (*p)++, digits++) {
        if (digits == 18)
            return false;
        v = v * 10 + (uint64_t)(**p - '0');
    }
    *ret = v;
    return digits > 0;
}

static bool value_fits(const struct work *w, const struct work_op *x,
                       const char *s)
{
    size_t n = strlen(x->key_text);
    uint64_t process, unique;

    if (strncmp(s, x->key_text, n) != 0 || strncmp(s + n, ":p", 2) != 0)
        return false;
    s += n + 2;
    if (!number(&s, &process) || *s++ != ':' || !number(&s, &unique))
        return false;
    return *s == '\0' && unique >= 1 && unique <= w->unique;
}

static bool tokens_fit(const struct work *w, const struct work_op *x,
                       const char *s)
{
    uint64_t key, unique;

    while (*s != '\0') {
        if (*s++ != 't' || !number(&s, &key) || *s++ != '-' ||
            !number(&s, &unique) || *s++ != '.')
            return false;
        if (key != x->key || unique < 1 || unique > w->unique)
            return false;
    }
    return true;
}

bool work_value_fits(const struct work *w, const struct work_op *x,
                     struct slice v)
{
    char *s = mem_alloc(v.n + 1);
    const char *p = s;
    uint64_t sum;
    bool fits;

    if (v.n > 0)
        memcpy(s, v.p, v.n);
    s[v.n] = '\0';
    if (strlen(s) != v.n)
        fits = false;
    else if (w->o->workload == WORK_APPEND)
        fits = v.n > 0 && tokens_fit(w, x, s);
    else if (w->o->workload == WORK_COUNTER)
        fits = number(&p, &sum) && *p == '\0' &&
               (int64_t)sum % work_counter_step(x->key) == 0;
    else
        fits = value_fits(w, x, s);
    mem_free(s);
    return fits;
}
