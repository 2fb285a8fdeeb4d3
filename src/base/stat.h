/* Latency histogram: log-linear buckets (32 per power of two, error below
 * 3.2%), values in microseconds, 1 us .. 2^36 us. */
#ifndef KV_BASE_STAT_H
#define KV_BASE_STAT_H

#include <stdint.h>

#define STAT_HIST_BUCKETS 1056

struct stat_hist {
    uint64_t count, sum, max;
    uint64_t buckets[STAT_HIST_BUCKETS];
};

void stat_hist_add(struct stat_hist *h, uint64_t us);
uint64_t stat_hist_quantile(const struct stat_hist *h, double q); /* us; 0 if empty */
void stat_hist_merge(struct stat_hist *to, const struct stat_hist *from);

#endif
