# The connections between nodes are reset again and again: 0.2 to 2 % of their segments become
# resets, for both ends.
reset_kind=net
reset_down=0
reset_need() { return 0; }
reset_begin() {
    local ppm=$((RANDOM % 18001 + 2000))
    net_mark
    net_all_pairs "reset_ppm=$ppm" && echo "$ppm of a million segments between nodes become resets"
}
reset_end() { net_heal; }
reset_proof() { net_since reset; }
