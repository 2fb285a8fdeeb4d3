/* Shared by edn*.c: forms of EDN. */
#ifndef KV_TEST_ORACLE_EDN_INT_H
#define KV_TEST_ORACLE_EDN_INT_H

#include "base/buf.h"
#include "oracle/edn.h"

#define EDN_DEPTH_MAX 16u       /* forms within forms */
#define EDN_FORMS_MAX 65536u    /* in one top-level form */
#define EDN_FILE_BYTES_MAX ((size_t)4 << 30)

enum edn_kind {
    EDN_NIL,
    EDN_INTEGER,
    EDN_STRING,  /* text: decoded */
    EDN_KEYWORD, /* text: without the colon */
    EDN_OTHER,   /* symbols, floats, booleans, characters: text as it stands */
    EDN_LIST,    /* ( ), [ ], #{ } */
    EDN_MAP
};

struct edn_form {
    enum edn_kind kind;
    size_t text_at, text_n; /* in edn_reader.texts */
    int64_t integer;
    uint32_t first, next;   /* forms within it, the one after it; 0: none */
};

struct edn_reader {
    const uint8_t *p;       /* borrowed */
    size_t n, at;
    size_t line;            /* of at, from 1 */
    struct edn_form *forms; /* owned; [0] unused */
    uint32_t n_forms, cap_forms;
    struct buf texts;
    char why[160];          /* after an error; about the current line */
};

void edn__open(struct edn_reader *r, struct slice text);
void edn__close(struct edn_reader *r);
/* What comes after blanks and comments; -1 at the end, KV_EPROTO. */
int edn__peek(struct edn_reader *r);
/* Read one form; forgets those read before.  0 or KV_EPROTO with r->why. */
int edn__read(struct edn_reader *r, const struct edn_form **ret);
/* "line N: ..." is for the caller.  Returns KV_EPROTO. */
int edn__fail(struct edn_reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline struct slice edn__text(const struct edn_reader *r,
                                     const struct edn_form *f)
{
    return slice_make(f->text_n == 0 ? NULL : buf_at(&r->texts) + f->text_at,
                      f->text_n);
}

#endif
