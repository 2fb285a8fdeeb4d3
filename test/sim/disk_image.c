/* Sparse in-memory files.
 *
 * Invariants: pages beyond `size` hold no byte that a later growth could bring
 * back (truncation zeroes the rest of its last page); a page is either absent or
 * DISK_PAGE_BYTES long. */
#include "sim/disk_image.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void disk_image_close(struct disk_image *d)
{
    for (size_t i = 0; i < d->n_pages; i++)
        mem_free(d->pages[i]);
    mem_free(d->pages);
    *d = (struct disk_image){ .size = 0 };
}

static void reserve(struct disk_image *d, size_t n)
{
    size_t cap;

    if (n <= d->n_pages)
        return;
    cap = n > 2 * d->n_pages ? n : 2 * d->n_pages;
    d->pages = mem_realloc(d->pages, cap * sizeof *d->pages);
    memset(d->pages + d->n_pages, 0, (cap - d->n_pages) * sizeof *d->pages);
    d->n_pages = cap;
}

static void page_write(uint8_t **page, size_t at, const uint8_t *p, size_t n)
{
    ASSERT(at + n <= DISK_PAGE_BYTES);
    if (p == NULL && *page == NULL)
        return;
    if (p == NULL && n == DISK_PAGE_BYTES) {
        mem_free(*page);
        *page = NULL;
        return;
    }
    if (*page == NULL)
        *page = mem_calloc(1, DISK_PAGE_BYTES);
    if (p == NULL)
        memset(*page + at, 0, n);
    else
        memcpy(*page + at, p, n);
}

void disk_image_write(struct disk_image *d, uint64_t off, const uint8_t *p,
                      size_t n)
{
    uint64_t end = off + n;

    ASSERT(end >= off);
    reserve(d, (size_t)((end + DISK_PAGE_BYTES - 1) / DISK_PAGE_BYTES));
    while (n > 0) {
        size_t at = (size_t)(off % DISK_PAGE_BYTES);
        size_t k = DISK_PAGE_BYTES - at < n ? DISK_PAGE_BYTES - at : n;

        page_write(&d->pages[off / DISK_PAGE_BYTES], at, p, k);
        p = p == NULL ? NULL : p + k;
        off += k;
        n -= k;
    }
    if (end > d->size)
        d->size = end;
}

size_t disk_image_read(const struct disk_image *d, uint64_t off, uint8_t *p,
                       size_t n)
{
    size_t done = 0;

    if (off >= d->size)
        return 0;
    if (n > d->size - off)
        n = (size_t)(d->size - off);
    while (done < n) {
        uint64_t i = (off + done) / DISK_PAGE_BYTES;
        size_t at = (size_t)((off + done) % DISK_PAGE_BYTES);
        size_t k = DISK_PAGE_BYTES - at;

        if (k > n - done)
            k = n - done;
        if (i >= d->n_pages || d->pages[i] == NULL)
            memset(p + done, 0, k);
        else
            memcpy(p + done, d->pages[i] + at, k);
        done += k;
    }
    return n;
}

void disk_image_truncate(struct disk_image *d, uint64_t size)
{
    size_t keep = (size_t)((size + DISK_PAGE_BYTES - 1) / DISK_PAGE_BYTES);
    size_t at = (size_t)(size % DISK_PAGE_BYTES);

    for (size_t i = keep; i < d->n_pages; i++) {
        mem_free(d->pages[i]);
        d->pages[i] = NULL;
    }
    if (at != 0 && keep <= d->n_pages)
        page_write(&d->pages[keep - 1], at, NULL, DISK_PAGE_BYTES - at);
    d->size = size;
}

void disk_image_copy(struct disk_image *to, const struct disk_image *from)
{
    disk_image_close(to);
    reserve(to, from->n_pages);
    for (size_t i = 0; i < from->n_pages; i++) {
        if (from->pages[i] == NULL)
            continue;
        to->pages[i] = mem_alloc(DISK_PAGE_BYTES);
        memcpy(to->pages[i], from->pages[i], DISK_PAGE_BYTES);
    }
    to->size = from->size;
}
