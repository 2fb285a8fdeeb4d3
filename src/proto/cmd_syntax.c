/* From a syntax line to the "arguments" of COMMAND DOCS, which redis-cli shows as
 * hints while you type.
 *
 *   sequence = term { term }
 *   choice   = sequence { "|" sequence }
 *   term     = word ["..."] | "[" choice "]" ["..."]
 *
 * An upper case word is a token.  Followed by an argument inside the same
 * sequence it names that argument (EX seconds -> integer "seconds", token EX); alone
 * it is a "pure-token".  "[key value]..." without a token inside is a required,
 * repeated block, as in MSET.
 *
 * The lines come from our own table, so a malformed one is our bug; nesting is
 * bounded by the longest of them (DEPTH_MAX). */
#include "proto/cmd.h"

#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "proto/reply.h"

#define DEPTH_MAX 4u
#define WORD_BYTES_MAX 40u

struct text {
    const char *p, *end;
};

static struct text trim(struct text t)
{
    while (t.p < t.end && *t.p == ' ')
        t.p++;
    while (t.p < t.end && t.end[-1] == ' ')
        t.end--;
    return t;
}

/* Cut the next term off; false at the end. */
static bool next_term(struct text *t, struct text *ret)
{
    int open = 0;
    const char *p;

    *t = trim(*t);
    if (t->p == t->end)
        return false;
    for (p = t->p; p < t->end && (open > 0 || *p != ' '); p++)
        open += *p == '[' ? 1 : *p == ']' ? -1 : 0;
    ASSERT(open == 0);
    *ret = (struct text){ t->p, p };
    t->p = p;
    return true;
}

/* Cut the next alternative off; false at the end. */
static bool next_choice(struct text *t, struct text *ret)
{
    int open = 0;
    const char *p;

    if (t->p >= t->end)
        return false;
    for (p = t->p; p < t->end && (open > 0 || *p != '|'); p++)
        open += *p == '[' ? 1 : *p == ']' ? -1 : 0;
    *ret = trim((struct text){ t->p, p });
    t->p = p + 1;
    return true;
}

static bool ends_with_dots(struct text t)
{
    return t.end - t.p > 3 && memcmp(t.end - 3, "...", 3) == 0;
}

static bool is_token(struct text t)
{
    return t.p < t.end && isupper((unsigned char)*t.p);
}

static unsigned count_choices(struct text t)
{
    struct text c;
    unsigned n = 0;

    while (next_choice(&t, &c))
        n++;
    return n;
}

static const char *type_of(const char *name)
{
    static const char *const integers[] = {
        "seconds", "milliseconds", "start",     "end",         "offset",
        "count",   "index",        "decrement", "numreplicas", "timeout",
        "cursor",  "protover",     "revision",  "client-id",
    };

    if (strcmp(name, "key") == 0)
        return "key";
    if (strcmp(name, "pattern") == 0)
        return "pattern";
    if (strncmp(name, "unix-time", 9) == 0)
        return "unix-time";
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++)
        if (strcmp(name, integers[i]) == 0)
            return "integer";
    return "string";
}

/* What is known of an argument before its map is written. */
struct arg {
    char name[WORD_BYTES_MAX];
    const char *type;
    char token[WORD_BYTES_MAX]; /* "" none */
    bool optional, multiple;
    struct text inner;          /* block and oneof: the parts */
};

static void copy_word(char *out, struct text t)
{
    size_t n = (size_t)(t.end - t.p);

    ASSERT(n < WORD_BYTES_MAX);
    memcpy(out, t.p, n);
    out[n] = '\0';
}

