# The links of one node, drawn, or of the busiest leader, come and go: 0.2 to 1 s
# without, 0.2 to 1 s with.
flap_kind=net
FLAP_PID=
flap_need() { return 0; }
flap_loop() { # NODE
    trap 'exit 0' TERM
    while kill -0 $$ 2> /dev/null; do # as long as the run
        net_cut "$1" "$(other_nodes "$1")"
        sleep 0.$((RANDOM % 8 + 2))
        net_heal
        sleep 0.$((RANDOM % 8 + 2))
    done
}
flap_begin() {
    local i
    i=$(random_node)
    if [ $((RANDOM % 2)) -eq 1 ]; then i=$(busiest_leader); fi
    net_mark
    flap_loop "$i" > /dev/null 2>&1 &
    FLAP_PID=$!
    echo "the links of node $i come and go"
}
flap_end() {
    if [ -n "$FLAP_PID" ]; then
        kill -TERM "$FLAP_PID" 2> /dev/null
        wait "$FLAP_PID" 2> /dev/null
        FLAP_PID=
    fi
    net_heal
}
flap_proof() { net_since cut; }
