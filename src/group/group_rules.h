/* The host rules: what libraft 0.22's core gets wrong or leaves to its host,
 * put right before and after each raft_step.  group_rules.c says for each what
 * happens without it.  Pure functions of the core's public state and a message;
 * test/unit/group/test_rules.c shows each of them needed. */
#ifndef KV_GROUP_GROUP_RULES_H
#define KV_GROUP_GROUP_RULES_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

/* S1, at START and before a follower's TIMEOUT: must the term be raised (and the
 * vote given to me) first? */
bool rules__s1_raise_term(const struct raft_configuration *conf, raft_id me);

/* S2, S3 on a received AppendEntries.  S3 trims it in place.  S2: how many of
 * the entries may be handed to the core in one step. */
void rules__s3_trim(const struct raft *r, struct raft_append_entries *ae);
unsigned rules__s2_piece(const struct raft_append_entries *ae);

/* S4: true if this AppendEntriesResult is a stale refusal that must be dropped;
 * may raise its hint to what is known to match. */
bool rules__s4_stale(const struct raft *r, raft_id from,
                     struct raft_append_entries_result *res);

/* S5, S12 on outgoing results. */
void rules__s5_term(const struct raft *r, struct raft_request_vote_result *res);
void rules__s12_hint(const struct raft *r,
                     struct raft_append_entries_result *res);

/* S6, around the step of a RequestVote: pretend to be a voter. */
struct rules_s6 {
    bool on;
    struct raft_configuration real;
    struct raft_server me;
};
void rules__s6_begin(struct raft *r, const struct raft_request_vote *v,
                     struct rules_s6 *s);
void rules__s6_end(struct raft *r, struct rules_s6 *s);

/* S7: true if a RequestVoteResult must be dropped. */
bool rules__s7_late(const struct raft *r);

/* S8: after a step with update flags: true if I just became leader and the core
 * appended no barrier. */
bool rules__s8_needs_barrier(const struct raft *r, unsigned update_flags);

/* S10: does raft_step's error rv mean that the process must stop? */
bool rules__s10_fatal(const struct raft_event *ev, int rv);

/* S14, before the step of a piece of an AppendEntries: must the configuration in
 * use be counted as committed first?  local_prev_term: of my entry before it. */
bool rules__s14_settled(const struct raft *r,
                        const struct raft_append_entries *piece,
                        raft_term local_prev_term);

/* S15, after a step that appended entries: must they be on my own disk before
 * they leave? */
bool rules__s15_gated(const struct raft *r, const struct raft_entry *entries,
                      unsigned n);

/* S13: the heartbeat timeout for the step of ev, ms. */
unsigned rules__s13_heartbeat(const struct raft_event *ev,
                              unsigned heartbeat_ms);

/* S11, before the step of a RequestVote: forget a leader that is silent or is
 * the candidate itself.  heard_ms: when I last heard a leader of my term. */
void rules__s11_forget(struct raft *r, raft_id candidate, uint64_t now_ms,
                       uint64_t heard_ms);
/* Forget the leader at once and let the election timer fire in `in_ms` at the
 * latest: its process is gone. */
void rules__forget_leader(struct raft *r);
void rules__hasten(struct raft *r, uint64_t now_ms, unsigned in_ms);

#endif
