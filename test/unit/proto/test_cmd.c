/* The command table: it is consistent, and what it tells clients parses. */
#include "proto/cmd.h"

#include <stdio.h>
#include <string.h>

#include "lib/test.h"
#include "proto/resp.h"

static void check_spec(const struct cmd_spec *s)
{
    CHECK(s->summary != NULL && strlen(s->summary) > 10);
    CHECK(s->since != NULL && s->complexity != NULL && s->group != NULL);
    CHECK(s->syntax != NULL);
    CHECK(s->arity != 0);
    CHECK((s->key_flags != 0) == (s->first != 0));
    CHECK((s->first != 0) == (s->step != 0));
    CHECK(((s->acl & CMD_ACL_FAST) != 0) != ((s->acl & CMD_ACL_SLOW) != 0));
    CHECK(((s->flags & CMD_F_FAST) != 0) == ((s->acl & CMD_ACL_FAST) != 0));
    CHECK(((s->flags & CMD_F_WRITE) != 0) == ((s->acl & CMD_ACL_WRITE) != 0));
    CHECK(((s->flags & CMD_F_READONLY) != 0) ==
          ((s->acl & CMD_ACL_READ) != 0));
}

TEST(cmd, the_table_is_sorted_and_complete)
{
    static const char *const names[] = {
#define X(id, name) name,
        CMD_MAP(X)
#undef X
    };

    for (unsigned i = 0; i < CMD_COUNT; i++) {
        CHECK_STR(cmd_table[i].name, names[i]);
        CHECK_EQ(cmd_table[i].id, i);
        CHECK(i == 0 || strcmp(names[i - 1], names[i]) < 0);
        CHECK(strlen(names[i]) <= 16);
        CHECK_EQ(strspn(names[i], "abcdefghijklmnopqrstuvwxyz"),
                 strlen(names[i]));
        check_spec(&cmd_table[i]);
    }
}

TEST(cmd, every_subcommand_is_in_its_container)
{
    unsigned next = CMD_COUNT;

    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const struct cmd_spec *s = &cmd_table[i];

        for (unsigned j = 0; j < s->n_subs; j++) {
            size_t n = strlen(s->name);

            CHECK_EQ(s->subs[j].id, next++);
            CHECK(strncmp(s->subs[j].name, s->name, n) == 0);
            CHECK_EQ(s->subs[j].name[n], '|');
            check_spec(&s->subs[j]);
            CHECK(cmd_find_sub(s, slice_str(s->subs[j].name + n + 1)) ==
                  &s->subs[j]);
        }
        CHECK(cmd_find_sub(s, slice_str("nothing")) == NULL);
    }
    CHECK_EQ(next, CMD_ID_END);
}

TEST(cmd, lookup_ignores_case_and_finds_nothing_else)
{
    static struct cmd_index ix;
    char upper[20];

    cmd_index_init(&ix);
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const char *name = cmd_table[i].name;
        size_t n = strlen(name);

        CHECK(cmd_find(&ix, slice_str(name)) == &cmd_table[i]);
        for (size_t j = 0; j <= n; j++)
            upper[j] = j < n ? (char)(name[j] - 32) : '\0';
        CHECK(cmd_find(&ix, slice_str(upper)) == &cmd_table[i]);
        (void)snprintf(upper, sizeof upper, "%s ", name);
        CHECK(cmd_find(&ix, slice_str(upper)) == NULL);
        (void)snprintf(upper, sizeof upper, "%sx", name);
        CHECK(cmd_find(&ix, slice_str(upper)) == NULL);
    }
    CHECK(cmd_find(&ix, slice_str("")) == NULL);
    CHECK(cmd_find(&ix, slice_make("get\0", 4)) == NULL);
    CHECK(cmd_find(&ix, slice_str("a23456789012345678")) == NULL);
}

TEST(cmd, arity_is_exact_or_a_minimum)
{
    CHECK(cmd_arity_ok(&cmd_table[CMD_GET], 2));
    CHECK(!cmd_arity_ok(&cmd_table[CMD_GET], 3));
    CHECK(!cmd_arity_ok(&cmd_table[CMD_SET], 2));
    CHECK(cmd_arity_ok(&cmd_table[CMD_SET], 3));
    CHECK(cmd_arity_ok(&cmd_table[CMD_SET], 9));
}

/* The bytes are exactly `n` complete replies. */
static void check_complete(struct slice in, unsigned n)
{
    struct resp_reply r;

    resp_reply_init(&r, 1 << 16);
    while (in.n > 0) {
        struct resp_item it = { .last = false };
        size_t used = 0;

        CHECK_EQ(resp_reply_next(&r, in, &it, &used), 0);
        in.p += used;
        in.n -= used;
        n -= it.last;
        CHECK(it.type != RESP_ERROR);
    }
    CHECK_EQ(n, 0);
}

TEST(cmd, info_and_docs_of_every_command_are_well_formed)
{
    for (int resp = 2; resp <= 3; resp++) {
        for (unsigned i = 0; i < CMD_COUNT; i++) {
            struct buf b;

            buf_init(&b);
            cmd_put_info(&b, resp, &cmd_table[i]);
            check_complete(buf_slice(&b), 1);
            buf_clear(&b);
            cmd_put_docs(&b, resp, &cmd_table[i]);
            check_complete(buf_slice(&b), 2);
            buf_close(&b);
        }
    }
}

static void check_arguments(const char *syntax, const char *want)
{
    struct buf b;

    buf_init(&b);
    (void)cmd_put_arguments(&b, 2, syntax);
    buf_put_u8(&b, '\0');
    for (size_t i = 0; i < b.len; i++)
        if (buf_at(&b)[i] == '\r' || buf_at(&b)[i] == '\n')
            buf_at(&b)[i] = ' ';
    CHECK_STR((const char *)buf_at(&b), want);
    buf_close(&b);
}

TEST(cmd, arguments_are_derived_from_the_syntax)
{
    check_arguments("key", "*1  *6  $4  name  $3  key  $4  type  $3  key  $14"
                           "  key_spec_index  :0  ");
    check_arguments("[GET]",
                    "*1  *8  $4  name  $3  get  $4  type  $10  pure-token  $5"
                    "  token  $3  GET  $5  flags  *1  +optional  ");
    check_arguments("[EX seconds | KEEPTTL]",
                    "*1  *8  $4  name  $9  condition  $4  type  $5  oneof  $5"
                    "  flags  *1  +optional  $9  arguments  *2  "
                    "*6  $4  name  $7  seconds  $4  type  $7  integer  $5  "
                    "token  $2  EX  "
                    "*6  $4  name  $7  keepttl  $4  type  $10  pure-token  $5"
                    "  token  $7  KEEPTTL  ");
}
