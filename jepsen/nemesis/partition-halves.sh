# Two parts, drawn: the larger has a majority.
partition_halves_kind=net
partition_halves_down=$((NODES / 2))
partition_halves_need() { return 0; }
partition_halves_begin() {
    local few
    few=$(shuffled_nodes $((NODES / 2)) | tr '\n' ' ')
    net_mark
    # shellcheck disable=SC2086 # numbers
    net_cut "$few" "$(other_nodes $few)" && echo "nodes ${few% } are apart from the others"
}
partition_halves_end() { net_heal; }
partition_halves_proof() { net_since cut; }
