/* kvctl bench: load from N connections, one thread each.
 *
 * Closed loop by default.  With --rate the load is open: request i is due at
 * start + i/rate, and its latency counts from then, whether or not the connection
 * was free: a stall of the server shows in every request that it delayed. */
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "base/stat.h"
#include "kvctl/kvctl.h"

#define BENCH_CLIENTS_MAX 4096u
#define BENCH_VALUE_MAX (16u << 20)
#define BENCH_REQUESTS_MAX 1000000000000ull
#define BENCH_PIPELINE_MAX 10000u
#define BENCH_RATE_MAX 1000000000ull
#define BENCH_ERRORS_MAX 100u /* of a thread before its first reply */

struct bench {
    const struct kvctl *k;
    unsigned long long clients, requests, size, keys, pipeline, gets, rate;
    char *value;
    uint64_t start_us;
};

struct bench_thread {
    struct bench *b;
    pthread_t thread;
    unsigned id;
    uint64_t requests;       /* share of this thread */
    struct stat_hist hist;
    uint64_t errors;
    char error[512];         /* the first */
};

static void wait_until(uint64_t us)
{
    uint64_t now = kvctl_now_us();

    if (now < us) {
        const struct timespec t = { .tv_sec = (time_t)((us - now) / 1000000),
                                    .tv_nsec =
                                        (long)((us - now) % 1000000 * 1000) };
        nanosleep(&t, NULL);
    }
}

static int append_one(struct bench_thread *t, struct kv_client *c,
                      struct rng *rng)
{
    struct bench *b = t->b;
    char key[64];
    int n = snprintf(key, sizeof key, "bench:%012" PRIu64,
                     rng_below(rng, b->keys));
    const char *argv[] = { "SET", key, b->value };
    const size_t lens[] = { 3, (size_t)n, b->size };

    if (rng_below(rng, 100) < b->gets)
        argv[0] = "GET";
    return kv_append(c, argv[0][0] == 'G' ? 2 : 3, argv, lens);
}

static void note_error(struct bench_thread *t, const char *text)
{
    if (t->errors++ == 0)
        snprintf(t->error, sizeof t->error, "%s", text);
}

/* One round: `depth` requests, then their replies. */
static void round_trip(struct bench_thread *t, struct kv_client *c,
                       struct rng *rng, uint64_t depth, uint64_t due)
{
    uint64_t sent = 0;

    for (; sent < depth; sent++) {
        if (append_one(t, c, rng) != 0) {
            note_error(t, kv_error(c));
            break;
        }
    }
    for (uint64_t i = 0; i < sent; i++) {
        struct kv_reply *r;

        if (kv_take(c, &r) != 0) {
            note_error(t, kv_error(c));
            return;
        }
        if (r->type == KV_REPLY_ERROR)
            note_error(t, r->str);
        else
            stat_hist_add(&t->hist, kvctl_now_us() - due);
        kv_reply_free(r);
    }
}

static void *thread_main(void *arg)
{
    struct bench_thread *t = arg;
    struct bench *b = t->b;
    struct kv_client *c;
    struct rng rng;

    rng_seed(&rng, t->id + 1);
    if (kv_open(b->k->endpoints, b->k->timeout_ms, &c) != 0) {
        note_error(t, "bad endpoints");
        return NULL;
    }
    for (uint64_t done = 0; done < t->requests; done += b->pipeline) {
        uint64_t left = t->requests - done;
        uint64_t depth = left < b->pipeline ? left : b->pipeline;
        uint64_t due = kvctl_now_us();

        if (b->rate > 0) {
            due = b->start_us + (done * b->clients + t->id) * 1000000 / b->rate;
            wait_until(due);
        }
        round_trip(t, c, &rng, depth, due);
        if (t->errors > BENCH_ERRORS_MAX && t->hist.count == 0)
            break; /* nothing works: do not go on for ever */
    }
    kv_close(c);
    return NULL;
}

static int bench_help(void)
{
    printf("Usage: kvctl [OPTION]... bench [OPTION NUMBER]...\n\n"
           "  --clients   connections [50]\n"
           "  --requests  requests in all [100000]\n"
           "  --size      bytes of a value [64]\n"
           "  --keys      different keys, bench:* [100000]\n"
           "  --pipeline  requests sent before replies are read [1]\n"
           "  --gets      percent of GET, the rest is SET [0]\n"
           "  --rate      requests a second in all, open loop; 0: closed loop "
           "[0]\n");
    return EXIT_OK;
}

