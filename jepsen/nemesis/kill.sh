# kill -9 of one node, drawn; started again at the end.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
kill_kind=process
kill_need() { return 0; }
kill_begin() { kill9 "$(random_node)"; }
kill_end() { kill9_end; }
kill_proof() { kill9_proof 1; }
