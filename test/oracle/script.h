/* For tests of the oracle: histories in few words. */
#ifndef KV_TEST_ORACLE_SCRIPT_H
#define KV_TEST_ORACLE_SCRIPT_H

#include "oracle/oracle.h"

/* The most operations of a history that brute_check takes. */
#define BRUTE_OPS_MAX 8u

/* A value or nil (NULL). */
struct oracle_value script_value(const char *s);
/* Add an operation with all that happened to it (op->outcome, ret, result, ...);
 * bytes are copied. */
size_t script_add(struct history *h, const struct oracle_op *op);
enum oracle_verdict script_verdict(const struct history *h,
                                   const struct oracle_config *cfg);

/* Is h, of one key, linearizable?  Tries all orders, with a model of its own. */
bool brute_check(const struct history *h, const struct oracle_config *cfg);

#endif
