/* What happens to a frame between two hosts.
 *
 * Each ordered pair has a rule.  A frame passes its steps in this order:
 *
 *   cut -> lost -> reset -> corrupted -> duplicated -> rate -> delay + jitter
 *
 * Without delay and rate it is handed over at once, never copied; else it waits
 * in one heap of all pairs, ordered by the time it is due and, at the same time, by
 * the order it came in, so that a constant delay keeps the order (I1).  Jitter is
 * drawn for each frame: it reorders.  A pair holds at most
 * SWITCH_QUEUE_FRAMES_MAX frames; more are dropped, as a real line does (I2).
 * Every frame is counted in the counter of what happened to it, so that a nemesis
 * can prove that it did something.
 *
 * The dice are one generator with a given seed; the traffic itself depends on the
 * processes' timing, so a run is not repeatable, but the odds are. */
#include "switch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct waiting {
    struct heap_node node; /* first: the heap's node is the frame */
    struct pair *pair;
    unsigned dst;
    size_t len;
    uint8_t bytes[];
};

void fabric_init(struct fabric *f, unsigned hosts, uint16_t peer_port,
                 uint64_t seed, fabric_out_fn out, void *data)
{
    ASSERT(hosts >= 1 && hosts <= SWITCH_HOSTS_MAX);
    *f = (struct fabric){ .hosts = hosts,
                          .peer_port = peer_port,
                          .out = out,
                          .data = data };
    rng_seed(&f->rng, seed);
    heap_init(&f->queue);
}

void fabric_close(struct fabric *f)
{
    struct heap_node *n;

    while ((n = heap_min(&f->queue)) != NULL) {
        heap_remove(&f->queue, n);
        mem_free(n);
    }
    heap_close(&f->queue);
}

static bool chance(struct fabric *f, uint64_t ppm)
{
    return ppm > 0 && rng_below(&f->rng, SWITCH_PPM) < ppm;
}

static void hand_over(struct fabric *f, struct pair *p, unsigned dst,
                      const uint8_t *frame, size_t len)
{
    if (!f->out(f->data, dst, frame, len)) {
        p->count.full++;
        return;
    }
    p->count.passed++;
    p->count.bytes += len;
}

/* Put one copy on its way. */
static void forward(struct fabric *f, struct pair *p, unsigned dst,
                    const uint8_t *frame, size_t len, uint64_t now_ns)
{
    const struct rule *r = &p->rule;
    uint64_t due_ns = now_ns;
    struct waiting *w;

    if (r->rate_kbps > 0) {
        if (p->free_ns > due_ns)
            due_ns = p->free_ns;
        due_ns += len * 1000000 / r->rate_kbps;
        p->free_ns = due_ns;
    }
    due_ns += r->delay_us * 1000;
    if (r->jitter_us > 0)
        due_ns += rng_below(&f->rng, r->jitter_us * 1000);
    if (due_ns == now_ns) {
        hand_over(f, p, dst, frame, len);
        return;
    }
    if (p->waiting == SWITCH_QUEUE_FRAMES_MAX) { /* I2 */
        p->count.full++;
        return;
    }
    w = mem_alloc(sizeof *w + len);
    *w = (struct waiting){ .pair = p, .dst = dst, .len = len };
    memcpy(w->bytes, frame, len);
    p->waiting++;
    p->count.delayed++;
    heap_insert(&f->queue, &w->node, due_ns);
}

/* A segment with payload between two nodes. */
static bool is_peer_data(const struct fabric *f, const uint8_t *frame,
                         size_t len, struct segment *ret)
{
    return frame_parse_tcp(frame, len, ret) && ret->payload < ret->end &&
           (ret->src_port == f->peer_port || ret->dst_port == f->peer_port);
}

void fabric_send(struct fabric *f, unsigned src, unsigned dst, uint8_t *frame,
                 size_t len, uint64_t now_ns)
{
    struct pair *p = &f->pairs[src][dst];
    const struct rule *r = &p->rule;
    struct segment s;

    ASSERT(src >= 1 && src <= f->hosts && dst >= 1 && dst <= f->hosts);
    ASSERT(len <= SWITCH_FRAME_BYTES_MAX);
    if (r->cut != 0) {
        p->count.cut++;
        return;
    }
    if (chance(f, r->loss_ppm)) {
        p->count.lost++;
        return;
    }
    if ((r->reset_ppm | r->corrupt_ppm) != 0 &&
        is_peer_data(f, frame, len, &s)) {
        if (chance(f, r->reset_ppm)) {
            uint8_t reply[FRAME_RESET_BYTES];

            frame_make_resets(frame, &s, reply);
            p->count.reset++;
            forward(f, &f->pairs[dst][src], src, reply, sizeof reply, now_ns);
            forward(f, p, dst, frame, FRAME_RESET_BYTES, now_ns);
            return;
        }
        if (chance(f, r->corrupt_ppm)) {
            frame_flip(frame, &s, rng_below(&f->rng, (s.end - s.payload) * 8));
            p->count.corrupted++;
        }
    }
    if (chance(f, r->dup_ppm)) {
        p->count.duplicated++;
        forward(f, p, dst, frame, len, now_ns);
    }
    forward(f, p, dst, frame, len, now_ns);
}

