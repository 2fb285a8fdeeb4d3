/* Planted faults.  In the product SABOTAGE(x) is the constant 0 and leaves no
 * code behind.  Tests and the simulator build the same sources with -DKV_SABOTAGE
 * and switch single faults on, to prove that the checkers find them. */
#ifndef KV_BASE_SABOTAGE_H
#define KV_BASE_SABOTAGE_H

#ifdef KV_SABOTAGE
#include <stdbool.h>
#include <stdint.h>
#define SABOTAGE_MAP(X)                                                     \
    X(S1) X(S2) X(S3) X(S4) X(S5) X(S6) X(S7) X(S8) X(S10) X(S11) X(S12) X(S13) \
    X(ACK_BEFORE_FSYNC) X(VOTE_UNGATED) X(READ_WITHOUT_ROUND)               \
    X(READ_OLD_ROUND) X(DEDUPE_OFF) X(TORN_ACCEPTED) X(TTL_LOCAL_CLOCK)     \
    X(WAL_STALE_ACCEPTED) X(WAL_DAMAGE_CUT) X(SESSION_NO_TOMB)
enum sabotage {
#define X(name) SABOTAGE_##name,
    SABOTAGE_MAP(X)
#undef X
    SABOTAGE_COUNT
};
extern uint64_t sabotage_mask; /* bit per enum sabotage; test programs only */
#define SABOTAGE(name) ((sabotage_mask >> SABOTAGE_##name & 1) != 0)
#else
#define SABOTAGE(name) 0
#endif

#endif
