/* EDN: text into forms (https://github.com/edn-format/edn).
 *
 * One top-level form at a time, into an array that is used again for the next.
 * What histories do not need is read and kept as EDN_OTHER; tags are skipped, and
 * their forms stand for themselves (#jepsen.history.Op{...} is the map).
 *
 * Bytes.  EDN strings are characters and ours are bytes: \u0000 to \u00ff are one
 * byte each, larger ones become UTF-8, and bytes that stand in the file as they are
 * are taken as they are.
 *
 * Depth and the number of forms are limited: a damaged file is an error, and no
 * way to make the checker use up the stack or the memory. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "oracle/edn_int.h"

static int form(struct edn_reader *r, unsigned depth, uint32_t *ret);

void edn__open(struct edn_reader *r, struct slice text)
{
    *r = (struct edn_reader){ .p = text.p, .n = text.n, .line = 1 };
    buf_init(&r->texts);
}

void edn__close(struct edn_reader *r)
{
    mem_free(r->forms);
    buf_close(&r->texts);
}

int edn__fail(struct edn_reader *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    return KV_EPROTO;
}

static uint32_t add_form(struct edn_reader *r, enum edn_kind kind)
{
    if (r->n_forms == r->cap_forms) {
        r->cap_forms = r->cap_forms == 0 ? 64 : 2 * r->cap_forms;
        r->forms = mem_realloc(r->forms, r->cap_forms * sizeof *r->forms);
    }
    r->forms[r->n_forms] =
        (struct edn_form){ .kind = kind, .text_at = r->texts.len };
    return r->n_forms++;
}

static int here(const struct edn_reader *r)
{
    return r->at < r->n ? r->p[r->at] : -1;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',';
}

/* Ends a word. */
static bool is_end(int c)
{
    return c < 0 || is_blank(c) || strchr("()[]{}\";", c) != NULL;
}

static void skip_blanks(struct edn_reader *r)
{
    bool comment = false;

    for (; r->at < r->n; r->at++) {
        int c = here(r);

        if (c == '\n') {
            r->line++;
            comment = false;
        } else if (c == ';') {
            comment = true;
        } else if (!comment && !is_blank(c)) {
            return;
        }
    }
}

/* ---- strings ---- */

static int hex4(struct edn_reader *r, unsigned *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < 4; i++, r->at++) {
        static const char digits[] = "0123456789abcdef";
        int c = here(r);
        const char *d;

        if (c >= 'A' && c <= 'F')
            c += 'a' - 'A';
        d = c <= 0 ? NULL : strchr(digits, c);
        if (d == NULL)
            return edn__fail(r, "\\u is not followed by four hex digits");
        *ret = *ret * 16 + (unsigned)(d - digits);
    }
    return 0;
}

static void put_character(struct buf *b, unsigned c)
{
    if (c < 0x100) {
        buf_put_u8(b, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        buf_put_u8(b, (uint8_t)(0xc0 | c >> 6));
    } else {
        buf_put_u8(b, (uint8_t)(0xe0 | c >> 12));
        buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
}

static int escape(struct edn_reader *r)
{
    static const char from[] = "tnrbf\"\\", to[] = "\t\n\r\b\f\"\\";
    int c = here(r);
    const char *at = c <= 0 ? NULL : strchr(from, c);
    unsigned code;
    int rv;

    r->at++;
    if (at != NULL) {
        buf_put_u8(&r->texts, (uint8_t)to[at - from]);
        return 0;
    }
    if (c != 'u')
        return edn__fail(r, "no such escape in a string");
    rv = hex4(r, &code);
    if (rv == 0)
        put_character(&r->texts, code);
    return rv;
}

static int string(struct edn_reader *r, uint32_t *ret)
{
    size_t line = r->line;
    uint32_t f = add_form(r, EDN_STRING);
    int rv;

    for (r->at++; here(r) != '"';) {
        int c = here(r);

        if (c < 0) {
            r->line = line;
            return edn__fail(r, "a string does not end");
        }
        r->at++;
        if (c == '\n')
            r->line++;
        if (c != '\\') {
            buf_put_u8(&r->texts, (uint8_t)c);
            continue;
        }
        rv = escape(r);
        if (rv != 0)
            return rv;
    }
    r->at++;
    r->forms[f].text_n = r->texts.len - r->forms[f].text_at;
    *ret = f;
    return 0;
}

/* ---- words ---- */

static int number(struct edn_reader *r, struct slice s, struct edn_form *f)
{
    bool minus = s.p[0] == '-';
    size_t i = minus || s.p[0] == '+';
    int64_t v = 0;

    if (i == s.n)
        return 0; /* the symbols + and - */
    for (; i < s.n; i++) {
        int digit = s.p[i] - '0';

        if (digit < 0 || digit > 9) {
            if (strchr("MeE.", s.p[i]) == NULL && !(s.p[i] == 'N'))
                return edn__fail(r, "\"%.*s\" is not a number", (int)s.n,
                                 (const char *)s.p);
            return 0; /* not an integer of ours */
        }
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, digit, &v))
            return edn__fail(r, "%.*s has more than 64 bits", (int)s.n,
                             (const char *)s.p);
    }
    if (!minus && v == INT64_MIN)
        return edn__fail(r, "%.*s has more than 64 bits", (int)s.n,
                         (const char *)s.p);
    f->kind = EDN_INTEGER;
    f->integer = minus ? v : -v;
    return 0;
}

