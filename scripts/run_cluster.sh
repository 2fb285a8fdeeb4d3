#!/bin/sh
# Run a cluster of kvd nodes on loopback, for development and tests.
#
#   run_cluster.sh start|stop|status|kill-node N|start-node N|stop-node N
#       [--nodes 3] [--dir DIR] [--base-port 7001] [--shards 16] [-- KVD-FLAG...]
#
# Node i listens for clients on base-port+i-1 and for peers on that port +10000.
# DIR/node-i/ holds its data, kvd.log and kvd.pid; the default DIR is run/.  What
# start was told is kept in DIR/cluster.conf, so that the other commands need only
# --dir.  start returns when the cluster serves, or says why not and leaves none of
# the nodes it started.  kill-node is kill -9; stop and stop-node are graceful.
# status ends as kvctl status does (0: all serves).  KVD, KVCTL: programs to use.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
start_s=30 # longest wait until the cluster serves
stop_s=20  # longest wait for a graceful end, then kill -9

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
die() { echo "run_cluster.sh: $*" >&2; exit 1; }
wrong() { echo "run_cluster.sh: $*" >&2; exit 2; }

# The first program of that name that can be run: built here, or installed.
find_program() {
    for p in "$here/build/$1" "$here/$1"; do
        if [ -x "$p" ] && [ ! -d "$p" ]; then echo "$p"; return; fi
    done
    command -v "$1" || die "no $1: build first (scripts/quickstart.sh), or set $2"
}

need_number() { # OPTION VALUE MIN MAX
    case $2 in ''|*[!0-9]*|??????*) wrong "$1 needs a number from $3 to $4, not '$2'" ;; esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then wrong "$1 needs a number from $3 to $4, not '$2'"; fi
}

node_dir() { echo "$dir/node-$1"; }
node_port() { echo $((base_port + $1 - 1)); }
all_nodes() { i=1; while [ "$i" -le "$nodes" ]; do echo "$i"; i=$((i + 1)); done; }

# Print the pid of node $1 if its process is alive and is a kvd of this directory.
node_pid() {
    f="$(node_dir "$1")/kvd.pid"
    [ -f "$f" ] || return 1
    p=$(cat "$f")
    [ -n "$p" ] && [ -r "/proc/$p/cmdline" ] || return 1
    tr '\0' '\n' < "/proc/$p/cmdline" 2> /dev/null | grep -qxF -- "$(node_dir "$1")/data" || return 1
    echo "$p"
}

initial_cluster() {
    list=
    for i in $(all_nodes); do list="$list${list:+,}$i=127.0.0.1:$(node_port "$i")"; done
    echo "$list"
}

endpoints() { initial_cluster | sed 's/[0-9]*=//g'; }

save_conf() {
    {
        echo "nodes=$nodes"; echo "base_port=$base_port"; echo "shards=$shards"
        echo "flags='$flags'"
    } > "$dir/cluster.conf.new"
    mv "$dir/cluster.conf.new" "$dir/cluster.conf"
}

# Something that answers on the client port would be taken for the node.
check_port_free() {
    rc=0
    why=$("$kvctl" --endpoints "127.0.0.1:$(node_port "$1")" --timeout 1000 ping 2>&1) || rc=$?
    # 126 and 127 are the shell's and the loader's.
    case $rc in 126|127) die "cannot run $kvctl: $why" ;; esac
    [ "$rc" -eq 3 ] || die "port $(node_port "$1") is in use by another program: stop it, or choose another --base-port"
}

start_node() { # N, which does not run
    d=$(node_dir "$1")
    mkdir -p "$d"
    # A session of its own, so that Ctrl-C at this script does not reach it.
    # shellcheck disable=SC2086,SC2016
    setsid sh -c 'echo $$ > "$0"; exec "$@"' "$d/kvd.pid" \
        "$kvd" --node-id "$1" --initial-cluster "$(initial_cluster)" \
        --cluster-shards "$shards" --data-dir "$d/data" --log-file "$d/kvd.log" $flags \
        > "$d/kvd.out" 2>&1 < /dev/null &
    echo $! > "$d/kvd.pid"
}

say_why() { # N: the last it said
    echo "node $1 ended:" >&2
    d=$(node_dir "$1")
    if [ -s "$d/kvd.out" ]; then tail -n 5 "$d/kvd.out"; else tail -n 5 "$d/kvd.log"; fi 2> /dev/null | sed 's/^/    /' >&2
}

# Wait until every shard has a leader that serves.  1: it does not, said why.
wait_serving() {
    tries=0
    until "$kvctl" --endpoints "$(endpoints)" status --wait 1 > "$dir/status.out" 2>&1; do
        for i in $(all_nodes); do
            node_pid "$i" > /dev/null || { say_why "$i"; return 1; }
        done
        tries=$((tries + 1))
        if [ "$tries" -ge "$start_s" ]; then
            cat "$dir/status.out" >&2
            echo "the cluster does not serve within $start_s s; logs: $dir/node-*/kvd.log" >&2
            return 1
        fi
    done
}

# Wait for the end of process $2 of node $1, which was told to stop.
wait_end() {
    if ! timeout "$stop_s" tail -s 0.05 --pid="$2" -f /dev/null; then
        echo "node $1: no end after $stop_s s, kill -9" >&2
        kill -9 "$2" 2> /dev/null || true
        timeout 5 tail -s 0.05 --pid="$2" -f /dev/null || die "node $1: process $2 does not end"
    fi
    rm -f "$(node_dir "$1")/kvd.pid"
}

