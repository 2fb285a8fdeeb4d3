# 2 to 15 % of the frames between nodes are lost.
loss_kind=net
loss_down=0
loss_need() { return 0; }
loss_begin() {
    local percent=$((RANDOM % 14 + 2))
    net_mark
    net_all_pairs "loss_ppm=${percent}0000" && echo "$percent % of the frames between nodes are lost"
}
loss_end() { net_heal; }
loss_proof() { net_since lost; }
