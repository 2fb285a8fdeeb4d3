#!/bin/sh
# From a fresh Debian to a cluster that serves: scripts/quickstart.sh
#
# Installs what is missing (apt), builds below build/, starts three nodes on loopback
# (run/), waits until every shard has a leader, and writes, reads and removes a key.
# Running it again is harmless: it builds what changed and finds the cluster running.
#
# QUICKSTART_DIR replaces run/, QUICKSTART_PORT the first client port 7001.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
dir=${QUICKSTART_DIR:-$here/run}
port=${QUICKSTART_PORT:-7001}
log=$here/build/quickstart.log

say() { echo "==> $*"; }
# Run a long command; show its output only if it fails.
quietly() {
    if ! "$@" > "$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "quickstart: failed: $* (all of it: $log)" >&2
        exit 1
    fi
}

cd "$here"
say "installing what is missing"
scripts/setup.sh

say "building (a minute or two the first time)"
mkdir -p build
if [ ! -x configure ] || [ -n "$(find configure.ac Makefile.am -newer configure)" ]; then quietly autoreconf -i; fi
cd build
[ -f config.status ] || quietly ../configure
quietly make -j"$(nproc)"
cd "$here"

say "starting three nodes on loopback"
KVD=$here/build/kvd KVCTL=$here/build/kvctl
export KVD KVCTL
scripts/run_cluster.sh start --dir "$dir" --base-port "$port" || {
    echo "quickstart: no cluster; QUICKSTART_PORT=N uses ports N to N+2 instead of $port" >&2
    exit 1
}

e=127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))
say "put, get and del of a key, each through another node"
"$KVCTL" --endpoints "127.0.0.1:$port" put quickstart:hello world
got=$("$KVCTL" --endpoints "127.0.0.1:$((port + 1))" get quickstart:hello)
echo "$got"
[ "$got" = world ] || { echo "quickstart: expected 'world', got '$got'" >&2; exit 1; }
"$KVCTL" --endpoints "127.0.0.1:$((port + 2))" del quickstart:hello
"$KVCTL" --endpoints "$e" status

# What the first commands to try need, where it is missing.
hint() { command -v "$1" > /dev/null || echo "      # $1: apt-get install $2"; }
cat <<EOF

kvmesh serves Redis clients at
    127.0.0.1:$port  127.0.0.1:$((port + 1))  127.0.0.1:$((port + 2))

Try
    redis-cli -p $port set foo bar$(hint redis-cli redis-tools)
    redis-cli -p $((port + 1)) get foo
    printf 'SET foo bar\r\nQUIT\r\n' | nc 127.0.0.1 $port$(hint nc netcat-openbsd)
    build/kvctl --endpoints $e shards
    scripts/run_cluster.sh kill-node 1 --dir $dir      # kill -9; the others go on
    scripts/run_cluster.sh start-node 1 --dir $dir

Stop with
    scripts/run_cluster.sh stop --dir $dir
EOF
