/* Key -> slot: the Redis Cluster contract (CRC16/XMODEM of the key, or of its
 * first non-empty {hash tag}, mod 16384).  Frozen for ever. */
#ifndef KV_BASE_SLOT_H
#define KV_BASE_SLOT_H

#include <stdint.h>

#include "base/slice.h"

#define SLOT_COUNT 16384u

uint16_t slot_crc16(struct slice s);
uint16_t slot_of_key(struct slice key); /* 0..SLOT_COUNT-1 */

#endif