# Stop the given nodes, all at the same time.  One signal each: a second one would
# end kvd at once.
stop_nodes() {
    pids=
    for i; do
        if pid=$(node_pid "$i"); then
            kill -TERM "$pid" 2> /dev/null || true
            pids="$pids $i:$pid"
        fi
    done
    for np in $pids; do wait_end "${np%%:*}" "${np#*:}"; done
}

cmd_start() {
    case $flags in *\'*) wrong "a flag may not contain a quote: $flags" ;; esac
    started=
    for i in $(all_nodes); do
        if pid=$(node_pid "$i"); then
            [ "$base_port $nodes $shards" = "$saved" ] || die "node $i runs with other settings ($dir/cluster.conf): stop the cluster first"
            echo "node $i: already running, pid $pid"
        else check_port_free "$i"; started="$started $i"; fi
    done
    save_conf
    for n in $started; do start_node "$n"; done
    if ! wait_serving; then
        # shellcheck disable=SC2086
        stop_nodes $started
        die "not started"
    fi
    echo "serving: $(endpoints)"
}

cmd_stop() {
    # shellcheck disable=SC2046
    stop_nodes $(all_nodes)
    echo "stopped"
}

cmd_status() {
    for i in $(all_nodes); do
        if pid=$(node_pid "$i"); then echo "node $i: 127.0.0.1:$(node_port "$i") pid $pid"
        else echo "node $i: 127.0.0.1:$(node_port "$i") not running"; fi
    done
    "$kvctl" --endpoints "$(endpoints)" status
}

cmd_start_node() {
    if pid=$(node_pid "$1"); then echo "node $1: already running, pid $pid"; return; fi
    check_port_free "$1"
    start_node "$1"
    tries=0
    until "$kvctl" --endpoints "127.0.0.1:$(node_port "$1")" --timeout 1000 ping > /dev/null 2>&1; do
        tries=$((tries + 1))
        # The first look may be too early for the process to have its name.
        if [ "$tries" -gt 5 ] && ! node_pid "$1" > /dev/null; then say_why "$1"; die "node $1: not started"; fi
        [ "$tries" -lt $((start_s * 10)) ] || die "node $1 does not answer within $start_s s; log: $(node_dir "$1")/kvd.log"
        sleep 0.1
    done
    echo "node $1: started, pid $(cat "$(node_dir "$1")/kvd.pid")"
}

cmd=${1:-}; [ -n "$cmd" ] || usage
shift
arg=
case $cmd in
    kill-node|start-node|stop-node) arg=${1:-}; need_number "$cmd" "$arg" 1 64; shift ;;
    start|stop|status) ;;
    *) usage ;;
esac
nodes=3 base_port=7001 shards=16 flags='' dir=
given_nodes='' given_port='' given_shards='' given_flags=
while [ $# -gt 0 ]; do
    case $1 in
        --nodes|--dir|--base-port|--shards) [ $# -ge 2 ] || wrong "$1 needs a value" ;;
    esac
    case $1 in
        --nodes) need_number "$1" "$2" 1 64; given_nodes=$2; shift 2 ;;
        --dir) dir=$2; shift 2 ;;
        --base-port) need_number "$1" "$2" 1 55472; given_port=$2; shift 2 ;;
        --shards) need_number "$1" "$2" 1 256; given_shards=$2; shift 2 ;;
        --) shift; given_flags="$*"; break ;;
        *) usage ;;
    esac
done
dir=${dir:-$here/run}
if [ "$cmd" = start ]; then
    mkdir -p "$dir"
elif [ ! -f "$dir/cluster.conf" ]; then
    [ "$cmd" != stop ] || { echo "stopped (no cluster in $dir)"; exit 0; }
    die "no cluster in $dir: start one first"
fi
dir=$(cd "$dir" && pwd)
# shellcheck source=/dev/null
[ ! -f "$dir/cluster.conf" ] || . "$dir/cluster.conf"
saved="$base_port $nodes $shards"
nodes=${given_nodes:-$nodes} base_port=${given_port:-$base_port} shards=${given_shards:-$shards} flags=${given_flags:-$flags}
if [ -n "$arg" ] && [ "$arg" -gt "$nodes" ]; then die "no node $arg in this cluster of $nodes"; fi
case $cmd in start|start-node|status)
    kvd=${KVD:-$(find_program kvd KVD)}
    kvctl=${KVCTL:-$(find_program kvctl KVCTL)} ;;
esac

case $cmd in
start) cmd_start ;;
stop) cmd_stop ;;
status) cmd_status ;;
start-node) cmd_start_node "$arg" ;;
kill-node)
    pid=$(node_pid "$arg") || die "node $arg is not running"
    kill -9 "$pid"; timeout 10 tail -s 0.05 --pid="$pid" -f /dev/null || die "node $arg: process $pid does not end"
    rm -f "$(node_dir "$arg")/kvd.pid"
    echo "node $arg: killed (pid $pid)" ;;
stop-node)
    node_pid "$arg" > /dev/null || die "node $arg is not running"
    stop_nodes "$arg"
    echo "node $arg: stopped" ;;
esac
