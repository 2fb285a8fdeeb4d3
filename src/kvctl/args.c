/* The arguments of a subcommand: its own options and what remains.
 *
 * Options begin with two dashes and stand anywhere; "--name=number" and "--name
 * number" are the same.  What stood after "--" is never an option. */
#include <stdio.h>
#include <string.h>

#include "kvctl/kvctl.h"

bool kvctl_number(const char *s, unsigned long long min,
                  unsigned long long max, unsigned long long *ret)
{
    unsigned long long v = 0;

    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        unsigned d = (unsigned)(*s - '0');

        if (*s < '0' || *s > '9' || d > max || v > (max - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v < min)
        return false;
    *ret = v;
    return true;
}

bool kvctl_is_literal(const struct kvctl *k, char *const *arg)
{
    return arg >= k->literal;
}

/* The option that arg names; *ret_value is what stands after '=', or NULL. */
static const struct kvctl_option *find(const struct kvctl_option *options,
                                       const char *arg, const char **ret_value)
{
    size_t n = strcspn(arg, "=");

    *ret_value = arg[n] == '=' ? arg + n + 1 : NULL;
    for (const struct kvctl_option *o = options; o != NULL && o->name; o++)
        if (strlen(o->name) == n && strncmp(o->name, arg, n) == 0)
            return o;
    return NULL;
}

/* Take the option at argv[i]; returns the index of the last argument it used, or
 * -1. */
static int take_option(const struct kvctl_option *options, int argc,
                       char **argv, int i)
{
    char text[160];
    const char *value;
    const struct kvctl_option *o = find(options, argv[i], &value);

    if (o == NULL || (o->max == 0 && value != NULL)) {
        snprintf(text, sizeof text, "no option '%.60s' (after -- it is taken "
                 "as it is)", argv[i]);
        kvctl_usage(argv[0], text);
        return -1;
    }
    if (o->max > 0 && value == NULL && i + 1 < argc)
        value = argv[++i];
    if (o->max > 0 && (value == NULL ||
                       !kvctl_number(value, o->min, o->max, o->value))) {
        snprintf(text, sizeof text, "%s needs a number from %llu to %llu",
                 o->name, o->min, o->max);
        kvctl_usage(argv[0], text);
        return -1;
    }
    if (o->given != NULL)
        *o->given = true;
    return i;
}

int kvctl_parse(struct kvctl *k, int argc, char **argv,
                const struct kvctl_option *options, int min, int max)
{
    int n = 0;

    for (int i = 1; i < argc; i++) {
        bool literal = kvctl_is_literal(k, &argv[i]);

        if (literal || strncmp(argv[i], "--", 2) != 0) {
            argv[++n] = argv[i];
            if (literal && &argv[n] < k->literal)
                k->literal = &argv[n];
            continue;
        }
        i = take_option(options, argc, argv, i);
        if (i < 0)
            return -1;
    }
    if (n < min)
        kvctl_usage(argv[0], "too few arguments");
    else if (n > max)
        kvctl_usage(argv[0], "too many arguments");
    return n < min || n > max ? -1 : n;
}
