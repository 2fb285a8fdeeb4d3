/* jepsen/client: load on a cluster, and the history of what it answered.
 *
 * Many clients in one process speak the Redis protocol to all nodes of a cluster, each one
 * operation at a time.  Every call and every return is a line of a history in
 * Jepsen's EDN form (test/oracle/edn.h), for jepsen/check or any other checker;
 * every second is a line of load.tsv.  When the time is over, every key is read
 * through every node, so that a lost write is in the history.
 *
 *   client_work.c   what is asked         client_run.c      when, and of whom
 *   client_value.c  crossed replies       client_conn.c     sockets
 *   client_fate.c   ok, fail or unknown   client_history.c  the file
 *
 * The last line of standard output sums it up:
 *
 *   ok=59012 fail=410 info=37 keys=300 final=1500 unread=0 unexpected=0 crossed=0
 *
 * Exit status: 0 the load ran and every final read was answered; 1 files cannot be
 * written; 2 usage; 3 a crossed reply, or an error reply that nobody expects from such a
 * request; 4 some final reads were not answered in time; 5 ended by a signal. */
#include <stdio.h>
#include <string.h>

#include "jepsen/client.h"

int main(int argc, char **argv)
{
    struct options o;
    struct run_result r;
    char why[200];
    int status;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(options_usage, stdout);
        return 0;
    }
    if (options_parse(argc, argv, &o, why, sizeof why) != 0) {
        fprintf(stderr, "client: %s\n%s", why, options_usage);
        return 2;
    }
    status = run(&o, &r);
    printf("ok=%lu fail=%lu info=%lu keys=%u final=%lu unread=%lu "
           "unexpected=%lu crossed=%lu\n",
           r.ok, r.fail, r.info, (unsigned)r.keys, r.finals, r.unread,
           r.unexpected, r.crossed);
    return status;
}
