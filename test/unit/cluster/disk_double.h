/* An env of files in memory, for tests of code that reads and writes small
 * files.  Deterministic: the clock stands still, random bytes are counted up.
 * Renames and creations survive a "crash" only after sync_dir, contents only
 * after sync. */
#ifndef KV_TEST_UNIT_CLUSTER_DISK_DOUBLE_H
#define KV_TEST_UNIT_CLUSTER_DISK_DOUBLE_H

#include "env/env.h"
#include "lib/fault.h"

#define DISK_FILES_MAX 8

struct disk_double {
    struct env env; /* first */
    struct fault fault;
    int fault_status; /* what a failing call returns */
    uint8_t next_random;
    struct disk_file {
        char path[256];   /* "" : unused */
        char durable[256]; /* name after a crash; "": none */
        uint8_t data[8192];
        size_t n;
        uint8_t synced[8192];
        size_t synced_n;
    } files[DISK_FILES_MAX];
};

void disk_double_init(struct disk_double *d);
/* Lose what was not synced. */
void disk_double_crash(struct disk_double *d);
/* The file at path, or NULL. */
struct disk_file *disk_double_find(struct disk_double *d, const char *path);
/* Create or replace a file, durably. */
void disk_double_put(struct disk_double *d, const char *path, const char *text);

#endif
