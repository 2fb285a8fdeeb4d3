/* What each command does, edge cases included; expected answers are those of
 * Redis 7 where it has the command. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#include "lib/test.h"
#include "machine.h"

/* A case with a fresh machine `m`. */
#define CASE(name)                            \
    static void case_##name(struct machine *); \
    TEST(apply, name)                         \
    {                                         \
        struct machine m;                     \
        machine_init(&m);                     \
        case_##name(&m);                      \
        machine_close(&m);                    \
    }                                         \
    static void case_##name(struct machine *mp)

#define SAY(line, answer) CHECK_STR(say(mp, line), answer)

CASE(set_stores_and_get_finds)
{
    SAY("GET k", "nil");
    SAY("SET k v", "OK");
    SAY("GET k", "bulk v");
    SAY("SET k ''", "OK");
    SAY("GET k", "bulk ");
    SAY("SET '' empty-key", "OK");
    SAY("GET ''", "bulk empty-key");
}

CASE(set_nx_and_xx_look_at_the_key)
{
    SAY("SET k v +XX", "nil");
    SAY("GET k", "nil");
    SAY("SET k v +NX", "OK");
    SAY("SET k w +NX", "nil");
    SAY("GET k", "bulk v");
    SAY("SET k w +XX", "OK");
    SAY("GET k", "bulk w");
}

CASE(set_with_get_answers_with_the_old_value_stored_or_not)
{
    SAY("SET k v +GET", "nil");
    SAY("SET k w +GET", "bulk v");
    SAY("SET k x +GET +NX", "bulk w");
    SAY("GET k", "bulk w");
    SAY("SET k x +GET +XX", "bulk w");
    SAY("GET k", "bulk x");
    SAY("SET fresh x +GET +XX", "nil");
    SAY("GET fresh", "nil");
    SAY("SET fresh x +GET +NX", "nil");
    SAY("GET fresh", "bulk x");
}

CASE(setnx_answers_with_a_number)
{
    SAY("SET k v +NX +SETNX", "int 1");
    SAY("SET k w +NX +SETNX", "int 0");
    SAY("GET k", "bulk v");
}

CASE(set_drops_the_deadline_unless_it_is_kept)
{
    SAY("SET k v +REL=500", "OK");
    SAY("TTL k", "pair 1500 1000");
    SAY("SET k w +KEEPTTL", "OK");
    SAY("TTL k", "pair 1500 1000");
    SAY("SET k x", "OK");
    SAY("TTL k", "pair -1 1000");
    SAY("SET k x +ABS=7000", "OK");
    SAY("TTL k", "pair 7000 1000");
    SAY("SET new x +KEEPTTL", "OK");
    SAY("TTL new", "pair -1 1000");
}

CASE(set_with_a_deadline_in_the_past_leaves_nothing)
{
    SAY("SET k v", "OK");
    SAY("SET k w +ABS=1000", "OK");
    SAY("GET k", "nil");
    SAY("DBSIZE", "int 0");
    SAY("SET k w +REL=-5", "OK");
    SAY("GET k", "nil");
    SAY("SET k w +ABS=-1", "OK");
    CHECK_EQ(fsm_revision(mp->f), 2);
}

CASE(set_with_a_deadline_that_does_not_fit_is_refused)
{
    SAY("SET k v", "OK");
    SAY("SET k w +REL=9223372036854775807", "err 7");
    SAY("SET k w +ABS=9223372036854775807", "err 7");
    SAY("SET k w +REL=9223372036854774807", "err 7");
    SAY("GET k", "bulk v");
    SAY("SET k w +REL=9223372036854774806", "OK");
    SAY("TTL k", "pair 9223372036854775806 1000");
    SAY("EXPIRE k +ABS=9223372036854775807", "err 7");
    SAY("GETEX k +ABS=9223372036854775807", "err 7");
}

CASE(ifeq_stores_only_over_an_equal_value)
{
    SAY("SET k v +IFEQ v", "nil");
    SAY("SET k one", "OK");
    SAY("SET k two +IFEQ on", "nil");
    SAY("SET k two one +IFEQ", "OK");
    SAY("SET k three x +IFEQ +GET", "bulk two");
    SAY("GET k", "bulk two");
    SAY("SET k three two +IFEQ +GET", "bulk two");
    SAY("GET k", "bulk three");
}

