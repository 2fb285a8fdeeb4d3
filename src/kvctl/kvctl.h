/* What kvctl's subcommands share. */
#ifndef KV_KVCTL_KVCTL_H
#define KV_KVCTL_KVCTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kv.h"

/* Exit statuses; kvctl(1) documents them. */
enum {
    EXIT_OK = 0,
    EXIT_NOT_FOUND = 1,    /* get, del: no such key; put --if-rev: not done */
    EXIT_BAD_USAGE = 2,
    EXIT_CANNOT_CONNECT = 3, /* or no answer to a read in time */
    EXIT_UNKNOWN = 4,      /* a write that may or may not have happened */
    EXIT_NO_LEADER = 5,    /* surely not executed; also BUSY */
    EXIT_REPLY = 6,        /* any other error */
    EXIT_DEGRADED = 7      /* status: some shard or node does not serve */
};

struct kvctl {
    const char *endpoints;
    unsigned timeout_ms;
    bool json;
    bool help;                /* --help after the subcommand */
    char **literal;           /* arguments from here on stood after "--" */
    struct kv_client *client; /* connects when first used */
};

struct kvctl_command {
    const char *name;
    const char *args;    /* for usage */
    const char *meaning;
    /* argv[0] is the command's name.  Returns an exit status. */
    int (*run)(struct kvctl *k, int argc, char **argv);
};

/* An option of a subcommand: a flag, or (max > 0) with a number in min..max. */
struct kvctl_option {
    const char *name;     /* "--ttl" */
    bool *given;          /* set if it stands there; may be NULL */
    unsigned long long min, max;
    unsigned long long *value;
};

/* Take the options (ended by one without a name; NULL: there are none) out of
 * argv.  Returns how many arguments remain, as argv[1] and so on, or -1 when it
 * printed what is wrong: an option nobody knows, a number out of range, fewer
 * arguments than min or more than max. */
int kvctl_parse(struct kvctl *k, int argc, char **argv,
                const struct kvctl_option *options, int min, int max);

/* arg stood after "--": it is never an option, nor "-" standard input. */
bool kvctl_is_literal(const struct kvctl *k, char *const *arg);

/* Print "kvctl: CMD: error of the client" and return the exit status.
 * write: the command may have changed something. */
int kvctl_fail(struct kvctl *k, const char *cmd, int status, bool write);
/* Print "kvctl: CMD: text" and how it is called; returns EXIT_BAD_USAGE. */
int kvctl_usage(const char *cmd, const char *text);
/* A decimal number within min..max, or false. */
bool kvctl_number(const char *s, unsigned long long min,
                  unsigned long long max, unsigned long long *ret);

/* Print v on one line and drop it; returns status, or EXIT_REPLY if there was no
 * memory to make v (NULL). */
int kvctl_print_json(json_t *v, int status);
/* A JSON string if s is UTF-8, else {"hex": "..."}; NULL: out of memory. */
json_t *kvctl_json_bytes(const char *s, size_t n);
uint64_t kvctl_now_us(void); /* monotonic */

int cmd_get(struct kvctl *k, int argc, char **argv);
int cmd_put(struct kvctl *k, int argc, char **argv);
int cmd_del(struct kvctl *k, int argc, char **argv);
int cmd_ping(struct kvctl *k, int argc, char **argv);
int cmd_status(struct kvctl *k, int argc, char **argv);
int cmd_members(struct kvctl *k, int argc, char **argv);
int cmd_shards(struct kvctl *k, int argc, char **argv);
int cmd_bench(struct kvctl *k, int argc, char **argv);

#endif
