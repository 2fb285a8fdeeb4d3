/* Reference-counted payloads: see blob.h for who may touch the count.
 *
 * I1  A blob that can be reached has refs >= 1; the last unref frees it.
 * I2  data is not written once a second reference exists (by convention of the
 *     callers: the count cannot see it). */
#include "base/blob.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct blob *blob_new(size_t len)
{
    struct blob *b;

    ASSERT(len <= UINT32_MAX);
    b = mem_alloc(sizeof *b + len);
    b->refs = 1;
    b->len = (uint32_t)len;
    return b;
}

struct blob *blob_copy(struct slice s)
{
    struct blob *b = blob_new(s.n);

    if (s.n > 0)
        memcpy(b->data, s.p, s.n);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    ASSERT(b->refs > 0);
    ASSERT(b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL)
        return;
    ASSERT(b->refs > 0);
    if (--b->refs == 0)
        mem_free(b);
}