CASE(ifrev_stores_only_over_that_revision)
{
    SAY("GETREV k", "int 0");
    SAY("SET k a #1 +IFREV", "nil");
    SAY("SET k a #0 +IFREV", "OK");
    SAY("GETREV k", "int 1");
    SAY("SET k b #0 +IFREV", "nil");
    SAY("SET other x", "OK");
    SAY("SET k b #1 +IFREV", "OK");
    SAY("GETREV k", "int 3");
    SAY("SET k c #1 +IFREV", "nil");
    SAY("GET k", "bulk b");
}

CASE(revisions_rise_with_changes_and_with_nothing_else)
{
    SAY("SET k v", "OK");
    SAY("SET k v +NX", "nil");
    SAY("DEL none", "int 0");
    SAY("GETDEL none", "nil");
    SAY("PERSIST k", "int 0");
    SAY("EXPIRE none +REL=5", "int 0");
    SAY("GETEX k", "bulk v");
    SAY("SETRANGE k 5 ''", "int 1");
    SAY("APPEND k ''", "int 1");
    SAY("INCRBY k 1", "err 1");
    SAY("NOOP", "OK");
    SAY("TICK", "int 0");
    CHECK_EQ(fsm_revision(mp->f), 1);
    SAY("MSET a 1 b 2 a 3", "OK");
    CHECK_EQ(fsm_revision(mp->f), 2);
    SAY("GETREV a", "int 2");
    SAY("GETREV b", "int 2");
    SAY("DEL a b none", "int 2");
    CHECK_EQ(fsm_revision(mp->f), 3);
    SAY("EXPIRE k +REL=100", "int 1");
    SAY("GETREV k", "int 4");
    SAY("FLUSH", "OK");
    SAY("FLUSH", "OK");
    CHECK_EQ(fsm_revision(mp->f), 5);
}

CASE(mset_and_mget_work_on_many_keys)
{
    SAY("MSET a 1 b 2 a 3", "OK");
    SAY("MGET a none b a", "[3 nil 2 3]");
    SAY("SET a x +REL=100", "OK");
    SAY("MSET a y", "OK");
    SAY("TTL a", "pair -1 1000");
}

CASE(append_creates_and_extends_and_keeps_the_deadline)
{
    SAY("APPEND k ''", "int 0");
    SAY("GET k", "bulk ");
    SAY("APPEND k ab", "int 2");
    SAY("EXPIRE k +REL=100", "int 1");
    SAY("APPEND k cd", "int 4");
    SAY("GET k", "bulk abcd");
    SAY("TTL k", "pair 1100 1000");
    SAY("STRLEN k", "int 4");
    SAY("STRLEN none", "int 0");
}

CASE(setrange_pads_with_zeros_and_creates_only_with_content)
{
    SAY("SETRANGE k 3 ''", "int 0");
    SAY("EXISTS k", "int 0");
    SAY("SETRANGE k 2 ab", "int 4");
    SAY("GETRANGE k 2 3", "bulk ab");
    SAY("STRLEN k", "int 4");
    SAY("SET k HelloWorld +REL=100", "OK");
    SAY("SETRANGE k 5 there", "int 10");
    SAY("GET k", "bulk Hellothere");
    SAY("SETRANGE k 0 J", "int 10");
    SAY("GET k", "bulk Jellothere");
    SAY("SETRANGE k 8 XYZ", "int 11");
    SAY("GET k", "bulk JellotheXYZ");
    SAY("TTL k", "pair 1100 1000");
    SAY("SETRANGE k -1 x", "err 6");
    SAY("SETRANGE k abc x", "err 1");
    SAY("SETRANGE k 16777215 x", "int 16777216");
    SAY("SETRANGE k 16777216 x", "err 5");
    SAY("SETRANGE k 9223372036854775807 x", "err 5");
    SAY("APPEND k x", "err 5");
    SAY("STRLEN k", "int 16777216");
    SAY("SETRANGE none -1 x", "err 6");
    SAY("EXISTS none", "int 0");
}

