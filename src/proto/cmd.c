/* Looking commands up, and telling clients about them.
 *
 * Lookup: names are at most 16 bytes, so a name is two machine words.  Setting bit
 * 5 of each byte folds ASCII case; only letters fold onto letters, and names
 * are letters only, so equal words mean equal names and nothing else needs to be
 * compared.  An open-addressing index, a quarter full, holds them; it is built at
 * start from the table.
 *
 * Invariants (test_cmd.c):
 *   1  cmd_table is sorted by name and entry i has id i.
 *   2  names are 1..16 letters; those of subcommands are "parent|word".
 *   3  a command has key positions exactly if it has key flags. */
#include "proto/cmd.h"

#include <string.h>

#include "base/assert.h"
#include "proto/reply.h"

#define NAME_BYTES_MAX 16u
#define FOLD 0x2020202020202020u

static uint64_t pack(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return v;
}

static unsigned hash(uint64_t lo, uint64_t hi)
{
    return (unsigned)(((lo ^ hi * 31) * 0x9e3779b97f4a7c15u) >> 56);
}

/* The folded words of a name; false if it is too long for any command. */
static bool fold(struct slice name, uint64_t *ret_lo, uint64_t *ret_hi)
{
    if (name.n == 0 || name.n > NAME_BYTES_MAX)
        return false;
    if (name.n <= 8) {
        *ret_lo = pack(name.p, name.n) | FOLD;
        *ret_hi = FOLD;
    } else {
        *ret_lo = pack(name.p, 8) | FOLD;
        *ret_hi = pack(name.p + 8, name.n - 8) | FOLD;
    }
    return true;
}

void cmd_index_init(struct cmd_index *ix)
{
    memset(ix, 0, sizeof *ix);
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        struct slice name = slice_str(cmd_table[i].name);
        uint64_t lo = 0, hi = 0;
        unsigned at;

        ASSERT(cmd_table[i].id == (enum cmd_id)i);
        ASSERT(fold(name, &lo, &hi));
        for (at = hash(lo, hi); ix->slots[at].spec != NULL;)
            at = (at + 1) % CMD_INDEX_SIZE;
        ix->slots[at].lo = lo;
        ix->slots[at].hi = hi;
        ix->slots[at].spec = &cmd_table[i];
    }
}

const struct cmd_spec *cmd_find(const struct cmd_index *ix, struct slice name)
{
    uint64_t lo, hi;

    if (!fold(name, &lo, &hi))
        return NULL;
    for (unsigned at = hash(lo, hi); ix->slots[at].spec != NULL;
         at = (at + 1) % CMD_INDEX_SIZE) {
        /* "get" and "get " fold alike: blanks are no letters, but the padding
         * of a short name is blanks too, so the lengths must agree. */
        if (ix->slots[at].lo == lo && ix->slots[at].hi == hi)
            return strlen(ix->slots[at].spec->name) == name.n
                       ? ix->slots[at].spec
                       : NULL;
    }
    return NULL;
}

const struct cmd_spec *cmd_find_sub(const struct cmd_spec *spec,
                                    struct slice name)
{
    size_t skip = strlen(spec->name) + 1;

    for (unsigned i = 0; i < spec->n_subs; i++)
        if (slice_eq_nocase(name, spec->subs[i].name + skip))
            return &spec->subs[i];
    return NULL;
}

struct bit_name {
    unsigned bit;
    const char *name;
};
#define X(id, bit, name) { 1u << bit, name },
static const struct bit_name flag_names[] = { CMD_FLAG_MAP(X) };
static const struct bit_name acl_names[] = { CMD_ACL_MAP(X) };
static const struct bit_name key_names[] = { CMD_KEY_MAP(X) };
static const struct bit_name tip_names[] = { CMD_TIP_MAP(X) };
#undef X
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static unsigned bits_set(unsigned v)
{
    unsigned n = 0;

    for (; v != 0; v &= v - 1)
        n++;
    return n;
}

