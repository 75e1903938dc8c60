#!/bin/sh
# A private PostgreSQL for tests: it belongs to the caller, listens on 127.0.0.1 only, and is gone after `stop`.
#
#   postgres.sh start DIR PORT   prints its URL; DIR is made and must not be shared with others
#   postgres.sh stop DIR
#
# Takes the newest PostgreSQL there is (PATH, Debian's and Red Hat's folders) and installs the system's package if
# there is none. PostgreSQL refuses to run as root; then the user `postgres` (else `nobody`) runs it.
set -eu

usage() { echo "usage: $0 start DIR PORT | stop DIR" >&2; exit 64; }

# The newest folder with an initdb in it.
find_bin() {
    for dir in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV); do
        if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ]; then echo "$dir"; return 0; fi
    done
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
        dirname "$(readlink -f "$(command -v pg_ctl)")"; return 0
    fi
    return 1
}

install_postgres() {
    command -v apt-get >/dev/null || return 1
    sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"
    # The package would otherwise start a server of its own on the usual port.
    { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 postgresql; } >&2
}

as_owner() {
    if [ "$(id -u)" != 0 ]; then "$@"; return; fi
    owner=postgres; id -u postgres >/dev/null 2>&1 || owner=nobody
    # From a folder that the owner may enter, without root's environment.
    (cd / && setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups \
        env -i PATH="$PATH" HOME="$DIR" LANG=C.UTF-8 "$@")
}

start() {
    BIN=$(find_bin) || { install_postgres && BIN=$(find_bin); } || {
        echo "postgres.sh: no PostgreSQL here and none could be installed" >&2; exit 1; }
    mkdir -p "$DIR"
    DIR=$(cd "$DIR" && pwd -P)
    if [ "$(id -u)" = 0 ]; then
        owner=postgres; id -u postgres >/dev/null 2>&1 || owner=nobody
        chown "$owner" "$DIR"
    fi
    if [ ! -f "$DIR/data/PG_VERSION" ]; then
        # The files of this cluster need no sync while they are made; the running server syncs as usual.
        as_owner "$BIN/initdb" -D "$DIR/data" -U kim -A trust -E UTF8 --locale=C --no-sync >"$DIR/initdb.log" 2>&1 || {
            cat "$DIR/initdb.log" >&2; exit 1; }
    fi
    if ! as_owner "$BIN/pg_ctl" -D "$DIR/data" status >/dev/null 2>&1; then
        as_owner "$BIN/pg_ctl" -D "$DIR/data" -l "$DIR/data/server.log" -w -t 60 start \
            -o "-c listen_addresses=127.0.0.1 -c port=$PORT -c unix_socket_directories= -c max_connections=300" \
            >/dev/null || { cat "$DIR/data/server.log" >&2; exit 1; }
    fi
    # Line 4 of the pid file is the port, also when the server ran already.
    echo "postgres://kim@127.0.0.1:$(sed -n 4p "$DIR/data/postmaster.pid")/postgres"
}

stop() {
    BIN=$(find_bin) || exit 0
    [ -f "$DIR/data/postmaster.pid" ] || exit 0
    DIR=$(cd "$DIR" && pwd -P)
    as_owner "$BIN/pg_ctl" -D "$DIR/data" -m fast -w -t 60 stop >/dev/null
}

case "${1:-}" in
    start) [ $# = 3 ] || usage; DIR=$2; PORT=$3; start ;;
    stop) [ $# = 2 ] || usage; DIR=$2; stop ;;
    *) usage ;;
esac
