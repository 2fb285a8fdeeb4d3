#!/bin/sh
# Run a cluster of kvd nodes on loopback, for development and tests.
#
#   run_cluster.sh start|stop|status|kill-node N|start-node N|stop-node N
#       [--nodes 3] [--dir DIR] [--base-port 7001] [--shards 16] [-- KVD-FLAG...]
#
# Node i listens for clients on base-port+i-1 and for peers on that port +10000.
# DIR/node-i/ holds its data, kvd.log and kvd.pid.  What start was told is kept in
# DIR/cluster.conf, so that the other commands need only --dir.  kill-node is
# kill -9; stop and stop-node are graceful.  KVD, KVCTL: programs to use.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
die() { echo "run_cluster.sh: $*" >&2; exit 1; }

# The first program of that name that can be run: given, built here, installed.
find_program() {
    for p in "$here/build/$1" "$here/$1"; do
        if [ -x "$p" ] && [ ! -d "$p" ]; then echo "$p"; return; fi
    done
    command -v "$1" || die "no $1: build first (scripts/quickstart.sh), or set $2"
}

node_dir() { echo "$dir/node-$1"; }

# Print the pid of node $1 if its process is alive and is a kvd of this directory.
node_pid() {
    f="$(node_dir "$1")/kvd.pid"
    [ -f "$f" ] || return 1
    p=$(cat "$f")
    [ -n "$p" ] && [ -d "/proc/$p" ] || return 1
    tr '\0' '\n' < "/proc/$p/cmdline" 2>/dev/null | grep -qxF -- "$(node_dir "$1")/data" || return 1
    echo "$p"
}

initial_cluster() {
    i=1; list=
    while [ "$i" -le "$nodes" ]; do
        list="$list${list:+,}$i=127.0.0.1:$((base_port + i - 1))"
        i=$((i + 1))
    done
    echo "$list"
}

endpoints() { initial_cluster | sed 's/[0-9]*=//g'; }

save_conf() {
    mkdir -p "$dir"
    {
        echo "nodes=$nodes"; echo "base_port=$base_port"; echo "shards=$shards"
        echo "flags='$flags'"
    } > "$dir/cluster.conf.new"
    mv "$dir/cluster.conf.new" "$dir/cluster.conf"
}

start_node() {
    n=$1
    [ "$n" -ge 1 ] && [ "$n" -le "$nodes" ] || die "no node $n in this cluster of $nodes"
    if pid=$(node_pid "$n"); then echo "node $n: already running, pid $pid"; return; fi
    d=$(node_dir "$n")
    mkdir -p "$d"
    # shellcheck disable=SC2086
    setsid "$kvd" --node-id "$n" --initial-cluster "$(initial_cluster)" \
        --cluster-shards "$shards" --data-dir "$d/data" --log-file "$d/kvd.log" $flags \
        > "$d/kvd.out" 2>&1 < /dev/null &
    echo $! > "$d/kvd.pid"
}

# Wait until every shard has a leader that serves; says why if it does not.
wait_serving() {
    "$kvctl" --endpoints "$(endpoints)" status --wait 30 > "$dir/status.out" 2>&1 && return
    cat "$dir/status.out" >&2
    i=1
    while [ "$i" -le "$nodes" ]; do
        node_pid "$i" > /dev/null || { echo "node $i is not running:" >&2; tail -n 5 "$(node_dir "$i")/kvd.out" >&2; }
        i=$((i + 1))
    done
    die "the cluster does not serve within 30 s; logs: $dir/node-*/kvd.log"
}

# End process $1 of node $2 gracefully and wait for it; kill -9 after 20 s.
stop_pid() {
    kill -TERM "$1" 2>/dev/null || return 0
    timeout 20 tail --pid="$1" -f /dev/null || { echo "node $2: no end after 20 s, kill -9" >&2; kill -9 "$1"; timeout 5 tail --pid="$1" -f /dev/null || true; }
    rm -f "$(node_dir "$2")/kvd.pid"
}

cmd=${1:-}; [ -n "$cmd" ] || usage
shift
arg=
case $cmd in
    kill-node|start-node|stop-node) arg=${1:-}; [ -n "$arg" ] || usage; shift ;;
    start|stop|status) ;;
    *) usage ;;
esac
nodes=3 base_port=7001 shards=16 flags= dir=
given_nodes= given_port= given_shards= given_flags=
while [ $# -gt 0 ]; do
    case $1 in
        --nodes) given_nodes=${2:?--nodes N}; shift 2 ;;
        --dir) dir=${2:?--dir DIR}; shift 2 ;;
        --base-port) given_port=${2:?--base-port PORT}; shift 2 ;;
        --shards) given_shards=${2:?--shards N}; shift 2 ;;
        --) shift; given_flags="$*"; break ;;
        *) usage ;;
    esac
done
dir=${dir:-$here/run}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
[ -f "$dir/cluster.conf" ] && . "$dir/cluster.conf"
nodes=${given_nodes:-$nodes} base_port=${given_port:-$base_port} shards=${given_shards:-$shards} flags=${given_flags:-$flags}
kvd=${KVD:-$(find_program kvd KVD)}
kvctl=${KVCTL:-$(find_program kvctl KVCTL)}

case $cmd in
start)
    save_conf
    i=1
    while [ "$i" -le "$nodes" ]; do start_node "$i"; i=$((i + 1)); done
    wait_serving
    echo "serving: $(endpoints)" ;;
stop)
    i=1; pids=
    while [ "$i" -le "$nodes" ]; do
        if pid=$(node_pid "$i"); then kill -TERM "$pid"; pids="$pids $i:$pid"; fi
        i=$((i + 1))
    done
    for np in $pids; do stop_pid "${np#*:}" "${np%%:*}"; done
    echo "stopped" ;;
status)
    i=1
    while [ "$i" -le "$nodes" ]; do
        if pid=$(node_pid "$i"); then echo "node $i: 127.0.0.1:$((base_port + i - 1)) pid $pid"
        else echo "node $i: 127.0.0.1:$((base_port + i - 1)) not running"; fi
        i=$((i + 1))
    done
    "$kvctl" --endpoints "$(endpoints)" status ;;
kill-node)
    pid=$(node_pid "$arg") || die "node $arg is not running"
    kill -9 "$pid"; timeout 10 tail --pid="$pid" -f /dev/null || true
    rm -f "$(node_dir "$arg")/kvd.pid"
    echo "node $arg: killed (pid $pid)" ;;
stop-node)
    pid=$(node_pid "$arg") || die "node $arg is not running"
    stop_pid "$pid" "$arg"
    echo "node $arg: stopped" ;;
start-node)
    start_node "$arg"
    echo "node $arg: started, pid $(cat "$(node_dir "$arg")/kvd.pid")" ;;
esac
