# SIGSTOP of the node that leads most shards.  When it goes on, it must not answer from
# what it knew: the others have elected.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
pause_kind=process
PAUSE_NODES=
pause_need() { return 0; }
pause_stop() { # NODE...
    local i
    PAUSE_NODES="$*"
    PAUSE_STOPPED=0
    for i in "$@"; do kill_node "$i" STOP; done
    sleep 0.05 # the signal is delivered by then
    for i in "$@"; do
        if is_stopped "$i"; then PAUSE_STOPPED=$((PAUSE_STOPPED + 1)); fi
    done
    echo "SIGSTOP of node $*"
}
pause_begin() {
    PAUSE_LEADERS=$(leaders)
    pause_stop "$(busiest_leader)"
}
pause_end() {
    local i
    for i in $PAUSE_NODES; do kill_node "$i" CONT; done
    PAUSE_NODES=
}
pause_proof() {
    local changed
    changed=$(leaders_changed "$PAUSE_LEADERS")
    echo "$PAUSE_STOPPED processes stood still, $changed shards have another leader or term"
    [ "$PAUSE_STOPPED" -gt 0 ] && [ "$changed" -gt 0 ]
}
