/* A small deterministic env for unit tests of what uses the disk: files in
 * memory, a clock that the test moves, asynchronous requests that the test
 * completes one by one.  It knows which bytes an fdatasync has made durable, so
 * that a test can take the power away.  No network, no work. */
#ifndef KV_TEST_UNIT_STORE_MEMENV_H
#define KV_TEST_UNIT_STORE_MEMENV_H

#include "base/rng.h"
#include "env/env.h"
#include "env/timerq.h"
#include "lib/fault.h"

#define MEM_SECTOR 512u /* bytes; a sector is written wholly or not at all */
#define MEM_FILES_MAX 64u
#define MEM_IO_MAX 64u

struct mem_inode {
    unsigned refs;
    uint8_t *cur, *dur; /* owned; what a reader sees, what survives */
    uint64_t cur_n, dur_n;
};

struct mem_name {
    char path[128]; /* "" = free slot */
    struct mem_inode *inode;
};

struct mem_disk {
    struct mem_name now[MEM_FILES_MAX];
    struct mem_name durable[MEM_FILES_MAX]; /* as of the last sync_dir */
};

struct memenv {
    struct env env; /* first */
    struct mem_disk disk;
    struct timerq timers;
    uint64_t now_us;
    struct rng rng;
    struct fault fault;  /* asked before each disk call */
    struct env_io *io[MEM_IO_MAX]; /* submitted, oldest first */
    bool io_write[MEM_IO_MAX];
    unsigned n_io;
    unsigned open_files;
    unsigned writes, syncs; /* asynchronous writes completed; with sync */
    size_t write_bytes_last; /* bytes of the last one completed */
    unsigned changes;        /* calls that changed names or contents */
};

void memenv_init(struct memenv *m, uint64_t seed);
/* Frees; files may still be open (a crash). */
void memenv_close(struct memenv *m);

/* Complete the oldest request.  False if there is none. */
bool memenv_step(struct memenv *m);
/* Complete requests and fire due timers until nothing is left to do now. */
void memenv_run(struct memenv *m);
/* Move the clock, then memenv_run. */
void memenv_advance(struct memenv *m, uint64_t ms);

/* Copy what is in `from` now into `to` (freshly initialised), as durable
 * content: a killed process whose disk lives on. */
void memenv_kill(const struct memenv *from, struct memenv *to);
/* The same after a power cut: each sector whose durable content differs is kept
 * as last written if keep(ctx, number of the sector, counted from 0 over all
 * such sectors) says so.  Names are as of the last sync_dir.  Returns how many
 * such sectors there are. */
typedef bool (*mem_keep)(void *ctx, unsigned sector);
unsigned memenv_power_cut(const struct memenv *from, struct memenv *to,
                          mem_keep keep, void *ctx);

/* Direct access for damaging files: NULL if there is no such file. */
struct mem_inode *memenv_file(struct memenv *m, const char *path);
/* Sum over all names and contents. */
uint32_t memenv_digest(const struct memenv *m);

#endif
