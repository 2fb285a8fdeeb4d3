/* What kvctl's subcommands share. */
#ifndef KV_KVCTL_KVCTL_H
#define KV_KVCTL_KVCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "kv.h"

/* Exit statuses; kvctl(1) documents them. */
enum {
    EXIT_OK = 0,
    EXIT_NOT_FOUND = 1,    /* get, del: no such key; put --if-rev: not done */
    EXIT_BAD_USAGE = 2,
    EXIT_CANNOT_CONNECT = 3,
    EXIT_UNKNOWN = 4,      /* a write that may or may not have happened */
    EXIT_NO_LEADER = 5,    /* surely not executed; also BUSY */
    EXIT_REPLY = 6,        /* any other error of the server */
    EXIT_DEGRADED = 7      /* status: some shard or node does not serve */
};

struct kvctl {
    const char *endpoints;
    unsigned timeout_ms;
    bool json;
    struct kv_client *client; /* connects when first used */
};

struct kvctl_command {
    const char *name;
    const char *args;    /* for usage */
    const char *meaning;
    /* argv[0] is the command's name.  Returns an exit status. */
    int (*run)(struct kvctl *k, int argc, char **argv);
};

/* Print "kvctl: CMD: error of the client" and return the exit status. */
int kvctl_fail(struct kvctl *k, const char *cmd, int status);
/* Print "kvctl: CMD: text" and how it is called; returns EXIT_BAD_USAGE. */
int kvctl_usage(const char *cmd, const char *text);
/* A decimal number within min..max, or false. */
bool kvctl_number(const char *s, unsigned long long min,
                  unsigned long long max, unsigned long long *ret);

int cmd_get(struct kvctl *k, int argc, char **argv);
int cmd_put(struct kvctl *k, int argc, char **argv);
int cmd_del(struct kvctl *k, int argc, char **argv);
int cmd_ping(struct kvctl *k, int argc, char **argv);
int cmd_status(struct kvctl *k, int argc, char **argv);
int cmd_members(struct kvctl *k, int argc, char **argv);
int cmd_shards(struct kvctl *k, int argc, char **argv);
int cmd_bench(struct kvctl *k, int argc, char **argv);

#endif
