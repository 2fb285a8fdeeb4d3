# The verdict of a run: each condition a line in verdict.txt, PASS, FAIL or SKIP, with
# numbers.  Sourced by jepsen/run.  A run passes if no line says FAIL.

RECOVER_S=10       # full rate is back so soon after a heal
FULL_PERCENT=80    # of the normal rate is full rate, over one second
FDS_MORE_MAX=16    # open files of a node, more than before the load
RSS_MORE_KB=65536  # resident memory, more than before, and for each operation:
RSS_PER_OP_BYTES=2048
STEPS_MAX=200000000 # of the checker, when its default was too few

FAILS=0
verdict_line() { # PASS|FAIL|SKIP NAME TEXT
    printf '%s  %-13s %s\n' "$1" "$2" "$3" | tee -a "$RUN/verdict.txt.new"
    if [ "$1" = FAIL ]; then FAILS=$((FAILS + 1)); fi
}
verdict_end() {
    local word=PASS
    if [ $FAILS -gt 0 ]; then word=FAIL; fi
    printf '%s  %s\n' $word "$WORKLOAD x $NEMESES, ${TIME} s, seed $SEED" | tee -a "$RUN/verdict.txt.new"
    mv "$RUN/verdict.txt.new" "$RUN/verdict.txt"
}
# A line from an exit status.
verdict_of() { # STATUS NAME TEXT
    if [ "$1" -eq 0 ]; then verdict_line PASS "$2" "$3"; else verdict_line FAIL "$2" "$3"; fi
}

# ---- the history ---------------------------------------------------------------------

judge_history() {
    local code options=() facts
    if [ "$WORKLOAD" = set ]; then options=(--set); fi
    "$BUILD/jepsen/check" "${options[@]}" "$RUN/history.edn" > "$RUN/check.txt" 2>&1
    code=$?
    if [ $code -eq 3 ]; then # undecided
        "$BUILD/jepsen/check" "${options[@]}" --steps $STEPS_MAX "$RUN/history.edn" > "$RUN/check.txt" 2>&1
        code=$?
    fi
    facts=$(sed -n 's/^verdict: //p' "$RUN/check.txt")
    facts="${facts:-$(tail -n 1 "$RUN/check.txt")}: $(sed -n 's/^\(keys\|operations\|unknown\|undecided keys\|seconds\): \(.*\)/\2 \1,/p' "$RUN/check.txt" | tr '\n' ' ')see check.txt"
    verdict_of $code linearizable "$facts"
}

judge_load() {
    local line ok told
    line=$(tail -n 1 "$RUN/load.log")
    ok=$(sed -n 's/^ok=\([0-9]*\) .*/\1/p' <<< "$line")
    told=$(sed -n 's/^ok: //p' "$RUN/check.txt") # and the final reads
    if [ "${told:-0}" -lt "${ok:-0}" ]; then
        verdict_line FAIL load "$line, but the checker was told of ${told:-0} that succeeded"
    else verdict_of "$LOAD_STATUS" load "$line (status $LOAD_STATUS)"; fi
    OPS_OK=${ok:-0}
    if [ "$OPS_OK" -ge "$MIN_OPS" ]; then verdict_line PASS operations "$OPS_OK succeeded, at least $MIN_OPS"
    else verdict_line FAIL operations "$OPS_OK succeeded, at least $MIN_OPS should"; fi
}

