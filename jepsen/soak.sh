#!/bin/bash
# Runs with combinations and numbers that are drawn anew, for hours.
#
#   jepsen/soak.sh --hours H [--dir DIR] [--seed N] [-- OPTION-OF-jepsen/run...]
#
# Each run draws a workload, one to three nemeses (alone in turn, or two at once), a rate,
# 3 or 5 nodes, 1 to 16 shards and 60 to 180 s.  DIR (default: build/jepsen/soak-DATE) keeps the
# folders of runs that failed; of the others, a line in soak.txt with the seed and the command.
# Exit status: 0 none failed, 1 some did, 2 usage.
set -uo pipefail
export LC_ALL=C
trap 'exit 130' INT TERM # the run at work ends first, and clears away what it made
here=$(cd "$(dirname "$0")" && pwd)

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

hours='' dir='' seed=$((RANDOM * 20000 + RANDOM))
build=$(dirname "$here")
[ ! -x "$build/build/kvd" ] || build=$build/build
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    --hours|--dir|--seed) [ $# -ge 2 ] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --hours) hours=$2 ;;
    --dir) dir=$2 ;;
    --seed) seed=$2 ;;
    esac
    shift 2
done
seconds=$(awk -v h="$hours" 'BEGIN { if (h ~ /^[0-9]*[.]?[0-9]+$/) print int(h * 3600) }')
[ -n "$seconds" ] || usage
case $seed in ''|*[!0-9]*) usage ;; esac
more=("$@")
for ((i = 0; i + 1 < ${#more[@]}; i++)); do
    if [ "${more[i]}" = --build ]; then build=${more[i + 1]}; fi
done
dir=${dir:-$build/jepsen/soak-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$dir" || exit 1
RANDOM=$((seed % 32768))

mapfile -t names < <("$here/run" --list "${more[@]}" | awk '!/cannot be done here/ { print $1 }')
[ ${#names[@]} -gt 0 ] || { echo "soak.sh: no nemesis can be done here" >&2; exit 1; }
pick() { local list=("$@"); PICKED=${list[RANDOM % ${#list[@]}]}; }

draw_nemeses() { # sets NEMESES
    local i n
    case $((RANDOM % 4)) in
    0) NEMESES=combo ;;
    1) NEMESES=all ;;
    *)
        NEMESES=
        n=$((RANDOM % 3 + 1))
        for ((i = 0; i < n; i++)); do
            pick "${names[@]}"
            NEMESES=$NEMESES${NEMESES:+,}$PICKED
        done ;;
    esac
}

passed=0 failed=0 skipped=0 number=0
while [ $SECONDS -lt "$seconds" ]; do
    number=$((number + 1))
    draw_nemeses
    pick register counter set append; workload=$PICKED
    pick 300 1000 1000 3000; rate=$PICKED
    pick 3 5 5; nodes=$PICKED
    pick 1 8 8 16; shards=$PICKED
    pick 60 120 180; time=$PICKED
    command=(--workload "$workload" --nemesis "$NEMESES" --rate "$rate" --nodes "$nodes" --shards "$shards"
        --time "$time" --seed $((seed + number)) "${more[@]}")
    to=$dir/run-$number
    "$here/run" --dir "$to" "${command[@]}" > "$to.log" 2>&1
    code=$?
    case $code in
    0) passed=$((passed + 1)); word=PASS; rm -rf "$to" "$to.log" ;;
    2) # a mistake in the command line would only repeat
        cat "$to.log" >&2
        exit 2 ;;
    77) skipped=$((skipped + 1)); word=SKIP; rm -rf "$to" "$to.log" ;;
    *) failed=$((failed + 1)); word=FAIL; mkdir -p "$to"; mv "$to.log" "$to/run.log" ;;
    esac
    echo "$(date +%H:%M:%S) $word run-$number: ${command[*]}" | tee -a "$dir/soak.txt"
    if [ $word = FAIL ]; then grep '^FAIL' "$to/verdict.txt" 2> /dev/null | sed 's/^/    /' | tee -a "$dir/soak.txt"; fi
done
echo "$passed passed, $failed failed, $skipped skipped (seed $seed)" | tee -a "$dir/soak.txt"
if [ $failed -gt 0 ]; then exit 1; fi
exit 0
