/* Drawing of plans. */
#include "kvsim/plan.h"

#include <inttypes.h>
#include <string.h>

#include "base/rng.h"

static const char *const workloads[] = {
#define X(name) #name,
    PLAN_WORKLOAD_MAP(X)
#undef X
};
static const char *const styles[] = {
#define X(name) #name,
    PLAN_STYLE_MAP(X)
#undef X
};
static const char *const kinds[] = {
#define X(name) #name,
    FAULT_MAP(X)
#undef X
};

struct plan_options plan_options_defaults(void)
{
    return (struct plan_options){ .time_ms = 60000, .workload = -1,
                                  .style = -1, .faults = UINT64_MAX };
}

void plan_draw(const struct plan_options *o, struct plan *ret)
{
    struct rng r;

    rng_seed(&r, o->seed);
    *ret = (struct plan){
        .seed = o->seed,
        .nodes = o->nodes != 0 ? o->nodes : 3 + 2 * (unsigned)rng_below(&r, 2),
        .shards = 1 + (unsigned)rng_below(&r, 4),
        .replicas = 3,
        .time_ms = o->time_ms != 0 ? o->time_ms : 60000,
        .workload = o->workload >= 0
                        ? (enum plan_workload)o->workload
                        : (enum plan_workload)rng_below(&r, WORKLOADS),
        .style = PLAN_calm,
        .clients = 3 + (unsigned)rng_below(&r, 5),
        .pipeline = 1 + (unsigned)rng_below(&r, 4),
        .keys_active = 4,
        .ops_per_key = 60,
        .think_ms = 200,
        .timeout_ms = 3000,
        .election_ms = 300,
        .heartbeat_ms = 50,
        .segment_bytes = 64u << 10,
        .tail_bytes = 64u << 10,
    };
    ret->faults_until_ms = ret->time_ms / 2;
}

void plan_print(const struct plan *p, FILE *f)
{
    fprintf(f, "seed %" PRIu64 ": %u nodes, %u shards, %s, %s\n", p->seed,
            p->nodes, p->shards, workloads[p->workload], styles[p->style]);
}

static int find(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

int plan_find_workload(const char *name)
{
    return find(workloads, WORKLOADS, name);
}

int plan_find_style(const char *name)
{
    return find(styles, PLAN_STYLES, name);
}

int plan_parse_faults(const char *list, uint64_t *ret)
{
    if (strcmp(list, "none") == 0)
        return *ret = 0, 0;
    if (strcmp(list, "all") == 0)
        return *ret = UINT64_MAX, 0;
    return find(kinds, FAULT_KINDS, list) < 0 ? -1 : 0;
}
