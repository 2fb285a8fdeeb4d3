# Completion of kvctl for bash: source it, or install it as
# /usr/share/bash-completion/completions/kvctl.
_kvctl() {
    local word=${COMP_WORDS[COMP_CWORD]} command='' i
    local general='--endpoints --timeout --json --help --version'
    local commands='get put del status members shards bench ping'

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --endpoints | --timeout) i=$((i + 1)) ;;
            -*) ;;
            *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --endpoints | --timeout | --ttl | --if-rev | --wait) return ;;
    esac
    case $command in
        '') general="$commands $general" ;;
        get) general="--rev $general" ;;
        put) general="--ttl --if-rev $general" ;;
        status) general="--wait $general" ;;
        bench) general="--clients --requests --size --keys --pipeline --gets --rate $general" ;;
    esac
    # Words come from the lists above and hold no blanks.
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$general" -- "$word"))
}
complete -F _kvctl kvctl
