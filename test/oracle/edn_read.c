/* Histories from EDN.
 *
 * Each top-level map is a line of the history: a call (:invoke) or what became of
 * it (:ok, :fail, :info).  The lines may stand in one vector, as some tools write
 * them.  A return belongs to the open call of its process on the same key; calls
 * without one stay open.
 *
 * Everything that is not understood is an error with its line: a checker that
 * skips what it does not know says "linearizable" of what it did not read. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "oracle/edn_int.h"

/* A call that has not returned. */
struct open_call {
    struct open_call *next; /* owned; of the same process */
    size_t op;
    size_t line;
};

struct reading {
    struct edn_reader edn;
    struct history *h; /* owned until the end */
    struct map open;   /* by process: struct open_call, owned */
    size_t line;       /* where the current map begins */
};

/* The entries of a map; NULL: not there. */
struct entries {
    const struct edn_form *type, *process, *f, *value, *time, *ttl, *error;
};

static const char *const f_names[ORACLE_F_COUNT] = {
    [ORACLE_GET] = "read",      [ORACLE_SET] = "write",
    [ORACLE_SETNX] = "setnx",   [ORACLE_CAS] = "cas",
    [ORACLE_DEL] = "delete",    [ORACLE_INCR] = "add",
    [ORACLE_APPEND] = "append", [ORACLE_GETDEL] = "getdel",
    [ORACLE_PERSIST] = "persist",
};

/* ---- what stands in a map ---- */

static const struct edn_form *next_of(const struct reading *r,
                                      const struct edn_form *f)
{
    return f == NULL || f->next == 0 ? NULL : &r->edn.forms[f->next];
}

static const struct edn_form *first_of(const struct reading *r,
                                       const struct edn_form *f)
{
    return f->first == 0 ? NULL : &r->edn.forms[f->first];
}

static bool is_word(const struct reading *r, const struct edn_form *f,
                    const char *word)
{
    return f != NULL && f->kind == EDN_KEYWORD &&
           slice_eq(edn__text(&r->edn, f), slice_str(word));
}

static int find_entries(struct reading *r, const struct edn_form *map,
                        struct entries *ret)
{
    struct {
        const char *name;
        const struct edn_form **at;
    } known[] = { { "type", &ret->type },   { "process", &ret->process },
                  { "f", &ret->f },         { "value", &ret->value },
                  { "time", &ret->time },   { "ttl", &ret->ttl },
                  { "error", &ret->error } };
    const struct edn_form *key, *value;

    *ret = (struct entries){ .type = NULL };
    for (key = first_of(r, map); key != NULL; key = next_of(r, value)) {
        value = next_of(r, key);
        ASSERT(value != NULL);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (!is_word(r, key, known[i].name))
                continue;
            if (*known[i].at != NULL)
                return edn__fail(&r->edn, ":%s stands twice", known[i].name);
            *known[i].at = value;
        }
    }
    return 0;
}

/* A key or a value: a string, a keyword's name or an integer.  In *room, if it has to
 * be written out. */
static int bytes(struct reading *r, const struct edn_form *f, const char *what,
                 char room[24], struct slice *ret)
{
    if (f != NULL && f->kind == EDN_INTEGER) {
        snprintf(room, 24, "%" PRId64, f->integer);
        *ret = slice_str(room);
        return 0;
    }
    if (f == NULL || (f->kind != EDN_STRING && f->kind != EDN_KEYWORD))
        return edn__fail(&r->edn, "%s is not a string or an integer", what);
    *ret = edn__text(&r->edn, f);
    return 0;
}

static int bytes_or_nil(struct reading *r, const struct edn_form *f,
                        const char *what, char room[24],
                        struct oracle_value *ret)
{
    ret->nil = f != NULL && f->kind == EDN_NIL;
    ret->bytes = slice_make(NULL, 0);
    return ret->nil ? 0 : bytes(r, f, what, room, &ret->bytes);
}