# Per window: rate before, during, and when the full rate was back.  Prints
# "normal R", and for each window "during PERCENT RATE FLOOR NAME" and
# "back SECONDS|- LEFT NAME" where LEFT is how long the load went on unharmed.
measure_rates() {
    awk -v full=$FULL_PERCENT -v seconds=$load_seconds '
        FILENAME ~ /windows$/ { w++; b[w] = $1; e[w] = $2; floor[w] = $3; name[w] = $4; next }
        FILENAME ~ /events.tsv$/ { if ($2 == "load") start = $1; next }
        /:type :ok/ && match($0, /:time [0-9]+/) {
            t = substr($0, RSTART + 6, RLENGTH - 6) - start
            if (t >= 0) bin[int(t / 1e8)]++
        }
        function rate(from, to,   i, n) { # bins, to not included
            for (i = from; i < to; i++) n += bin[i]
            return to > from ? n * 10 / (to - from) : 0
        }
        END {
            last = seconds * 10
            for (i = 1; i <= w; i++) {
                b[i] = int((b[i] - start) / 1e8); e[i] = int((e[i] - start) / 1e8) + 1
            }
            normal = rate(10, w ? b[1] : last)
            printf "normal %.0f\n", normal
            for (i = 1; i <= w; i++) {
                r = rate(b[i], e[i])
                printf "during %.0f %.0f %d %s\n", normal ? 100 * r / normal : 0, r, floor[i], name[i]
                until = i < w ? b[i + 1] : last
                back = "-"
                for (t = e[i]; t + 10 <= until; t++)
                    if (rate(t, t + 10) >= normal * full / 100) { back = (t - e[i]) / 10; break }
                printf "back %s %.1f %s\n", back, (until - e[i]) / 10, name[i]
            }
        }' FS='\t' "$RUN/windows" "$RUN/events.tsv" FS=' ' "$RUN/history.edn"
}

judge_rates() {
    measure_rates > "$RUN/rates"
    if [ ! -s "$RUN/windows" ]; then
        verdict_line SKIP rate "no fault was made; $(head -n 1 "$RUN/rates") ops/s"
        return
    fi
    awk -v min=$RECOVER_S '
        function add(list, x) { return list (list == "" ? "" : ", ") x }
        $1 == "normal" { normal = $2 }
        $1 == "during" {
            if ($4 == 0) exempt = add(exempt, $5 " " $2 "%")
            else if ($2 < $4) low = add(low, $5 " " $2 "%")
            else if (!n++ || $2 < least) { least = $2; where = $5 }
        }
        $1 == "back" {
            if ($2 == "-" && $3 >= min) late = add(late, $4 " not in " $3 " s")
            else if ($2 == "-") unseen = add(unseen, $4 " not in " $3 " s, then came the next fault")
            else if ($2 > min) late = add(late, $4 " " $2 " s")
            else { back++; if ($2 > worst) { worst = $2; who = $4 } }
            last = $2; left = $3; whose = $4
        }
        END {
            if (low != "") print "FAIL rate normal " normal " ops/s; during faults: " low
            else if (n) print "PASS rate normal " normal " ops/s; during " n " faults at least " least "% of that (" where ")"
            if (exempt != "") print "SKIP rate-exempt no majority, nothing is asked: " exempt
            if (normal + 0 <= 0) print "FAIL rate nothing succeeded before the first fault"
            if (last == "-" && late == "") late = whose " not in the " left " s that were left"
            if (normal + 0 <= 0) print "FAIL recovery there is no normal rate to come back to"
            else if (late != "") print "FAIL recovery full rate not back within " min " s: " late
            else print "PASS recovery full rate back after at most " worst + 0 " s, " back " times"
            if (unseen != "") print "SKIP recovery-seen " unseen
        }' "$RUN/rates" > "$RUN/rates.lines"
    if [ ! -s "$RUN/rates" ]; then echo "FAIL rate cannot be told from events.tsv and history.edn" > "$RUN/rates.lines"; fi
    while read -r word name text; do verdict_line "$word" "$name" "$text"; done < "$RUN/rates.lines"
}

# ---- the faults and the nodes --------------------------------------------------------

judge_faults() {
    local broken made
    if [ "$NEMESES" = none ]; then return; fi
    made=$(grep -c "$(printf '\tproof\t')" "$RUN/events.tsv")
    broken=$(awk -F '\t' '$2 == "broken" { print $3 ": " $4 }' "$RUN/events.tsv" | head -n 3 | tr '\n' ';')
    if [ -n "$broken" ]; then verdict_line FAIL faults "${broken%;}"
    elif [ "$made" -eq 0 ]; then verdict_line FAIL faults "none was made (--time too short?)"
    else verdict_line PASS faults "$made made, each shown to have done something"; fi
}

