/* Golden transcripts: a run's lines against a file.
 *
 * The file is part of the review of a change that alters it:
 *
 *     KV_TRANSCRIPT=write test/scenario/test_scenario
 *
 * writes the new ones into the source tree; git shows the difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lib/test.h"
#include "scenario/cluster.h"

#define GOLDEN_BYTES_MAX (1u << 20)
#define PATH_BYTES_MAX 512u

static void golden_path(char *path, const char *name)
{
    const char *srcdir = getenv("srcdir");

    snprintf(path, PATH_BYTES_MAX, "%s/test/scenario/transcripts/%s.txt",
             srcdir != NULL ? srcdir : TOP_SRCDIR, name);
}

static void golden_write(const char *path, struct slice text)
{
    FILE *f = fopen(path, "w");

    if (f == NULL)
        FAIL("cannot write %s", path);
    CHECK_EQ(fwrite(text.p, 1, text.n, f), text.n);
    CHECK_EQ(fclose(f), 0);
}

/* Print the first line that differs, with a few before it. */
static void golden_differ(const char *path, const char *want, const char *got)
{
    size_t same = 0, line = 1, from = 0;

    while (want[same] != 0 && want[same] == got[same]) {
        line += want[same] == '\n';
        same++;
    }
    for (size_t i = same, lines = 0; i > 0 && lines < 6; i--) {
        lines += want[i - 1] == '\n';
        from = lines < 6 ? i - 1 : i;
    }
    printf("%.*s", (int)(same - from), want + from);
    printf("<<<< %s\n%.300s\n>>>> now\n%.300s\n", path, want + same,
           got + same);
    FAIL("the transcript differs at line %zu; if that is meant, run again with "
         "KV_TRANSCRIPT=write and review the change", line);
}

static void golden_check(const char *path, const char *got)
{
    char *want = mem_calloc(1, GOLDEN_BYTES_MAX);
    FILE *f = fopen(path, "r");

    if (f == NULL)
        FAIL("no transcript %s: run with KV_TRANSCRIPT=write", path);
    want[fread(want, 1, GOLDEN_BYTES_MAX - 1, f)] = 0;
    fclose(f);
    if (strcmp(want, got) != 0)
        golden_differ(path, want, got);
    mem_free(want);
}

void cluster_verdict(struct cluster *c, const char *name)
{
    const char *mode = getenv("KV_TRANSCRIPT");
    char path[PATH_BYTES_MAX];

    if (cluster_violation(c) != NULL)
        FAIL("%s\n%.*s", cluster_violation(c), (int)c->transcript.len,
             (const char *)buf_at(&c->transcript));
    if (name == NULL)
        return;
    golden_path(path, name);
    if (mode != NULL && strcmp(mode, "write") == 0) {
        golden_write(path, buf_slice(&c->transcript));
        return;
    }
    buf_put_u8(&c->transcript, 0);
    golden_check(path, (const char *)buf_at(&c->transcript));
}
