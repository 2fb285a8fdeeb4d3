/* Notes of a run: a ring of the last lines, and the trace.
 *
 * A run makes thousands of lines of which nobody reads any unless it fails, so a
 * line is copied into the ring as it came and dressed only when printed. */
#include "kvsim/notes.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

struct note {
    uint64_t us;
    unsigned node; /* whose log line; 0: a note */
    char text[NOTE_BYTES];
};

struct notes {
    FILE *trace;   /* borrowed */
    uint64_t n;    /* lines so far; the ring's next place is n % NOTES_LAST */
    struct note ring[NOTES_LAST];
};

struct notes *notes_new(FILE *trace)
{
    struct notes *n = MEM_NEW(struct notes);

    n->trace = trace;
    return n;
}

void notes_free(struct notes *n)
{
    mem_free(n);
}

static void print(FILE *f, uint64_t us, unsigned node, const char *text)
{
    fprintf(f, "%7" PRIu64 ".%06" PRIu64 "  ", us / 1000000, us % 1000000);
    if (node != 0)
        fprintf(f, "[node %u] ", node);
    fprintf(f, "%s\n", text);
}

static void put(struct notes *n, uint64_t us, unsigned node, const char *line)
{
    struct note *at = &n->ring[n->n++ % NOTES_LAST];
    size_t len = strlen(line);

    at->us = us;
    at->node = node;
    if (len >= sizeof at->text)
        len = sizeof at->text - 1;
    memcpy(at->text, line, len);
    at->text[len] = '\0';
    if (n->trace != NULL)
        print(n->trace, us, node, line);
}

void notes_add(struct notes *n, uint64_t us, const char *line)
{
    put(n, us, 0, line);
}

void notes_log(struct notes *n, uint64_t us, unsigned node, const char *line)
{
    put(n, us, node, line);
}

void notes_print_last(const struct notes *n, FILE *f)
{
    uint64_t first = n->n > NOTES_LAST ? n->n - NOTES_LAST : 0;

    for (uint64_t i = first; i < n->n; i++) {
        const struct note *at = &n->ring[i % NOTES_LAST];

        print(f, at->us, at->node, at->text);
    }
}
