/* Planted faults: each is switched on in turn, and what the other tests look at must
 * show it; switched off, the same script must show nothing. */
#include <string.h>

#include "base/sabotage.h"

#include "lib/test.h"
#include "machine.h"

/* How often a write that was sent twice has been executed. */
static int times_executed(const char *between)
{
    struct machine m;
    const char *value;
    int n;

    machine_init(&m);
    (void)say_as(&m, 7, 1, 1, "INCRBY k 1");
    (void)say(&m, between);
    (void)say_as(&m, 7, 1, 1, "INCRBY k 1 +RETRY");
    value = say(&m, "GET k");
    n = value[strlen("bulk ")] - '0';
    machine_close(&m);
    return n;
}

/* Do two replicas agree, one of which serves a reader with a fast clock? */
static bool replicas_agree(void)
{
    static const char *const log[] = { "SET k v +REL=100",
                                       "SET k w +XX +KEEPTTL" };
    struct machine a, b;
    bool same;

    machine_init(&a);
    machine_init(&b);
    for (unsigned i = 0; i < 2; i++) {
        (void)say(&a, log[i]);
        (void)say(&b, log[i]);
        b.now = 5000;
        (void)say(&b, "GET k");
        b.now = a.now;
    }
    same = fsm_digest(a.f) == fsm_digest(b.f);
    machine_close(&a);
    machine_close(&b);
    return same;
}

TEST(sabotage, replay_without_dedupe_executes_twice)
{
    CHECK_EQ(times_executed("NOOP"), 1);
    sabotage_mask = UINT64_C(1) << SABOTAGE_DEDUPE_OFF;
    CHECK_EQ(times_executed("NOOP"), 2);
}

TEST(sabotage, a_dropped_session_without_tomb_executes_twice)
{
    CHECK_EQ(times_executed("SESSION_DROP #7"), 1);
    sabotage_mask = UINT64_C(1) << SABOTAGE_SESSION_NO_TOMB;
    CHECK_EQ(times_executed("SESSION_DROP #7"), 2);
}

TEST(sabotage, expiry_by_the_local_clock_makes_replicas_differ)
{
    CHECK(replicas_agree());
    sabotage_mask = UINT64_C(1) << SABOTAGE_TTL_LOCAL_CLOCK;
    CHECK(!replicas_agree());
}
