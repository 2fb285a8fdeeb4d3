#!/bin/sh
# Where a node spends its time under load: perf report (and a flame graph if flamegraph.pl
# is on PATH).
#
#   run_perf.sh [--seconds 10] [--op set|get] [--clients 50] [--out DIR]
#
# Starts three nodes, loads node 1 with redis-benchmark, records its process.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
seconds=10 op=set clients=50 out=
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
    case $1 in
        --seconds) seconds=$2 ;;
        --op) op=$2 ;;
        --clients) clients=$2 ;;
        --out) out=$2 ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
command -v perf > /dev/null || { echo "needs perf (apt-get install linux-perf)" >&2; exit 1; }
command -v redis-benchmark > /dev/null || { echo "needs redis-benchmark (apt-get install redis-tools)" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/kvperf.XXXXXX")
out=${out:-$here/build/perf}
mkdir -p "$out"
port=${BENCH_BASE_PORT:-12301}
load=
cleanup() {
    [ -z "$load" ] || kill "$load" 2> /dev/null || true
    "$here/scripts/run_cluster.sh" stop --dir "$work" > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT INT TERM

"$here/scripts/run_cluster.sh" start --dir "$work" --base-port "$port" > /dev/null
redis-benchmark -p "$port" -t "$op" -d 64 -r 100000 -n 1000000000 -c "$clients" > /dev/null 2>&1 &
load=$!
pid=$(cat "$work/node-1/kvd.pid")
# A virtual machine often has no hardware counters: then the clock of the CPU.
perf record -q -g -F 499 -o "$out/perf.data" -p "$pid" -- sleep "$seconds" ||
    perf record -q -g -F 499 -e cpu-clock -o "$out/perf.data" -p "$pid" -- sleep "$seconds" ||
    { echo "perf cannot record here: see kernel.perf_event_paranoid" >&2; exit 1; }
perf report -i "$out/perf.data" --no-children --stdio -g none --percent-limit 0.5 2> /dev/null | sed '/^$/d' | head -n 60 | tee "$out/report.txt"
if command -v flamegraph.pl > /dev/null; then
    perf script -i "$out/perf.data" 2> /dev/null | stackcollapse-perf.pl | flamegraph.pl > "$out/flame.svg"
    echo "flame graph: $out/flame.svg"
fi
echo "report: $out/report.txt, data: $out/perf.data"