static void put_flags(struct buf *b, int resp, unsigned v,
                      const struct bit_name *names, size_t n,
                      const char *prefix)
{
    reply_set(b, resp, bits_set(v));
    for (size_t i = 0; i < n; i++)
        if ((v & names[i].bit) != 0)
            buf_printf(b, "+%s%s\r\n", prefix, names[i].name);
}

static void put_tips(struct buf *b, int resp, unsigned v)
{
    reply_set(b, resp, bits_set(v));
    for (size_t i = 0; i < COUNT(tip_names); i++)
        if ((v & tip_names[i].bit) != 0)
            reply_bulk_str(b, tip_names[i].name);
}

static void put_key_spec(struct buf *b, int resp, const struct cmd_spec *s)
{
    reply_map(b, resp, 3);
    reply_bulk_str(b, "flags");
    put_flags(b, resp, s->key_flags, key_names, COUNT(key_names), "");
    reply_bulk_str(b, "begin_search");
    reply_map(b, resp, 2);
    reply_bulk_str(b, "type");
    reply_bulk_str(b, "index");
    reply_bulk_str(b, "spec");
    reply_map(b, resp, 1);
    reply_bulk_str(b, "index");
    reply_int(b, s->first);
    reply_bulk_str(b, "find_keys");
    reply_map(b, resp, 2);
    reply_bulk_str(b, "type");
    reply_bulk_str(b, "range");
    reply_bulk_str(b, "spec");
    reply_map(b, resp, 3);
    reply_bulk_str(b, "lastkey");
    reply_int(b, s->last < 0 ? s->last : s->last - s->first);
    reply_bulk_str(b, "keystep");
    reply_int(b, s->step);
    reply_bulk_str(b, "limit");
    reply_int(b, 0);
}

/* Everything but the subcommands. */
static void put_info_head(struct buf *b, int resp, const struct cmd_spec *s)
{
    reply_array(b, 10);
    reply_bulk_str(b, s->name);
    reply_int(b, s->arity);
    put_flags(b, resp, s->flags, flag_names, COUNT(flag_names), "");
    reply_int(b, s->first);
    reply_int(b, s->last);
    reply_int(b, s->step);
    put_flags(b, resp, s->acl, acl_names, COUNT(acl_names), "@");
    put_tips(b, resp, s->tips);
    if (s->key_flags == 0) {
        reply_set(b, resp, 0);
    } else {
        reply_set(b, resp, 1);
        put_key_spec(b, resp, s);
    }
}

void cmd_put_info(struct buf *b, int resp, const struct cmd_spec *s)
{
    put_info_head(b, resp, s);
    reply_set(b, resp, s->n_subs);
    for (unsigned i = 0; i < s->n_subs; i++) {
        put_info_head(b, resp, &s->subs[i]);
        reply_set(b, resp, 0);
    }
}

static void put_docs_head(struct buf *b, int resp, const struct cmd_spec *s,
                          bool more)
{
    bool arguments = s->syntax[0] != '\0';

    reply_bulk_str(b, s->name);
    reply_map(b, resp, 4u + arguments + more);
    reply_bulk_str(b, "summary");
    reply_bulk_str(b, s->summary);
    reply_bulk_str(b, "since");
    reply_bulk_str(b, s->since);
    reply_bulk_str(b, "group");
    reply_bulk_str(b, s->group);
    reply_bulk_str(b, "complexity");
    reply_bulk_str(b, s->complexity);
    if (arguments) {
        reply_bulk_str(b, "arguments");
        (void)cmd_put_arguments(b, resp, s->syntax);
    }
}

void cmd_put_docs(struct buf *b, int resp, const struct cmd_spec *s)
{
    put_docs_head(b, resp, s, s->n_subs > 0);
    if (s->n_subs == 0)
        return;
    reply_bulk_str(b, "subcommands");
    reply_map(b, resp, s->n_subs);
    for (unsigned i = 0; i < s->n_subs; i++)
        put_docs_head(b, resp, &s->subs[i], false);
}
