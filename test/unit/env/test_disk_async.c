/* Asynchronous writes and reads, and work, of env_uv. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "env/env_uv.h"
#include "lib/test.h"
#include "lib/tmpdir.h"
#include "unit/env/until.h"

struct fx {
    struct until u;
    struct env_file *f;
    unsigned n_done;
    unsigned order[256]; /* ids in order of completion */
};

struct req {
    struct env_io io;
    struct fx *fx;
    unsigned id;
    struct slice part;
};

static void fx_open(struct fx *fx)
{
    char path[512];

    memset(fx, 0, sizeof *fx);
    until_open(&fx->u);
    snprintf(path, sizeof path, "%s/f", test_tmpdir());
    CHECK_EQ(env_open(fx->u.env, path, ENV_OPEN_CREATE, &fx->f), 0);
}

static void fx_close(struct fx *fx)
{
    env_close(fx->u.env, fx->f);
    until_close(&fx->u);
}

static void on_done(struct env_io *io)
{
    struct req *r = io->data;

    CHECK(r->fx->n_done < 256);
    r->fx->order[r->fx->n_done++] = r->id;
}

static void req_init(struct req *r, struct fx *fx, unsigned id)
{
    *r = (struct req){ .fx = fx, .id = id };
    r->io =
        (struct env_io){ .file = fx->f, .status = 1, .cb = on_done, .data = r };
}

static void submit(struct req *r, uint64_t off, const void *p, size_t n)
{
    r->part = slice_make(p, n);
    r->io.offset = off;
    r->io.parts = &r->part;
    r->io.n_parts = 1;
    env_submit_write(r->fx->u.env, &r->io);
}

TEST(env_write, writes_run_and_complete_in_the_order_of_submission)
{
    enum { N = 200 };
    static uint8_t bytes[N];
    static struct req r[N];
    struct fx fx;
    uint8_t last;
    size_t n;

    fx_open(&fx);
    for (unsigned i = 0; i < N; i++) {
        bytes[i] = (uint8_t)i;
        req_init(&r[i], &fx, i);
        r[i].io.sync = i % 50 == 0;
        submit(&r[i], 0, &bytes[i], 1); /* all to the same place */
        CHECK_EQ(fx.n_done, 0);         /* not inside the call */
    }
    until(&fx.u, &fx.n_done, N);
    for (unsigned i = 0; i < N; i++) {
        CHECK_EQ(fx.order[i], i);
        CHECK_EQ(r[i].io.status, 0);
    }
    CHECK_EQ(env_read(fx.u.env, fx.f, 0, &last, 1, &n), 0);
    CHECK_EQ(last, N - 1);
    fx_close(&fx);
}

TEST(env_write, all_parts_are_written_however_many_and_empty_ones_are_skipped)
{
    enum { N = 3000 };
    struct fx fx;
    struct req r;
    uint8_t *data = mem_alloc(N * 3), *got = mem_alloc(N * 3);
    struct slice *parts = mem_calloc(N, sizeof *parts);
    size_t at = 0, n;

    fx_open(&fx);
    for (size_t i = 0; i < N; i++) {
        parts[i] = slice_make(data + at, i % 4);
        for (size_t j = 0; j < i % 4; j++)
            data[at++] = (uint8_t)(i + j);
    }
    req_init(&r, &fx, 0);
    r.io.offset = 10;
    r.io.parts = parts;
    r.io.n_parts = N;
    r.io.sync = true;
    env_submit_write(fx.u.env, &r.io);
    until(&fx.u, &fx.n_done, 1);
    CHECK_EQ(r.io.status, 0);
    CHECK_EQ(env_read(fx.u.env, fx.f, 10, got, N * 3, &n), 0);
    CHECK_EQ(n, at);
    CHECK_MEM(got, data, at);
    mem_free(parts);
    mem_free(data);
    mem_free(got);
    fx_close(&fx);
}

TEST(env_write, a_write_without_parts_completes)
{
    struct fx fx;
    struct req r;

    fx_open(&fx);
    req_init(&r, &fx, 7);
    r.io.sync = true;
    env_submit_write(fx.u.env, &r.io);
    until(&fx.u, &fx.n_done, 1);
    CHECK_EQ(r.io.status, 0);
    fx_close(&fx);
}

/* /dev/null takes every byte and refuses fdatasync: what distinguishes the two
 * is whether it was called. */
TEST(env_write, sync_means_fdatasync_and_its_failure_is_reported)
{
    struct fx fx;
    struct req r[2];
    struct env_file *null;

    fx_open(&fx);
    CHECK_EQ(env_open(fx.u.env, "/dev/null", 0, &null), 0);
    for (unsigned i = 0; i < 2; i++) {
        req_init(&r[i], &fx, i);
        r[i].io.file = null;
        r[i].io.sync = i == 1;
        submit(&r[i], 0, "x", 1);
    }
    until(&fx.u, &fx.n_done, 2);
    CHECK_EQ(r[0].io.status, 0);
    CHECK_EQ(r[1].io.status, KV_EINVAL);
    env_close(fx.u.env, null);
    fx_close(&fx);
}

