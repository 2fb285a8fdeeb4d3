/* Dedupe: each case of the essay in session.c, through the state machine.
 * INCRBY tells how often a write was executed. */
#include "fsm/session.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#include "lib/test.h"
#include "machine.h"

#define CASE(name)                             \
    static void case_##name(struct machine *); \
    TEST(session, name)                        \
    {                                          \
        struct machine m;                      \
        machine_init(&m);                      \
        case_##name(&m);                       \
        machine_close(&m);                     \
    }                                          \
    static void case_##name(struct machine *mp)

#define SAY(line, answer) CHECK_STR(say(mp, line), answer)
#define SAY_AS(origin, seq, low, line, answer) \
    CHECK_STR(say_as(mp, origin, seq, low, line), answer)

#define LOST "err 8"
#define FULL "err 10"

CASE(a_repeat_gets_the_result_of_the_first)
{
    SAY_AS(7, 1, 1, "INCRBY k 5", "int 5");
    SAY_AS(7, 1, 1, "INCRBY k 5 +RETRY", "int 5");
    SAY_AS(7, 1, 1, "INCRBY k 5", "int 5");
    SAY_AS(7, 2, 1, "INCRBY k 1", "int 6");
    SAY_AS(7, 1, 1, "INCRBY k 5 +RETRY", "int 5");
    SAY("GET k", "bulk 6");
}

CASE(a_write_without_origin_is_executed_each_time)
{
    SAY("INCRBY k 5", "int 5");
    SAY("INCRBY k 5 +RETRY", "int 10");
}

CASE(origins_do_not_share_sequences)
{
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY_AS(8, 1, 1, "INCRBY k 1", "int 2");
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY_AS(8, 1, 1, "INCRBY k 1", "int 2");
}

CASE(every_kind_of_result_is_repeated_exactly)
{
    static const char *const lines[][2] = {
        { "SET k v", "OK" },           { "SET k w +GET", "bulk v" },
        { "SET k x +NX", "nil" },      { "GETDEL k", "bulk w" },
        { "GETDEL k", "nil" },         { "APPEND k ''", "int 0" },
        { "INCRBYFLOAT f 1.5", "bulk 1.5" }, { "INCRBY k 1", "err 1" },
        { "SETRANGE k -1 x", "err 6" }, { "GETEX k", "bulk " },
        { "MSET a 1 b 2", "OK" },      { "DEL a b", "int 2" },
        { "FLUSH", "OK" },
    };
    size_t n = sizeof(lines) / sizeof(lines[0]);

    for (size_t i = 0; i < n; i++)
        SAY_AS(7, i + 1, 1, lines[i][0], lines[i][1]);
    SAY("SET k other", "OK");
    for (size_t i = n; i-- > 0;)
        SAY_AS(7, i + 1, 1, lines[i][0], lines[i][1]);
    SAY("GET k", "bulk other");
}

CASE(sequences_may_arrive_in_any_order)
{
    SAY_AS(7, 3, 1, "INCRBY k 1", "int 1");
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 2");
    SAY_AS(7, 2, 1, "INCRBY k 1", "int 3");
    SAY_AS(7, 3, 1, "INCRBY k 1 +RETRY", "int 1");
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", "int 2");
    SAY_AS(7, 2, 1, "INCRBY k 1 +RETRY", "int 3");
}

CASE(a_late_copy_of_an_answered_write_is_not_executed)
{
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY_AS(7, 2, 2, "INCRBY k 1", "int 2");
    SAY_AS(7, 1, 1, "INCRBY k 1", LOST);
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", LOST);
    SAY("GET k", "bulk 2");
}

CASE(a_write_given_up_below_the_low_mark_is_not_executed_later)
{
    /* 1 was never seen here; its client has been told UNKNOWN. */
    SAY_AS(7, 2, 2, "INCRBY k 1", "int 1");
    SAY_AS(7, 1, 1, "INCRBY k 1", LOST);
    SAY("GET k", "bulk 1");
}

CASE(an_older_low_mark_does_not_move_the_session_back)
{
    SAY_AS(7, 5, 5, "INCRBY k 1", "int 1");
    SAY_AS(7, 6, 3, "INCRBY k 1", "int 2");
    SAY_AS(7, 4, 3, "INCRBY k 1", LOST);
    SAY_AS(7, 5, 5, "INCRBY k 1", "int 1");
}

