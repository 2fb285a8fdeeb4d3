# One node, drawn, has no link to the other nodes.  As in every partition here, the
# clients reach all nodes: a cut-off node that answers would be seen.
partition_one_kind=net
partition_one_need() { return 0; }
partition_one_begin() {
    local i
    i=$(random_node)
    net_mark
    net_cut "$i" "$(other_nodes "$i")" && echo "node $i is alone"
}
partition_one_end() { net_heal; }
partition_one_proof() { net_since cut; }
