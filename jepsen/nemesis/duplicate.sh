# 10 to 60 % of the frames between nodes arrive twice, the copies up to 5 ms apart.
duplicate_kind=net
duplicate_down=0
duplicate_need() { return 0; }
duplicate_begin() {
    local percent=$((RANDOM % 51 + 10))
    net_mark
    net_all_pairs "dup_ppm=${percent}0000 jitter_us=5000" && echo "$percent % of the frames between nodes arrive twice"
}
duplicate_end() { net_heal; }
duplicate_proof() { net_since duplicated; }
