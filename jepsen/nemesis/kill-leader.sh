# kill -9 of the node that leads most shards: the others must elect.
# shellcheck source=../lib/victim.sh
. "$JEPSEN/lib/victim.sh"
kill_leader_kind=process
kill_leader_need() { return 0; }
kill_leader_begin() { kill9 "$(busiest_leader)"; }
kill_leader_end() { kill9_end; }
kill_leader_proof() {
    local changed
    kill9_proof 1 || return 1
    changed=$(leaders_changed "$KILLED_LEADERS")
    echo "$changed shards have another leader or term"
    [ "$changed" -gt 0 ]
}
