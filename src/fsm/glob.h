/* Glob patterns of SCAN MATCH and KEYS, with the meaning Redis gives them:
 * * ? [abc] [^abc] [a-z] and \ to take the next byte literally. */
#ifndef KV_FSM_GLOB_H
#define KV_FSM_GLOB_H

#include <stdbool.h>

#include "base/slice.h"

/* True if all of text matches.  Takes at most pattern.n * text.n steps. */
bool glob_match(struct slice pattern, struct slice text);

#endif
