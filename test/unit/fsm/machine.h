/* A state machine for tests, spoken to in lines of text.
 *
 *   say(m, "SET k v +NX +REL=100")   apply or read one operation
 *
 * Words: the kind; arguments; +FLAG, +REL=ms, +ABS=ms; '' is the empty
 * argument, #5 the eight bytes of a u64.  The answer is text: OK, nil, int 5,
 * bulk text, [a nil b], err 3, pair 5 7, scan 9 [a b]. */
#ifndef KV_TEST_UNIT_FSM_MACHINE_H
#define KV_TEST_UNIT_FSM_MACHINE_H

#include "base/buf.h"
#include "fsm/fsm.h"

struct machine {
    struct fsm *f;
    uint64_t index;    /* last entry applied */
    int64_t now;       /* leader's time of the next entry */
    uint64_t origin;   /* of the next write; 0: none */
    uint64_t seq, low;
    struct buf answer; /* text */
    struct buf log;    /* varint length, batch: what was applied */
};

void machine_init(struct machine *m);
void machine_close(struct machine *m);
const char *say(struct machine *m, const char *line);
/* As say, for writes that are sent as (origin, seq, low). */
const char *say_as(struct machine *m, uint64_t origin, uint64_t seq,
                   uint64_t low, const char *line);
/* Apply or read an operation; the answer as text. */
const char *machine_op(struct machine *m, const struct op *op);
/* Apply one batch of bytes to all machines given (NULL-terminated). */
void machine_apply(struct machine *m, struct slice batch);

#endif