static int bench_parse(struct kvctl *k, struct bench *b, int argc, char **argv)
{
    const struct kvctl_option options[] = {
        { "--clients", NULL, 1, BENCH_CLIENTS_MAX, &b->clients },
        { "--requests", NULL, 1, BENCH_REQUESTS_MAX, &b->requests },
        { "--size", NULL, 0, BENCH_VALUE_MAX, &b->size },
        { "--keys", NULL, 1, BENCH_REQUESTS_MAX, &b->keys },
        { "--pipeline", NULL, 1, BENCH_PIPELINE_MAX, &b->pipeline },
        { "--gets", NULL, 0, 100, &b->gets },
        { "--rate", NULL, 0, BENCH_RATE_MAX, &b->rate },
        { NULL, NULL, 0, 0, NULL },
    };

    return kvctl_parse(k, argc, argv, options, 0, 0);
}

static json_t *report_json(const struct stat_hist *all, uint64_t errors,
                           double seconds)
{
    return json_pack("{s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I}", "requests",
                     (json_int_t)all->count, "errors", (json_int_t)errors,
                     "seconds", seconds, "per_second",
                     (double)all->count / seconds, "p50_us",
                     (json_int_t)stat_hist_quantile(all, 0.5), "p99_us",
                     (json_int_t)stat_hist_quantile(all, 0.99), "p999_us",
                     (json_int_t)stat_hist_quantile(all, 0.999), "max_us",
                     (json_int_t)all->max);
}

static void print_report(const struct bench *b, const struct stat_hist *all,
                         uint64_t errors, double seconds)
{
    printf("%llu clients, pipeline %llu, %llu-byte values, %llu%% GET\n"
           "%" PRIu64 " replies in %.2f s: %.0f/s, %" PRIu64 " errors\n"
           "latency us: p50 %" PRIu64 ", p99 %" PRIu64 ", p99.9 %" PRIu64
           ", max %" PRIu64 "\n",
           b->clients, b->pipeline, b->size, b->gets, all->count, seconds,
           (double)all->count / seconds, errors, stat_hist_quantile(all, 0.5),
           stat_hist_quantile(all, 0.99), stat_hist_quantile(all, 0.999),
           all->max);
}

static int report(struct kvctl *k, const struct bench *b,
                  struct bench_thread *threads, double seconds)
{
    static struct stat_hist all;
    uint64_t errors = 0;
    const char *error = "";
    int status;

    for (unsigned i = 0; i < b->clients; i++) {
        stat_hist_merge(&all, &threads[i].hist);
        errors += threads[i].errors;
        if (error[0] == '\0')
            error = threads[i].error;
    }
    status = errors == 0 ? EXIT_OK : EXIT_REPLY;
    if (k->json)
        status = kvctl_print_json(report_json(&all, errors, seconds), status);
    else
        print_report(b, &all, errors, seconds);
    if (errors > 0)
        fprintf(stderr, "kvctl: bench: first error: %s\n", error);
    return status;
}

static int run_threads(struct kvctl *k, struct bench *b,
                       struct bench_thread *t)
{
    unsigned started = 0;
    int status;

    b->start_us = kvctl_now_us();
    for (; started < b->clients; started++) {
        t[started].b = b;
        t[started].id = started;
        t[started].requests = b->requests / b->clients +
                              (started < b->requests % b->clients);
        if (pthread_create(&t[started].thread, NULL, thread_main,
                           &t[started]) != 0)
            break;
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(t[i].thread, NULL);
    status = report(k, b, t, (double)(kvctl_now_us() - b->start_us) / 1e6);
    if (started == b->clients)
        return status;
    fprintf(stderr, "kvctl: bench: only %u of %llu threads could be started\n",
            started, b->clients);
    return EXIT_REPLY;
}

int cmd_bench(struct kvctl *k, int argc, char **argv)
{
    struct bench b = { .k = k, .clients = 50, .requests = 100000, .size = 64,
                       .keys = 100000, .pipeline = 1 };
    struct bench_thread *t;
    int status = EXIT_REPLY;

    if (k->help)
        return bench_help();
    if (bench_parse(k, &b, argc, argv) < 0)
        return EXIT_BAD_USAGE;
    b.value = malloc(b.size + 1);
    t = calloc(b.clients, sizeof *t);
    if (b.value != NULL && t != NULL) {
        memset(b.value, 'v', b.size + 1);
        status = run_threads(k, &b, t);
    } else {
        fprintf(stderr, "kvctl: bench: out of memory\n");
    }
    free(b.value);
    free(t);
    return status;
}
