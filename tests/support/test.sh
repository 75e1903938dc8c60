#!/usr/bin/env bash
# Everything `make test` means: test.sh [--quick]
#
# Each step runs even when an earlier one failed, so that one run tells all. Whatever was started is stopped by its
# process id at the end, after a failure and after an interrupt too. The last line has the sums.
#   target/test-output/   what each step printed; in browser/ pictures of what the browser showed
#   target/test-logs/     what each server logged; an ERROR or a panic in there fails the run
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

quick=false
case "${1:-}" in
    --quick) quick=true ;;
    '') ;;
    *) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
export PATH="$PWD/.cache/tools/bin:$PATH"
output_dir="$CARGO_TARGET_DIR/test-output"
export KIM_TEST_LOGS="$CARGO_TARGET_DIR/test-logs"
export KIM_BIN="$CARGO_TARGET_DIR/debug/kim"
rm -rf "$output_dir" "$KIM_TEST_LOGS"
mkdir -p "$output_dir" "$KIM_TEST_LOGS"

# A step that hangs is ended and counted as failed; a cold build on two slow cores stays far below.
step_seconds_max=1800

passed=0 failed=0 skipped=0 child='' postgres_dir='' s3_dir='' ports_pid=''
failures=() times=()

stop_everything() {
    trap - EXIT INT TERM
    if [ -n "$child" ] && kill -TERM -- "-$child" 2>/dev/null; then
        wait "$child" 2>/dev/null
    fi
    if [ -n "$postgres_dir" ]; then
        tests/support/postgres.sh stop "$postgres_dir" >"$output_dir/postgres-stop" 2>&1
        rm -rf "$postgres_dir"
    fi
    [ -z "$ports_pid" ] || kill "$ports_pid" 2>/dev/null
    if [ -n "$s3_dir" ]; then
        tests/support/s3.sh stop "$s3_dir" >"$output_dir/s3-stop" 2>&1
        rm -rf "$s3_dir"
    fi
}
trap stop_everything EXIT
trap 'echo "interrupted"; stop_everything; exit 130' INT TERM

# In the background and waited for: a shell that waits answers a signal at once. With `set -m` the step has a process
# group of its own, so that one signal ends it with everything it started.
in_background() { # FILE COMMAND…
    local file=$1 limit=(); shift
    [ "$(type -t "$1")" = function ] || limit=(timeout --kill-after=30 "$step_seconds_max")
    set -m
    "${limit[@]}" "$@" >"$file" 2>&1 </dev/null &
    child=$!
    set +m
    wait "$child"
    local code=$?
    child=''
    return $code
}

# step NAME COUNT COMMAND…   COUNT: how the results are counted, one of `one`, `cargo`, `pytest`, `fuzz`.
step() {
    local name=$1 count=$2 file started code p=0 f=0 s=0
    shift 2
    file="$output_dir/${name// /-}"
    started=$SECONDS
    echo "--- $name"
    in_background "$file" "$@"
    code=$?
    case "$count" in
        one) [ $code -eq 0 ] && p=1 ;;
        # A test program that says no result (it was ended by a signal) is one failure more.
        cargo) read -r p f s < <(awk '/^ +(Running|Doc-tests) / { begun++ }
                    /^test result:/ { ended++; for (i = 2; i <= NF; i++) {
                    if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
                    END { if (begun > ended) f += begun - ended; print p + 0, f + 0, s + 0 }' "$file") ;;
        pytest) read -r p f s < <(awk '/ in [0-9.]+s/ { for (i = 2; i <= NF; i++) {
                    if ($i ~ /^passed/) p = $(i-1); if ($i ~ /^(failed|errors?)/) f += $(i-1); if ($i ~ /^skipped/) s = $(i-1) } }
                    END { gsub(/[^0-9]/, "", p); print p + 0, f + 0, s + 0 }' "$file") ;;
        fuzz) p=$(grep -c '^ok ' "$file") f=$(grep -c '^FAILED ' "$file") ;;
    esac
    # A step that failed without counting a failure (it did not compile, say) is one failure; so is one that ran nothing.
    [ $code -ne 0 ] && [ "$f" -eq 0 ] && f=1
    [ $code -eq 0 ] && [ $((p + f)) -eq 0 ] && f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    times+=("$(printf '%5d s  %5d passed %3d failed %3d skipped  %s' $((SECONDS - started)) "$p" "$f" "$s" "$name")")
    if [ "$f" -gt 0 ]; then
        failures+=("$name")
        tail -n 200 "$file"
        echo "--- $name FAILED; all of its output is in $file"
        return 1
    fi
}

