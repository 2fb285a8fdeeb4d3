/* The two ways to compute CRC-32C, for crc.c and its test. */
#ifndef KV_BASE_CRC_INT_H
#define KV_BASE_CRC_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c__table(uint32_t crc, const void *p, size_t n);

/* True when this processor has the instruction that crc32c__hw needs. */
bool crc32c__hw_usable(void);
uint32_t crc32c__hw(uint32_t crc, const void *p, size_t n);

#endif