static void copy_lower(char *out, struct text t)
{
    copy_word(out, t);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

static bool next_arg(struct text *seq, struct arg *a);

/* How many arguments a sequence has; the first one goes to *ret_first. */
static unsigned count_args(struct text seq, struct arg *ret_first)
{
    struct arg a;
    unsigned n = 0;

    while (next_arg(&seq, &a))
        if (n++ == 0)
            *ret_first = a;
    return n;
}

/* "[ ... ]" */
static void group_arg(struct text inner, struct arg *a)
{
    struct arg first = { .type = "" };
    unsigned parts;

    a->inner = inner;
    if (count_choices(inner) > 1) {
        a->type = "oneof";
        memcpy(a->name, "condition", sizeof "condition");
        return;
    }
    parts = count_args(inner, &first);
    if (parts == 1) {
        bool optional = a->optional, multiple = a->multiple;

        *a = first;
        a->optional = optional;
        a->multiple = multiple || first.multiple;
        return;
    }
    a->type = "block";
    memcpy(a->name, first.name, sizeof a->name);
    if (!is_token(trim(inner)))
        a->optional = !a->multiple;
}

static bool next_arg(struct text *seq, struct arg *a)
{
    struct text t, after, value;

    if (!next_term(seq, &t))
        return false;
    *a = (struct arg){ .type = "" };
    if (ends_with_dots(t)) {
        a->multiple = true;
        t.end -= 3;
    }
    if (*t.p == '[') {
        a->optional = true;
        group_arg((struct text){ t.p + 1, t.end - 1 }, a);
        return true;
    }
    if (!is_token(t)) {
        copy_word(a->name, t);
        a->type = type_of(a->name);
        return true;
    }
    copy_word(a->token, t);
    after = *seq;
    if (next_term(&after, &value) && *value.p != '[' && !is_token(value)) {
        *seq = after;
        if (ends_with_dots(value)) {
            a->multiple = true;
            value.end -= 3;
        }
        copy_word(a->name, value);
        a->type = type_of(a->name);
        return true;
    }
    copy_lower(a->name, t);
    a->type = "pure-token";
    return true;
}

static unsigned put_sequence(struct buf *b, int resp, struct text seq,
                             unsigned depth);
static void put_choices(struct buf *b, int resp, struct text t,
                        unsigned depth);

static void put_arg(struct buf *b, int resp, const struct arg *a,
                    unsigned depth)
{
    bool key = strcmp(a->type, "key") == 0, flags = a->optional || a->multiple;
    bool inner = a->inner.p != NULL, token = a->token[0] != '\0';

    ASSERT(depth < DEPTH_MAX);
    reply_map(b, resp, 2u + key + token + flags + inner);
    reply_bulk_str(b, "name");
    reply_bulk_str(b, a->name);
    reply_bulk_str(b, "type");
    reply_bulk_str(b, a->type);
    if (key) {
        reply_bulk_str(b, "key_spec_index");
        reply_int(b, 0);
    }
    if (token) {
        reply_bulk_str(b, "token");
        reply_bulk_str(b, a->token);
    }
    if (flags) {
        reply_bulk_str(b, "flags");
        reply_set(b, resp, (unsigned)a->optional + a->multiple);
        if (a->optional)
            reply_simple(b, "optional");
        if (a->multiple)
            reply_simple(b, "multiple");
    }
    if (!inner)
        return;
    reply_bulk_str(b, "arguments");
    if (strcmp(a->type, "oneof") == 0)
        put_choices(b, resp, a->inner, depth + 1);
    else
        (void)put_sequence(b, resp, a->inner, depth + 1);
}

static unsigned put_sequence(struct buf *b, int resp, struct text seq,
                             unsigned depth)
{
    struct arg a = { .type = "" };
    unsigned n = count_args(seq, &a);

    reply_array(b, n);
    while (next_arg(&seq, &a))
        put_arg(b, resp, &a, depth);
    return n;
}

/* Alternatives: one argument each, or a block of several. */
static void put_choices(struct buf *b, int resp, struct text t,
                        unsigned depth)
{
    struct text c;
    struct arg a = { .type = "" };

    reply_array(b, count_choices(t));
    while (next_choice(&t, &c)) {
        if (count_args(c, &a) > 1) {
            a.type = "block";
            a.token[0] = '\0';
            a.inner = c;
        }
        put_arg(b, resp, &a, depth);
    }
}

unsigned cmd_put_arguments(struct buf *b, int resp, const char *syntax)
{
    struct text t = { syntax, syntax + strlen(syntax) };
    struct arg one = { .name = "condition", .type = "oneof", .inner = t };

    if (count_choices(t) <= 1)
        return put_sequence(b, resp, t, 0);
    reply_array(b, 1);
    put_arg(b, resp, &one, 0);
    return 1;
}
