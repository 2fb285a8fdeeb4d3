# The network of a run: a namespace for each node and one for the clients, joined by
# jepsen/switch.  Sourced by jepsen/run.
#
# Names carry the pid of the run, so that runs beside each other do not meet; the
# addresses 10.77.0.1 .. N (nodes) and N+1 (clients) are the same in each.
#
# Needs: $BUILD $RUN $NODES.

NET=10.77.0
PORT=6379
PEER_PORT=16379
NET_PREFIX=kvj$$n
SWITCH_PID=

# Of each run that goes on: PID holds "start switch start-of-switch socket run-folder".
RUNS_DIR=/run/kvjepsen

# When a process began: with its pid, this is what no other process ever has.
born() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20; } # PID

net_note() {
    mkdir -p $RUNS_DIR &&
        echo "$(born $$) $SWITCH_PID $(born "$SWITCH_PID") ${SWITCH_SOCKET%/switch} $RUN" > $RUNS_DIR/$$
}

# What runs that were killed (kill -9) left: processes, mounts, namespaces.
net_sweep() {
    local f pid start switch switch_start socket run name p dir
    for f in "$RUNS_DIR"/*; do
        [ -f "$f" ] || continue
        pid=${f##*/}
        read -r start switch switch_start socket run < "$f"
        if [ "$(born "$pid")" = "$start" ]; then continue; fi
        echo "jepsen/run: clearing away what run $pid left ($run)"
        for name in /run/netns/kvj"$pid"n*; do
            [ -e "$name" ] || continue
            for p in $(ip netns pids "${name##*/}"); do kill -KILL "$p" 2> /dev/null; done
        done
        if [ -n "$switch_start" ] && [ "$(born "$switch")" = "$switch_start" ]; then kill -KILL "$switch"; fi
        sleep 0.5 # until the kernel has let go of their files
        for dir in "$run"/nodes/n*/disk; do
            if mountpoint -q "$dir"; then umount "$dir"; fi
        done
        for name in /run/netns/kvj"$pid"n*; do
            [ ! -e "$name" ] || ip netns del "${name##*/}"
        done
        case $socket in /tmp/kvj.*) rm -rf "$socket" ;; esac
        rm -f "$f"
    done
}

# Print what this machine lacks for the network and return 1, or return 0.
net_need() {
    local p
    [ "$(id -u)" -eq 0 ] || { echo "root is needed"; return 1; }
    for p in ip nsenter setsid; do
        command -v $p > /dev/null || { echo "no program $p"; return 1; }
    done
    [ -c /dev/net/tun ] || { echo "no /dev/net/tun"; return 1; }
    if ! ip netns add "$NET_PREFIX"0 2> /dev/null; then
        echo "network namespaces cannot be made"
        return 1
    fi
    ip netns del "$NET_PREFIX"0
}

ns() { echo "$NET_PREFIX$1"; }        # namespace of node $1
ip_of() { echo "$NET.$1"; }
clients_ns() { ns $((NODES + 1)); }

# Run a command in a namespace.  nsenter and not `ip netns exec`: that would give the
# command mounts of its own, which later umounts do not reach.
in_ns() { # NAMESPACE COMMAND...
    local name=$1
    shift
    nsenter --net="/run/netns/$name" -- "$@"
}
in_node() { local i=$1; shift; in_ns "$(ns "$i")" "$@"; }
in_clients() { in_ns "$(clients_ns)" "$@"; }

# Commands to the switch: fabric_command in switch.h.
sw() { "$BUILD/jepsen/switch" --control "$SWITCH_SOCKET" --do "$1"; }

# The sum over all pairs of one counter of the switch.
sw_count() { # NAME
    sw count | tr ' ' '\n' | sed -n "s/^$1=//p"
}

monotonic_ns() { "$BUILD/jepsen/switch" --clock; }

net_up() {
    local i
    # A short path: those of sockets have at most 107 bytes.
    SWITCH_SOCKET=$(mktemp -d /tmp/kvj.XXXXXX)/switch
    for ((i = 1; i <= NODES + 1; i++)); do
        ip netns add "$(ns "$i")" || return 1
    done
    : > "$RUN/switch.log"
    "$BUILD/jepsen/switch" --prefix "$NET_PREFIX" --hosts $((NODES + 1)) \
        --net $NET --peer-port $PEER_PORT --control "$SWITCH_SOCKET" \
        --seed "$SEED" > "$RUN/switch.log" 2>&1 < /dev/null &
    SWITCH_PID=$!
    net_note
    for ((i = 0; i < 100; i++)); do
        if grep -q '^ready' "$RUN/switch.log"; then return 0; fi
        kill -0 "$SWITCH_PID" 2> /dev/null || break
        sleep 0.05
    done
    cat "$RUN/switch.log" >&2
    return 1
}

# Any number of times, whatever there is of it.
net_down() {
    local i
    if [ -n "$SWITCH_PID" ]; then
        kill -TERM "$SWITCH_PID" 2> /dev/null
        wait "$SWITCH_PID" 2> /dev/null
        SWITCH_PID=
    fi
    if [ -n "${SWITCH_SOCKET:-}" ]; then rm -rf "${SWITCH_SOCKET%/switch}"; fi
    for ((i = 1; i <= NODES + 1; i++)); do
        if [ -e "/run/netns/$(ns "$i")" ]; then ip netns del "$(ns "$i")"; fi
    done
    rm -f $RUNS_DIR/$$
}

# ---- for the network nemeses ------------------------------------------------------

# What the switch did since net_mark: the counters named, as "lost=12 delayed=3".
# Returns 1 if all are 0.  With a client's pair left alone, it is between nodes.
net_mark() { NET_MARK=$(sw count); }
net_since() { # NAME...
    local name now was any=1 line=
    now=$(sw count)
    for name; do
        was=$(tr ' ' '\n' <<< "$NET_MARK" | sed -n "s/^$name=//p")
        name=$name=$(($(tr ' ' '\n' <<< "$now" | sed -n "s/^$name=//p") - was))
        [ "${name#*=}" -eq 0 ] || any=0
        line="$line${line:+ }$name"
    done
    echo "$line"
    return $any
}

# A rule for all pairs of different nodes, both directions.
net_all_pairs() { # RULE
    local i j commands=
    for ((i = 1; i <= NODES; i++)); do
        for ((j = 1; j <= NODES; j++)); do
            if [ "$i" -ne "$j" ]; then commands="$commands set $i $j $1;"; fi
        done
    done
    sw "$commands"
}

# Cut every pair of which one node is in the first list and one in the second.
net_cut() { # "NODES" "NODES"
    local i j commands=
    for i in $1; do
        for j in $2; do
            commands="$commands set $i $j cut=1; set $j $i cut=1;"
        done
    done
    sw "$commands"
}

net_heal() { [ -z "$SWITCH_PID" ] || sw clear; }
