/* The history: one line for each call and each return, in the order in which they
 * happened, for there is one writer.
 *
 * A call is written (to the buffer of the file) before its first byte is sent, a
 * return after its last byte was received: the interval in the history contains
 * the real one.  The buffer is flushed at the end, which a signal brings about
 * too. */
#include <stdlib.h>

#include <inttypes.h>

#include "jepsen/client.h"

#define HISTORY_BUFFER_BYTES (1u << 20)

static const char *const names[ORACLE_F_COUNT] = {
    [ORACLE_GET] = "read",      [ORACLE_SET] = "write",
    [ORACLE_SETNX] = "setnx",   [ORACLE_CAS] = "cas",
    [ORACLE_DEL] = "delete",    [ORACLE_INCR] = "add",
    [ORACLE_APPEND] = "append", [ORACLE_GETDEL] = "getdel",
    [ORACLE_PERSIST] = "persist"
};

const char *history_name(enum oracle_f f)
{
    return names[f];
}

/* Keys and values of ours have no byte that needs an escape but these. */
static void text(FILE *f, struct slice s)
{
    fputc('"', f);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            fputc('\\', f);
        fputc(s.p[i], f);
    }
    fputc('"', f);
}

static void maybe(FILE *f, const struct oracle_value *v)
{
    if (v->nil)
        fputs("nil", f);
    else
        text(f, v->bytes);
}

static void value(FILE *f, const struct oracle_op *op)
{
    fputc('[', f);
    text(f, op->key);
    if (op->f == ORACLE_GET) {
        fputc(' ', f);
        if (op->has_result)
            maybe(f, &op->result);
        else
            fputs("nil", f);
    }
    if (op->f == ORACLE_SET || op->f == ORACLE_SETNX ||
        op->f == ORACLE_APPEND) {
        fputc(' ', f);
        text(f, op->arg);
    }
    if (op->f == ORACLE_CAS) {
        fputs(" [", f);
        maybe(f, &op->expect);
        fputc(' ', f);
        text(f, op->arg);
        fputc(']', f);
    }
    if (op->f == ORACLE_INCR)
        fprintf(f, " %" PRId64, op->by);
    if (op->f != ORACLE_GET && op->has_result)
        fprintf(f, " %" PRId64, op->number);
    fputc(']', f);
}

static void line(struct history_file *h, const struct oracle_op *op,
                 const char *type, uint64_t time)
{
    fprintf(h->f, "{:index %" PRIu64 ", :type :%s, :process %" PRIu32
            ", :f :%s, :value ", h->index++, type, op->process, names[op->f]);
    value(h->f, op);
    fprintf(h->f, ", :time %" PRIu64 ", :node %" PRIu64 "}\n", time, op->tag);
}

int history_open(struct history_file *h, const char *path)
{
    *h = (struct history_file){ .f = fopen(path, "w") };
    if (h->f == NULL)
        return -1;
    return setvbuf(h->f, NULL, _IOFBF, HISTORY_BUFFER_BYTES) == 0 ? 0 : -1;
}

void history_call_line(struct history_file *h, const struct oracle_op *op)
{
    line(h, op, "invoke", op->call);
}

void history_return_line(struct history_file *h, const struct oracle_op *op,
                         uint64_t time)
{
    const char *type = op->outcome == ORACLE_OK     ? "ok"
                       : op->outcome == ORACLE_FAIL ? "fail"
                                                    : "info";

    line(h, op, type, time);
}

void history_comment(struct history_file *h, const char *text)
{
    fprintf(h->f, "; %s\n", text);
}

int history_close(struct history_file *h)
{
    bool bad;

    if (h->f == NULL)
        return 0;
    bad = ferror(h->f) != 0;
    bad = fclose(h->f) != 0 || bad;
    h->f = NULL;
    return bad ? -1 : 0;
}
