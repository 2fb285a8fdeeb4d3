/* The queue of armed timers of one env: shared by the production env and the
 * simulator, so that both fire timers in the same order. */
#ifndef KV_ENV_TIMERQ_H
#define KV_ENV_TIMERQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "env/env.h"

struct timerq {
    struct heap heap; /* of env_timer.node, key: deadline in ms */
};

void timerq_init(struct timerq *q);
/* Nothing may be armed any more. */
void timerq_close(struct timerq *q);
/* (Re)arm t for deadline_ms; a timer already armed moves. */
void timerq_set(struct timerq *q, struct env_timer *t, uint64_t deadline_ms);
/* Disarm t; harmless if it is not armed. */
void timerq_stop(struct timerq *q, struct env_timer *t);
/* True, with the earliest deadline in *ret_ms, unless nothing is armed. */
bool timerq_next(const struct timerq *q, uint64_t *ret_ms);
/* Fire, in the order (deadline, time of setting), the timers that were set
 * before this call and are due at now_ms.  One that a callback sets waits for
 * the next call, however early its deadline.  Returns how many fired. */
unsigned timerq_run(struct timerq *q, uint64_t now_ms);

#endif
