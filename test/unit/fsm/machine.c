/* See machine.h. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/slot.h"

#include "lib/test.h"

#define WORDS_MAX 16

void machine_init(struct machine *m)
{
    *m = (struct machine){ .f = fsm_new(0x5eed), .now = 1000 };
    buf_init(&m->answer);
    buf_init(&m->log);
}

void machine_close(struct machine *m)
{
    fsm_check(m->f);
    fsm_free(m->f);
    buf_close(&m->answer);
    buf_close(&m->log);
}

static void put_items(struct buf *b, struct slice items)
{
    struct cursor c = cursor_make(items);
    const char *gap = "";
    struct slice item;
    bool nil;

    buf_put_str(b, "[");
    while (op_items_next(&c, &nil, &item)) {
        buf_put_str(b, gap);
        if (nil)
            buf_put_str(b, "nil");
        else
            buf_put_slice(b, item);
        gap = " ";
    }
    CHECK(cursor_done(&c));
    buf_put_str(b, "]");
}

static void render(struct buf *b, const struct op_result *r)
{
    buf_clear(b);
    switch (r->type) {
    case OP_RES_OK:
        buf_put_str(b, "OK");
        break;
    case OP_RES_NIL:
        buf_put_str(b, "nil");
        break;
    case OP_RES_INT:
        buf_printf(b, "int %lld", (long long)r->num);
        break;
    case OP_RES_BULK:
        buf_put_str(b, "bulk ");
        buf_put_slice(b, r->bulk);
        break;
    case OP_RES_ARRAY:
        put_items(b, r->bulk);
        break;
    case OP_RES_ERR:
        buf_printf(b, "err %lld", (long long)r->num);
        break;
    case OP_RES_PAIR:
        buf_printf(b, "pair %lld %lld", (long long)r->num,
                   (long long)r->num2);
        break;
    case OP_RES_SCAN:
        buf_printf(b, "scan %lld ", (long long)r->num);
        put_items(b, r->bulk);
        break;
    }
    buf_put_u8(b, 0);
}

static void on_result(void *ctx, uint64_t i, const struct op *op,
                      const struct op_result *res)
{
    struct machine *m = ctx;
    struct buf copy;
    struct op_result again;

    (void)i;
    (void)op;
    buf_init(&copy);
    op_result_encode(&copy, res);
    CHECK_EQ(op_result_decode(buf_slice(&copy), &again), 0);
    buf_close(&copy);
    render(&m->answer, res);
}

void machine_apply(struct machine *m, struct slice batch)
{
    buf_put_bytes(&m->log, batch);
    CHECK_EQ(fsm_apply(m->f, ++m->index, batch, on_result, m), 0);
}

const char *machine_op(struct machine *m, const struct op *op)
{
    struct buf bytes, batch;
    struct op_result res;

    if (!op_is_write(op->kind)) {
        fsm_read(m->f, op, m->now, &res);
        render(&m->answer, &res);
        return (const char *)buf_at(&m->answer);
    }
    buf_init(&bytes);
    buf_init(&batch);
    op_encode(&bytes, op);
    op_batch_begin(&batch, m->now, 1);
    op_batch_add(&batch, buf_slice(&bytes));
    buf_clear(&m->answer);
    machine_apply(m, buf_slice(&batch));
    buf_close(&bytes);
    buf_close(&batch);
    return (const char *)buf_at(&m->answer);
}

static enum op_kind kind_of(const char *name)
{
#define X(kind, value, is_write)   \
    if (strcmp(name, #kind) == 0) \
        return OP_##kind;
    OP_KIND_MAP(X)
#undef X
    FAIL("no such kind: %s", name);
}

static void flag_of(struct op *op, const char *word)
{
    static const struct {
        const char *name;
        unsigned flag;
    } flags[] = {
        { "NX", OP_NX },           { "XX", OP_XX },
        { "GT", OP_GT },           { "LT", OP_LT },
        { "GET", OP_GETOLD },      { "KEEPTTL", OP_KEEPTTL },
        { "IFEQ", OP_IFEQ },       { "IFREV", OP_IFREV },
        { "PERSIST", OP_PERSIST_TTL }, { "SETNX", OP_SETNX_REPLY },
        { "RETRY", OP_RETRY },     { "REL=", OP_TIME_REL },
        { "ABS=", OP_TIME_ABS },
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        const char *eq = strchr(flags[i].name, '=');
        size_t n = eq == NULL ? strlen(word) : 4;

        if (strncmp(word, flags[i].name, n) != 0 ||
            strlen(flags[i].name) != n)
            continue;
        op->flags |= (uint16_t)flags[i].flag;
        if (eq != NULL)
            op->time = strtoll(word + n, NULL, 10);
        return;
    }
    FAIL("no such flag: %s", word);
}

const char *say(struct machine *m, const char *line)
{
    char words[1024], *rest = words, *word;
    struct slice argv[WORDS_MAX];
    uint8_t numbers[WORDS_MAX][8];
    struct op op = { .slot = SLOT_COUNT, .argv = argv };

    CHECK((size_t)snprintf(words, sizeof(words), "%s", line) < sizeof(words));
    op.kind = kind_of(strtok_r(words, " ", &rest));
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        CHECK(op.argc < WORDS_MAX);
        if (word[0] == '+' && word[1] >= 'A') {
            flag_of(&op, word + 1);
            continue;
        }
        if (word[0] == '#') {
            put_u64le(numbers[op.argc], strtoull(word + 1, NULL, 10));
            argv[op.argc] = slice_make(numbers[op.argc], 8);
        } else {
            argv[op.argc] = slice_str(strcmp(word, "''") == 0 ? "" : word);
        }
        op.argc++;
    }
    if (op_is_write(op.kind) && m->origin != 0) {
        op.origin = m->origin;
        op.seq = m->seq;
        op.low = m->low;
    }
    return machine_op(m, &op);
}

const char *say_as(struct machine *m, uint64_t origin, uint64_t seq,
                   uint64_t low, const char *line)
{
    const char *answer;

    m->origin = origin;
    m->seq = seq;
    m->low = low;
    answer = say(m, line);
    m->origin = 0;
    return answer;
}
