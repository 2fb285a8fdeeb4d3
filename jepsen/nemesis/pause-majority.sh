# SIGSTOP of a majority, the busiest leader among them or left behind, as it comes.  All that
# is left must refuse; whoever wakes must ask before it answers.
# shellcheck source=pause.sh
. "$JEPSEN/nemesis/pause.sh"
pause_majority_kind=process
pause_majority_floor=0
pause_majority_need() { return 0; }
pause_majority_begin() {
    # shellcheck disable=SC2046 # numbers
    pause_stop $(shuffled_nodes "$(majority)")
    PAUSE_MAJORITY_WANT=$(majority)
}
pause_majority_end() { pause_end; }
pause_majority_proof() {
    echo "$PAUSE_STOPPED processes stood still"
    [ "$PAUSE_STOPPED" -eq "$PAUSE_MAJORITY_WANT" ]
}
