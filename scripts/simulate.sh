#!/bin/bash
# Run the cluster in the simulator, on seeds that nobody has tried:
#
#   scripts/simulate.sh --minutes M
#     --jobs N        processes at a time (all processors)
#     --seed-from N   begin with this seed (one made from the time)
#     --time T        simulated time of a run (60s)
#   scripts/simulate.sh --sabotages [NAME...]
#                     the whole table of planted faults, see test/sim/sabotages.txt
#
# Builds kvsim without debugging below build/simulate (KV_SIM_BUILD replaces that).
# A seed that fails goes into test/sim/seeds.txt with what it was: commit it together
# with the repair, and make check replays it for ever.
#
# Ends with what was run, and how often each rare situation was reached.  The exit
# code is 1 if a seed failed, or if a situation was never reached in COVER_RUNS runs or
# more: faults that do not happen prove nothing.
set -uo pipefail
COVER_RUNS=500
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 2
top=$PWD
build=${KV_SIM_BUILD:-$top/build/simulate}
kept=$top/test/sim/seeds.txt
minutes=10 jobs=$(nproc) from=$(date +%s)000 sabotages=no options=() names=()

usage() {
    sed -n '2,/^set/{/^# \{0,1\}/s///p}' "$top/scripts/simulate.sh"
    exit "$1"
}
number() { # OPTION VALUE
    case ${2:-} in
    '' | *[!0-9]*)
        echo "simulate.sh: $1 needs a number" >&2
        exit 2
        ;;
    esac
}
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) number "$1" "${2:-}" && minutes=$2 && shift ;;
    --jobs) number "$1" "${2:-}" && jobs=$2 && shift ;;
    --seed-from) number "$1" "${2:-}" && from=$2 && shift ;;
    --time) options+=(--time "${2:-}") && shift ;;
    --sabotages) sabotages=yes ;;
    --help) usage 0 ;;
    -*) usage 2 >&2 ;;
    *) names+=("$1") ;;
    esac
    shift
done
if [ "$minutes" -eq 0 ] || [ "$jobs" -eq 0 ]; then usage 2 >&2; fi
if [ $sabotages = no ] && [ ${#names[@]} -gt 0 ]; then usage 2 >&2; fi

# ---- build ----

[ -x configure ] || autoreconf -i || exit 2
mkdir -p "$build" && cd "$build" || exit 2
if [ ! -f config.status ]; then
    "$top/configure" -q > configure.log 2>&1 || { tail configure.log; exit 2; }
fi
make -j"$(nproc)" test/sim/kvsim/kvsim > make.log 2>&1 || { tail make.log; exit 2; }
kvsim=$build/test/sim/kvsim/kvsim

if [ $sabotages = yes ]; then
    [ ${#names[@]} -gt 0 ] || names=(--all)
    KVSIM=$kvsim exec "$top/test/sim/check-sabotages" --jobs "$jobs" "${names[@]}"
fi

# ---- run ----

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
: > "$work/cover"
: > "$work/fails"

# Note a failure: a line for test/sim/seeds.txt.
keep() { # SEED WHY
    local seed=$1 line
    grep -Eq "^$seed([^0-9]|\$)" "$kept" && return
    line="$seed${options[*]:+ ${options[*]}} # $2"
    echo "$line" >> "$kept"
    echo "kept in test/sim/seeds.txt: $line"
}
seconds=$((minutes * 60)) batch=$((jobs * 10)) next=$from
runs=0 failures=0 undecided=0 simulated=0 operations=0 began=$SECONDS
echo "seeds from $from on, for $minutes min, $jobs at a time"
while [ $((SECONDS - began)) -lt $seconds ]; do
    t=$SECONDS
    "$kvsim" --seeds "$next-$((next + batch - 1))" --jobs "$jobs" --cover \
        "${options[@]}" > "$work/out" 2> "$work/err"
    code=$?
    # Wrong options, or kvsim itself was ended: then its seeds were not judged.
    if { [ $code -ne 0 ] && [ $code -lt 127 ]; } || ! grep -q '^[0-9]* runs, ' "$work/out"; then
        echo "simulate.sh: kvsim ended with status $code and without a summary" >&2
        cat "$work/out" "$work/err"
        exit 2
    fi
    while read -r _ code _ seed why; do
        case $code in
        127) why="crash: $why" ;; 128) why="liveness: $why" ;;
        *) why="correctness: $why" ;;
        esac
        why=${why:0:200}
        echo "FAIL seed ${seed%:} $why" | tee -a "$work/fails"
        keep "${seed%:}" "$why"
    done < <(grep '^FAIL ' "$work/out")
    grep '^cover ' "$work/out" >> "$work/cover"
    read -r r f s o u < <(sed -n '/^[0-9]* runs, /s/[^0-9. ]//gp' "$work/out" |
        awk '{ print $1, $2, $3, $4, $NF }')
    runs=$((runs + ${r:-0})) failures=$((failures + ${f:-0})) undecided=$((undecided + ${u:-0}))
    simulated=$((simulated + ${s:-0})) operations=$((operations + ${o:-0}))
    next=$((next + batch))
    # A batch of about a quarter of a minute, and of no more than what time is left.
    if [ $((SECONDS - t)) -lt 10 ] && [ $batch -lt 4000 ]; then batch=$((batch * 2)); fi
    if [ $((SECONDS - t)) -gt 30 ] && [ $batch -gt "$jobs" ]; then batch=$((batch / 2)); fi
done
took=$((SECONDS - began))
[ $took -gt 0 ] || took=1

# ---- tell ----

echo
awk '{ n[$2] += $3; if (!($2 in at)) { at[$2] = ++k; name[k] = $2 } }
     END { for (i = 1; i <= k; i++) printf "%12d  %s\n", n[name[i]], name[i] }' \
    "$work/cover"
never=$(awk '{ n[$2] += $3 } END { for (i in n) if (n[i] == 0) print i }' \
    "$work/cover" | sort | tr '\n' ' ')
echo
echo "$runs runs (seeds $from to $((next - 1))), $failures failed;" \
    "$((simulated / 3600)) simulated hours, $operations operations;" \
    "$((runs * 60 / took)) runs per minute; $undecided keys undecided by the oracle"
bad=0
if [ $failures -gt 0 ]; then bad=1; fi
if [ -n "$never" ]; then
    if [ $runs -ge $COVER_RUNS ]; then
        echo "never reached: $never"
        bad=1
    else
        echo "not reached in so few runs ($COVER_RUNS are asked for): $never"
    fi
fi
if [ $runs -eq 0 ] || [ ! -s "$work/cover" ]; then bad=1; fi
exit $bad
