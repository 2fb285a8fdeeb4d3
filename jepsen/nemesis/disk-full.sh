# The file system of one node is full.  The node may refuse or end, but acknowledges
# nothing that it cannot keep; with space again it comes back.  Needs loop mounts.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/disk.sh
. "$JEPSEN/lib/disk.sh"
disk_full_kind=disk
DISK_FULL_NODE=
disk_full_need() { disk_need; }
disk_full_prepare() { disk_prepare "$1"; }
# Segments are filled with zeros before they are used: with small ones the node soon asks
# for space.
disk_full_wrap() { echo "$JEPSEN/lib/with-flags" --wal-segment-bytes=64kb,--client-bulk-bytes=16kb; }
disk_full_ballast() { echo "$(disk_dir "$DISK_FULL_NODE")/ballast"; }
# How often its log speaks of want of space.
disk_full_count() { grep -c -e ENOSPC -e 'no space left' "$(node_dir "$DISK_FULL_NODE")/kvd.log"; }
disk_full_begin() {
    local free
    DISK_FULL_NODE=$(a_victim)
    DISK_FULL_WAS=$(disk_full_count)
    node_may_end "$DISK_FULL_NODE"
    free=$(df --output=avail -B1 "$(disk_dir "$DISK_FULL_NODE")" | tail -n 1)
    fallocate -l $((free - 65536)) "$(disk_full_ballast)" || return 1
    dd if=/dev/zero of="$(disk_full_ballast).rest" bs=4096 2> /dev/null # to the last block
    echo "node $DISK_FULL_NODE$(is_leader "$DISK_FULL_NODE"): $(df --output=avail -B1 "$(disk_dir "$DISK_FULL_NODE")" | tail -n 1 | tr -d " ") bytes left"
}
disk_full_end() {
    [ -n "$DISK_FULL_NODE" ] || return 0
    DISK_FULL_STATUS=
    rm -f "$(disk_full_ballast)" "$(disk_full_ballast).rest"
    # A write that just failed may end it yet.
    if wait_node "$DISK_FULL_NODE" 1; then DISK_FULL_STATUS=$NODE_STATUS; fi
    if alive "$DISK_FULL_NODE"; then NODE_WANT[$DISK_FULL_NODE]=up; fi
    revive "$DISK_FULL_NODE"
}
disk_full_proof() {
    local n=$(($(disk_full_count) - DISK_FULL_WAS))
    echo "node $DISK_FULL_NODE: $n lines of its log speak of it, ${DISK_FULL_STATUS:+ended with status }${DISK_FULL_STATUS:-went on}"
    [ $n -gt 0 ]
}
disk_full_cleanup() {
    local i
    for i in $(nodes); do disk_cleanup "$i"; done
}
