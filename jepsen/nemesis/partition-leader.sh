# The node that leads most shards has no link to the others: they must elect, it must
# notice.
partition_leader_kind=net
partition_leader_need() { return 0; }
partition_leader_begin() {
    local i
    i=$(busiest_leader)
    PARTITION_LEADERS=$(leaders)
    net_mark
    net_cut "$i" "$(other_nodes "$i")" && echo "node $i, the busiest leader, is alone"
}
partition_leader_end() { net_heal; }
partition_leader_proof() {
    local changed facts
    facts=$(net_since cut) || { echo "$facts"; return 1; }
    changed=$(leaders_changed "$PARTITION_LEADERS")
    echo "$facts, $changed shards have another leader or term"
    [ "$changed" -gt 0 ]
}
