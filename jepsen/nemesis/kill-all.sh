# kill -9 of all nodes at once.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
kill_all_kind=process
kill_all_floor=0
kill_all_need() { return 0; }
# shellcheck disable=SC2046 # numbers
kill_all_begin() { kill9 $(nodes); }
kill_all_end() { kill9_end; }
kill_all_proof() { kill9_proof "$NODES"; }
