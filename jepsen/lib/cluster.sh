# The nodes of a run: start, kill, look.  Sourced by jepsen/run; for the writers of
# nemeses.
#
# A nemesis must be called in the shell of the run, never in $(...): the nodes are
# that shell's children, and NODE_PID and NODE_WANT its variables.
#
# Needs: $KVD $KVCTL $BUILD $RUN $NODES $REPLICAS $SHARDS, lib/net.sh.

# By node.  NODE_WANT: up (its end is a defect), down (a nemesis ended it), may
# (a nemesis that breaks its disk or memory lets it end by itself).
declare -A NODE_PID=() NODE_WANT=()

nodes() { seq 1 "$NODES"; }
node_dir() { echo "$RUN/nodes/n$1"; }
data_of() { echo "$RUN/nodes/n$1/data"; }
pid_of() { echo "${NODE_PID[$1]:-}"; }
random_node() { echo $((RANDOM % NODES + 1)); }
majority() { echo $((NODES / 2 + 1)); }
# Some nodes, in random order: all of them, or the first N.
shuffled_nodes() { # [N]
    local i
    for ((i = 1; i <= NODES; i++)); do echo "$RANDOM $i"; done | sort -n |
        cut -d ' ' -f 2 | head -n "${1:-$NODES}"
}
# The nodes that are not among the arguments.
other_nodes() {
    local i
    for ((i = 1; i <= NODES; i++)); do
        case " $* " in *" $i "*) ;; *) echo "$i" ;; esac
    done
}

endpoints() {
    local i list=
    for i in $(nodes); do list="$list${list:+,}$(ip_of "$i"):$PORT"; done
    echo "$list"
}

write_conf() { # NODE
    local i
    mkdir -p "$(data_of "$1")" || return 1
    {
        echo "node.id = $1"
        echo "bind = $(ip_of "$1")"
        echo "data-dir = $(data_of "$1")"
        echo "log.file = $(node_dir "$1")/kvd.log"
        echo "cluster.shards = $SHARDS"
        echo "cluster.replicas = $REPLICAS"
        for i in $(nodes); do echo "initial-cluster = $i=$(ip_of "$i"):$PORT"; done
    } > "$(node_dir "$1")/conf"
}

alive() { # NODE
    local pid=${NODE_PID[$1]:-}
    [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null
}

# Start a node that does not run.  What follows its number goes before kvd: assignments
# and wrappers (which must exec), as for env(1).
start_node() { # NODE [NAME=VALUE... WRAPPER...]
    local i=$1
    shift
    # shellcheck disable=SC2016 # the inner shell's
    nsenter --net="/run/netns/$(ns "$i")" -- setsid sh -c \
        'ulimit -c unlimited 2> /dev/null; cd "$1" || exit 1; shift; exec env "$@"' \
        sh "$(node_dir "$i")" "$@" "$KVD" --config "$(node_dir "$i")/conf" \
        >> "$(node_dir "$i")/out" 2>&1 < /dev/null &
    NODE_PID[$i]=$!
    NODE_WANT[$i]=up
}

# Signal a node.  One that ends it (KILL, TERM...) is waited for.  One that has ended
# before is noted, not taken for killed.
kill_node() { # NODE SIGNAL
    local pid
    note_end "$1"
    pid=${NODE_PID[$1]:-}
    [ -n "$pid" ] || return 0
    case $2 in
    STOP|CONT) kill "-$2" "$pid" 2> /dev/null ;;
    *)
        NODE_WANT[$1]=down
        kill "-$2" "$pid" 2> /dev/null
        wait "$pid" 2> /dev/null
        NODE_PID[$1]=
        ;;
    esac
    return 0
}

# From here to its next start_node, the node may end by itself.
node_may_end() { NODE_WANT[$1]=may; }

# Wait for the end of a node that ends by itself; its exit status is in NODE_STATUS.
# 1: it is still there after SECONDS.
wait_node() { # NODE SECONDS
    local pid=${NODE_PID[$1]:-} n
    for ((n = 0; n < $2 * 10; n++)); do
        alive "$1" || break
        sleep 0.1
    done
    if alive "$1"; then return 1; fi
    wait "$pid" 2> /dev/null
    NODE_STATUS=$?
    NODE_PID[$1]=
    NODE_WANT[$1]=down
    # By itself means by exit; nothing may bring it to crash.
    if [ -n "$pid" ] && [ $NODE_STATUS -gt 128 ]; then
        echo "node $1 (pid $pid) crashed, status $NODE_STATUS" >> "$RUN/ends"
    fi
    return 0
}