static int integer(struct reading *r, const struct edn_form *f,
                   const char *what, int64_t *ret)
{
    if (f == NULL || f->kind != EDN_INTEGER)
        return edn__fail(&r->edn, "%s is not an integer", what);
    *ret = f->integer;
    return 0;
}

/* Room for integers that stand for bytes. */
struct rooms {
    char key[24], arg[24], expect[24];
};

static int read_cas(struct reading *r, const struct edn_form *pair,
                    struct rooms *rooms, struct oracle_op *op)
{
    const struct edn_form *old;
    int rv;

    if (pair == NULL || pair->kind != EDN_LIST ||
        next_of(r, next_of(r, first_of(r, pair))) != NULL)
        return edn__fail(&r->edn, "the value of a :cas is [key [old new]]");
    old = first_of(r, pair);
    rv = bytes_or_nil(r, old, "the old value", rooms->expect, &op->expect);
    if (rv != 0)
        return rv;
    return bytes(r, next_of(r, old), "the new value", rooms->arg, &op->arg);
}

/* What is asked for, after the key; *ret_rest is the form after that. */
static int read_args(struct reading *r, const struct edn_form *arg,
                     struct rooms *rooms, struct oracle_op *op,
                     const struct edn_form **ret_rest)
{
    int rv = 0;

    *ret_rest = arg;
    switch (op->f) {
    case ORACLE_SET:
    case ORACLE_SETNX:
    case ORACLE_APPEND:
        rv = bytes(r, arg, "what is written", rooms->arg, &op->arg);
        break;
    case ORACLE_CAS:
        rv = read_cas(r, arg, rooms, op);
        break;
    case ORACLE_INCR:
        rv = integer(r, arg, "what is added", &op->by);
        break;
    case ORACLE_GET:
    case ORACLE_GETDEL:
    case ORACLE_DEL:
    case ORACLE_PERSIST:
    case ORACLE_F_COUNT:
        return 0;
    }
    if (rv == 0)
        *ret_rest = next_of(r, arg);
    return rv;
}

/* :f and :value; the key, the arguments, and where a result would stand. */
static int read_operation(struct reading *r, const struct entries *e,
                          struct rooms *rooms, struct oracle_op *ret,
                          const struct edn_form **ret_result)
{
    const struct edn_form *key;
    size_t f = 0;
    int rv;

    while (f < ORACLE_F_COUNT && !is_word(r, e->f, f_names[f]))
        f++;
    if (f == ORACLE_F_COUNT)
        return edn__fail(&r->edn, "there is no :f of ours");
    *ret = (struct oracle_op){ .f = (enum oracle_f)f };
    if (e->value == NULL || e->value->kind != EDN_LIST)
        return edn__fail(&r->edn, ":value is not a vector");
    key = first_of(r, e->value);
    rv = bytes(r, key, "the key", rooms->key, &ret->key);
    if (rv != 0)
        return rv;
    return read_args(r, next_of(r, key), rooms, ret, ret_result);
}

static int read_ttl(struct reading *r, const struct entries *e,
                    struct oracle_op *op)
{
    if (e->ttl == NULL || e->ttl->kind == EDN_NIL)
        return 0;
    if (e->ttl->kind != EDN_INTEGER || e->ttl->integer <= 0)
        return edn__fail(&r->edn, ":ttl is not a number of ns");
    if (op->f != ORACLE_SET && op->f != ORACLE_SETNX)
        return edn__fail(&r->edn, ":ttl belongs to :write and :setnx");
    op->ttl = (uint64_t)e->ttl->integer;
    return 0;
}

static int read_result(struct reading *r, const struct edn_form *f,
                       struct rooms *rooms, struct oracle_op *op)
{
    int rv;

