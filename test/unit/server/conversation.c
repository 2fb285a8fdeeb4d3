#include "conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

struct talk {
    struct lab *lab;
    struct peer peer;
    const char *path;
    int line;
};

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c);

    return at != NULL ? (int)(at - digits) : 0;
}

static void unescape(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        char c = s[i];

        if (c == '\\' && i + 1 < n) {
            c = s[++i];
            if (c == 'x' && i + 2 < n) {
                c = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
                i += 2;
            } else {
                c = c == 'r'   ? '\r'
                    : c == 'n' ? '\n'
                    : c == 't' ? '\t'
                    : c == '0' ? '\0'
                               : c;
            }
        }
        buf_put_u8(out, (uint8_t)c);
    }
}

static bool match(const char *pattern, const char *s)
{
    for (; *pattern != '\0'; pattern++, s++) {
        if (*pattern == '*') {
            for (;; s++) {
                if (match(pattern + 1, s))
                    return true;
                if (*s == '\0')
                    return false;
            }
        }
        if (*s == '\0' || (*pattern != '?' && *pattern != *s))
            return false;
    }
    return *s == '\0';
}

static void expect_line(struct talk *t, const char *want, bool pattern)
{
    const char *got = peer_line(&t->peer);

    if (got == NULL)
        FAIL("%s:%d: connection closed instead of %s", t->path, t->line,
             want);
    if (pattern ? !match(want, got) : strcmp(want, got) != 0)
        FAIL("%s:%d: expected %s, got %s", t->path, t->line, want, got);
}

static void expect_bulk(struct talk *t, const char *quoted)
{
    struct buf want;
    struct peer *p = &t->peer;
    char head[40];

    buf_init(&want);
    unescape(quoted + 1, strlen(quoted) - 2, &want);
    (void)snprintf(head, sizeof head, "$%zu", want.len);
    expect_line(t, head, false);
    while (p->in.len < want.len + 2 && !p->ended)
        lab_run(t->lab);
    if (p->in.len < want.len + 2 ||
        (want.len > 0 &&
         memcmp(buf_at(&p->in), buf_at(&want), want.len) != 0))
        FAIL("%s:%d: expected %s, got another string", t->path, t->line,
             quoted);
    buf_consume(&p->in, want.len + 2);
    buf_close(&want);
}

static void send_line(struct talk *t, const char *text, bool raw)
{
    struct buf b;

    buf_init(&b);
    if (raw)
        unescape(text, strlen(text), &b);
    else
        buf_printf(&b, "%s\r\n", text);
    peer_send(&t->peer, buf_slice(&b));
    buf_close(&b);
}

static void step(struct talk *t, char *line)
{
    char *arg = line + 2;

    if (*arg == ' ')
        arg++;
    if (line[0] == '#' || line[0] == '\0')
        return;
    if (strncmp(line, "C:", 2) == 0)
        send_line(t, arg, false);
    else if (strncmp(line, "R:", 2) == 0)
        send_line(t, arg, true);
    else if (strncmp(line, "S:", 2) == 0 && *arg == '"')
        expect_bulk(t, arg);
    else if (strncmp(line, "S:", 2) == 0)
        expect_line(t, arg, false);
    else if (strncmp(line, "S~", 2) == 0)
        expect_line(t, arg, true);
    else if (strncmp(line, "E:", 2) == 0)
        peer_wait_end(&t->peer);
    else if (strncmp(line, "N:", 2) == 0) {
        peer_close(&t->peer);
        peer_open(&t->peer, t->lab);
    } else
        FAIL("%s:%d: not a line of a conversation", t->path, t->line);
}

void conversation_run(struct lab *lab, const char *path)
{
    struct talk t = { .lab = lab, .path = path };
    FILE *f = fopen(path, "r");
    char line[4096];

    if (f == NULL)
        FAIL("cannot read %s", path);
    peer_open(&t.peer, lab);
    while (fgets(line, sizeof line, f) != NULL) {
        t.line++;
        line[strcspn(line, "\n")] = '\0';
        step(&t, line);
    }
    fclose(f);
    if (t.peer.in.len > 0)
        FAIL("%s: %zu bytes of an answer nobody expected: %.*s", path,
             t.peer.in.len, (int)t.peer.in.len,
             (const char *)buf_at(&t.peer.in));
    peer_close(&t.peer);
}
