#!/bin/bash
# The negative controls: kvd is built broken in a known way, and jepsen/run must say so.
#
#   jepsen/control.sh [--build DIR] [--dir DIR] [--time 40] [--tries 3] [NAME...]
#
# For each NAME (a fault of src/base/sabotage.h; default: all in the table below) kvd is
# configured --with-sabotage=NAME below DIR (default: the build's jepsen/control), and run
# with the workload and the nemeses that bring the fault out.  The control is met when the
# history is found not linearizable; nothing else counts, since a broken kvd may also crash.
# Exit status: 0 all met, 1 not, 2 usage, 77 skipped.
set -uo pipefail
export LC_ALL=C
trap 'exit 130' INT TERM # the run at work ends first, and clears away what it made
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")

# fault, workload, nemeses, more options of jepsen/run
table='
READ_WITHOUT_ROUND  register  slow-leader              --shards 1
DEDUPE_OFF          counter   reset,flap               --rate 2000
ACK_BEFORE_FSYNC    append    power-cut-all
'

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }

build='' dir='' time=40 tries=3
while [ $# -gt 0 ]; do
    case $1 in
    --build|--dir|--time|--tries) [ $# -ge 2 ] || usage ;;
    -*) usage ;;
    *) break ;;
    esac
    case $1 in
    --build) build=$2 ;;
    --dir) dir=$2 ;;
    --time) time=$2 ;;
    --tries) tries=$2 ;;
    esac
    shift 2
done
if [ -z "$build" ]; then
    build=$top
    [ ! -x "$top/build/kvd" ] || build=$top/build
fi
dir=${dir:-$build/jepsen/control}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1
[ $# -gt 0 ] || eval "set -- $(awk 'NF { print $1 }' <<< "$table" | tr '\n' ' ')"

build_broken() { # NAME
    mkdir -p "$dir/$1/build" && cd "$dir/$1/build" || return 1
    [ -f config.status ] || "$top/configure" --with-sabotage="$1" ${CC:+CC="$CC"} || return 1
    make kvd
}

failed=0 met=0 skipped=0
for name; do
    row=$(awk -v n="$name" '$1 == n' <<< "$table")
    [ -n "$row" ] || { echo "control.sh: no row for $name" >&2; usage; }
    read -r _ workload nemeses more <<< "$row"
    mkdir -p "$dir/$name"
    if ! (build_broken "$name") > "$dir/$name/build.log" 2>&1; then
        echo "not ok - $name: kvd cannot be built with it, see $dir/$name/build.log"
        failed=$((failed + 1))
        continue
    fi
    word=''
    for ((try = 1; try <= tries; try++)); do
        run=$dir/$name/run-$try
        rm -rf "$run"
        # shellcheck disable=SC2086 # options
        "$here/run" --build "$build" --kvd "$dir/$name/build/kvd" --dir "$run" --time "$time" \
            --workload "$workload" --nemesis "$nemeses" --seed $try $more > "$dir/$name/run-$try.log" 2>&1
        code=$?
        if [ $code -eq 77 ]; then word=skipped; break; fi
        if [ $code -eq 2 ]; then tail -n 1 "$dir/$name/run-$try.log" >&2; exit 2; fi
        # Its own words, not just any failure.
        if [ $code -eq 1 ] && grep -q '^FAIL  linearizable  *NOT linearizable' "$run/verdict.txt"; then
            word=met
            break
        fi
    done
    case $word in
    met)
        met=$((met + 1))
        echo "ok - $name is found by $workload x $nemeses, run $try" ;;
    skipped)
        skipped=$((skipped + 1))
        echo "ok - $name # SKIP $(tail -n 1 "$dir/$name/run-$try.log")" ;;
    *)
        failed=$((failed + 1))
        echo "not ok - $name is not found by $tries runs of $workload x $nemeses, see $dir/$name" ;;
    esac
done
echo "$met met, $failed failed, $skipped skipped"
if [ $failed -gt 0 ]; then exit 1; fi
if [ $met -eq 0 ]; then exit 77; fi
exit 0
