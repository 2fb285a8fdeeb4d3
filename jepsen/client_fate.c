/* What the end of an attempt says about the operation.
 *
 * Only what surely did nothing may be called a failure: one wrong :fail makes the
 * checker drop a write that is there, and report a violation that is none (or, for
 * the cluster, an aborted read).  One :info too many only makes the search longer.
 *
 *   nothing was sent                     surely did nothing
 *   -CLUSTERDOWN -BUSY -LOADING          kvd promises that nothing was done
 *                                        (src/server/README.md)
 *   -ERR max number of clients reached   said before the request is read
 *   -ERR Protocol error                  the request was not understood
 *   anything else                        unknown
 *
 * A read does nothing, so that one without an answer is a failure.
 *
 * UNKNOWN is kvd's honest word for a lost leader.  No other error is to be expected from the
 * commands that we send: it is called unknown, and the run fails for it. */
#include <string.h>

#include "jepsen/client.h"

static bool begins(struct slice s, const char *word)
{
    size_t n = strlen(word);

    return s.n >= n && memcmp(s.p, word, n) == 0;
}

/* The first word alone is the contract. */
static bool first_word(struct slice s, const char *word)
{
    size_t n = strlen(word);

    return begins(s, word) && (s.n == n || s.p[n] == ' ');
}

enum fate fate_of_loss(enum oracle_f f, bool sent)
{
    return f == ORACLE_GET || !sent ? FATE_FAIL : FATE_UNKNOWN;
}

enum fate fate_of_error(enum oracle_f f, struct slice text,
                        bool *ret_expected)
{
    static const char *const not_done[] = { "CLUSTERDOWN", "BUSY", "LOADING" };

    *ret_expected = true;
    for (size_t i = 0; i < sizeof not_done / sizeof not_done[0]; i++)
        if (first_word(text, not_done[i]))
            return FATE_FAIL;
    if (begins(text, "ERR max number of clients reached"))
        return FATE_FAIL;
    if (first_word(text, "UNKNOWN"))
        return f == ORACLE_GET ? FATE_FAIL : FATE_UNKNOWN;
    *ret_expected = false;
    if (begins(text, "ERR Protocol error"))
        return FATE_FAIL;
    return f == ORACLE_GET ? FATE_FAIL : FATE_UNKNOWN;
}
