#!/usr/bin/env bash
# A private S3 server for tests: it belongs to the caller, listens on 127.0.0.1 only, and is gone after `stop`.
#
#   s3.sh start DIR PORT   prints what a shell that runs tests has to `eval`; DIR is made and must not be shared
#   s3.sh stop DIR
#
# It is Versity's gateway in front of a folder: buckets and objects are the folders and files of DIR/buckets, so that a
# test can look at what really lies there. It is built once, into .cache/tools, where there is Go.
set -euo pipefail

VERSITYGW_VERSION=v1.8.0
tools=$(cd "$(dirname "$0")/../.." && pwd -P)/.cache/tools

usage() { echo "usage: $0 start DIR PORT | stop DIR" >&2; exit 64; }

install_gateway() {
    [ -x "$tools/bin/versitygw" ] && return 0
    command -v go >/dev/null || { echo "s3.sh: no Go here to build an S3 server with" >&2; return 1; }
    echo "s3.sh: building versitygw $VERSITYGW_VERSION (once)" >&2
    # Its own folder for what it downloads: nothing is left in the home of whoever runs the tests.
    GOBIN="$tools/bin" GOFLAGS=-modcacherw GOPATH="$tools/go" \
        go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION" >&2 || return 1
    rm -rf "$tools/go"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
    local dir=$1 port=$2
    install_gateway || { echo "s3.sh: no S3 server here and none could be built" >&2; exit 1; }
    mkdir -p "$dir/buckets"
    dir=$(cd "$dir" && pwd -P)
    ROOT_ACCESS_KEY=kim ROOT_SECRET_KEY=only-for-tests nohup "$tools/bin/versitygw" --quiet \
        --port "127.0.0.1:$port" posix --disable-object-lock-file "$dir/buckets" >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    for _ in $(seq 300); do
        if answers "$port"; then
            echo "export KIM_TEST_S3=http://127.0.0.1:$port KIM_TEST_S3_BUCKETS=$dir/buckets"
            echo "export AWS_ACCESS_KEY_ID=kim AWS_SECRET_ACCESS_KEY=only-for-tests"
            return 0
        fi
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
        sleep 0.1
    done
    cat "$dir/log" >&2
    exit 1
}

stop() {
    [ -f "$1/pid" ] || return 0
    kill "$(cat "$1/pid")" 2>/dev/null || true
    rm -f "$1/pid"
}

case "${1:-}" in
    start) [ $# = 3 ] || usage; start "$2" "$3" ;;
    stop) [ $# = 2 ] || usage; stop "$2" ;;
    *) usage ;;
esac
