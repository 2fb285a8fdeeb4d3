# Every frame between nodes takes up to 20 to 70 ms longer, each another time: frames
# overtake each other.
jitter_kind=net
jitter_down=0
jitter_need() { return 0; }
jitter_begin() {
    local ms=$((RANDOM % 51 + 20))
    net_mark
    net_all_pairs "delay_us=1000 jitter_us=${ms}000" && echo "1 to $((ms + 1)) ms each way between nodes, each frame another"
}
jitter_end() { net_heal; }
jitter_proof() { net_since delayed; }