    if (f == NULL)
        return 0;
    if (op->f == ORACLE_SET)
        return edn__fail(&r->edn, "a :write has no result");
    if (op->f == ORACLE_GET || op->f == ORACLE_GETDEL) {
        rv = bytes_or_nil(r, f, "the result", rooms->arg, &op->result);
    } else {
        rv = integer(r, f, "the result", &op->number);
        if (rv == 0 && op->f != ORACLE_INCR && op->f != ORACLE_APPEND &&
            op->number != 0 && op->number != 1)
            return edn__fail(&r->edn, "the result is neither 0 nor 1");
    }
    if (rv == 0 && next_of(r, f) != NULL)
        return edn__fail(&r->edn, ":value is too long");
    op->has_result = rv == 0;
    return rv;
}

/* ---- calls and returns ---- */

static int on_call(struct reading *r, const struct entries *e,
                   uint32_t process, uint64_t time)
{
    struct open_call *first = map_get(&r->open, process), *o;
    const struct edn_form *result;
    struct rooms rooms;
    struct oracle_op op;
    int rv;

    rv = read_operation(r, e, &rooms, &op, &result);
    if (rv != 0)
        return rv;
    rv = read_ttl(r, e, &op);
    if (rv != 0)
        return rv;
    for (o = first; o != NULL; o = o->next) {
        if (slice_eq(history_at(r->h, o->op)->key, op.key))
            return edn__fail(&r->edn, "process %" PRIu32 " calls while its "
                             "call of line %zu is open", process, o->line);
    }
    op.process = process;
    op.call = time;
    op.tag = r->line;
    o = MEM_NEW(struct open_call);
    *o = (struct open_call){ .next = first,
                             .op = history_call(r->h, &op),
                             .line = r->line };
    map_put(&r->open, process, o);
    return 0;
}

/* The open call that the line ends; it is taken out of the list. */
static struct open_call *take_open(struct reading *r, uint32_t process,
                                   const struct oracle_op *op)
{
    struct open_call *first = map_get(&r->open, process), **at, *found;

    for (at = &first; *at != NULL; at = &(*at)->next) {
        const struct oracle_op *call = history_at(r->h, (*at)->op);

        if (call->f == op->f && slice_eq(call->key, op->key))
            break;
    }
    found = *at;
    if (found == NULL)
        return NULL;
    *at = found->next;
    if (first == NULL)
        map_del(&r->open, process);
    else
        map_put(&r->open, process, first);
    return found;
}

static bool same_arguments(const struct oracle_op *a,
                           const struct oracle_op *b)
{
    return slice_eq(a->arg, b->arg) && a->by == b->by &&
           a->expect.nil == b->expect.nil &&
           slice_eq(a->expect.bytes, b->expect.bytes);
}

static int on_return(struct reading *r, const struct entries *e,
                     uint32_t process, uint64_t time)
{
    const struct edn_form *result;
    enum oracle_outcome outcome;
    struct open_call *call;
    struct rooms rooms;
    struct oracle_op op;
    int rv;

    rv = read_operation(r, e, &rooms, &op, &result);
    if (rv != 0)
        return rv;
    call = take_open(r, process, &op);
    if (call == NULL)
        return edn__fail(&r->edn, "process %" PRIu32 " returns from what it "
                         "did not call", process);
    rv = same_arguments(history_at(r->h, call->op), &op)
             ? 0
             : edn__fail(&r->edn, "it was called with another value on "
                         "line %zu", call->line);
    outcome = is_word(r, e->type, "ok")     ? ORACLE_OK
              : is_word(r, e->type, "fail") ? ORACLE_FAIL
                                            : ORACLE_UNKNOWN;
    if (rv == 0 && outcome == ORACLE_OK)
        rv = read_result(r, result, &rooms, &op);
    if (rv == 0 && outcome == ORACLE_FAIL && op.f == ORACLE_CAS &&
        is_word(r, e->error, "mismatch")) {
        outcome = ORACLE_OK;
        op.has_result = true; /* it found another value: number 0 */
    }
    if (rv == 0 && time < history_at(r->h, call->op)->call)
        rv = edn__fail(&r->edn, "it returns before its call of line %zu",
                       call->line);
    if (rv == 0)
        history_return(r->h, call->op, outcome, time, op.has_result,
                       op.result, op.number);
    mem_free(call);
    return rv;
}