# Ends that nobody asked for go to $RUN/ends.  To be called before a node is
# declared to be down.
note_end() { # NODE
    local pid=${NODE_PID[$1]:-} code
    [ "${NODE_WANT[$1]:-down}" = up ] && [ -n "$pid" ] || return 0
    if kill -0 "$pid" 2> /dev/null; then return 0; fi
    wait "$pid" 2> /dev/null
    code=$?
    echo "node $1 (pid $pid) ended by itself, status $code" >> "$RUN/ends"
    NODE_PID[$1]=
    NODE_WANT[$1]=down
}
note_ends() {
    local i
    for i in $(nodes); do note_end "$i"; done
}

stop_nodes() {
    local i
    for i in $(nodes); do
        kill_node "$i" CONT
        kill_node "$i" KILL
    done
}

# ---- what the cluster says ---------------------------------------------------------

kvctl() { in_clients "$KVCTL" --endpoints "$(endpoints)" "$@"; }

# One line for each replica: shard leader node role term last commit applied digest.
# The leader is 0 if there is none that serves.  Nodes that do not answer within two
# seconds are left out.
view() {
    kvctl --json shards 2> /dev/null | sed 's/{"shard"/\n&/g; s/{"node"/\n&/g' | awk '
        function field(name,   v) {
            if (!match($0, "\"" name "\":\"?[^,\"}]*")) return "-"
            v = substr($0, RSTART, RLENGTH)
            sub(/^"[a-z]*":"?/, "", v)
            return v
        }
        /^{"shard"/ { shard = field("shard"); leader = field("leader") }
        /^{"node"/ {
            print shard, leader, field("node"), field("role"), field("term"),
                field("last"), field("commit"), field("applied"), field("digest")
        }'
}

leader_of() { view | awk -v s="$1" '$1 == s { print $2; exit }'; } # SHARD

# The node that leads most shards; a random one if there are no leaders.
busiest_leader() {
    local n
    n=$(view | awk '$2 == $3 { n[$2]++ } END { for (i in n) print n[i], i }' |
        sort -rn | awk 'NR == 1 { print $2 }')
    echo "${n:-$(random_node)}"
}

# The leaders and terms of all shards, as a word for each shard; two of them tell
# whether leadership changed.
leaders() { view | awk '$2 == $3 { print $1 ":" $2 "@" $5 }' | sort -n | tr '\n' ' '; }

# How many shards have another leader, or one in a later term, than in $1.
leaders_changed() { # WHAT-leaders-SAID
    local now w n=0
    now=" $(leaders)"
    for w in $1; do
        case $now in *" $w "*) ;; *) n=$((n + 1)) ;; esac
    done
    echo $n
}

wait_serving() { # SECONDS
    kvctl status --wait "$1" > "$RUN/status.out" 2>&1
}

# Of a view on standard input: have all replicas of each shard applied the same, and
# equal digests?  Prints a line that begins with "equal," if they have.
equal_facts() {
    awk -v want="$REPLICAS" -v want_shards="$SHARDS" '
            { n[$1]++; seen[$1, $6 "/" $8 "/" $9] = 1; lines++ }
            $2 == 0 || $8 != $6 { behind[$1] = 1 }
            $8 !~ /^[0-9]+$/ || $9 !~ /^[0-9a-f]+$/ { untold[$1] = 1 }
            END {
                for (k in seen) { split(k, p, SUBSEP); kinds[p[1]]++ }
                for (s in n) {
                    shards++
                    if (n[s] < want) bad = bad " " s "(" n[s] " replicas answer)"
                    else if (kinds[s] > 1) bad = bad " " s "(differ)"
                    else if (s in behind) bad = bad " " s "(not applied)"
                    else if (s in untold) bad = bad " " s "(no digest)"
                }
                if (!shards) bad = " (no answer)"
                else if (shards != want_shards) bad = bad " (" shards " of " want_shards " answer)"
                print (bad == "" ? "equal" : "shards" bad) ", " lines + 0 " replicas"
            }'
}

# Wait until they have.  Prints that line; 1: they have not within SECONDS.
wait_equal() { # SECONDS
    local end=$((SECONDS + $1)) facts
    while :; do
        facts=$(view | equal_facts)
        case $facts in equal,*) echo "$facts"; return 0 ;; esac
        if [ $SECONDS -ge $end ]; then break; fi
        sleep 0.3
    done
    echo "$facts"
    view > "$RUN/view.unequal"
    return 1
}

# Open files and resident kilobytes of each node: "1 27 10456".  Segments of the log do not
# count: there are as many as there is log.
resources() {
    local i pid
    for i in $(nodes); do
        pid=${NODE_PID[$i]:-}
        if [ -z "$pid" ] || [ ! -r "/proc/$pid/status" ]; then continue; fi
        echo "$i $(find "/proc/$pid/fd" -mindepth 1 -printf '%l\n' 2> /dev/null | grep -vc '/data/wal/') $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")"
    done
}
