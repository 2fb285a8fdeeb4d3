#!/bin/bash
# Every workload with every nemesis: a run of jepsen/run for each pair.
#
#   jepsen/matrix.sh [--time 60] [--jobs 1|2] [--dir DIR] [--workloads LIST]
#                    [--nemeses LIST] [--seed N] [-- OPTION-OF-jepsen/run...]
#
# DIR (default: build/jepsen/matrix-DATE) gets a folder for each run and summary.txt.
# A pair that has a verdict in DIR is not run again, so that a matrix that was
# interrupted goes on with the same command and --dir.  Exit status: 0 none failed, 1 some
# did, or came to no verdict, 2 usage.
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }

time=60 jobs=1 dir='' workloads=register,counter,set,append nemeses='' seed=$RANDOM
build=$(dirname "$here")
[ ! -x "$build/build/kvd" ] || build=$build/build
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    --time|--jobs|--dir|--workloads|--nemeses|--seed) [ $# -ge 2 ] || usage ;;
    *) usage ;;
    esac
    case $1 in
    --time) time=$2 ;;
    --jobs) jobs=$2 ;;
    --dir) dir=$2 ;;
    --workloads) workloads=$2 ;;
    --nemeses) nemeses=$2 ;;
    --seed) seed=$2 ;;
    esac
    shift 2
done
case $jobs in 1|2) ;; *) usage ;; esac
case $seed in ''|*[!0-9]*) usage ;; esac
more=("$@") # for jepsen/run
for ((i = 0; i + 1 < ${#more[@]}; i++)); do
    if [ "${more[i]}" = --build ]; then build=${more[i + 1]}; fi
done
if [ -z "$nemeses" ]; then
    nemeses=none
    for f in "$here"/nemesis/*.sh; do nemeses=$nemeses,$(basename "$f" .sh); done
    nemeses=$nemeses,combo
fi
dir=${dir:-$build/jepsen/matrix-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$dir" || exit 1

word() { # DIR: of a verdict
    if [ ! -f "$1/verdict.txt" ]; then echo -
    else awk 'END { print $1 }' "$1/verdict.txt"; fi
}

# Ctrl-C is for this shell only.  It tells the runs to end, which heal and clear away what they
# made, and waits for them.
end_all() {
    local p
    trap '' INT TERM
    for p in $(jobs -p); do kill -TERM "$p" 2> /dev/null; done
    wait
    exit 130
}
trap end_all INT TERM

one() { # WORKLOAD NEMESIS NUMBER
    local to=$dir/$1-$2 code run
    trap '' INT
    # What an interrupted run left has no verdict.
    rm -rf "$to"
    "$here/run" --time "$time" --workload "$1" --nemesis "$2" --seed $((seed + $3)) \
        --dir "$to" "${more[@]}" > "$to.log" 2>&1 &
    run=$!
    trap 'kill -TERM $run; wait $run; exit 130' TERM
    wait $run
    code=$?
    mkdir -p "$to"
    mv "$to.log" "$to/run.log"
    # What could not be tried is not tried again either.
    if [ $code -eq 77 ]; then tail -n 1 "$to/run.log" | sed 's/^/SKIP  /' > "$to/verdict.txt"; fi
    printf '%s  %-8s x %-18s %s\n' "$(date +%H:%M:%S)" "$1" "$2" "$(word "$to") $(grep '^FAIL' "$to/verdict.txt" 2> /dev/null | head -n 1 | cut -c 7-)"
}

number=0 running=0
for n in ${nemeses//,/ }; do
    for w in ${workloads//,/ }; do
        number=$((number + 1))
        if [ "$(word "$dir/$w-$n")" != - ]; then continue; fi
        if [ $running -ge "$jobs" ]; then wait -n; running=$((running - 1)); fi
        one "$w" "$n" $number &
        running=$((running + 1))
    done
done
wait

# ---- the table ----------------------------------------------------------------------

{
    echo "jepsen/matrix.sh: $time s each, seed $seed, $(date -Is), $dir"
    printf '%-18s' ''
    for w in ${workloads//,/ }; do printf '%-10s' "$w"; done
    echo
    for n in ${nemeses//,/ }; do
        printf '%-18s' "$n"
        for w in ${workloads//,/ }; do printf '%-10s' "$(word "$dir/$w-$n")"; done
        echo
    done
    for v in "$dir"/*/verdict.txt; do
        grep -H '^FAIL  [a-z]' "$v" 2> /dev/null | grep -v ' x ' | sed "s|^$dir/||; s|/verdict.txt:FAIL||"
    done
    awk 'FNR == 1 { if (last != "") count[last]++ } { last = $1 } END { count[last]++
            printf "%d passed, %d failed, %d skipped\n", count["PASS"], count["FAIL"], count["SKIP"] }' \
        "$dir"/*/verdict.txt
} | tee "$dir/summary.txt"
status=0
for n in ${nemeses//,/ }; do
    for w in ${workloads//,/ }; do
        case $(word "$dir/$w-$n") in
        PASS | SKIP) ;;
        -) echo "no verdict: $w x $n, see $dir/$w-$n/run.log" && status=1 ;;
        *) status=1 ;;
        esac
    done
done
exit $status
