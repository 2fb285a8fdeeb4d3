# The power of one node fails: its file system is shut down without flushing, the
# process killed, and at the end the file system is mounted again as it was on the disk
# (the journal is replayed) and the node started.  Needs loop mounts and
# EXT4_IOC_SHUTDOWN.
#
# The proof: a file written just before and not synced is gone, one that was synced is there.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/disk.sh
. "$JEPSEN/lib/disk.sh"
power_cut_kind=disk
POWER_CUT_NODES=
power_cut_need() { disk_need cut; }
power_cut_prepare() { disk_prepare "$1"; }
power_cut_these() { # NODE...
    local i dirs=()
    POWER_CUT_NODES="$*"
    POWER_CUT_BAD=
    for i in "$@"; do
        dirs+=("$(disk_dir "$i")")
        note_end "$i"
        NODE_WANT[$i]=down # it may find out before it is killed
        echo kept > "$(disk_dir "$i")/canary.synced" && sync "$(disk_dir "$i")/canary.synced" "$(disk_dir "$i")"
        echo lost > "$(disk_dir "$i")/canary.unsynced"
    done
    "$BUILD/jepsen/cut" "${dirs[@]}" || POWER_CUT_BAD="could not be cut;"
    for i in "$@"; do kill_node "$i" KILL; done
    echo "no power for node $*"
}
power_cut_begin() { power_cut_these "$(a_victim)"; }
power_cut_end() {
    local i
    for i in $POWER_CUT_NODES; do
        disk_umount "$i" && disk_mount "$i" || return 1
        [ -f "$(disk_dir "$i")/canary.synced" ] || POWER_CUT_BAD="$POWER_CUT_BAD node $i: a synced file is gone;"
        [ ! -s "$(disk_dir "$i")/canary.unsynced" ] || POWER_CUT_BAD="$POWER_CUT_BAD node $i: nothing was lost;"
        rm -f "$(disk_dir "$i")"/canary.*
    done
    # shellcheck disable=SC2086 # numbers
    revive $POWER_CUT_NODES
    POWER_CUT_LAST=$POWER_CUT_NODES
    POWER_CUT_NODES=
}
power_cut_proof() {
    echo "node $POWER_CUT_LAST: ${POWER_CUT_BAD:-what was not synced is gone, what was is there}"
    [ -z "$POWER_CUT_BAD" ]
}
power_cut_cleanup() {
    local i
    for i in $(nodes); do disk_cleanup "$i"; done
}
