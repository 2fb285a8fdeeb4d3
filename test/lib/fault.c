/* See fault.h. */
#include "lib/fault.h"

void fault_arm(struct fault *f, uint64_t nth, bool for_ever)
{
    *f = (struct fault){ .nth = nth, .for_ever = for_ever };
}

void fault_disarm(struct fault *f)
{
    fault_arm(f, 0, false);
}

bool fault_hit(struct fault *f)
{
    f->calls++;
    if (f->nth == 0)
        return false;
    return f->calls == f->nth || (f->for_ever && f->calls > f->nth);
}

bool fault_fired(const struct fault *f)
{
    return f->nth != 0 && f->calls >= f->nth;
}
