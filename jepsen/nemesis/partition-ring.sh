# Every node sees a majority, no two nodes the same one: the nodes form a ring, in an
# order that is drawn, and each has links only to its nearest neighbours on
# both sides (of five nodes: to two).
partition_ring_kind=net
partition_ring_down=$((NODES / 2))
partition_ring_need() {
    [ "$NODES" -ge 4 ] || { echo "a ring that cuts something needs four nodes"; return 1; }
}
partition_ring_begin() {
    local ring i j apart reach=$((NODES / 4)) commands=
    mapfile -t ring < <(shuffled_nodes)
    if [ $((2 * reach + 1)) -lt "$(majority)" ]; then reach=$((reach + 1)); fi
    for ((i = 0; i < NODES; i++)); do
        for ((j = i + 1; j < NODES; j++)); do
            apart=$((j - i))
            if [ $apart -gt $((NODES / 2)) ]; then apart=$((NODES - apart)); fi
            if [ $apart -gt $reach ]; then
                commands="$commands set ${ring[i]} ${ring[j]} cut=1; set ${ring[j]} ${ring[i]} cut=1;"
            fi
        done
    done
    net_mark
    sw "$commands" && echo "ring ${ring[*]}, links over $reach"
}
partition_ring_end() { net_heal; }
partition_ring_proof() { net_since cut; }