CASE(setrange_pads_with_zero_bytes)
{
    struct slice argv[1] = { slice_str("k") };
    struct op op = { .kind = OP_GET, .argv = argv, .argc = 1 };
    struct op_result res;

    SAY("SET k ab", "OK");
    SAY("SETRANGE k 4 c", "int 5");
    fsm_read(mp->f, &op, 0, &res);
    CHECK_EQ(res.bulk.n, 5);
    CHECK_MEM(res.bulk.p, "ab\0\0c", 5);
}

CASE(getrange_counts_from_both_ends)
{
    SAY("SET k 0123456789", "OK");
    SAY("GETRANGE k 0 3", "bulk 0123");
    SAY("GETRANGE k 0 -1", "bulk 0123456789");
    SAY("GETRANGE k -3 -1", "bulk 789");
    SAY("GETRANGE k -100 2", "bulk 012");
    SAY("GETRANGE k 7 100", "bulk 789");
    SAY("GETRANGE k 5 2", "bulk ");
    SAY("GETRANGE k -1 -3", "bulk ");
    SAY("GETRANGE k 100 200", "bulk ");
    SAY("GETRANGE k 0 -100", "bulk 0");
    SAY("GETRANGE k -9223372036854775808 9223372036854775807",
        "bulk 0123456789");
    SAY("GETRANGE none 0 -1", "bulk ");
    SAY("GETRANGE k x 1", "err 1");
    SAY("SET k ''", "OK");
    SAY("GETRANGE k 0 -1", "bulk ");
}

CASE(incrby_takes_canonical_integers_only)
{
    static const char *const bad[] = { "+1", "01", "-0", "1.0", "0x1", "-",
                                       "abc", "9223372036854775808",
                                       "-9223372036854775809",
                                       "100000000000000000000" };
    char line[128];

    SAY("INCRBY k 5", "int 5");
    SAY("INCRBY k -7", "int -2");
    SAY("GET k", "bulk -2");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "SET bad %s", bad[i]);
        SAY(line, "OK");
        SAY("INCRBY bad 1", "err 1");
        snprintf(line, sizeof(line), "INCRBY k %s", bad[i]);
        SAY(line, "err 1");
    }
    SAY("SET bad ''", "OK");
    SAY("INCRBY bad 1", "err 1");
    SAY("SET zero 0", "OK");
    SAY("INCRBY zero 0", "int 0");
}

CASE(incrby_refuses_overflow_at_both_ends)
{
    SAY("SET k 9223372036854775806", "OK");
    SAY("INCRBY k 1", "int 9223372036854775807");
    SAY("INCRBY k 1", "err 2");
    SAY("GET k", "bulk 9223372036854775807");
    SAY("SET k -9223372036854775808", "OK");
    SAY("INCRBY k -1", "err 2");
    SAY("INCRBY k -9223372036854775808", "err 2");
    SAY("INCRBY k 9223372036854775807", "int -1");
    SAY("INCRBY none -9223372036854775808", "int -9223372036854775808");
}

CASE(incrby_keeps_the_deadline)
{
    SAY("SET k 1 +REL=100", "OK");
    SAY("INCRBY k 1", "int 2");
    SAY("TTL k", "pair 1100 1000");
    SAY("INCRBYFLOAT k 0.5", "bulk 2.5");
    SAY("TTL k", "pair 1100 1000");
}

CASE(incrbyfloat_writes_plain_decimals)
{
    SAY("SET k 10.50", "OK");
    SAY("INCRBYFLOAT k 0.1", "bulk 10.6");
    SAY("INCRBYFLOAT k -5", "bulk 5.6");
    SAY("SET k 5.0e3", "OK");
    SAY("INCRBYFLOAT k 2.0e2", "bulk 5200");
    SAY("SET k 3", "OK");
    SAY("INCRBYFLOAT k 1.1", "bulk 4.1");
    SAY("INCRBYFLOAT k -4.1", "bulk 0");
    SAY("SET k 1e20", "OK");
    SAY("INCRBYFLOAT k 1", "bulk 100000000000000000000");
    SAY("INCRBYFLOAT none -0.0", "bulk 0");
    SAY("SET k 0x10", "OK");
    SAY("INCRBYFLOAT k 1", "bulk 17");
}

