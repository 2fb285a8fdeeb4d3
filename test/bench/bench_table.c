/* What a key costs: nanoseconds and bytes.
 *
 *     test/bench/bench_table [KEYS]          default 1000000
 *
 * Keys of 16 bytes, values of 64, in random order, in one table, with and
 * without deadlines.  Bytes are given twice: as the table accounts for them,
 * and as malloc sees them (which does not count blocks that it maps on their
 * own).  Time is that of the processor, so that a busy machine only disturbs
 * the caches.  A benchmark, not a test: it prints and judges nothing. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "base/slice.h"
#include "fsm/fsm.h"
#include "fsm/table.h"
#include "proto/op.h"

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void report(const char *what, uint64_t begin, unsigned n)
{
    printf("  %-28s %6.0f ns\n", what, (double)(now_ns() - begin) / n);
}

static struct slice key_of(char out[32], uint64_t i)
{
    snprintf(out, 32, "key:%012" PRIu64, i);
    return slice_make(out, 16);
}

static void put(struct engine *e, uint64_t i, int64_t deadline)
{
    static const uint8_t value[64];
    char text[32];
    struct engine_view v = { .key = key_of(text, i),
                             .value = slice_make(value, sizeof(value)),
                             .deadline_ms = deadline,
                             .revision = i + 1 };

    e->ops->put(e, &v);
}

static void bench(unsigned n, bool timed)
{
    size_t before = mallinfo2().uordblks;
    struct engine *e = table_new(42);
    struct engine_stats st;
    struct engine_view v;
    struct rng rng;
    char text[32];
    uint64_t begin;

    rng_seed(&rng, 1);
    printf("%u keys, %s deadlines\n", n, timed ? "with" : "without");
    begin = now_ns();
    for (unsigned i = 0; i < n; i++)
        put(e, i, timed ? (int64_t)i + 1000 : ENGINE_NO_DEADLINE);
    report("insert", begin, n);
    e->ops->stats(e, &st);
    printf("  %-28s %6.1f bytes\n", "a key, by the table",
           (double)st.bytes / n);
    printf("  %-28s %6.1f bytes\n", "a key, by malloc",
           (double)(mallinfo2().uordblks - before) / n);
    begin = now_ns();
    for (unsigned i = 0; i < n; i++)
        (void)e->ops->get(e, key_of(text, rng_below(&rng, n)), true, &v);
    report("get, random, with LRU", begin, n);
    begin = now_ns();
    for (unsigned i = 0; i < n; i++)
        put(e, rng_below(&rng, n),
            timed ? (int64_t)(i + n) : ENGINE_NO_DEADLINE);
    report("overwrite, random", begin, n);
    begin = now_ns();
    for (unsigned i = 0; i < n; i++)
        (void)e->ops->remove(e, key_of(text, i));
    report("remove", begin, n);
    e->ops->free(e);
}

/* Batches of SETs as the shard applies them: decode, dedupe, table, result. */
static void bench_apply(unsigned n)
{
    enum { BATCH = 50 };
    struct fsm *f = fsm_new(42);
    static const uint8_t value[64];
    struct buf op, batch;
    struct rng rng;
    uint64_t seq = 1, total = 0;

    rng_seed(&rng, 1);
    buf_init(&op);
    buf_init(&batch);
    for (unsigned i = 0; i < n / BATCH; i++) {
        uint64_t begin;

        buf_clear(&batch);
        op_batch_begin(&batch, (int64_t)i, BATCH);
        for (unsigned k = 0; k < BATCH; k++) {
            char text[32];
            struct slice argv[2] = { key_of(text, rng_below(&rng, n)),
                                     slice_make(value, sizeof(value)) };
            struct op o = { .kind = OP_SET, .origin = 7, .seq = seq,
                            .low = seq > 200 ? seq - 200 : 1,
                            .argv = argv, .argc = 2 };

            buf_clear(&op);
            op_encode(&op, &o);
            op_batch_add(&batch, buf_slice(&op));
            seq++;
        }
        begin = now_ns();
        (void)fsm_apply(f, i + 1, buf_slice(&batch), NULL, NULL);
        total += now_ns() - begin;
    }
    printf("fsm_apply, SET of random keys, batches of %d\n", BATCH);
    printf("  %-28s %6.0f ns\n", "a SET", (double)total / n);
    buf_close(&op);
    buf_close(&batch);
    fsm_free(f);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;

    if (n < 1000) {
        fprintf(stderr, "usage: bench_table [KEYS]   (at least 1000)\n");
        return 2;
    }
    bench(n, false);
    bench(n, true);
    bench_apply(n);
    return 0;
}
