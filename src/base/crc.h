/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), hardware-assisted where the
 * processor has it. */
#ifndef KV_BASE_CRC_H
#define KV_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continue a checksum: crc32c(crc32c(0, a), b) is that of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