CASE(incrbyfloat_refuses_what_is_no_number)
{
    SAY("SET k abc", "OK");
    SAY("INCRBYFLOAT k 1", "err 3");
    SAY("SET k 1x", "OK");
    SAY("INCRBYFLOAT k 1", "err 3");
    SAY("SET k ''", "OK");
    SAY("INCRBYFLOAT k 1", "err 3");
    SAY("SET k 1", "OK");
    SAY("INCRBYFLOAT k nan", "err 3");
    SAY("INCRBYFLOAT k 1e5000", "err 3");
    SAY("INCRBYFLOAT k inf", "err 4");
    SAY("SET k 1e4932", "OK");
    SAY("INCRBYFLOAT k 1e4932", "err 4");
    SAY("GET k", "bulk 1e4932");
}

CASE(del_counts_what_was_there)
{
    SAY("MSET a 1 b 2", "OK");
    SAY("DEL a b a c", "int 2");
    SAY("EXISTS a b", "int 0");
}

CASE(exists_and_touch_count_each_mention)
{
    SAY("SET a 1", "OK");
    SAY("EXISTS a a b", "int 2");
    SAY("TOUCH a a b", "int 2");
    SAY("TYPE a", "bulk string");
    SAY("TYPE b", "bulk none");
}

CASE(getdel_gives_the_value_and_removes)
{
    SAY("SET k v", "OK");
    SAY("GETDEL k", "bulk v");
    SAY("GETDEL k", "nil");
    SAY("GET k", "nil");
}

CASE(getex_reads_and_moves_the_deadline)
{
    SAY("SET k v", "OK");
    SAY("GETEX k +REL=50", "bulk v");
    SAY("TTL k", "pair 1050 1000");
    SAY("GETEX k", "bulk v");
    SAY("TTL k", "pair 1050 1000");
    SAY("GETEX k +ABS=9000", "bulk v");
    SAY("TTL k", "pair 9000 1000");
    SAY("GETEX k +PERSIST", "bulk v");
    SAY("TTL k", "pair -1 1000");
    SAY("GETEX k +ABS=1", "bulk v");
    SAY("GET k", "nil");
    SAY("GETEX k +REL=50", "nil");
}

CASE(expire_sets_removes_and_answers)
{
    SAY("EXPIRE k +REL=5", "int 0");
    SAY("SET k v", "OK");
    SAY("EXPIRE k +REL=5", "int 1");
    SAY("TTL k", "pair 1005 1000");
    SAY("EXPIRE k +ABS=900", "int 1");
    SAY("EXISTS k", "int 0");
    SAY("SET k v", "OK");
    SAY("EXPIRE k +REL=-1", "int 1");
    SAY("EXISTS k", "int 0");
}

CASE(expire_conditions_are_those_of_redis)
{
    SAY("SET k v", "OK");
    SAY("EXPIRE k +REL=100 +XX", "int 0");
    SAY("EXPIRE k +REL=100 +GT", "int 0");
    SAY("EXPIRE k +REL=100 +NX", "int 1");
    SAY("EXPIRE k +REL=200 +NX", "int 0");
    SAY("EXPIRE k +REL=100 +GT", "int 0");
    SAY("EXPIRE k +REL=101 +GT", "int 1");
    SAY("EXPIRE k +REL=101 +LT", "int 0");
    SAY("EXPIRE k +REL=99 +LT +XX", "int 1");
    SAY("TTL k", "pair 1099 1000");
    SAY("PERSIST k", "int 1");
    SAY("EXPIRE k +REL=99 +LT +XX", "int 0");
    SAY("EXPIRE k +REL=99 +LT", "int 1");
    SAY("EXPIRE k +ABS=1 +GT", "int 0");
    SAY("EXPIRE k +ABS=1 +LT", "int 1");
    SAY("EXISTS k", "int 0");
}

