# A leader whose clocks run at half speed is cut off.  The others elect while it still
# believes that it leads: with equal clocks it would have stepped down by then, and
# only a read that asks a majority first is right.  A node that led when the run began is
# killed and started with slow clocks; it is cut off once its shards have come home to it.
# Needs libfaketime.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
# shellcheck source=../lib/preload.sh
. "$JEPSEN/lib/preload.sh"
slow_leader_kind=net
SLOW_LEADER_NODE=
SLOW_LEADER_HOME_S=25 # longest wait until it leads again
slow_leader_need() { clock_need; }
slow_leader_wrap() { preload_wrap "$1"; }
slow_leader_leads() { view | awk -v i="$SLOW_LEADER_NODE" '$2 == $3 && $3 == i { n++ } END { print n + 0 }'; }
slow_leader_begin() {
    local n led=0
    SLOW_LEADER_NODE=$(tr ' ' '\n' < "$RUN/homes" | sed -n 's/.*:\(.*\)@.*/\1/p' | shuf -n 1)
    kill_node "$SLOW_LEADER_NODE" KILL
    echo "+0 x0.5" > "$(clock_rate_file "$SLOW_LEADER_NODE")"
    start_node_plain "$SLOW_LEADER_NODE"
    for ((n = 0; n < SLOW_LEADER_HOME_S * 2; n++)); do
        led=$(slow_leader_leads)
        if [ "$led" -gt 0 ]; then break; fi
        sleep 0.5
    done
    SLOW_LEADER_LED=$(leaders)
    net_mark
    net_cut "$SLOW_LEADER_NODE" "$(other_nodes "$SLOW_LEADER_NODE")" || return 1
    echo "node $SLOW_LEADER_NODE, clocks at half speed, leader of $led shards, is alone"
    [ "$led" -gt 0 ]
}
slow_leader_end() {
    net_heal
    if [ -z "$SLOW_LEADER_NODE" ] || [ ! -s "$(clock_rate_file "$SLOW_LEADER_NODE")" ]; then return 0; fi
    kill_node "$SLOW_LEADER_NODE" KILL
    : > "$(clock_rate_file "$SLOW_LEADER_NODE")"
    start_node_plain "$SLOW_LEADER_NODE"
}
slow_leader_proof() {
    local changed facts
    facts=$(net_since cut) || { echo "$facts"; return 1; }
    changed=$(leaders_changed "$SLOW_LEADER_LED")
    echo "$facts, $changed shards have another leader or term"
    [ "$changed" -gt 0 ]
}
