#!/bin/sh
# Bytes of resident memory per key at 100k and 1M keys (16-byte keys, 64-byte values),
# in one kvd node that holds every key (--nodes 1) beside redis-server if installed.
#
#   measure_memory.sh [KEYS...]        default: 100000 1000000
#
# The resident size of the empty server is subtracted.  kvd keeps a tail of its log in
# memory as well (raft.tail-bytes); the figure of the table alone is printed beside it.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- 100000 1000000
command -v redis-cli > /dev/null || { echo "needs redis-cli (apt-get install redis-tools)" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/kvmem.XXXXXX")
port=${BENCH_BASE_PORT:-12201}
redis_pid=
cleanup() {
    "$here/scripts/run_cluster.sh" stop --dir "$work/kvd" > /dev/null 2>&1 || true
    [ -z "$redis_pid" ] || kill "$redis_pid" 2> /dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT INT TERM

rss() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }
# Exactly n different 16-byte keys.
load() { # port n
    awk -v n="$2" 'BEGIN { v = sprintf("%064d", 0); for (i = 0; i < n; i++) printf "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$64\r\n%s\r\n", i, v }' |
        redis-cli -p "$1" --pipe > "$work/pipe.out" || { cat "$work/pipe.out" >&2; exit 1; }
}

echo "| keys | system | bytes per key (resident) | bytes per key (table) |"
echo "|---|---|---|---|"
for n in "$@"; do
    rm -rf "$work/kvd"
    "$here/scripts/run_cluster.sh" start --nodes 1 --dir "$work/kvd" --base-port "$port" -- --raft-tail-bytes 64kb > /dev/null
    pid=$(cat "$work/kvd/node-1/kvd.pid")
    empty=$(rss "$pid")
    load "$port" "$n"
    have=$(redis-cli -p "$port" dbsize)
    [ "$have" = "$n" ] || { echo "expected $n keys, found $have" >&2; exit 1; }
    table=$(redis-cli -p "$port" info memory | tr -d '\r' | awk -F: '/^used_memory_dataset:/ { print $2 }')
    echo "| $n | kvd | $((($(rss "$pid") - empty) / n)) | $((table / n)) |"
    "$here/scripts/run_cluster.sh" stop --dir "$work/kvd" > /dev/null
    command -v redis-server > /dev/null || continue
    redis-server --port $((port + 20)) --save '' --appendonly no --dir "$work" > "$work/redis.log" 2>&1 &
    redis_pid=$!
    timeout 10 sh -c "until redis-cli -p $((port + 20)) ping > /dev/null 2>&1; do sleep 0.1; done"
    empty=$(rss "$redis_pid")
    load $((port + 20)) "$n"
    echo "| $n | redis $(redis-server --version | sed 's/.*v=\([^ ]*\).*/\1/') | $((($(rss "$redis_pid") - empty) / n)) | - |"
    kill "$redis_pid"; wait "$redis_pid" 2> /dev/null || true
    redis_pid=
done
