/* Histories in Jepsen's EDN form, one map a line:
 *
 *   {:index 0, :type :invoke, :process 3, :f :write, :value ["k1" "7"], :time 1200}
 *   {:index 1, :type :ok, :process 3, :f :write, :value ["k1" "7"], :time 3100}
 *
 * :type   :invoke :ok :fail :info
 * :f      :read [k nil | v]   :write [k v]   :cas [k [old new]]   :add [k n] with the
 *         sum as third element of an :ok   :append [k s], likewise the length
 *         :delete [k], likewise 1 or 0     :getdel [k nil | v]
 *         :setnx [k v], likewise 1 or 0    :persist [k]
 *         :write and :setnx with a :ttl in ns
 * :time   ns of one monotonic clock
 * :node   which node was asked (ignored)
 *
 * A failed :cas is an :ok of compare-and-set with 0 in our model and :fail in
 * Jepsen's; both are read.  Lines whose :process is :nemesis are kept out of the
 * operations but counted; `;` begins a comment. */
#ifndef KV_TEST_ORACLE_EDN_H
#define KV_TEST_ORACLE_EDN_H

#include <stdio.h>

#include "oracle/oracle.h"

/* Read a whole file.  0, or KV_EPROTO with "line N: why" in errmsg. */
int edn_read(FILE *f, struct history **ret, char *errmsg, size_t n);
/* Write the line of a call or of a return of operation op; index: of the line. */
void edn_write_call(FILE *f, uint64_t index, const struct oracle_op *op);
void edn_write_return(FILE *f, uint64_t index, const struct oracle_op *op, uint64_t time);
/* A whole history, lines in order of time. */
void edn_write(FILE *f, const struct history *h);

#endif
