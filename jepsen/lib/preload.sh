# Libraries preloaded into the nodes: our shim before the disk calls, libfaketime
# before the clocks.  Sourced by the nemeses that need them.
#
# There is one LD_PRELOAD, so that the nemeses share it: each says in NAME_prepare
# what it needs, and each NAME_wrap prints the same words, for all of them.

PRELOAD_SHIM=${PRELOAD_SHIM:-no}
PRELOAD_CLOCK=${PRELOAD_CLOCK:-no}

preload_shim() { echo "$BUILD/jepsen/shim.so"; }
shim_control() { echo "$RUN/nodes/n$1/shim.control"; }
shim_log() { echo "$RUN/nodes/n$1/shim.log"; }
# What libfaketime reads, again and again: "+3600s", "+0".
clock_file() { echo "$RUN/nodes/n$1/clock"; }
# Exists while the node is to run with another rate: "5", "0.5".
clock_rate_file() { echo "$RUN/nodes/n$1/clock.rate"; }

preload_faketime() {
    local f
    for f in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/faketime/libfaketimeMT.so.1 \
        /usr/local/lib/faketime/libfaketimeMT.so.1; do
        if [ -f "$f" ]; then echo "$f"; return 0; fi
    done
    return 1
}

shim_need() {
    [ -f "$(preload_shim)" ] || { echo "no $(preload_shim): run 'make jepsen'"; return 1; }
    preload_works "$(preload_shim)"
}

clock_need() {
    preload_faketime > /dev/null || { echo "no libfaketime (package libfaketime)"; return 1; }
    preload_works "$(preload_faketime)"
}

# kvd starts with it, and is no static program.
preload_works() {
    local libraries
    # Not by a pipe: the end of grep -q would be the failure of kvd.
    libraries=$(LD_PRELOAD=$1 LD_TRACE_LOADED_OBJECTS=1 "$KVD" 2> /dev/null)
    case $libraries in
    *"${1##*/}"*) ;;
    *) echo "$1 cannot be preloaded into $KVD"; return 1 ;;
    esac
}

# The assignments for node I, in front of kvd; words without blanks.  A node with a rate
# has its monotonic clock faked too: timers run at that rate.  One without has only its
# wall clock faked, which may jump; a monotonic clock never does.
preload_wrap() { # NODE
    local libs=
    if [ "$PRELOAD_SHIM" = yes ]; then
        libs=$(preload_shim)
        echo "KV_SHIM_CONTROL=$(shim_control "$1")" "KV_SHIM_LOG=$(shim_log "$1")" \
            "KV_SHIM_DIR=$(realpath "$(data_of "$1")")"
    fi
    if [ -s "$(clock_rate_file "$1")" ]; then
        libs="$libs${libs:+:}$(preload_faketime)"
        echo "FAKETIME_TIMESTAMP_FILE=$(clock_rate_file "$1")"
    elif [ "$PRELOAD_CLOCK" = yes ]; then
        libs="$libs${libs:+:}$(preload_faketime)"
        [ -f "$(clock_file "$1")" ] || echo '+0' > "$(clock_file "$1")"
        echo "FAKETIME_TIMESTAMP_FILE=$(clock_file "$1")" FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1
    fi
    [ -n "$libs" ] || return 0
    # A sanitizer's runtime wants to be first, and is not.
    echo "LD_PRELOAD=$libs" "ASAN_OPTIONS=verify_asan_link_order=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
}

# The wall clock of a node in microseconds, as its clients see it.
node_time() { # NODE
    # shellcheck disable=SC2016 # the inner shell's
    in_clients timeout 3 bash -c '
        exec 3<>"/dev/tcp/$1/$2" && printf "TIME\r\n" >&3 || exit 1
        read -r _ <&3; read -r _ <&3; read -r s <&3; read -r _ <&3; read -r us <&3
        s=${s%?} us=${us%?}
        [ -n "$s" ] && echo $((s * 1000000 + 10#$us))' sh "$(ip_of "$1")" "$PORT" 2> /dev/null
}
real_time() { echo $(($(date +%s%N) / 1000)); }