finish() {
    echo
    printf '%s\n' "${times[@]}"
    [ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
    if [ "$skipped" -gt 0 ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
    [ "$failed" -eq 0 ]
    exit
}

server_logs_are_clean() {
    if find "$KIM_TEST_LOGS" -type f -print0 | xargs -0 -r grep -HnE '\bERROR\b|panicked'; then
        echo "a server logged an error or a panic"
        return 1
    fi
    echo "$(find "$KIM_TEST_LOGS" -type f | wc -l) logs, no ERROR, no panic"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_postgres() {
    postgres_dir=$(mktemp -d "${TMPDIR:-/tmp}/kim-test-postgres.XXXXXX")
    tests/support/postgres.sh start "$postgres_dir" "$(free_port)"
}

start_s3() {
    s3_dir=$(mktemp -d "${TMPDIR:-/tmp}/kim-test-s3.XXXXXX")
    tests/support/s3.sh start "$s3_dir" "$(free_port)"
}

refused_to_start() { cat "$1"; return 1; }

# As if kIM were running on this machine: its default ports are held while the tests run, so no test can depend on one. Ports
# that are in use already, by `make run` in another terminal, are held by that.
hold_default_ports() {
    python3 - <<'PYTHON' &
import signal, socket
held = []
for port in (5222, 5223, 5280, 5281, 5347, 5443):
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            one = socket.socket(family)
            one.bind((address, port))
            one.listen()
            held.append(one)
        except OSError:
            pass
signal.pause()
PYTHON
    ports_pid=$!
}

if ! $quick; then
    step 'tools' one tests/support/tools.sh || finish
    # Without Java or Go the clients in those languages are left out, without their packages the servers of other makers. That
    # is reported, and is no failure.
    sed -n 's/^tools: \(.* is not tested: .*\)$/--- \1/p' "$output_dir/tools"
fi
step 'format' one cargo fmt --all --check
# Before the server, which holds what it makes.
if ! $quick; then step 'web client' one tests/support/web.sh --needed; fi
# One command builds the server and every test with one set of features; the steps after it find all of it built.
step 'build' one cargo build --workspace --bins --tests --features check-omemo --locked || finish
step 'clippy' one cargo clippy --workspace --all-targets --features check-omemo --locked --keep-going -- -D warnings
if ! $quick; then
    # Run in this shell, not in the background: it sets where the database is.
    if start_postgres >"$output_dir/postgres-start" 2>&1; then
        KIM_TEST_POSTGRES=$(tail -n 1 "$output_dir/postgres-start")
        export KIM_TEST_POSTGRES
    else
        step 'start postgresql' one refused_to_start "$output_dir/postgres-start"
    fi
    # A machine without Go has no S3 server to test with; that is said, and no failure.
    if start_s3 >"$output_dir/s3-start" 2>"$output_dir/s3-start-errors"; then
        eval "$(cat "$output_dir/s3-start")"
    else
        echo "--- files are tested in a folder only, not in S3: $(tail -n 1 "$output_dir/s3-start-errors")"
    fi
fi
hold_default_ports
# With KIM_TEST_POSTGRES every test that touches a database runs on SQLite and on PostgreSQL; with KIM_TEST_S3 every test
# of files in a folder and in a bucket.
step 'rust tests' cargo cargo test --workspace --features check-omemo --locked --no-fail-fast
if ! $quick; then
    step 'fuzzing' fuzz tests/support/fuzz.sh --total 60
    step 'client tests on sqlite' pytest .venv/bin/python -m pytest tests/clients --database sqlite
    step 'client tests on postgresql' pytest .venv/bin/python -m pytest tests/clients --database postgres
    step 'document of the rest api' pytest .venv/bin/python -m pytest tests/rest
    if tests/support/neighbours.sh check >"$output_dir/neighbours-check"; then
        step 'federation tests' pytest .venv/bin/python -m pytest tests/federation
    else
        echo "--- federation is not tested: $(tail -n 1 "$output_dir/neighbours-check")"
    fi
    step 'browser tests' pytest .venv/bin/python -m pytest tests/browser --numprocesses 2
    step 'licences and sources' one cargo deny --locked check licenses bans sources
fi
step 'server logs' one server_logs_are_clean
finish
