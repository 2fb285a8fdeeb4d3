# Every frame between nodes takes 5 to 40 ms longer, the same for all.
delay_kind=net
delay_down=0
delay_need() { return 0; }
delay_begin() {
    local ms=$((RANDOM % 36 + 5))
    net_mark
    net_all_pairs "delay_us=${ms}000" && echo "$ms ms each way between nodes"
}
delay_end() { net_heal; }
delay_proof() { net_since delayed; }
