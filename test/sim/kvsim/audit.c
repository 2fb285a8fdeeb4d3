/* Audit: the oracle only. */
#include "kvsim/parts.h"

void watch_audit(struct watch *t)
{
    (void)t;
}
