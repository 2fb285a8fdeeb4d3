# Half of the time the others do not hear the busiest leader, half of the time it does not
# hear them; the other direction works.
partition_one_way_kind=net
partition_one_way_need() { return 0; }
partition_one_way_begin() {
    local i j deaf=$((RANDOM % 2)) commands=
    i=$(busiest_leader)
    for j in $(other_nodes "$i"); do
        if [ $deaf -eq 1 ]; then commands="$commands set $j $i cut=1;"
        else commands="$commands set $i $j cut=1;"; fi
    done
    net_mark
    sw "$commands" || return 1
    if [ $deaf -eq 1 ]; then echo "node $i hears no other node"; else echo "no other node hears node $i"; fi
}
partition_one_way_end() { net_heal; }
partition_one_way_proof() { net_since cut; }