judge_nodes() {
    local i missing='' ends
    ends=$(tr '\n' ';' < "$RUN/ends")
    for i in $(nodes); do [ -n "${AT_END[$i]:-}" ] || missing="$missing $i"; done
    if [ -n "$ends" ]; then verdict_line FAIL processes "$ends"
    elif [ -n "$missing" ]; then verdict_line FAIL processes "not running at the end: node$missing"
    else verdict_line PASS processes "all $NODES nodes run at the end, none ended by itself"; fi
}

judge_logs() {
    local cores bad i missing=
    cores=$(find "$RUN/nodes" -name 'core*' -type f | head -n 3 | tr '\n' ' ')
    if [ -n "$cores" ]; then verdict_line FAIL cores "$cores"
    elif ! grep -q '^core' /proc/sys/kernel/core_pattern; then
        verdict_line SKIP cores "core_pattern sends them elsewhere ($(cat /proc/sys/kernel/core_pattern)); ends by a signal are seen above"
    else verdict_line PASS cores none; fi
    bad=$(grep -rhE -m 1 'Sanitizer|runtime error:|[Aa]ssertion|ASSERT|level=fatal' \
        --include=out --include=kvd.log "$RUN/nodes" | head -n 3 | tr '\n' ';')
    for i in $(nodes); do
        if [ ! -s "$(node_dir "$i")/kvd.log" ] || [ ! -e "$(node_dir "$i")/out" ]; then missing="$missing $i"; fi
    done
    if [ -n "$bad" ]; then verdict_line FAIL logs "$bad"
    elif [ -n "$missing" ]; then verdict_line FAIL logs "nothing was logged by node$missing"
    else verdict_line PASS logs "no assertion or sanitizer report in any"; fi
}

judge_resources() {
    local i fds rss bad='' most_fds=0 most_rss=0 line limit measured=0
    limit=$((RSS_MORE_KB + OPS_OK * RSS_PER_OP_BYTES / 1024))
    # AddressSanitizer keeps what was freed, up to 256 MB.
    if grep -qc __asan_init "$KVD"; then limit=$((limit + 400 * 1024)); fi
    while read -r i fds rss; do
        line=$(grep "^$i " "$RUN/resources.before")
        # shellcheck disable=SC2086 # three numbers
        set -- $line
        [ $# -eq 3 ] || continue
        measured=$((measured + 1))
        fds=$((fds - $2)) rss=$((rss - $3))
        if [ $fds -gt $most_fds ]; then most_fds=$fds; fi
        if [ $rss -gt $most_rss ]; then most_rss=$rss; fi
        if [ $fds -gt $FDS_MORE_MAX ]; then bad="$bad node $i: $fds more open files;"; fi
        if [ $rss -gt $limit ]; then bad="$bad node $i: $rss KB more memory;"; fi
    done < "$RUN/resources.after"
    if [ -n "$bad" ]; then verdict_line FAIL resources "$bad allowed: $FDS_MORE_MAX and $limit KB"
    elif [ $measured -ne "$NODES" ]; then verdict_line FAIL resources "only $measured of $NODES nodes were measured before and after"
    else verdict_line PASS resources "at most $most_fds open files and $most_rss KB more than before (allowed: $FDS_MORE_MAX and $limit KB)"; fi
}

verdict() {
    : > "$RUN/verdict.txt.new"
    judge_history
    judge_load
    judge_rates
    judge_faults
    judge_nodes
    verdict_of "$EQUAL_STATUS" replicas "$EQUAL_FACTS"
    judge_logs
    judge_resources
    if [ -x "$JEPSEN/report" ]; then
        "$JEPSEN/report" "$RUN" > "$RUN/report.log" 2>&1 || verdict_line SKIP report "$(tail -n 1 "$RUN/report.log")"
    fi
    verdict_end
    if [ $FAILS -gt 0 ]; then exit 1; fi
    exit 0
}
