/* A reference-counted immutable payload: one copy of an entry's bytes is
 * shared by the log tail, the WAL's writev, peer frames and apply.
 *
 * The count is not atomic: references are taken and dropped on the loop thread
 * only; other threads may read the bytes while the loop holds a reference. */
#ifndef KV_BASE_BLOB_H
#define KV_BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct blob {
    uint32_t refs;
    uint32_t len;    /* bytes */
    uint8_t data[];
};

struct blob *blob_new(size_t len);               /* one reference, uninitialised */
struct blob *blob_copy(struct slice s);
struct blob *blob_ref(struct blob *b);           /* returns b */
void blob_unref(struct blob *b);                 /* b may be NULL */

static inline struct slice blob_slice(const struct blob *b)
{
    return (struct slice){ .p = b->data, .n = b->len };
}

#endif
