# 0.1 to 1 % of the segments between nodes have one bit changed, and a TCP checksum that
# fits: only the frames' own check can notice.  The nodes must drop the connection
# and say so in their logs.
corrupt_kind=net
corrupt_down=0
corrupt_need() { return 0; }
corrupt_logged() { cat "$RUN"/nodes/n*/kvd.log | grep -c 'inbound connection dropped'; }
corrupt_begin() {
    local ppm=$((RANDOM % 9001 + 1000))
    net_mark
    CORRUPT_LOGGED=$(corrupt_logged)
    net_all_pairs "corrupt_ppm=$ppm" && echo "one bit in $ppm of a million segments between nodes"
}
corrupt_end() { net_heal; }
corrupt_proof() {
    local facts n
    facts=$(net_since corrupted) || { echo "$facts"; return 1; }
    n=$(($(corrupt_logged) - CORRUPT_LOGGED))
    echo "$facts, $n connections dropped for it by the logs"
    [ $n -gt 0 ]
}