static int on_map(struct reading *r, const struct edn_form *map)
{
    struct entries e;
    int64_t process, time;
    int rv;

    rv = find_entries(r, map, &e);
    if (rv != 0)
        return rv;
    if (e.process != NULL && e.process->kind == EDN_KEYWORD) {
        history_add_other(r->h);
        return 0;
    }
    rv = integer(r, e.process, ":process", &process);
    if (rv == 0)
        rv = integer(r, e.time, ":time", &time);
    if (rv != 0)
        return rv;
    if (process < 0 || process > UINT32_MAX)
        return edn__fail(&r->edn, ":process is out of range");
    if (time < 0)
        return edn__fail(&r->edn, ":time is negative");
    if (is_word(r, e.type, "invoke"))
        return on_call(r, &e, (uint32_t)process, (uint64_t)time);
    if (is_word(r, e.type, "ok") || is_word(r, e.type, "fail") ||
        is_word(r, e.type, "info"))
        return on_return(r, &e, (uint32_t)process, (uint64_t)time);
    return edn__fail(&r->edn, ":type is not :invoke, :ok, :fail or :info");
}

/* ---- the file ---- */

static int read_lines(struct reading *r)
{
    bool in_vector = false;
    int c = edn__peek(&r->edn), rv;

    if (c == '[') {
        in_vector = true;
        r->edn.at++;
    }
    for (;;) {
        const struct edn_form *f;

        c = edn__peek(&r->edn);
        r->line = r->edn.line;
        if (c == ']' && in_vector) {
            r->edn.at++;
            if (edn__peek(&r->edn) < 0)
                return 0;
            return edn__fail(&r->edn, "something follows the vector");
        }
        if (c < 0 && !in_vector)
            return 0;
        if (c < 0)
            return edn__fail(&r->edn, "']' is missing");
        rv = edn__read(&r->edn, &f);
        if (rv != 0)
            return rv;
        if (f == &r->edn.forms[0])
            continue; /* #_ */
        if (f->kind != EDN_MAP)
            return edn__fail(&r->edn, "not a map");
        rv = on_map(r, f);
        if (rv != 0)
            return rv;
    }
}

static int slurp(FILE *f, struct buf *ret, char *errmsg, size_t n)
{
    uint8_t block[65536];
    size_t got;

    buf_init(ret);
    while ((got = fread(block, 1, sizeof block, f)) > 0) {
        buf_put(ret, block, got);
        if (ret->len > EDN_FILE_BYTES_MAX) {
            snprintf(errmsg, n, "line 1: the file is over 4 GiB");
            return KV_EPROTO;
        }
    }
    if (ferror(f)) {
        snprintf(errmsg, n, "line 1: the file cannot be read");
        return KV_EPROTO;
    }
    return 0;
}

static void free_open(struct map *open)
{
    struct open_call *o, *next;
    size_t it = 0;
    uint64_t process;

    while ((o = map_next(open, &it, &process)) != NULL) {
        for (; o != NULL; o = next) {
            next = o->next;
            mem_free(o);
        }
    }
    map_close(open);
}

int edn_read(FILE *f, struct history **ret, char *errmsg, size_t n)
{
    struct reading r = { .h = NULL };
    struct buf text;
    int rv;

    rv = slurp(f, &text, errmsg, n);
    if (rv == 0) {
        edn__open(&r.edn, buf_slice(&text));
        map_init(&r.open);
        r.h = history_new();
        rv = read_lines(&r);
        if (rv != 0)
            snprintf(errmsg, n, "line %zu: %s", r.edn.line, r.edn.why);
        free_open(&r.open);
        edn__close(&r.edn);
    }
    buf_close(&text);
    if (rv == 0)
        *ret = r.h;
    else
        history_free(r.h);
    return rv;
}
