/* Histories as EDN, one line for a call and one for what became of it.
 *
 * A compare-and-set that found another value is :fail with :error :mismatch: other
 * checkers take it as what did not happen, and edn_read takes it as the result 0. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle/edn.h"
#include "oracle/oracle_int.h"

static void put_bytes(FILE *f, struct slice s)
{
    fputc('"', f);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            fprintf(f, "\\%c", s.p[i]);
        else if (s.p[i] >= 0x20 && s.p[i] < 0x7f)
            fputc(s.p[i], f);
        else
            fprintf(f, "\\u%04x", s.p[i]);
    }
    fputc('"', f);
}

static void put_value(FILE *f, const struct oracle_value *v)
{
    if (v->nil)
        fputs("nil", f);
    else
        put_bytes(f, v->bytes);
}

static void put_line(FILE *f, uint64_t index, const struct oracle_op *op,
                     const char *type, bool result, uint64_t time)
{
    static const char *const names[ORACLE_F_COUNT] = {
        [ORACLE_GET] = "read",      [ORACLE_SET] = "write",
        [ORACLE_SETNX] = "setnx",   [ORACLE_CAS] = "cas",
        [ORACLE_DEL] = "delete",    [ORACLE_INCR] = "add",
        [ORACLE_APPEND] = "append", [ORACLE_GETDEL] = "getdel",
        [ORACLE_PERSIST] = "persist",
    };
    bool reads = op->f == ORACLE_GET || op->f == ORACLE_GETDEL;

    ASSERT(op->f < ORACLE_F_COUNT);
    fprintf(f, "{:index %" PRIu64 ", :type :%s, :process %" PRIu32
            ", :f :%s, :value [", index, type, op->process, names[op->f]);
    put_bytes(f, op->key);
    if (op->f == ORACLE_SET || op->f == ORACLE_SETNX || op->f == ORACLE_APPEND) {
        fputc(' ', f);
        put_bytes(f, op->arg);
    } else if (op->f == ORACLE_INCR) {
        fprintf(f, " %" PRId64, op->by);
    } else if (op->f == ORACLE_CAS) {
        fputs(" [", f);
        put_value(f, &op->expect);
        fputc(' ', f);
        put_bytes(f, op->arg);
        fputc(']', f);
    } else if (reads && !result) {
        /* Nothing stands for a result that is not known, nil for one to come. */
        fputs(slice_eq(slice_str(type), slice_str("ok")) ? "" : " nil", f);
    }
    if (result && reads) {
        fputc(' ', f);
        put_value(f, &op->result);
    } else if (result) {
        fprintf(f, " %" PRId64, op->number);
    }
    fprintf(f, "], :time %" PRIu64, time);
    if (op->ttl != 0)
        fprintf(f, ", :ttl %" PRIu64, op->ttl);
}

void edn_write_call(FILE *f, uint64_t index, const struct oracle_op *op)
{
    put_line(f, index, op, "invoke", false, op->call);
    fputs("}\n", f);
}

void edn_write_return(FILE *f, uint64_t index, const struct oracle_op *op,
                      uint64_t time)
{
    bool mismatch = op->outcome == ORACLE_OK && op->f == ORACLE_CAS &&
                    op->has_result && op->number == 0;
    const char *type = op->outcome == ORACLE_OK     ? "ok"
                       : op->outcome == ORACLE_FAIL ? "fail"
                                                    : "info";

    ASSERT(op->outcome != ORACLE_OPEN);
    if (mismatch)
        put_line(f, index, op, "fail", false, time);
    else
        put_line(f, index, op, type,
                 op->outcome == ORACLE_OK && op->has_result &&
                     op->f != ORACLE_SET,
                 time);
    fputs(mismatch ? ", :error :mismatch}\n" : "}\n", f);
}

struct line {
    uint64_t time, seq;
    size_t op;
    bool is_return;
};

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* When an outcome became unknown was not recorded and does not matter: the line
 * stands at the time of its call. */
void edn_write(FILE *f, const struct history *h)
{
    size_t n = history_count(h), n_lines = 0;
    struct line *lines = mem_calloc(2 * n + 1, sizeof *lines);

    for (size_t i = 0; i < n; i++) {
        const struct oracle_op *op = history_at(h, i);

        lines[n_lines++] = (struct line){ op->call, history__call_seq(h, i), i,
                                          false };
        if (op->outcome != ORACLE_OPEN)
            lines[n_lines++] = (struct line){
                op->ret == ORACLE_NEVER ? op->call : op->ret,
                history__ret_seq(h, i), i, true
            };
    }
    qsort(lines, n_lines, sizeof *lines, by_time);
    for (size_t i = 0; i < n_lines; i++) {
        const struct oracle_op *op = history_at(h, lines[i].op);

        if (lines[i].is_return)
            edn_write_return(f, i, op, lines[i].time);
        else
            edn_write_call(f, i, op);
    }
    mem_free(lines);
}
