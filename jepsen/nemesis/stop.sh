# SIGTERM of one node: it gives its shards away and ends with status 0; started again at
# the end.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
stop_kind=process
STOP_NODE=
STOP_WAIT_S=15 # longer than stop.timeout of kvd
stop_need() { return 0; }
stop_begin() {
    STOP_NODE=$(a_victim)
    STOP_TEXT="node $STOP_NODE$(is_leader "$STOP_NODE")"
    STOP_OK=no
    node_may_end "$STOP_NODE"
    kill -TERM "$(pid_of "$STOP_NODE")" 2> /dev/null
    if wait_node "$STOP_NODE" $STOP_WAIT_S; then
        STOP_TEXT="$STOP_TEXT, ended with status $NODE_STATUS"
        if [ "$NODE_STATUS" -eq 0 ]; then STOP_OK=yes; fi
    else
        STOP_TEXT="$STOP_TEXT, still there $STOP_WAIT_S s after SIGTERM"
        kill_node "$STOP_NODE" KILL
    fi
    echo "SIGTERM of $STOP_TEXT"
}
# shellcheck disable=SC2086 # a number or nothing
stop_end() { revive $STOP_NODE; }
stop_proof() {
    echo "$STOP_TEXT"
    [ $STOP_OK = yes ]
}
