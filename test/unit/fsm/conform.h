/* The conformance suite of storage engines: what engine.h promises, checked
 * from outside on any engine. */
#ifndef KV_TEST_UNIT_FSM_CONFORM_H
#define KV_TEST_UNIT_FSM_CONFORM_H

#include <stdint.h>

#include "fsm/engine.h"

typedef struct engine *(*engine_new_fn)(uint64_t seed);

void conform_basics(engine_new_fn make);     /* put, get, remove, views */
void conform_sizes(engine_new_fn make);      /* every layout to every other */
void conform_own_bytes(engine_new_fn make);  /* put of what the engine holds */
void conform_lru(engine_new_fn make);
void conform_deadlines(engine_new_fn make);
void conform_digest(engine_new_fn make);
void conform_dirty(engine_new_fn make);
void conform_scan(engine_new_fn make);       /* while the content changes */
void conform_scan_replicas(engine_new_fn make); /* one iteration, two engines */
void conform_random(engine_new_fn make);
void conform_model(engine_new_fn make);      /* 10^5 random operations */

#endif
