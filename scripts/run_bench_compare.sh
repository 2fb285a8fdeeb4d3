#!/bin/sh
# Three kvd nodes (fsync on) beside one redis-server with appendfsync always and, if
# installed, a three-node etcd: one run, one machine, interleaved rounds, medians.
#
#   run_bench_compare.sh [--rounds 3] [--requests 60000] [--quick]
#
# SET and GET, 64-byte values, 100k keys; 1, 50 and 200 connections, and 50 with 16
# pipelined.  All systems are loaded through one endpoint; etcd's is its leader.
#   kvd, Redis: redis-benchmark.  etcd: h2load on its gRPC port (Put, linearizable
#   Range); h2load is Debian's nghttp2-client.  etcd is not run pipelined:
#   with 16 streams a connection it is, in the column "50 x 16".
# Prints a Markdown table.  Everything runs on loopback and is ended again.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
rounds=3 requests=60000
while [ $# -gt 0 ]; do
    case $1 in
        --rounds) rounds=$2; shift 2 ;;
        --requests) requests=$2; shift 2 ;;
        --quick) rounds=1 requests=20000; shift ;;
        *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
command -v redis-benchmark > /dev/null || { echo "needs redis-benchmark (apt-get install redis-tools)" >&2; exit 1; }
have_redis=$(command -v redis-server || true)
have_etcd=$(command -v etcd || true)
have_h2load=$(command -v h2load || true)
[ -n "$have_redis" ] || echo "# no redis-server: left out" >&2
if [ -n "$have_etcd" ] && [ -z "$have_h2load" ]; then
    echo "# etcd left out: h2load is missing (apt-get install nghttp2-client)" >&2; have_etcd=
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/kvbench.XXXXXX")
pids=
cleanup() {
    "$here/scripts/run_cluster.sh" stop --dir "$work/kvd" > /dev/null 2>&1 || true
    for p in $pids; do kill "$p" 2> /dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT INT TERM

port=${BENCH_BASE_PORT:-12101}
"$here/scripts/run_cluster.sh" start --dir "$work/kvd" --base-port "$port" > /dev/null
redis_port=$((port + 20))
if [ -n "$have_redis" ]; then
    mkdir "$work/redis"
    redis-server --port $redis_port --dir "$work/redis" --appendonly yes --appendfsync always --save '' > "$work/redis.log" 2>&1 &
    pids="$pids $!"
fi

etcd_url() { echo "http://127.0.0.1:$((port + 30 + $1))"; }
etcd_peer() { echo "http://127.0.0.1:$((port + 40 + $1))"; }
if [ -n "$have_etcd" ]; then
    for i in 1 2 3; do
        etcd --name "e$i" --data-dir "$work/etcd$i" --listen-client-urls "$(etcd_url $i)" --advertise-client-urls "$(etcd_url $i)" \
            --listen-peer-urls "$(etcd_peer $i)" --initial-advertise-peer-urls "$(etcd_peer $i)" \
            --initial-cluster "e1=$(etcd_peer 1),e2=$(etcd_peer 2),e3=$(etcd_peer 3)" --initial-cluster-state new \
            --quota-backend-bytes 8589934592 --log-level error > "$work/etcd$i.log" 2>&1 &
        pids="$pids $!"
    done
    all="$(etcd_url 1),$(etcd_url 2),$(etcd_url 3)"
    export ETCDCTL_API=3
    timeout 60 sh -c "until etcdctl --endpoints '$all' endpoint health > /dev/null 2>&1; do sleep 0.2; done"
    leader=$(etcdctl --endpoints "$all" endpoint status -w fields | awk -F' : ' '
        /"MemberID"/ { id = $2 } /"Leader"/ { l = $2 } /"Endpoint"/ { gsub(/"/, "", $2); if (id == l) print $2 }' | head -n 1)
    [ -n "$leader" ] || leader=$(etcd_url 1)
fi

# protobuf: PutRequest{key="bench:000000000001", value=64 bytes}; RangeRequest{key}.
# gRPC frame: 0, length (4 bytes), message.
key='bench:000000000001' value=$(printf '%064d' 0)
{ printf '\000\000\000\000\126'; printf '\012\022%s\022\100%s' "$key" "$value"; } > "$work/put.bin"
{ printf '\000\000\000\000\024'; printf '\012\022%s' "$key"; } > "$work/range.bin"

# result line: rps p50 p99 p99.9 (ms)
bench_redis_protocol() { # port op clients pipeline
    redis-benchmark -h 127.0.0.1 -p "$1" -t "$2" -d 64 -r 100000 -n "$requests" -c "$3" -P "$4" --precision 3 2> /dev/null | tr '\r' '\n' | awk '
        /throughput summary:/ { rps = $3 }
        / <= .* milliseconds/ { p = $1 + 0; for (i = 1; i <= NF; i++) if ($i == "<=") { v = $(i + 1); break }
            if (p >= 99.9 && p999 == "") p999 = v; if (p >= 50 && p50 == "") p50 = v; if (p >= 99 && p99 == "") p99 = v }
        END { print rps, p50, p99, p999 }'
}
bench_etcd() { # op clients streams
    if [ "$1" = set ]; then method=Put body=put.bin; else method=Range body=range.bin; fi
    rm -f "$work/h2.log"
    h2load -n "$requests" -c "$2" -m "$3" -d "$work/$body" --log-file "$work/h2.log" \
        -H 'content-type: application/grpc' -H 'te: trailers' "$leader/etcdserverpb.KV/$method" > "$work/h2.out" 2>&1
    rps=$(awk '/^finished in/ { sub(/req\/s,?/, "", $0); print $4 }' "$work/h2.out")
    cut -f 3 "$work/h2.log" | sort -n | awk -v rps="$rps" '{ v[NR] = $1 } END {
        printf "%s %.3f %.3f %.3f\n", rps, v[int(NR * .5)] / 1000, v[int(NR * .99)] / 1000, v[int(NR * .999)] / 1000 }'
}

one() { # system op clients pipeline
    sync # what the system before left in the page cache must not burden this one
    case $1 in
        kvd) bench_redis_protocol "$port" "$2" "$3" "$4" ;;
        redis) bench_redis_protocol $redis_port "$2" "$3" "$4" ;;
        etcd) bench_etcd "$2" "$3" "$4" ;;
    esac
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

systems="kvd${have_redis:+ redis}${have_etcd:+ etcd}"
# Load every key once, so that GET finds values.
for s in $systems; do one "$s" set 50 16 > /dev/null; done

echo "| work | system | per second | p50 ms | p99 ms | p99.9 ms |"
echo "|---|---|---|---|---|---|"
for load in "set 1 1" "set 50 1" "set 200 1" "set 50 16" "get 1 1" "get 50 1" "get 200 1" "get 50 16"; do
    set -- $load
    n=$requests
    [ "$2" -gt 1 ] || requests=$((requests / 10))
    r=1
    while [ $r -le "$rounds" ]; do
        for s in $systems; do one "$s" "$1" "$2" "$3" >> "$work/$s.$1.$2.$3"; done
        r=$((r + 1))
    done
    requests=$n
    for s in $systems; do
        f="$work/$s.$1.$2.$3"
        printf '| %s, %s connections%s | %s | %s | %s | %s | %s |\n' "$(echo "$1" | tr a-z A-Z)" "$2" "$([ "$3" = 1 ] || echo " x $3")" "$s" \
            "$(cut -d' ' -f1 "$f" | median)" "$(cut -d' ' -f2 "$f" | median)" "$(cut -d' ' -f3 "$f" | median)" "$(cut -d' ' -f4 "$f" | median)"
    done
done
