/* Planted faults.  In the product SABOTAGE(x) is the constant 0 and leaves no
 * code behind.  Tests and the simulator build the same sources with -DKV_SABOTAGE
 * and switch single faults on, to prove that the checkers find them.  A kvd that
 * is broken on purpose, for the negative controls of jepsen/, is compiled with one
 * of them on for good: configure --with-sabotage=NAME.
 *
 * What each one breaks, and how it is found: test/sim/sabotages.txt. */
#ifndef KV_BASE_SABOTAGE_H
#define KV_BASE_SABOTAGE_H

#include <stddef.h>

#if defined(KV_SABOTAGE) || defined(KV_SABOTAGE_PLANTED)
#include <stdbool.h>
#include <stdint.h>
#define SABOTAGE_MAP(X)                                                     \
    /* the host rules of libraft.md, off */                                 \
    X(S1) X(S2) X(S3) X(S4) X(S5) X(S6) X(S7) X(S8) X(S9) X(S10) X(S11)     \
    X(S12) X(S13) X(S14) X(S15)                                             \
    /* durability */                                                        \
    X(ACK_BEFORE_FSYNC) X(PERSISTED_EARLY) X(VOTE_UNGATED) X(TERM_UNGATED)  \
    X(VOTE_FORGOTTEN) X(EIO_IGNORED) X(DIR_UNSYNCED) X(TORN_ACCEPTED)       \
    X(WAL_STALE_ACCEPTED) X(WAL_DAMAGE_CUT) X(CORRUPT_SKIPPED)              \
    /* consensus */                                                         \
    X(COMMIT_OLD_TERM) X(APPLY_UNCOMMITTED) X(NO_TRUNCATE)                  \
    /* reads */                                                             \
    X(READ_WITHOUT_ROUND) X(READ_OLD_ROUND) X(READ_UNGATED)                 \
    X(READ_FOLLOWER) X(SERVE_EARLY)                                         \
    /* outcomes and exactly once */                                         \
    X(ACK_AT_PROPOSE) X(DEFINITE_UNKNOWN) X(UNKNOWN_REFUSED)                \
    X(UNKNOWN_SUCCESS) X(DEDUPE_OFF) X(RETRY_FRESH) X(SESSION_NO_TOMB)      \
    X(SESSION_EARLY)                                                        \
    /* the state machine */                                                 \
    X(TTL_LOCAL_CLOCK) X(CLOCK_BACKWARDS) X(READ_EXPIRES) X(CAS_BLIND)      \
    /* routing and replies */                                               \
    X(FORWARD_LOOP) X(ID_REUSED) X(RESULT_SHIFTED) X(REPLY_SWAPPED)
enum sabotage {
#define X(name) SABOTAGE_##name,
    SABOTAGE_MAP(X)
#undef X
    SABOTAGE_COUNT
};
#endif

#if defined(KV_SABOTAGE)
extern uint64_t sabotage_mask; /* bit per enum sabotage; test programs only */
#define SABOTAGE(name) ((sabotage_mask >> SABOTAGE_##name & 1) != 0)
#elif defined(KV_SABOTAGE_PLANTED)
#define SABOTAGE__JOIN(a, b) a##b
#define SABOTAGE__ID(name) SABOTAGE__JOIN(SABOTAGE_, name)
#define SABOTAGE__TEXT(name) #name
#define SABOTAGE__NAME(name) SABOTAGE__TEXT(name)
#define SABOTAGE(name) (SABOTAGE_##name == SABOTAGE__ID(KV_SABOTAGE_PLANTED))
#else
#define SABOTAGE(name) 0
#endif

/* The fault that was compiled in for good; NULL: none, this is the product. */
static inline const char *sabotage_planted(void)
{
#ifdef KV_SABOTAGE_PLANTED
    return SABOTAGE__NAME(KV_SABOTAGE_PLANTED);
#else
    return NULL;
#endif
}

#endif
