/* Planted faults: each of them must change the outcome of the scenario that
 * guards against it; linked with a build of the log that has the switches. */
#include "base/sabotage.h"
#include "walscript.h"

static bool lose_all(void *ctx, unsigned sector)
{
    (void)ctx;
    (void)sector;
    return false;
}

/* A changed payload byte in the last write of a killed log is not accepted. */
static bool torn_payload_is_dropped(void)
{
    struct script s;
    struct fix f;

    script_run(&s);
    fix_init_from(&f, &s.f);
    fix_segment(&f, 1)->cur[s.rec[s.n - 1].end - 20] ^= 1;
    fix_open(&f);
    struct wal_group *g = wal_find_group(f.w, 2);
    bool ok = g->first + g->n < s.model.g[2].last + 1;
    fix_free(&f);
    fix_free(&s.f);
    return ok;
}

/* A changed byte in the middle of a closed log refuses to load. */
static bool damage_is_refused(void)
{
    struct script s;
    struct fix f;

    script_run(&s);
    fix_close(&s.f);
    fix_init_from(&f, &s.f);
    fix_segment(&f, 1)->cur[s.rec[1].end - 10] ^= 1;
    bool ok = fix_try_open(&f) == KV_ECORRUPT;
    fix_free(&f);
    memenv_close(&s.f.m);
    return ok;
}

/* What is reported as synced survives a power cut. */
static bool synced_survives(void)
{
    struct fix f, g;

    fix_init(&f);
    fix_open(&f);
    wal_put_hardstate(f.w, 1, 5, 1);
    fix_sync(&f);
    fix_init(&g);
    memenv_power_cut(&f.m, &g.m, lose_all, NULL);
    fix_open(&g);
    bool ok = wal_find_group(g.w, 1) != NULL;
    fix_free(&g);
    fix_free(&f);
    return ok;
}

/* A recycled segment shows nothing of what its file held before. */
static bool former_life_is_gone(void)
{
    struct fix f, g;
    struct wal_stats st;
    uint64_t i = 0;

    fix_init(&f);
    fix_open(&f);
    do {
        fix_put(&f, 1, ++i, 1, 1500);
        if (i > 20 && i % 10 == 0)
            wal_put_compact(f.w, 1, i - 15, 1);
        fix_sync(&f);
        wal_get_stats(f.w, &st);
    } while (st.recycled < 2 || f.w->cur->h.seq < 6);
    fix_init_from(&g, &f);
    bool ok = fix_try_open(&g) == 0 && g.w->cur_off == f.w->cur_off;
    fix_free(&g);
    fix_free(&f);
    return ok;
}

#define PLANT(name, fault, scenario)                                           \
    TEST(wal_sabotage, name)                                                   \
    {                                                                          \
        CHECK(scenario());                                                     \
        sabotage_mask = 1ull << SABOTAGE_##fault;                              \
        CHECK(!scenario());                                                    \
    }

PLANT(a_torn_record_that_is_accepted_is_noticed, TORN_ACCEPTED,
      torn_payload_is_dropped)
PLANT(damage_that_is_cut_off_like_a_torn_write_is_noticed, WAL_DAMAGE_CUT,
      damage_is_refused)
PLANT(an_acknowledgement_before_the_fdatasync_is_noticed, ACK_BEFORE_FSYNC,
      synced_survives)
PLANT(stale_records_that_are_accepted_are_noticed, WAL_STALE_ACCEPTED,
      former_life_is_gone)
