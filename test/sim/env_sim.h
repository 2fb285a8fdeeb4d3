/* A deterministic world: many nodes in one process, from one seed.
 *
 * Implements env/env.h.  One heap of events orders everything by virtual
 * microseconds, ties by insertion; one generator decides everything random.  So a
 * seed is a run, and sim_hash tells two runs apart by a single event.
 *
 *   sim            the world: events, network
 *     node 1..N    a host: clock, disk; survives crashes of its process
 *       env        one process on it, from sim_node_start to sim_node_crash
 *
 * The address of node n is "10.0.0.n" (sim_node_host).  Time runs only inside
 * sim_step and its relatives; code of a node that is called from outside of an
 * event must be wrapped in sim_enter / sim_leave. */
#ifndef KV_SIM_ENV_SIM_H
#define KV_SIM_ENV_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/slice.h"
#include "env/env.h"
#include "sim/mem_sim.h"

#define SIM_NODES_MAX 16u
#define SIM_EVERY 0u /* as a node number: all nodes */

struct sim; /* opaque */

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s); /* crashes what still runs; frees everything */
uint64_t sim_now(const struct sim *s);    /* virtual us since the start */
uint64_t sim_hash(const struct sim *s);   /* of every event so far */
uint64_t sim_events(const struct sim *s); /* how many */
struct rng *sim_rng(struct sim *s);       /* for scripts that want chance */

/* Run the next event; false when there is none. */
bool sim_step(struct sim *s);
/* Run every event up to and including time t (us); time is t afterwards. */
void sim_run_until(struct sim *s, uint64_t t);
/* Run while cond holds, not past time limit.  True if cond became false. */
typedef bool (*sim_cond)(void *ctx);
bool sim_run_while(struct sim *s, sim_cond cond, void *ctx, uint64_t limit);
/* Call cb at time t (us; a past one means now), as an event of its own. */
typedef void (*sim_cb)(void *ctx);
void sim_at(struct sim *s, uint64_t t, sim_cb cb, void *ctx);
/* Call cb after each event. */
void sim_on_event(struct sim *s, sim_cb cb, void *ctx);
/* The node of the event that ran last; 0: it was the world's. */
unsigned sim_event_node(const struct sim *s);

/* ---- nodes and their processes ---- */

/* What a crash leaves of writes (and names) that were not synced. */
enum sim_keep {
    SIM_KEEP_NONE,   /* all lost */
    SIM_KEEP_ALL,    /* all kept, and still not synced: a kill -9 */
    SIM_KEEP_PREFIX, /* up to a random one, which is torn */
    SIM_KEEP_MIX     /* each write kept, lost or torn; names: a prefix */
};

const char *sim_node_host(unsigned node); /* "10.0.0.<node>"; static */
/* Start a process on a node that has none. */
struct env *sim_node_start(struct sim *s, unsigned node);
/* End it at once: its memory, connections and unfinished I/O are gone.  Peers see
 * a reset after the latency of their link.  Not from inside its own events. */
void sim_node_crash(struct sim *s, unsigned node, enum sim_keep keep);
/* The same for the whole host: peers see nothing, dials time out. */
void sim_node_power_off(struct sim *s, unsigned node, enum sim_keep keep);
/* The process has closed everything it had: forget it without a crash.  Asserts
 * that no memory, file, stream, listener or timer of it is left. */
void sim_node_exit(struct sim *s, unsigned node);
/* No event of the node runs before time t (us): SIGSTOP, a long pause. */
void sim_node_pause(struct sim *s, unsigned node, uint64_t t);
bool sim_node_up(const struct sim *s, unsigned node);
unsigned sim_node_of(const struct env *env);
/* Memory allocated between these two is the node's. Not nested. */
void sim_enter(struct sim *s, unsigned node);
void sim_leave(struct sim *s);
/* Blocks of memory the node's process holds. */
size_t sim_node_blocks(const struct sim *s, unsigned node);
/* Everything the node has logged (its last 256 KiB), over restarts; a C string
 * that is valid until its next event.  KV_SIM_LOG=1 also prints to stderr. */
const char *sim_node_log(struct sim *s, unsigned node);
/* Call cb with every line that a node logs (no line break; borrowed). */
typedef void (*sim_log_cb)(void *ctx, unsigned node, const char *line);
void sim_on_log(struct sim *s, sim_log_cb cb, void *ctx);

/* ---- clocks ---- */

/* ppm faster (or slower) than the world; wall: jump by ms. */
void sim_clock_drift(struct sim *s, unsigned node, int32_t ppm);
void sim_clock_jump(struct sim *s, unsigned node, int64_t ms);
/* Time from the first env_wake to the turn (0): what a busy loop takes. */
void sim_turn_us(struct sim *s, unsigned node, uint32_t us);

/* ---- latency ---- */

/* base + 0..jitter + per_kib for each KiB begun, us. */
struct sim_latency {
    uint32_t base_us, jitter_us, per_kib_us;
};

/* ---- disk ---- */

enum sim_disk_op { SIM_DISK_WRITE, SIM_DISK_SYNC, SIM_DISK_READ, SIM_DISK_OPS };

