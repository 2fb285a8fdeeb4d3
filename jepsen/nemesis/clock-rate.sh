# All clocks of one node run five times too fast, or at half speed: its timers too, and
# so what it thinks of leases and elections.  A clock cannot change its rate without a
# jump here, so the node is killed and started with it, and at the end
# again.  Needs libfaketime.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/preload.sh
. "$JEPSEN/lib/preload.sh"
clock_rate_kind=clock
CLOCK_RATE_NODE=
clock_rate_need() { clock_need; }
clock_rate_wrap() { preload_wrap "$1"; }
clock_rate_begin() {
    CLOCK_RATE_NODE=$(a_victim)
    CLOCK_RATE=5
    if [ $((RANDOM % 2)) -eq 1 ]; then CLOCK_RATE=0.5; fi
    CLOCK_RATE_LEADER=$(is_leader "$CLOCK_RATE_NODE")
    kill_node "$CLOCK_RATE_NODE" KILL
    echo "+0 x$CLOCK_RATE" > "$(clock_rate_file "$CLOCK_RATE_NODE")"
    start_node_plain "$CLOCK_RATE_NODE"
    clock_rate_measure
    echo "node $CLOCK_RATE_NODE$CLOCK_RATE_LEADER: started with clocks x$CLOCK_RATE"
}
# How far its clock goes in a second, in percent.
clock_rate_measure() {
    local a b n
    for ((n = 0; n < 30; n++)); do # until it listens
        a=$(node_time "$CLOCK_RATE_NODE")
        if [ -n "$a" ]; then break; fi
        sleep 0.1
    done
    sleep 1
    b=$(node_time "$CLOCK_RATE_NODE")
    CLOCK_RATE_SEEN=$(((${b:-0} - ${a:-0}) / 10000))
}
clock_rate_end() {
    if [ -z "$CLOCK_RATE_NODE" ] || [ ! -s "$(clock_rate_file "$CLOCK_RATE_NODE")" ]; then return 0; fi
    kill_node "$CLOCK_RATE_NODE" KILL
    : > "$(clock_rate_file "$CLOCK_RATE_NODE")"
    start_node_plain "$CLOCK_RATE_NODE"
}
clock_rate_proof() {
    echo "node $CLOCK_RATE_NODE: its clock went at $CLOCK_RATE_SEEN percent"
    case $CLOCK_RATE in
    5) [ "$CLOCK_RATE_SEEN" -ge 300 ] ;;
    *) [ "$CLOCK_RATE_SEEN" -ge 20 ] && [ "$CLOCK_RATE_SEEN" -le 75 ] ;;
    esac
}
