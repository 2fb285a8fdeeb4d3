/* "Fail the n-th call": a counter that a fake disk or network asks before each
 * operation.  A sweep runs the same work with n = 1, 2, ... until it gets
 * through without meeting the fault, so that each call has failed once:
 *
 *     for (uint64_t n = 1;; n++) {
 *         fault_arm(&f, n, false);
 *         rv = work(&f);
 *         if (!fault_fired(&f))
 *             break;
 *         CHECK(rv != 0);
 *     }
 */
#ifndef KV_TEST_LIB_FAULT_H
#define KV_TEST_LIB_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct fault {
    uint64_t calls;  /* seen since fault_arm */
    uint64_t nth;    /* the call that fails, counted from 1; 0 = none */
    bool for_ever;   /* all later calls fail as well (a dead disk) */
};

void fault_arm(struct fault *f, uint64_t nth, bool for_ever);
void fault_disarm(struct fault *f);

/* Count one call; true when it is to fail. */
bool fault_hit(struct fault *f);

/* Whether any call has failed since fault_arm. */
bool fault_fired(const struct fault *f);

#endif