CASE(acknowledged_results_are_let_go)
{
    struct fsm_stats st;
    char line[64];

    for (unsigned i = 1; i <= 1000; i++) {
        snprintf(line, sizeof(line), "INCRBY k %u", i);
        say_as(mp, 7, i, i > 10 ? i - 10 : 1, line);
    }
    fsm_get_stats(mp->f, &st);
    CHECK_EQ(st.sessions, 1);
    CHECK(st.session_bytes < 11 * 200);
    SAY_AS(7, 1001, 1001, "NOOP", "OK");
    fsm_get_stats(mp->f, &st);
    CHECK(st.session_bytes < 200);
}

/* ---- retries without a session ---- */

CASE(a_retry_from_an_origin_never_seen_is_executed)
{
    /* The first copy never got here, and nothing was ever forgotten. */
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", "int 1");
    SAY_AS(8, 9, 5, "INCRBY k 1 +RETRY", "int 2");
    SAY_AS(8, 9, 5, "INCRBY k 1 +RETRY", "int 2");
}

CASE(after_a_drop_old_sequences_are_lost_and_new_ones_go_on)
{
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY_AS(7, 3, 1, "INCRBY k 1", "int 2");
    SAY("SESSION_DROP #7", "OK");
    SAY_AS(7, 3, 1, "INCRBY k 1 +RETRY", LOST);
    SAY_AS(7, 1, 1, "INCRBY k 1", LOST);
    /* 2 was not executed, but nobody can tell any more. */
    SAY_AS(7, 2, 1, "INCRBY k 1 +RETRY", LOST);
    /* 4 is above all that was ever seen: new, retry or not. */
    SAY_AS(7, 4, 2, "INCRBY k 1 +RETRY", "int 3");
    SAY_AS(7, 4, 2, "INCRBY k 1 +RETRY", "int 3");
    SAY_AS(7, 2, 2, "INCRBY k 1 +RETRY", LOST);
    SAY("GET k", "bulk 3");
}

CASE(dropping_twice_or_nobody_is_harmless)
{
    SAY("SESSION_DROP #7", "OK");
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY("SESSION_DROP #7", "OK");
    SAY("SESSION_DROP #7", "OK");
    SAY_AS(7, 1, 1, "INCRBY k 1", LOST);
    SAY_AS(7, 2, 2, "INCRBY k 1", "int 2");
    SAY("SESSION_DROP #7", "OK");
    SAY_AS(7, 2, 2, "INCRBY k 1", LOST);
}

/* So many sessions that the first tombs are let go. */
static void forget_all(struct machine *m)
{
    for (uint64_t origin = 1000;
         origin < 1000 + SESSIONS_MAX + SESSION_TOMBS_MAX + 1; origin++)
        CHECK_STR(say_as(m, origin, 1, 1, "NOOP"), "OK");
}

CASE(too_many_sessions_bury_the_least_recently_used)
{
    struct fsm_stats st;

    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    for (uint64_t origin = 1000; origin < 1000 + SESSIONS_MAX - 1; origin++)
        SAY_AS(origin, 1, 1, "NOOP", "OK");
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", "int 1");
    SAY_AS(8, 1, 1, "NOOP", "OK");
    fsm_get_stats(mp->f, &st);
    CHECK_EQ(st.sessions, SESSIONS_MAX);
    /* 1000 had to go, not 7. */
    SAY_AS(1000, 1, 1, "INCRBY k 1 +RETRY", LOST);
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", "int 1");
}

CASE(once_something_was_forgotten_an_unknown_retry_is_refused)
{
    SAY_AS(7, 1, 1, "INCRBY k 1", "int 1");
    SAY("SESSION_DROP #7", "OK");
    forget_all(mp);
    SAY_AS(7, 1, 1, "INCRBY k 1 +RETRY", LOST);
    SAY_AS(8, 1, 1, "INCRBY k 1 +RETRY", LOST);
    /* A first try of a new origin is what it says. */
    SAY_AS(9, 1, 1, "INCRBY k 1", "int 2");
    SAY_AS(9, 1, 1, "INCRBY k 1 +RETRY", "int 2");
}

/* ---- bounds ---- */