TEST(env_write, a_failed_write_says_why_and_does_not_stop_the_next)
{
    struct fx fx;
    struct req r[2];
    struct env_file *full;

    fx_open(&fx);
    CHECK_EQ(env_open(fx.u.env, "/dev/full", 0, &full), 0);
    req_init(&r[0], &fx, 0);
    r[0].io.file = full;
    submit(&r[0], 0, "x", 1);
    req_init(&r[1], &fx, 1);
    submit(&r[1], 0, "y", 1);
    until(&fx.u, &fx.n_done, 2);
    CHECK_EQ(r[0].io.status, KV_ENOSPC);
    CHECK_EQ(r[1].io.status, 0);
    env_close(fx.u.env, full);
    fx_close(&fx);
}

static void resubmit(struct env_io *io)
{
    struct req *r = io->data;
    unsigned before = r->fx->n_done;

    if (r->id++ < 3) {
        submit(r, 0, "z", 1);
        CHECK_EQ(r->fx->n_done, before);
        return;
    }
    r->fx->n_done++;
}

TEST(env_write, a_callback_may_submit_the_same_request_again)
{
    struct fx fx;
    struct req r;

    fx_open(&fx);
    req_init(&r, &fx, 0);
    r.io.cb = resubmit;
    submit(&r, 0, "z", 1);
    until(&fx.u, &fx.n_done, 1);
    CHECK_EQ(r.id, 4);
    fx_close(&fx);
}

TEST_ABORTS(env_write, closing_a_file_under_a_write_is_refused)
{
    struct fx fx;
    struct req r;

    fx_open(&fx);
    req_init(&r, &fx, 0);
    submit(&r, 0, "z", 1);
    env_close(fx.u.env, fx.f);
}

/* ---- reads ---- */

TEST(env_read, an_asynchronous_read_is_short_at_end_of_file_only)
{
    struct fx fx;
    struct req r[3];
    uint8_t buf[3][8];

    fx_open(&fx);
    CHECK_EQ(env_write(fx.u.env, fx.f, 0, "0123456789", 10), 0);
    for (unsigned i = 0; i < 3; i++) {
        req_init(&r[i], &fx, i);
        r[i].io.offset = i * 5;
        r[i].io.buf = buf[i];
        r[i].io.len = 8;
        env_submit_read(fx.u.env, &r[i].io);
        CHECK_EQ(fx.n_done, 0);
    }
    until(&fx.u, &fx.n_done, 3);
    CHECK_EQ(r[0].io.status, 0);
    CHECK_EQ(r[0].io.ret_len, 8);
    CHECK_MEM(buf[0], "01234567", 8);
    CHECK_EQ(r[1].io.ret_len, 5);
    CHECK_MEM(buf[1], "56789", 5);
    CHECK_EQ(r[2].io.status, 0);
    CHECK_EQ(r[2].io.ret_len, 0);
    fx_close(&fx);
}

TEST(env_read, a_failed_read_says_why)
{
    struct fx fx;
    struct req r;
    struct env_file *dir;
    uint8_t buf[8];

    fx_open(&fx);
    CHECK_EQ(env_open(fx.u.env, test_tmpdir(), ENV_OPEN_RDONLY, &dir), 0);
    req_init(&r, &fx, 0);
    r.io.file = dir;
    r.io.buf = buf;
    r.io.len = sizeof buf;
    env_submit_read(fx.u.env, &r.io);
    until(&fx.u, &fx.n_done, 1);
    CHECK_EQ(r.io.status, KV_EINVAL);
    env_close(fx.u.env, dir);
    fx_close(&fx);
}

/* ---- work ---- */

struct job {
    struct env_work w;
    struct fx *fx;
    unsigned long sum;
};

static void job_run(struct env_work *w)
{
    struct job *j = w->data;

    for (unsigned long i = 1; i <= 1000; i++)
        j->sum += i;
}

static void job_done(struct env_work *w)
{
    struct job *j = w->data;

    CHECK_EQ(j->sum, 500500);
    j->fx->n_done++;
}

TEST(env_work, done_runs_on_the_loop_after_run_and_never_inside_the_call)
{
    enum { N = 50 };
    static struct job jobs[N];
    struct fx fx;

    fx_open(&fx);
    for (unsigned i = 0; i < N; i++) {
        jobs[i] = (struct job){ .fx = &fx };
        jobs[i].w.run = job_run;
        jobs[i].w.done = job_done;
        jobs[i].w.data = &jobs[i];
        env_work_submit(fx.u.env, &jobs[i].w);
        CHECK_EQ(fx.n_done, 0);
    }
    until(&fx.u, &fx.n_done, N);
    fx_close(&fx);
}
