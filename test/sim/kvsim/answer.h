/* A reply of RESP2, read strictly: what is not exactly right is refused. */
#ifndef KV_KVSIM_ANSWER_H
#define KV_KVSIM_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define ANSWER_ITEMS_MAX 8u

enum answer_type {
    ANSWER_SIMPLE, ANSWER_ERROR, /* text */
    ANSWER_INT,                  /* num */
    ANSWER_BULK, ANSWER_NIL,     /* text; nothing */
    ANSWER_ARRAY                 /* items */
};

struct answer_item {
    bool nil;
    struct slice text;
};

struct answer {
    enum answer_type type;
    struct slice text;           /* borrowed from the input, as the items are */
    int64_t num;
    unsigned n_items;
    struct answer_item item[ANSWER_ITEMS_MAX]; /* bulk strings or nil */
};

/* Read one reply from the front of in.  Returns the bytes it took, 0 if it is not
 * whole yet, -1 if it is none. */
long answer_read(struct slice in, struct answer *ret);
/* The decimal digits of a number and nothing else. */
bool answer_int(struct slice text, int64_t *ret);
/* For people: the first bytes, printable. */
void answer_text(const struct answer *a, char *buf, size_t n);

#endif
