/* Numbers as Redis reads and writes them inside values. */
#ifndef KV_FSM_NUMBER_H
#define KV_FSM_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define NUMBER_INT_TEXT_MAX 21       /* bytes, terminator included */
#define NUMBER_FLOAT_TEXT_MAX 5120u  /* bytes, terminator included */

/* An integer in its one canonical form: no blank, plus sign, leading zero or
 * "-0". */
bool number_parse_int(struct slice s, int64_t *ret);
size_t number_format_int(char out[NUMBER_INT_TEXT_MAX], int64_t v);

/* What strtold takes entirely, without leading blanks, over- or underflow, or
 * NaN; infinities pass. */
bool number_parse_float(struct slice s, long double *ret);
/* 17 digits after the point, trailing zeros cut.  v is finite. */
size_t number_format_float(char out[NUMBER_FLOAT_TEXT_MAX], long double v);

#endif
