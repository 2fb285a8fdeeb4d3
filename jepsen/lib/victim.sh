# Choosing nodes to break.  Sourced by the nemeses of processes, disks and clocks.

# One node that runs: half of the time the one that leads most shards.
a_victim() {
    local i n
    if [ $((RANDOM % 2)) -eq 1 ]; then
        i=$(busiest_leader)
        if alive "$i"; then echo "$i"; return; fi
    fi
    for n in $(shuffled_nodes); do
        if alive "$n"; then echo "$n"; return; fi
    done
    echo 1
}

is_leader() { if [ "$(busiest_leader)" = "$1" ]; then echo ", the busiest leader"; fi; }

# Start again those that do not run.
revive() { # NODE...
    local i
    for i in "$@"; do
        alive "$i" || start_node_plain "$i"
    done
}

# Whether a node has the state in which a SIGSTOP leaves it.
is_stopped() { # NODE
    grep -q '^State:[[:space:]]*T' "/proc/$(pid_of "$1")/status" 2> /dev/null
}

# ---- kill -9, for its several nemeses (of which one is at work at a time) --------------

KILLED=
kill9() { # NODE...
    local i pid pids=
    KILLED="$*" KILLED_GONE=0
    KILLED_LEADERS=$(leaders)
    for i in "$@"; do
        note_end "$i"
        pids="$pids $(pid_of "$i")" NODE_WANT[$i]=down
    done
    # shellcheck disable=SC2086 # all at once
    kill -KILL $pids
    for i in "$@"; do
        pid=$(pid_of "$i")
        kill_node "$i" KILL # waits
        if [ -n "$pid" ] && ! kill -0 "$pid" 2> /dev/null; then KILLED_GONE=$((KILLED_GONE + 1)); fi
    done
    echo "kill -9 of node $*"
}
# shellcheck disable=SC2086 # numbers
kill9_end() { revive $KILLED; }
kill9_proof() { # HOW MANY
    echo "$KILLED_GONE of $1 processes ended"
    [ "$KILLED_GONE" -eq "$1" ]
}
