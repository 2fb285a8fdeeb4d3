# Every sync of one node takes 200 ms longer (shim.c).
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/preload.sh
. "$JEPSEN/lib/preload.sh"
slow_disk_kind=disk
slow_disk_down=0
SLOW_DISK_NODE=
SLOW_DISK_US=200000
slow_disk_need() { shim_need; }
slow_disk_prepare() { PRELOAD_SHIM=yes; }
slow_disk_wrap() { preload_wrap "$1"; }
slow_disk_count() { grep -c ' slow ' "$(shim_log "$SLOW_DISK_NODE")" 2> /dev/null || :; }
slow_disk_begin() {
    SLOW_DISK_NODE=$(a_victim)
    SLOW_DISK_WAS=$(slow_disk_count)
    echo "delay $SLOW_DISK_US" > "$(shim_control "$SLOW_DISK_NODE")"
    echo "node $SLOW_DISK_NODE$(is_leader "$SLOW_DISK_NODE"): a sync takes $((SLOW_DISK_US / 1000)) ms"
}
slow_disk_end() { [ -z "$SLOW_DISK_NODE" ] || rm -f "$(shim_control "$SLOW_DISK_NODE")"; }
slow_disk_proof() {
    local now n
    now=$(slow_disk_count)
    n=$((${now:-0} - ${SLOW_DISK_WAS:-0}))
    echo "node $SLOW_DISK_NODE: $n syncs were slow"
    [ $n -gt 0 ]
}
