# The wall clock of one node jumps, forward or back, by seconds or by a day, and back again
# at the end.  Needs libfaketime; the monotonic clock stays as it is.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/preload.sh
. "$JEPSEN/lib/preload.sh"
clock_jump_kind=clock
clock_jump_down=0
CLOCK_JUMP_NODE=
clock_jump_need() { clock_need; }
clock_jump_prepare() { PRELOAD_CLOCK=yes; }
clock_jump_wrap() { preload_wrap "$1"; }
clock_jump_begin() {
    local by=(3 60 3600 86400 -3 -60 -3600 -86400) seen
    CLOCK_JUMP_BY=${by[RANDOM % ${#by[@]}]}
    # Another fault may have stopped or killed it: then nobody could see the jump.
    for seen in $(nodes); do
        CLOCK_JUMP_NODE=$(a_victim)
        [ -z "$(node_time "$CLOCK_JUMP_NODE")" ] || break
    done
    printf '%+d\n' "$CLOCK_JUMP_BY" > "$(clock_file "$CLOCK_JUMP_NODE")"
    sleep 0.2
    seen=$(node_time "$CLOCK_JUMP_NODE")
    CLOCK_JUMP_SEEN=$(((${seen:-0} - $(real_time)) / 1000000))
    echo "node $CLOCK_JUMP_NODE$(is_leader "$CLOCK_JUMP_NODE"): $CLOCK_JUMP_BY s"
}
clock_jump_end() {
    if [ -n "$CLOCK_JUMP_NODE" ]; then echo '+0' > "$(clock_file "$CLOCK_JUMP_NODE")"; fi
}
clock_jump_proof() {
    local off=$((CLOCK_JUMP_SEEN - CLOCK_JUMP_BY))
    echo "TIME of node $CLOCK_JUMP_NODE was wrong by $CLOCK_JUMP_SEEN s"
    [ ${off#-} -le 2 ]
}
