# kill -9 of a majority at once.  Nothing is served until they are back; what was
# acknowledged must be there then.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
kill_majority_kind=process
kill_majority_floor=0
kill_majority_need() { return 0; }
# shellcheck disable=SC2046 # numbers
kill_majority_begin() { kill9 $(shuffled_nodes "$(majority)"); }
kill_majority_end() { kill9_end; }
kill_majority_proof() { kill9_proof "$(majority)"; }
