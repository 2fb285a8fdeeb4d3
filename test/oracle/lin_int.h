/* Shared by lin*.c: the search of one key. */
#ifndef KV_TEST_ORACLE_LIN_INT_H
#define KV_TEST_ORACLE_LIN_INT_H

#include "oracle/oracle_int.h"

#define LIN_NONE UINT32_MAX

/* A set of 128-bit fingerprints. */
struct lin_print {
    uint64_t a, b;
};
struct lin_set {
    struct lin_print *slot; /* owned; {0, 0}: free */
    size_t n, cap;
};

/* An operation of the key, in order of calls. */
struct lin_op {
    struct model_op m;
    size_t at;                 /* index into the input's ops */
    bool must;                 /* definite: has to be linearized */
    bool pure;                 /* by its result it changed nothing */
    bool settled;              /* by its result the state after it is known */
    bool blind;                /* any state will do, and is overwritten */
    bool shown;                /* APPEND: some result may show what it appends */
    bool used;                 /* linearized */
    bool ranked;               /* see lin_prune.c */
    int64_t rank;
    uint64_t call;
    uint64_t call_pos, ret_pos; /* in the order of events; UINT64_MAX: none */
    uint64_t ret;
    uint64_t earliest, latest; /* if it sets a deadline: when that may have passed,
                                * and when it must have */
    uint32_t twin;             /* the unknown one before it that is just the same */
};

/* A step that may be taken: unknown operations, then a definite one. */
struct lin_step {
    uint32_t op;
    uint32_t chain, n_chain; /* in lin.chain */
    struct state state;      /* after it */
    uint64_t now;            /* no operation after it is before this time */
};

/* One unknown operation of a chain, while chains are looked for. */
struct lin_link {
    struct state state;
    uint32_t parent;
    uint32_t op;             /* LIN_NONE: the root, or the deadline passes */
    uint32_t depth;
    bool may_expire;
    uint64_t now;
    struct lin_print print;
};

/* See lin_prune.c: operations in their turn; values that are left to be found. */
struct lin_rank {
    int64_t rank;
    uint32_t op;
};
struct lin_supply {
    uint32_t wanted, makers;
};

enum lin_phase { LIN_NEW, LIN_DIRECT, LIN_CHAINS, LIN_GREEDY };

struct lin_frame {
    struct state state;
    uint64_t now;
    enum lin_phase phase;
    uint32_t op, chain, n_chain; /* how we came here */
    size_t steps, next;          /* in lin.steps: the first, the next to take */
    size_t chain_base;           /* lin.n_chain before ours */
    uint32_t lowest;             /* in lin.ranks: all before it are linearized */
};

struct lin {
    struct model model;
    struct lin_op *ops;       /* owned */
    uint32_t n_ops, n_must;
    uint32_t *maybe;          /* owned: the unknown ones, in order of calls */
    uint32_t n_maybe;
    bool maybe_cas, maybe_incr;
    uint32_t *next, *prev;    /* owned: list of events; 0: head; 2i + 1: call of
                               * ops[i], 2i + 2: its return */
    struct lin_rank *ranks;   /* owned; sorted */
    uint32_t n_ranks;
    struct lin_supply *supply; /* owned, by value; NULL: not kept */
    struct lin_print done;    /* fingerprint of the linearized ones */
    struct lin_set memo;      /* configurations seen */
    struct lin_set seen;      /* of one search for chains */
    struct lin_link *links;   /* owned */
    uint32_t n_links, cap_links;
    struct lin_step *steps;   /* owned: a stack */
    size_t n_steps, cap_steps;
    uint32_t *chain;          /* owned: a stack */
    size_t n_chain, cap_chain;
    struct lin_frame *frames; /* owned: a stack */
    size_t n_frames;
    uint64_t left;            /* of steps_max */
    uint32_t watch;           /* index in ops, or LIN_NONE */
    struct state watched[LIN_STATES_MAX];
    size_t n_watched;         /* LIN_STATES_MAX + 1: more */
};

/* ---- lin_set.c ---- */

void lin_set_init(struct lin_set *s, size_t cap);
void lin_set_close(struct lin_set *s);
void lin_set_clear(struct lin_set *s);
bool lin_set_add(struct lin_set *s, struct lin_print p); /* false: was there */
struct lin_print lin_print_op(uint32_t op);
struct lin_print lin_print_state(struct state s);
static inline struct lin_print lin_print_xor(struct lin_print x,
                                             struct lin_print y)
{
    return (struct lin_print){ x.a ^ y.a, x.b ^ y.b };
}

/* ---- lin_prepare.c ---- */

void lin_open(struct lin *l, const struct lin_input *in);
void lin_close(struct lin *l);

/* ---- lin_prune.c ---- */

void lin_prepare_prune(struct lin *l);
/* May op be next, or must another one come first? */
bool lin_in_turn(const struct lin *l, struct lin_frame *f, uint32_t op);
/* Operation op was taken, or put back. */
void lin_count(struct lin *l, uint32_t op, bool taken);
/* Step s was taken in state `before`: is there an operation that can no longer
 * be placed? */
bool lin_hopeless(const struct lin *l, struct state before, const struct lin_step *s);

/* ---- lin_chain.c ---- */

/* Is the key still there at `now`? */
bool lin_alive(const struct lin *l, struct state s, uint64_t now);
void lin_add_step(struct lin *l, const struct lin_step *s);
/* Add all steps that end with definite operation op and begin with one of unknown
 * outcome, or with the passing of a deadline. */
void lin_find_chains(struct lin *l, const struct lin_frame *f, uint32_t op,
                     uint32_t first_return);

#endif
