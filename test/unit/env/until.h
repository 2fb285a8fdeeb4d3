/* An env with a loop that runs until a condition holds. */
#ifndef KV_TEST_UNIT_ENV_UNTIL_H
#define KV_TEST_UNIT_ENV_UNTIL_H

#include <stdbool.h>

#include "env/env.h"

struct until {
    struct env *env;
    struct env_timer tick;
    const unsigned *value; /* ... has reached ... */
    unsigned target;
};

void until_open(struct until *u);
void until_close(struct until *u); /* env_uv_free: all must be closed */
/* Run the loop until *value >= target. */
void until(struct until *u, const unsigned *value, unsigned target);
/* Run a few iterations, so that what is under way gets through. */
void until_settled(struct until *u);

#endif