/* node may be SIM_EVERY. */
void sim_disk_latency(struct sim *s, unsigned node, enum sim_disk_op op, struct sim_latency lat);
/* The nth (1: the next) operation of this kind fails with error, once.  A failed sync
 * also drops what it should have written, as Linux does. */
void sim_disk_fail(struct sim *s, unsigned node, enum sim_disk_op op, unsigned nth, int error);
/* That part of the asynchronous writes and reads takes up to us longer. */
void sim_disk_spikes(struct sim *s, unsigned node, uint32_t ppm, uint32_t us);
/* No asynchronous write of the node ends before time t (us). */
void sim_disk_stall(struct sim *s, unsigned node, uint64_t t);
/* Writes beyond this many bytes on the disk fail with KV_ENOSPC; 0: no limit. */
void sim_disk_capacity(struct sim *s, unsigned node, uint64_t bytes);
/* Change bytes at rest (rot); KV_ENOENT, KV_EINVAL beyond the end. */
int sim_disk_damage(struct sim *s, unsigned node, const char *path, uint64_t off, uint8_t xor_mask);
/* The files of a node, in order of their paths. */
typedef void (*sim_file_cb)(void *ctx, const char *path, uint64_t bytes);
void sim_disk_files(struct sim *s, unsigned node, sim_file_cb cb, void *ctx);
/* What programs would read; returns how many bytes there were. */
size_t sim_disk_peek(const struct sim *s, unsigned node, const char *path, uint64_t off, void *buf, size_t n);
/* Copy a file, durably and at once; KV_ENOENT.  `to` must not exist. */
int sim_disk_copy(struct sim *s, unsigned node, const char *from, const char *to);
uint64_t sim_disk_used(const struct sim *s, unsigned node); /* bytes, see sim_disk_capacity */
struct sim_disk_stats {
    uint64_t writes, syncs, reads; /* finished */
    uint64_t unsynced;             /* operations that a crash may lose */
};
void sim_disk_stats(const struct sim *s, unsigned node, struct sim_disk_stats *ret);

/* ---- network ---- */

/* from and to may be SIM_EVERY.  One direction each. */
void sim_net_latency(struct sim *s, unsigned from, unsigned to, struct sim_latency lat);
/* That part of the segments travels up to us longer, and holds up what follows. */
void sim_net_tail(struct sim *s, unsigned from, unsigned to, uint32_t ppm, uint32_t us);
/* That part of the packets is lost: TCP sends it again after SIM_RTO_US, twice that
 * the next time; what follows on its connection waits behind it. */
#define SIM_RTO_US 200000u
void sim_net_loss(struct sim *s, unsigned from, unsigned to, uint32_t ppm);
/* Packets of this direction vanish: bytes wait and arrive after the heal, as TCP
 * would send them again; dials time out. */
void sim_net_cut(struct sim *s, unsigned from, unsigned to);
void sim_net_heal(struct sim *s, unsigned from, unsigned to);
/* Both directions between node and all others. */
void sim_net_isolate(struct sim *s, unsigned node);
/* Reset every connection between a and b, both ends at once. */
void sim_net_reset(struct sim *s, unsigned a, unsigned b);
/* The same, and of the bytes on their way those from a random one on are lost. */
void sim_net_abort(struct sim *s, unsigned a, unsigned b);
/* Every connection between a and b is reset at a; b is not told.  What either end
 * sends on it before time t (us) vanishes; a later byte of b is answered by a reset.
 * Returns how many connections that were. */
unsigned sim_net_half_open(struct sim *s, unsigned a, unsigned b, uint64_t t);
/* Bytes of a connection that a node writes are in flight or unread: this many
 * at most (256 KiB). */
void sim_net_window(struct sim *s, size_t bytes);

/* Stronger than TCP: whole Raft messages between peers (peer/frame.h, kind FRAME_RAFT)
 * are delivered twice, or later than those behind them.  Raft allows for that, and
 * several host rules exist for nothing else.  Other frames keep their order. */
struct sim_mangle {
    uint32_t duplicate_ppm; /* delivered, and once more up to late_us later */
    uint32_t late_ppm;      /* delivered up to late_us later */
    uint32_t late_us;       /* small delays are as likely as large ones */
    uint32_t least_us;      /* and all of them are longer by this */
};
/* Connections to this port carry peer frames (0, the default: none do). Before any
 * of them begins. */
void sim_net_peer_port(struct sim *s, uint16_t port);
void sim_net_mangle(struct sim *s, unsigned from, unsigned to, struct sim_mangle m);
/* Messages delivered a second time; delivered after one that was sent later. */
void sim_net_mangled(const struct sim *s, uint64_t *ret_doubled, uint64_t *ret_overtaken);

/* Bytes that were handed to (delivered: false) or arrive from the network.  stream
 * names one direction of one connection; never reused. */
typedef void (*sim_wire_cb)(void *ctx, uint64_t stream, unsigned from, unsigned to,
                            struct slice bytes, bool delivered);
void sim_on_wire(struct sim *s, sim_wire_cb cb, void *ctx);

/* ---- background work ---- */

void sim_work_latency(struct sim *s, unsigned node, struct sim_latency lat);

#endif
