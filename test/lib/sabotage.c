/* The switches of base/sabotage.h for test programs.  The layers see them only
 * in a build with -DKV_SABOTAGE; all are off until a test sets a bit. */
#ifndef KV_SABOTAGE
#define KV_SABOTAGE
#endif
#include "base/sabotage.h"

_Static_assert(SABOTAGE_COUNT <= 64, "one bit for each planted fault");

uint64_t sabotage_mask;