static int word(struct edn_reader *r, uint32_t *ret)
{
    size_t begin = r->at;
    struct edn_form *f;
    struct slice s;

    if (here(r) == '\\' && r->at + 1 < r->n)
        r->at++; /* a character may be one that ends a word */
    do {
        r->at++;
    } while (!is_end(here(r)));
    s = slice_make(r->p + begin, r->at - begin);
    *ret = add_form(r, EDN_OTHER);
    f = &r->forms[*ret];
    if (slice_eq(s, slice_str("nil")))
        f->kind = EDN_NIL;
    if (s.p[0] == ':') {
        f->kind = EDN_KEYWORD;
        s = slice_make(s.p + 1, s.n - 1);
        if (s.n == 0)
            return edn__fail(r, "a keyword has no name");
    }
    f->text_n = s.n;
    buf_put_slice(&r->texts, s);
    if (f->kind == EDN_OTHER &&
        ((s.p[0] >= '0' && s.p[0] <= '9') ||
         ((s.p[0] == '-' || s.p[0] == '+') && s.n > 1 && s.p[1] >= '0' &&
          s.p[1] <= '9')))
        return number(r, s, f);
    return 0;
}

/* ---- forms within forms ---- */

static int forms_until(struct edn_reader *r, int end, unsigned depth,
                       uint32_t parent)
{
    size_t line = r->line, count = 0;
    uint32_t last = 0, f;
    int rv;

    for (r->at++;;) {
        skip_blanks(r);
        if (here(r) == end)
            break;
        if (here(r) < 0) {
            r->line = line;
            return edn__fail(r, "'%c' is missing", end);
        }
        rv = form(r, depth + 1, &f);
        if (rv != 0)
            return rv;
        if (f == 0)
            continue;
        if (last == 0)
            r->forms[parent].first = f;
        else
            r->forms[last].next = f;
        last = f;
        count++;
    }
    r->at++;
    if (r->forms[parent].kind == EDN_MAP && count % 2 != 0)
        return edn__fail(r, "a map has a key without a value");
    return 0;
}

/* After '#': a set, a tag, or something to be ignored (*ret is then 0). */
static int dispatch(struct edn_reader *r, unsigned depth, uint32_t *ret)
{
    uint32_t ignored;
    int rv;

    r->at++;
    if (here(r) == '{') {
        *ret = add_form(r, EDN_LIST);
        return forms_until(r, '}', depth, *ret);
    }
    if (here(r) == '_') {
        r->at++;
        skip_blanks(r);
        *ret = 0;
        return form(r, depth + 1, &ignored);
    }
    if (is_end(here(r)))
        return edn__fail(r, "'#' is not followed by a tag");
    rv = word(r, &ignored);
    if (rv != 0)
        return rv;
    skip_blanks(r);
    return form(r, depth + 1, ret);
}

static int form(struct edn_reader *r, unsigned depth, uint32_t *ret)
{
    int c = here(r);

    if (depth > EDN_DEPTH_MAX)
        return edn__fail(r, "forms are nested more than %u deep",
                         EDN_DEPTH_MAX);
    if (r->n_forms >= EDN_FORMS_MAX)
        return edn__fail(r, "more than %u forms in one", EDN_FORMS_MAX);
    if (c < 0)
        return edn__fail(r, "the file ends too early");
    if (c == '"')
        return string(r, ret);
    if (c == '#')
        return dispatch(r, depth, ret);
    if (c == '[' || c == '(') {
        *ret = add_form(r, EDN_LIST);
        return forms_until(r, c == '[' ? ']' : ')', depth, *ret);
    }
    if (c == '{') {
        *ret = add_form(r, EDN_MAP);
        return forms_until(r, '}', depth, *ret);
    }
    if (c == ']' || c == ')' || c == '}')
        return edn__fail(r, "'%c' ends nothing", c);
    return word(r, ret);
}

int edn__peek(struct edn_reader *r)
{
    skip_blanks(r);
    return here(r);
}

int edn__read(struct edn_reader *r, const struct edn_form **ret)
{
    uint32_t f;
    int rv;

    r->n_forms = 0;
    buf_clear(&r->texts);
    add_form(r, EDN_NIL);
    skip_blanks(r);
    rv = form(r, 1, &f);
    if (rv != 0)
        return rv;
    ASSERT(f < r->n_forms);
    *ret = &r->forms[f]; /* [0], nil, for what is to be ignored */
    return 0;
}
