#!/bin/bash
# Every test, from a fresh machine on: scripts/test.sh
#
#   1. scripts/setup.sh --test
#   2. make check, warnings being errors
#   3. make check under AddressSanitizer and UndefinedBehaviorSanitizer
#   4. the simulator runs the same with and without the sanitizers
#   5. real processes through faults (jepsen/smoke.sh, two minutes)
#   6. make distcheck: the same from the tarball that users get
#   7. the tarball has everything that git has
#
# Builds below build/test (KV_TEST_BUILD replaces that), nothing in the source
# tree but what autoreconf makes.  The last line is "N passed, N failed", over
# all of it; the exit code is 0 only if nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
top=$PWD
work=${KV_TEST_BUILD:-$top/build/test}
jobs=-j2
export LC_ALL=C
passed=0 failed=0 skipped=0

# The number of tests in a log that ended in one of the ways: from automake's
# summary (not from the test-suite.log that VERBOSE=1 puts before it), or, where
# there is none, from the TAP lines themselves.
tests() { # LOG SUMMARY-WORDS TAP-PATTERN
    awk -v words="$2" -v tap="$3" '
        /^Testsuite summary/ { summary = 1 }
        summary && $1 == "#" && $2 ~ "^(" words "):$" { n += $3 }
        /^make.*: Leaving directory/ { summary = 0 }
        $0 ~ tap { lines++ }
        /^Testsuite summary/ { any = 1 }
        END { print (any ? n : lines) + 0 }' "$1"
}

# Add up a log.  A step that failed without a failing test (it did not build,
# say) counts as one failure.
count() { # LOG EXIT-CODE
    local p f s
    p=$(tests "$1" 'PASS|XFAIL' '^ok [0-9]+ [^#]*$')
    f=$(tests "$1" 'FAIL|XPASS|ERROR' '^not ok [0-9]+ ')
    s=$(tests "$1" 'SKIP' '^1\\.\\.0 # SKIP|^ok [0-9]+ .*# SKIP')
    if [ "$2" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    echo "    $p passed, $f failed, $s skipped"
}

# Run a command in a build directory with its output in a log, of which a
# failure shows what matters.
step() { # NAME TITLE COMMAND...
    local name=$1 title=$2 log=$work/$1.log began=$SECONDS code
    shift 2
    echo "==> $title"
    mkdir -p "$work/$name"
    (cd "$work/$name" && "$@") > "$log" 2>&1 < /dev/null
    code=$?
    count "$log" $code
    echo "    $((SECONDS - began)) s, log: $log"
    if [ $code -ne 0 ]; then
        grep -E '^(FAIL|XPASS|ERROR):|error:|Error [0-9]' "$log" | head -n 50
        echo "--- the end of $log"
        tail -n 100 "$log"
        echo "---"
    fi
    return $code
}

configure_and_check() { # CONFIGURE-OPTION...
    "$top/configure" "$@" && make $jobs && make $jobs check VERBOSE=1
}
distcheck() { # in the directory of the first build
    cd ../plain && make $jobs distcheck VERBOSE=1
}
smoke() { # with the programs of the first build
    make $jobs -C ../plain jepsen && "$top/jepsen/smoke.sh" "$(cd ../plain && pwd)"
}
dist_is_complete() {
    local tarball
    tarball=$(ls ../plain/kvmesh-*.tar.xz) && "$top/scripts/check-dist" "$tarball"
}

finish() {
    if [ $skipped -gt 0 ]; then
        echo "skipped: $skipped (a program or build option that they need is not there)"
    fi
    echo "$passed passed, $failed failed"
    if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then exit 1; fi
    exit 0
}
broken() { # MESSAGE: what stops everything
    echo "test.sh: $*" >&2
    failed=$((failed + 1))
    finish
}

scripts/setup.sh --test || broken "the set-up failed, see above"
if [ -f config.status ]; then
    broken "the source tree is configured itself; run make distclean first"
fi
# What an interrupted distcheck left is read-only.
chmod -R u+w "$work" 2> /dev/null
rm -rf "$work"
mkdir -p "$work" || broken "cannot make $work"
if ! autoreconf -i > "$work/autoreconf.log" 2>&1; then
    cat "$work/autoreconf.log"
    broken "autoreconf failed, see above"
fi

step plain "make check" configure_and_check --enable-werror
step asan "make check under ASan and UBSan" configure_and_check \
    --enable-werror --enable-debug --enable-sanitize=address,undefined
step determinism "a seed is the same run under the sanitizers" \
    "$top/scripts/check-determinism" ../plain ../asan
step smoke "real processes through faults" smoke
if step distcheck "make distcheck" distcheck; then
    step dist "the tarball is complete" dist_is_complete
fi
finish
