# Loading and driving nemeses.  Sourced by jepsen/run.
#
# jepsen/nemesis/NAME.sh defines, with '_' for '-' in NAME:
#
#   NAME_need       prints what this machine lacks and returns 1, or returns 0
#   NAME_begin      makes the fault; prints one line of facts; not 0: it could not
#   NAME_end        heals; may be called any number of times, begun or not
#   NAME_proof      prints a fact that shows that the fault did something; 1: it did not.
#                   Called once, after NAME_end
#
# and may define
#
#   NAME_kind=WORD  net, process, clock, disk: two of one kind are never made at once
#   NAME_floor=P    percent of the normal rate that must succeed during the fault; default
#                   10.  0 for what takes away a majority: then nothing can be asked
#   NAME_down=N     voters that a leader may miss for it at most; default 1.  Two faults at
#                   once that together may take a majority of any shard have the floor 0
#   NAME_prepare I  before node I first starts (say, mount a file system at its data)
#   NAME_wrap I     prints what goes before kvd when node I starts (see start_node)
#   NAME_cleanup    after the nodes have ended; undoes NAME_prepare; idempotent
#
# All of them run in the shell of the run, with lib/cluster.sh and lib/net.sh at hand.
# None but need, proof and wrap may be expected in a subshell.

LOADED=()  # names
ACTIVE=()  # names that have begun and not ended
CHOICES=() # what a cycle draws from: "a", "a+b"
COMBO=no

fn() { echo "${1//-/_}_$2"; }
has_fn() { declare -F "$(fn "$1" "$2")" > /dev/null; }
setting() { # NAME WHAT DEFAULT
    local v
    v=$(fn "$1" "$2")
    echo "${!v:-$3}"
}

nemesis_source() { # NAME; 1: no such nemesis
    local f
    [ -f "$JEPSEN/nemesis/$1.sh" ] || { echo "no nemesis '$1' in $JEPSEN/nemesis"; return 1; }
    # shellcheck source=/dev/null
    . "$JEPSEN/nemesis/$1.sh"
    for f in need begin end proof; do
        has_fn "$1" $f || { echo "nemesis/$1.sh defines no $(fn "$1" $f)"; return 1; }
    done
}

nemesis_names() {
    local f
    for f in "$JEPSEN"/nemesis/*.sh; do basename "$f" .sh; done
}

nemesis_list() {
    local n why
    for n in $(nemesis_names); do
        nemesis_source "$n" || continue
        if why=$("$(fn "$n" need)"); then printf '%-18s %s\n' "$n" "$(setting "$n" kind other)"
        else printf '%-18s cannot be done here: %s\n' "$n" "$why"; fi
    done
}

# Load what --nemesis says.  1: usage, 77: this machine cannot; prints why.
nemesis_load() { # LIST
    local choice n why any=no names
    [ "$1" != none ] || return 0
    case $1 in
    all|combo)
        [ "$1" = all ] || COMBO=yes
        names=$(nemesis_names | tr '\n' ',')
        any=yes ;;
    *) names=$1 ;;
    esac
    for choice in ${names//,/ }; do
        for n in ${choice//+/ }; do
            case " ${LOADED[*]:-} " in *" $n "*) continue ;; esac
            nemesis_source "$n" || return 1
            if ! why=$("$(fn "$n" need)"); then
                # Of "all", those that can be done.
                if [ $any = yes ]; then continue 2; fi
                echo "$n: $why"
                return 77
            fi
            LOADED+=("$n")
        done
        CHOICES+=("$choice")
    done
    [ $any = yes ] || [ ${#CHOICES[@]} -gt 0 ] || { echo "--nemesis names nothing"; return 1; }
    [ ${#CHOICES[@]} -gt 0 ] || { echo "no nemesis can be done here"; return 77; }
}

nemesis_prepare() { # NODE
    local n
    for n in "${LOADED[@]}"; do
        if has_fn "$n" prepare; then "$(fn "$n" prepare)" "$1" || return 1; fi
    done
}

# Start a node as the loaded nemeses want it: first all their assignments, then their
# wrappers.
start_node_plain() { # NODE
    local n w assignments=() wrappers=()
    for n in "${LOADED[@]}"; do
        has_fn "$n" wrap || continue
        for w in $("$(fn "$n" wrap)" "$1"); do
            if [[ $w =~ ^[A-Z_]+= ]]; then assignments+=("$w"); else wrappers+=("$w"); fi
        done
    done
    start_node "$1" "${assignments[@]}" "${wrappers[@]}"
}

nemesis_clean_all() {
    local n
    for n in "${LOADED[@]}"; do
        if has_fn "$n" cleanup; then "$(fn "$n" cleanup)"; fi
    done
}

nemesis_heal_all() {
    local n
    for n in "${ACTIVE[@]}"; do "$(fn "$n" end)"; done
    ACTIVE=()
}

# One line of events.tsv.
event() { # KIND NEMESIS TEXT [NS]
    printf '%s\t%s\t%s\t%s\n' "${4:-$(monotonic_ns)}" "$1" "$2" "$3" >> "$RUN/events.tsv"
    printf '%4d s  %-6s %-18s %s\n' $((SECONDS - ${began:-SECONDS})) "$1" "$2" "$3"
}

# Call NAME_WHAT in this shell; what it prints is in FACT, one line.
call() { # NAME WHAT
    local code
    "$(fn "$1" "$2")" > "$RUN/fact" 2> "$RUN/fact.err"
    code=$?
    FACT=$(cat "$RUN/fact" "$RUN/fact.err" | tr '\t\n' '  ' | sed 's/ *$//')
    return $code
}

draw() { # sets CHOICE, what this cycle does; not in a subshell, where $RANDOM begins anew
    local a b
    CHOICE=${CHOICES[RANDOM % ${#CHOICES[@]}]}
    if [ $COMBO = no ]; then return; fi
    a=$CHOICE
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        b=${LOADED[RANDOM % ${#LOADED[@]}]}
        if [ "$(setting "$a" kind "$a")" != "$(setting "$b" kind "$b")" ]; then
            CHOICE=$a+$b
            return
        fi
    done
}

# One fault from begin to proof.  $RUN/windows gets a line: begin and end in ns, the
# floor in percent, the name.
nemesis_cycle() {
    local n p at first floor=100 down=0 names
    draw
    names=${CHOICE//+/ }
    first=$(monotonic_ns)
    for n in $names; do
        at=$(monotonic_ns)
        p=$(setting "$n" floor 10)
        if [ "$p" -lt "$floor" ]; then floor=$p; fi
        down=$((down + $(setting "$n" down 1)))
        ACTIVE+=("$n")
        if call "$n" begin; then event begin "$n" "$FACT" "$at"
        else event broken "$n" "cannot begin: $FACT" "$at"; fi
    done
    if [ $down -gt $(((REPLICAS - 1) / 2)) ]; then floor=0; fi
    rest 5 7
    for n in $names; do
        if call "$n" end; then event end "$n" "$FACT"
        else event broken "$n" "cannot end: $FACT"; fi
    done
    ACTIVE=()
    printf '%s\t%s\t%s\t%s\n' "$first" "$(monotonic_ns)" "$floor" "$CHOICE" >> "$RUN/windows"
    for n in $names; do
        if call "$n" proof; then event proof "$n" "$FACT"
        else event broken "$n" "did nothing: $FACT"; fi
    done
}
