/* What happened, in lines: all of it into a trace, the last of it for a failure. */
#ifndef KV_KVSIM_NOTES_H
#define KV_KVSIM_NOTES_H

#include <stdint.h>
#include <stdio.h>

#define NOTE_BYTES 240u /* longer lines are cut */
#define NOTES_LAST 150u /* lines kept */

struct notes; /* opaque */

struct notes *notes_new(FILE *trace); /* trace: borrowed; NULL: none */
void notes_free(struct notes *n);
/* What a fault, a client or the world did at a time (virtual us). */
void notes_add(struct notes *n, uint64_t us, const char *line);
/* A line of a node's log. */
void notes_log(struct notes *n, uint64_t us, unsigned node, const char *line);
void notes_print_last(const struct notes *n, FILE *f);

#endif
