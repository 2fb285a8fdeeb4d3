# Writes or syncs of one node return EIO (shim.c).  It must end at once, acknowledge
# nothing more, and come back when it is started on the same files.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/preload.sh
. "$JEPSEN/lib/preload.sh"
disk_eio_kind=disk
DISK_EIO_NODE=
DISK_EIO_WAIT_S=4
disk_eio_need() { shim_need; }
disk_eio_prepare() { PRELOAD_SHIM=yes; }
disk_eio_wrap() { preload_wrap "$1"; }
disk_eio_count() { grep -c ' EIO-' "$(shim_log "$DISK_EIO_NODE")" 2> /dev/null || :; }
disk_eio_begin() {
    local what=write
    if [ $((RANDOM % 2)) -eq 1 ]; then what='sync'; fi
    DISK_EIO_NODE=$(a_victim)
    DISK_EIO_WAS=$(disk_eio_count)
    DISK_EIO_ENDED=no
    node_may_end "$DISK_EIO_NODE"
    DISK_EIO_TEXT="node $DISK_EIO_NODE$(is_leader "$DISK_EIO_NODE"): EIO on $what"
    echo "fail $what" > "$(shim_control "$DISK_EIO_NODE")"
    if wait_node "$DISK_EIO_NODE" $DISK_EIO_WAIT_S; then
        DISK_EIO_TEXT="$DISK_EIO_TEXT, ended with status $NODE_STATUS"
        if [ "$NODE_STATUS" -ne 0 ]; then DISK_EIO_ENDED=yes; fi
    else
        DISK_EIO_TEXT="$DISK_EIO_TEXT, runs on after $DISK_EIO_WAIT_S s"
    fi
    echo "$DISK_EIO_TEXT"
}
disk_eio_end() {
    [ -n "$DISK_EIO_NODE" ] || return 0
    # A node that was cut off as well had nothing to write until now.
    if [ "$DISK_EIO_ENDED" = no ] && wait_node "$DISK_EIO_NODE" $DISK_EIO_WAIT_S; then
        DISK_EIO_TEXT="$DISK_EIO_TEXT, but then ended with status $NODE_STATUS"
        if [ "$NODE_STATUS" -ne 0 ]; then DISK_EIO_ENDED=yes; fi
    fi
    rm -f "$(shim_control "$DISK_EIO_NODE")"
    # One that has seen EIO and runs is wrong, and told in the proof.
    if alive "$DISK_EIO_NODE"; then NODE_WANT[$DISK_EIO_NODE]=up; fi
    revive "$DISK_EIO_NODE"
}
disk_eio_proof() {
    local now n
    now=$(disk_eio_count)
    n=$((${now:-0} - ${DISK_EIO_WAS:-0}))
    echo "$DISK_EIO_TEXT; $n calls failed"
    [ $n -gt 0 ] && [ $DISK_EIO_ENDED = yes ]
}