CASE(persist_drops_a_deadline)
{
    SAY("PERSIST k", "int 0");
    SAY("SET k v +REL=5", "OK");
    SAY("PERSIST k", "int 1");
    SAY("PERSIST k", "int 0");
    SAY("TTL k", "pair -1 1000");
    SAY("TTL none", "pair -2 1000");
}

CASE(flush_removes_everything)
{
    SAY("MSET a 1 b 2", "OK");
    SAY("SET c 3 +REL=5", "OK");
    SAY("FLUSH", "OK");
    SAY("DBSIZE", "int 0");
    SAY("GET a", "nil");
    CHECK_EQ(fsm_next_deadline(mp->f), INT64_MAX);
    SAY("SET a 1", "OK");
    SAY("DBSIZE", "int 1");
}

/* ---- expiry ---- */

/* Move the shard clock with an entry that does nothing else. */
static void at(struct machine *m, int64_t ms)
{
    m->now = ms;
    CHECK_STR(say(m, "NOOP"), "OK");
}

CASE(a_key_is_gone_when_the_clock_reaches_its_deadline)
{
    SAY("SET k v +REL=100", "OK");
    at(mp, 1099);
    SAY("GET k", "bulk v");
    at(mp, 1100);
    SAY("GET k", "nil");
    SAY("EXISTS k", "int 0");
    SAY("TTL k", "pair -2 1100");
    SAY("STRLEN k", "int 0");
    SAY("TYPE k", "bulk none");
    SAY("GETREV k", "int 0");
    SAY("MGET k", "[nil]");
    SAY("KEYS *", "[]");
    SAY("RANDOMKEY", "nil");
    SAY("DBSIZE", "int 1");
    CHECK_EQ(fsm_next_deadline(mp->f), 1100);
    SAY("TICK", "int 1");
    SAY("DBSIZE", "int 0");
}

CASE(an_expired_key_is_absent_for_every_write)
{
    static const struct {
        const char *line, *answer, *after;
    } writes[] = {
        { "SET k w +XX", "nil", "nil" },
        { "SET k w +NX", "OK", "bulk w" },
        { "SET k w +GET", "nil", "bulk w" },
        { "SET k w 5 +IFEQ", "nil", "nil" },
        { "SET k w #0 +IFREV", "OK", "bulk w" },
        { "SET k w #1 +IFREV", "nil", "nil" },
        { "SET k w +KEEPTTL", "OK", "bulk w" },
        { "APPEND k w", "int 1", "bulk w" },
        { "SETRANGE k 0 w", "int 1", "bulk w" },
        { "INCRBY k 1", "int 1", "bulk 1" },
        { "INCRBYFLOAT k 1", "bulk 1", "bulk 1" },
        { "DEL k", "int 0", "nil" },
        { "GETDEL k", "nil", "nil" },
        { "GETEX k +PERSIST", "nil", "nil" },
        { "EXPIRE k +REL=100", "int 0", "nil" },
        { "PERSIST k", "int 0", "nil" },
    };

    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        SAY("FLUSH", "OK");
        SAY("SET k 5 +REL=100", "OK");
        at(mp, mp->now + 100);
        SAY(writes[i].line, writes[i].answer);
        SAY("GET k", writes[i].after);
        if (strcmp(writes[i].after, "nil") != 0)
            CHECK_EQ(fsm_next_deadline(mp->f), INT64_MAX);
    }
}

CASE(the_clock_never_goes_back)
{
    SAY("SET k v +REL=100", "OK");
    at(mp, 1100);
    at(mp, 1000);
    CHECK_EQ(fsm_clock_ms(mp->f), 1100);
    SAY("GET k", "nil");
    SAY("SET k v +REL=100", "OK");
    CHECK_EQ(fsm_next_deadline(mp->f), 1200);
}

CASE(a_reader_with_a_fast_clock_still_sees_the_key)
{
    SAY("SET k v +REL=100", "OK");
    mp->now = 5000;
    SAY("GET k", "bulk v");
    SAY("TTL k", "pair 1100 5000");
}

