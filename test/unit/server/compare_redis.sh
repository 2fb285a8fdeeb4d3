#!/bin/sh
# Run the conversations redis_*.txt against a real redis-server, so that what the
# unit tests demand of kvmesh is what Redis does.  Skipped where none is installed.
set -u
prog=${top_builddir:-.}/test/unit/server/test_server
if ! command -v redis-server >/dev/null 2>&1; then
    echo "1..0 # SKIP redis-server is not installed"
    exit 0
fi
case $(redis-server --version) in
*v=7.0.*) ;;
*)
    echo "1..0 # SKIP needs redis-server 7.0, whose texts are compared"
    exit 0
    ;;
esac
dir=$(mktemp -d) || exit 99
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
      rm -rf "$dir"' EXIT
# A port may be taken: the next one is tried.  Redis exits at once then.
port=$((20000 + $$ % 20000))
for try in 1 2 3 4 5 6 7 8; do
    : >"$dir/log"
    redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$dir" \
        >"$dir/log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null &&
        ! grep -q 'Ready to accept connections' "$dir/log"; do :; done
    kill -0 "$pid" 2>/dev/null && break
    pid=
    port=$((port + 1))
done
[ -n "$pid" ] || { echo "Bail out! redis-server does not start"; exit 99; }
KV_REDIS_PORT=$port "$prog" conversation/
