#!/bin/sh
# Install what building kvmesh needs and this machine lacks: scripts/setup.sh
#
#   --test    also what the tests use
#
# Uses apt, through sudo when not root, and says what it installs.  Running it
# again is harmless: a machine that has everything is left as it is, without
# network.  On Debian 12 libraft comes from bookworm-backports, on the mirror
# that the machine's own sources name.
#
# KV_SETUP_ETC replaces /etc (scripts/check-setup runs this on other machines'
# apt sources).
set -eu

RAFT_MIN=0.22.1
RAFT_BELOW=0.23
BUILD_PACKAGES='autoconf autoconf-archive automake libtool pkg-config make gcc
    libc6-dev binutils xz-utils libuv1-dev libsqlite3-dev libinih-dev
    libxxhash-dev libjansson-dev'
TEST_PACKAGES='redis-tools netcat-openbsd python3 iproute2 e2fsprogs mount libfaketime gnuplot-nox'
ETC=${KV_SETUP_ETC:-/etc}
ADDED=$ETC/apt/sources.list.d/kvmesh-backports

say() { echo "setup: $*"; }
die() {
    echo "setup: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        die "this needs root and there is no sudo; as root run: $*"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o DPkg::Lock::Timeout=300 "$@"
}

updated=no
update() {
    say "apt-get update"
    apt_get update || die "apt-get update failed: see above; is the mirror in $ETC/apt reachable?"
    updated=yes
}

# --- which packages are missing ---------------------------------------------

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

missing_of() {
    for p in "$@"; do
        installed "$p" || echo "$p"
    done
}

# apt knows a version of every package.
all_known() {
    for p in "$@"; do
        apt-cache madison "$p" 2> /dev/null | grep -q . || return 1
    done
}

install_missing() {
    # shellcheck disable=SC2046,SC2086 # package names are words
    set -- $(missing_of $packages)
    [ $# -gt 0 ] || return 0
    say "installing: $*"
    all_known "$@" || update
    if ! apt_get install -y --no-install-recommends "$@"; then
        # Lists older than the mirror name files that are gone.
        [ "$updated" = no ] || die "apt-get could not install: $*"
        update
        apt_get install -y --no-install-recommends "$@" ||
            die "apt-get could not install: $*"
    fi
}

# --- libraft ----------------------------------------------------------------

raft_is_good() {
    pkg-config --exists "raft >= $RAFT_MIN raft < $RAFT_BELOW" 2> /dev/null
}

raft_is_known() {
    for v in $(apt-cache madison libraft-dev 2> /dev/null | awk '{ print $3 }'); do
        # 0.22.1-1~bpo12+1 sorts after 0.22.1~.
        if dpkg --compare-versions "$v" ge "$RAFT_MIN~"; then return 0; fi
    done
    return 1
}

# The entries of apt's source files for suite $1, rewritten for suite $2 (main
# only) with everything else, such as URIs, keys and options, as it was.
# One-line form: deb [options] URI suite component...  # comment
oneline_entries() {
    for f in "$ETC/apt/sources.list" "$ETC"/apt/sources.list.d/*.list; do
        [ -f "$f" ] || continue
        awk -v suite="$1" -v new="$2" '
        { sub(/#.*/, "") }
        $1 == "deb" {
            options = ""
            if (match($0, /\[[^]]*\]/)) {
                options = substr($0, RSTART, RLENGTH) " "
                $0 = substr($0, 1, RSTART - 1) " " substr($0, RSTART + RLENGTH)
            }
            for (i = 4; i <= NF; i++)
                if ($3 == suite && $i == "main")
                    print "deb " options $2 " " new " main"
        }' "$f"
    done
}

# Deb822 form: paragraphs of "Field: value", values may continue on lines that
# begin with a space, lines that begin with # are comments.
deb822_entries() {
    for f in "$ETC"/apt/sources.list.d/*.sources; do
        [ -f "$f" ] || continue
        awk -v suite="$1" -v new="$2" '
        function has(list, word) { return index(" " list " ", " " word " ") > 0 }
        BEGIN { RS = ""; FS = "\n" }
        {
            for (k in value) delete value[k]
            kept = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^#/) continue
                rest = $i
                if ($i !~ /^[ \t]/) {
                    field = tolower($i)
                    sub(/:.*/, "", field)
                    sub(/^[^:]*:/, "", rest)
                }
                gsub(/[ \t]+/, " ", rest)
                value[field] = value[field] " " rest
                if (field !~ /^(types|suites|components|enabled)$/)
                    kept = kept $i "\n"
            }
            if (!has(value["types"], "deb") || !has(value["suites"], suite) ||
                !has(value["components"], "main") || has(value["enabled"], "no"))
                next
            print "Types: deb\n" kept "Suites: " new "\nComponents: main"
            exit
        }' "$f"
    done
}

# Make the backports suite of $1 known to apt, unless it is.
add_backports() {
    new=$1-backports
    if [ -n "$(oneline_entries "$new" x; deb822_entries "$new" x)" ]; then
        say "$new is among the apt sources"
        return 0
    fi
    entry=$(deb822_entries "$1" "$new" | awk '/^Types:/ && n++ { exit } { print }')
    file=$ADDED.sources
    if [ -z "$entry" ]; then
        entry=$(oneline_entries "$1" "$new" | head -n 1)
        file=$ADDED.list
    fi
    [ -n "$entry" ] || die "no entry for the suite $1 in $ETC/apt: add $new of your mirror to the apt sources and run this again"
    say "adding $new of this machine's mirror to the apt sources: $file"
    printf '# Added by scripts/setup.sh of kvmesh, for libraft %s or newer.\n%s\n' \
        "$RAFT_MIN" "$entry" | as_root tee "$file" > /dev/null
    say "apt-get update"
    if ! apt_get update; then
        as_root rm -f "$file"
        die "apt-get update failed, $file is removed again: does this mirror carry $new?"
    fi
    updated=yes
}

install_raft() {
    if raft_is_good; then return 0; fi
    codename=$(. "$ETC/os-release" && echo "${VERSION_CODENAME:-}")
    release=
    if [ "$codename" = bookworm ]; then
        add_backports bookworm
        release='-t bookworm-backports'
    fi
    if ! raft_is_known && [ "$updated" = no ]; then update; fi
    raft_is_known || die "apt knows no libraft-dev $RAFT_MIN or newer for ${codename:-this system}: Debian 13 has it, Debian 12 in bookworm-backports"
    say "installing: libraft-dev${release:+ from bookworm-backports}"
    # shellcheck disable=SC2086 # an option and its argument
    apt_get install -y --no-install-recommends $release libraft-dev ||
        die "apt-get could not install libraft-dev"
}

# --- all of it --------------------------------------------------------------

packages=$BUILD_PACKAGES
case ${1:-} in
'') ;;
--test) packages="$packages $TEST_PACKAGES" ;;
*) die "usage: scripts/setup.sh [--test]" ;;
esac

if command -v apt-get > /dev/null; then
    install_missing
    install_raft
else
    say "no apt here: expecting the libraries of configure.ac to be installed"
fi
raft_is_good || die "libraft $RAFT_MIN or newer, below $RAFT_BELOW, is needed; pkg-config finds $(pkg-config --modversion raft 2> /dev/null || echo none)"
say "everything is there (libraft $(pkg-config --modversion raft))"
