/* A file's bytes: pages that are absent while they are all zero, so that
 * zero-filled log segments cost nothing. */
#ifndef KV_SIM_DISK_IMAGE_H
#define KV_SIM_DISK_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define DISK_PAGE_BYTES 4096u
#define DISK_SECTOR_BYTES 512u /* what a disk writes atomically */

struct disk_image {
    uint64_t size;   /* bytes */
    uint8_t **pages; /* owned; NULL: zeroes */
    size_t n_pages;
};

void disk_image_close(struct disk_image *d);
/* p NULL: zeroes.  Grows the file. */
void disk_image_write(struct disk_image *d, uint64_t off, const uint8_t *p, size_t n);
/* Returns how many bytes there were. */
size_t disk_image_read(const struct disk_image *d, uint64_t off, uint8_t *p, size_t n);
void disk_image_truncate(struct disk_image *d, uint64_t size);
void disk_image_copy(struct disk_image *to, const struct disk_image *from);

#endif
