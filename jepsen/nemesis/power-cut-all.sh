# The power of all nodes fails at the same time: what was acknowledged was on the disks of a
# majority, and must be there.
# shellcheck source=power-cut.sh
. "$JEPSEN/nemesis/power-cut.sh"
power_cut_all_kind=disk
power_cut_all_floor=0
power_cut_all_need() { power_cut_need; }
power_cut_all_prepare() { disk_prepare "$1"; }
# shellcheck disable=SC2046 # numbers
power_cut_all_begin() { power_cut_these $(nodes); }
power_cut_all_end() { power_cut_end; }
power_cut_all_proof() { power_cut_proof; }
power_cut_all_cleanup() { power_cut_cleanup; }