static void pile_up(struct machine *m, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        CHECK_STR(say_as(m, 7, i, 1, "NOOP"), "OK");
}

CASE(too_many_results_refuse_the_next_write_for_good)
{
    pile_up(mp, 1, SESSION_RESULTS_MAX);
    SAY_AS(7, SESSION_RESULTS_MAX + 1, 1, "INCRBY k 1", FULL);
    /* Acknowledging makes room, but that one stays refused. */
    SAY_AS(7, SESSION_RESULTS_MAX + 2, 100, "INCRBY k 1", "int 1");
    SAY_AS(7, SESSION_RESULTS_MAX + 1, 100, "INCRBY k 1 +RETRY", FULL);
    SAY_AS(7, SESSION_RESULTS_MAX + 2, 100, "INCRBY k 1 +RETRY", "int 1");
    SAY("GET k", "bulk 1");
}

CASE(too_many_refusals_promise_nothing)
{
    unsigned last = SESSION_RESULTS_MAX + SESSION_REFUSALS_MAX;

    pile_up(mp, 1, SESSION_RESULTS_MAX);
    for (unsigned i = SESSION_RESULTS_MAX + 1; i <= last; i++)
        SAY_AS(7, i, 1, "NOOP", FULL);
    SAY_AS(7, last + 1, 1, "INCRBY k 1", LOST);
    SAY_AS(7, last + 2, last + 2, "INCRBY k 1", "int 1");
}

CASE(too_many_bytes_refuse_the_next_write)
{
    uint8_t *big = mem_calloc(1, OP_VALUE_BYTES_MAX);
    struct slice argv[2] = { slice_str("k"),
                             slice_make(big, OP_VALUE_BYTES_MAX) };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };
    struct fsm_stats st;

    CHECK_STR(machine_op(mp, &op), "OK");
    mem_free(big);
    CHECK_EQ(strlen(say_as(mp, 7, 1, 1, "GETDEL k")), strlen("bulk "));
    fsm_get_stats(mp->f, &st);
    CHECK(st.session_bytes >= OP_VALUE_BYTES_MAX);
    SAY_AS(7, 2, 1, "INCRBY n 1", FULL);
    SAY_AS(8, 1, 1, "INCRBY n 1", "int 1");
    SAY_AS(7, 3, 2, "INCRBY n 1", "int 2");
    fsm_get_stats(mp->f, &st);
    CHECK(st.session_bytes < 1000);
}

/* ---- idleness ---- */

CASE(idle_sessions_are_listed_longest_unused_first)
{
    uint64_t origins[4] = { 0 };

    mp->now = 1000;
    say_as(mp, 7, 1, 1, "NOOP");
    mp->now = 2000;
    say_as(mp, 8, 1, 1, "NOOP");
    mp->now = 3000;
    say_as(mp, 9, 1, 1, "NOOP");
    say_as(mp, 7, 1, 1, "NOOP +RETRY");
    mp->now = 4000;
    SAY("NOOP", "OK");
    CHECK_EQ(fsm_idle_sessions(mp->f, 2000, origins, 4), 0);
    CHECK_EQ(fsm_idle_sessions(mp->f, 1999, origins, 4), 1);
    CHECK_EQ(origins[0], 8);
    CHECK_EQ(fsm_idle_sessions(mp->f, 0, origins, 4), 3);
    CHECK_EQ(origins[1], 9);
    CHECK_EQ(origins[2], 7);
    CHECK_EQ(fsm_idle_sessions(mp->f, 0, origins, 2), 2);
    SAY("SESSION_DROP #8", "OK");
    CHECK_EQ(fsm_idle_sessions(mp->f, 0, origins, 4), 2);
}

CASE(sessions_are_part_of_the_digest)
{
    struct machine other;

    machine_init(&other);
    say(mp, "NOOP");
    say_as(&other, 7, 1, 1, "NOOP");
    CHECK(fsm_digest(mp->f) != fsm_digest(other.f));
    say_as(mp, 7, 1, 1, "NOOP");
    say_as(&other, 7, 1, 1, "NOOP");
    CHECK_EQ(fsm_digest(mp->f), fsm_digest(other.f));
    say(mp, "SESSION_DROP #7");
    say(&other, "SESSION_DROP #8");
    CHECK(fsm_digest(mp->f) != fsm_digest(other.f));
    machine_close(&other);
}
