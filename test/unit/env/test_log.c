/* Log lines: their form, their limits, where they go. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "env/env_uv.h"
#include "env/log.h"
#include "lib/test.h"
#include "lib/tmpdir.h"

static char last[4096];
static unsigned n_lines;
static int64_t wall;

static int64_t fake_wall(struct env *env)
{
    (void)env;
    return wall;
}

static void keep(struct env *env, enum env_log_level level, const char *line)
{
    (void)env;
    (void)level;
    n_lines++;
    snprintf(last, sizeof last, "%s", line);
}

static const struct env_ops fake_ops = { .wall_ms = fake_wall, .log = keep };

static struct env fake_env(enum env_log_level level)
{
    n_lines = 0;
    wall = 1767225599007; /* 2025-12-31T23:59:59.007Z */
    return (struct env){ .ops = &fake_ops, .log_level = level };
}

TEST(log, an_event_is_one_line_of_logfmt)
{
    struct env env = fake_env(ENV_LOG_INFO);

    log_event(&env, ENV_LOG_WARN, "wal", "segment sealed", "seq=%d", 7);
    CHECK_STR(last, "ts=2025-12-31T23:59:59.007Z level=warn mod=wal "
                    "msg=\"segment sealed\" seq=7");
    log_event(&env, ENV_LOG_INFO, "wal", "bare", "%s", "");
    CHECK_STR(last, "ts=2025-12-31T23:59:59.007Z level=info mod=wal "
                    "msg=\"bare\"");
}

TEST(log, times_before_1970_keep_their_milliseconds)
{
    struct env env = fake_env(ENV_LOG_INFO);

    wall = -1;
    log_event(&env, ENV_LOG_ERROR, "m", "x", "%s", "");
    CHECK(strncmp(last, "ts=1969-12-31T23:59:59.999Z level=error ", 40) == 0);
}

TEST(log, lines_below_the_level_are_not_built)
{
    struct env env = fake_env(ENV_LOG_WARN);

    log_event(&env, ENV_LOG_INFO, "m", "x", "%s", "");
    log_event(&env, ENV_LOG_DEBUG, "m", "x", "%s", "");
    CHECK_EQ(n_lines, 0);
    log_event(&env, ENV_LOG_ERROR, "m", "x", "%s", "");
    CHECK_EQ(n_lines, 1);
}

TEST(log, a_value_cannot_forge_a_second_line)
{
    struct env env = fake_env(ENV_LOG_INFO);

    log_event(&env, ENV_LOG_INFO, "m", "x", "k=%s", "a\nlevel=error\r\x7f");
    CHECK(strchr(last, '\n') == NULL);
    CHECK(strstr(last, "k=a level=error  ") != NULL);
}

TEST(log, a_line_that_is_too_long_is_cut_and_says_so)
{
    struct env env = fake_env(ENV_LOG_INFO);
    char big[3000];

    memset(big, 'v', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    log_event(&env, ENV_LOG_INFO, "m", "x", "k=%s", big);
    CHECK_EQ(strlen(last), 2047);
    CHECK_STR(last + strlen(last) - 6, "vv ...");
}

TEST(log, quoting_escapes_what_would_end_the_value)
{
    char buf[64];

    CHECK_STR(log_quote(buf, sizeof buf, slice_str("plain words")),
              "\"plain words\"");
    CHECK_STR(log_quote(buf, sizeof buf, slice_make("a\"b\\c\n\0\xff", 8)),
              "\"a\\\"b\\\\c\\x0a\\x00\\xff\"");
    CHECK_STR(log_quote(buf, sizeof buf, slice_make(NULL, 0)), "\"\"");
}

TEST(log, a_quoted_value_fits_any_buffer_and_shows_that_it_was_cut)
{
    const char *text = "ab\ncd\"ef\x01gh";
    char whole[64];
    size_t len;

    log_quote(whole, sizeof whole, slice_str(text));
    len = strlen(whole);
    for (size_t n = 6; n <= len + 1; n++) {
        char *buf = (char[64]){ 0 };

        memset(buf, '#', 64);
        log_quote(buf, n, slice_str(text));
        CHECK(memchr(buf, '\0', n) != NULL);
        for (size_t i = n; i < 64; i++)
            CHECK_EQ(buf[i], '#');
        if (n <= len)
            CHECK_STR(buf + strlen(buf) - 4, "...\"");
        else
            CHECK_STR(buf, whole);
    }
}

/* ---- where env_uv writes them ---- */

static size_t slurp(const char *path, char *buf, size_t n)
{
    FILE *f = fopen(path, "r");
    size_t got;

    CHECK(f != NULL);
    got = fread(buf, 1, n - 1, f);
    buf[got] = '\0';
    fclose(f);
    return got;
}

TEST(log, lines_are_appended_to_the_file_and_reopening_follows_a_rotation)
{
    struct env *env;
    char path[512], old[520], text[1024];

    snprintf(path, sizeof path, "%s/log", test_tmpdir());
    snprintf(old, sizeof old, "%s.1", path);
    CHECK_EQ(env_uv_open(&env), 0);
    CHECK_EQ(env_uv_log_to(env, path), 0);
    log_event(env, ENV_LOG_INFO, "m", "first", "%s", "");
    CHECK_EQ(rename(path, old), 0);
    CHECK_EQ(env_uv_log_to(env, path), 0);
    log_event(env, ENV_LOG_INFO, "m", "second", "%s", "");
    CHECK(slurp(old, text, sizeof text) > 0);
    CHECK(strstr(text, "msg=\"first\"") != NULL);
    CHECK(strstr(text, "second") == NULL);
    slurp(path, text, sizeof text);
    CHECK(strstr(text, "msg=\"second\"\n") != NULL);
    CHECK_EQ(env_uv_log_to(env, test_tmpdir()), KV_EINVAL);
    log_event(env, ENV_LOG_INFO, "m", "third", "%s", "");
    slurp(path, text, sizeof text);
    CHECK(strstr(text, "third") != NULL); /* where they went before */
    env_uv_free(env);
}

TEST(log, lines_that_could_not_be_written_are_counted_in_the_log)
{
    struct rlimit limit;
    struct env *env;
    char path[512], text[1024];
    rlim_t max;

    snprintf(path, sizeof path, "%s/log", test_tmpdir());
    CHECK_EQ(env_uv_open(&env), 0);
    CHECK_EQ(env_uv_log_to(env, path), 0);
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    max = limit.rlim_cur;
    limit.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    log_event(env, ENV_LOG_INFO, "m", "unseen", "%s", "");
    log_event(env, ENV_LOG_INFO, "m", "unseen", "%s", "");
    limit.rlim_cur = max;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    log_event(env, ENV_LOG_INFO, "m", "seen", "%s", "");
    slurp(path, text, sizeof text);
    CHECK(strstr(text, "unseen") == NULL);
    CHECK(strstr(text, "msg=\"lines lost\" count=2\n") != NULL);
    CHECK(strstr(text, "msg=\"seen\"") != NULL);
    env_uv_free(env);
}
