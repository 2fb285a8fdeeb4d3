#!/bin/bash
# Two minutes of jepsen, as TAP: is the harness whole, does kvd stand a fault of each kind?
# What the machine cannot do is skipped, and says why.
#
#   jepsen/smoke.sh BUILD-DIRECTORY
set -uo pipefail
export LC_ALL=C
trap 'exit 130' INT TERM # the run at work ends first, and clears away what it made
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: jepsen/smoke.sh BUILD-DIRECTORY" >&2; exit 2; }
runs='register:partition-leader append:power-cut-all counter:kill-leader set:reset'

failed=0 n=0
echo "1..$(wc -w <<< "$runs")"
for pair in $runs; do
    n=$((n + 1))
    dir=$1/jepsen/smoke/${pair%:*}-${pair#*:}
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    title="jepsen ${pair%:*} x ${pair#*:}"
    "$here/run" --build "$1" --time 14 --workload "${pair%:*}" --nemesis "${pair#*:}" --dir "$dir" > "$dir.log" 2>&1
    code=$?
    case $code in
    0) echo "ok $n - $title" ;;
    77) echo "ok $n - $title # SKIP $(tail -n 1 "$dir.log" | sed 's/^skipped: //')" ;;
    *)
        echo "not ok $n - $title (see $dir)"
        failed=$((failed + 1))
        sed 's/^/# /' "$dir.log" ;;
    esac
done
[ $failed -eq 0 ]