uint64_t fabric_deliver(struct fabric *f, uint64_t now_ns)
{
    struct heap_node *n;

    while ((n = heap_min(&f->queue)) != NULL && n->key <= now_ns) {
        struct waiting *w = (struct waiting *)n;

        heap_remove(&f->queue, n); /* I1: the least key, then the oldest */
        ASSERT(w->pair->waiting > 0);
        w->pair->waiting--;
        hand_over(f, w->pair, w->dst, w->bytes, w->len);
        mem_free(w);
    }
    return n != NULL ? n->key : UINT64_MAX;
}

/* ---- commands ---- */

/* Set the field that "name=number" names. */
static int parse_field(struct rule *r, const char *word)
{
    const char *eq = strchr(word, '=');
    char *end;
    uint64_t value;

    if (eq == NULL || eq[1] < '0' || eq[1] > '9')
        return -1;
    value = strtoull(eq + 1, &end, 10);
    if (*end != '\0' || value > UINT32_MAX)
        return -1;
#define X(name)                                                               \
    if (strlen(#name) == (size_t)(eq - word) &&                               \
        strncmp(word, #name, (size_t)(eq - word)) == 0) {                     \
        r->name = value;                                                      \
        return 0;                                                             \
    }
    RULE_MAP(X)
#undef X
    return -1;
}

/* A host, 0 for '*'. */
static int parse_host(const struct fabric *f, const char *word, unsigned *ret)
{
    char *end;
    unsigned long v;

    if (word == NULL)
        return -1;
    if (strcmp(word, "*") == 0) {
        *ret = 0;
        return 0;
    }
    v = strtoul(word, &end, 10);
    if (*end != '\0' || v < 1 || v > f->hosts)
        return -1;
    *ret = (unsigned)v;
    return 0;
}

static void set_rule(struct fabric *f, unsigned src, unsigned dst,
                     const struct rule *r)
{
    for (unsigned s = 1; s <= f->hosts; s++)
        for (unsigned d = 1; d <= f->hosts; d++)
            if ((src == 0 || src == s) && (dst == 0 || dst == d)) {
                f->pairs[s][d].rule = *r;
                f->pairs[s][d].free_ns = 0;
            }
}

static int command_set(struct fabric *f, char **save, char *text, size_t n)
{
    struct rule r = { 0 };
    unsigned src, dst;
    const char *word;

    if (parse_host(f, strtok_r(NULL, " ", save), &src) != 0 ||
        parse_host(f, strtok_r(NULL, " ", save), &dst) != 0) {
        snprintf(text, n, "set: two hosts, 1 to %u or *\n", f->hosts);
        return -1;
    }
    while ((word = strtok_r(NULL, " ", save)) != NULL)
        if (parse_field(&r, word) != 0) {
            snprintf(text, n, "set: no such rule: %s\n", word);
            return -1;
        }
    set_rule(f, src, dst, &r);
    return 0;
}

static size_t print_counters(const struct counters *c, char *text, size_t n)
{
    size_t at = 0;

#define X(name)                                                               \
    if (at < n)                                                               \
        at += (size_t)snprintf(text + at, n - at, #name "=%llu ",             \
                               (unsigned long long)c->name);
    COUNTER_MAP(X)
#undef X
    if (at < n)
        text[at - 1] = '\n'; /* for the last blank */
    return at;
}

static void command_count(const struct fabric *f, char *text, size_t n)
{
    struct counters sum = { 0 };

    for (unsigned s = 1; s <= f->hosts; s++)
        for (unsigned d = 1; d <= f->hosts; d++) {
#define X(name) sum.name += f->pairs[s][d].count.name;
            COUNTER_MAP(X)
#undef X
        }
    print_counters(&sum, text, n);
}

static void command_pairs(const struct fabric *f, char *text, size_t n)
{
    size_t at = 0;

    for (unsigned s = 1; s <= f->hosts; s++)
        for (unsigned d = 1; d <= f->hosts && at < n; d++) {
            if (s == d)
                continue;
            at += (size_t)snprintf(text + at, n - at, "%u %u ", s, d);
            if (at < n)
                at += print_counters(&f->pairs[s][d].count, text + at, n - at);
        }
}

int fabric_command(struct fabric *f, const char *line, char *text, size_t n)
{
    const struct rule none = { 0 };
    char copy[256];
    char *save = NULL;
    const char *word;

    ASSERT(n > 0);
    text[0] = '\0';
    if (strlen(line) >= sizeof copy) {
        snprintf(text, n, "command too long\n");
        return -1;
    }
    memcpy(copy, line, strlen(line) + 1);
    word = strtok_r(copy, " ", &save);
    if (word == NULL)
        return 0;
    if (strcmp(word, "set") == 0)
        return command_set(f, &save, text, n);
    if (strcmp(word, "clear") == 0) {
        set_rule(f, 0, 0, &none);
    } else if (strcmp(word, "count") == 0) {
        command_count(f, text, n);
    } else if (strcmp(word, "pairs") == 0) {
        command_pairs(f, text, n);
    } else {
        snprintf(text, n, "no such command: %s\n", word);
        return -1;
    }
    return 0;
}