CASE(a_tick_expires_a_bounded_number_in_order_of_deadline)
{
    char line[64];
    struct fsm_stats st;

    for (unsigned i = 0; i < 1500; i++) {
        snprintf(line, sizeof(line), "SET k%u v +ABS=%u", i, 5000 - i % 7);
        SAY(line, "OK");
    }
    SAY("SET late v +ABS=6000", "OK");
    at(mp, 5000);
    SAY("TICK", "int 1024");
    CHECK_EQ(fsm_next_deadline(mp->f), 4998);
    fsm_get_stats(mp->f, &st);
    CHECK_EQ(st.keys, 477);
    CHECK_EQ(st.keys_with_ttl, 477);
    CHECK_EQ(st.expired, 1024);
    SAY("TICK", "int 476");
    SAY("TICK", "int 0");
    SAY("KEYS *", "[late]");
}

/* ---- listing ---- */

CASE(keys_matches_globs)
{
    SAY("MSET one 1 two 2 three 3", "OK");
    SAY("KEYS t?o", "[two]");
    SAY("KEYS o*", "[one]");
    SAY("KEYS x*", "[]");
    SAY("KEYS ''", "[]");
}

CASE(scan_visits_every_key_once_and_ends_with_zero)
{
    char line[128];
    unsigned seen = 0, calls = 0;
    uint64_t cursor = 0;

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "SET key:%u v", i);
        SAY(line, "OK");
    }
    do {
        const char *answer;

        snprintf(line, sizeof(line), "SCAN #%llu #10 ''",
                 (unsigned long long)cursor);
        answer = say(mp, line);
        CHECK_EQ(sscanf(answer, "scan %" SCNu64, &cursor), 1);
        CHECK(cursor < 1ull << OP_SCAN_CURSOR_BITS);
        for (const char *p = answer; (p = strstr(p, "key:")) != NULL; p++)
            seen++;
        calls++;
    } while (cursor != 0);
    CHECK_EQ(seen, 1000);
    CHECK(calls > 50 && calls <= 100);
    /* All of them in one page, of which MATCH leaves one. */
    SAY("SCAN #0 #10000 key:77", "scan 0 [key:77]");
}

CASE(randomkey_reaches_every_key)
{
    char line[64];
    bool seen[20] = { false };
    unsigned count = 0, i;

    SAY("RANDOMKEY", "nil");
    for (i = 0; i < 20; i++) {
        snprintf(line, sizeof(line), "SET %u v", i);
        SAY(line, "OK");
    }
    for (unsigned n = 0; n < 5000 && count < 20; n++) {
        CHECK_EQ(sscanf(say(mp, "RANDOMKEY"), "bulk %u", &i), 1);
        CHECK(i < 20);
        count += !seen[i];
        seen[i] = true;
    }
    CHECK_EQ(count, 20);
}

CASE(randomkey_finds_the_one_key_that_has_not_expired)
{
    char line[64];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(line, sizeof(line), "SET %u v +ABS=2000", i);
        SAY(line, "OK");
    }
    SAY("SET alive v", "OK");
    at(mp, 2000);
    SAY("RANDOMKEY", "bulk alive");
}

CASE(answers_beyond_the_limit_are_refused)
{
    uint8_t *big = mem_calloc(1, OP_VALUE_BYTES_MAX);
    struct slice argv[3] = { slice_str("k"),
                             slice_make(big, OP_VALUE_BYTES_MAX) };
    struct op op = { .kind = OP_SET, .argv = argv, .argc = 2 };

    CHECK_STR(machine_op(mp, &op), "OK");
    SAY("MGET k k", "err 5");
    SAY("STRLEN k", "int 16777216");
    mem_free(big);
}

/* ---- figures ---- */

CASE(stats_count_keys_hits_and_misses)
{
    struct fsm_stats st;

    SAY("SET a 1", "OK");
    SAY("SET b 1 +REL=1000", "OK");
    SAY("GET a", "bulk 1");
    SAY("MGET a b c", "[1 1 nil]");
    fsm_get_stats(mp->f, &st);
    CHECK_EQ(st.keys, 2);
    CHECK_EQ(st.keys_with_ttl, 1);
    CHECK_EQ(st.hits, 3);
    CHECK_EQ(st.misses, 1);
    CHECK_EQ(st.avg_ttl_ms, 1000);
    CHECK(st.bytes > 0);
}
