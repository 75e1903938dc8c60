#!/usr/bin/env bash
# Fuzzes every parser of hostile bytes: fuzz.sh [SECONDS | --total SECONDS] [TARGET…]
#
# SECONDS are for each target, with --total for all of them together. It begins with the corpus that is kept beside the
# targets; what it finds on the way goes to target/fuzz/found, so that only what is worth keeping is committed. An input that
# breaks something is left in target/fuzz/broken and named in the output; with a fixed fault it goes into the kept corpus.
#
# The engine is libFuzzer, with the compiler that builds everything else: fuzz/instrument.sh says how.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

total=false
if [ "${1:-}" = --total ]; then total=true; shift; fi
seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(ls fuzz/corpus)
if $total; then seconds=$(((seconds + ${#targets[@]} - 1) / ${#targets[@]})); fi

folder="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
RUSTC_WRAPPER="$PWD/fuzz/instrument.sh" \
    cargo build --locked --manifest-path fuzz/Cargo.toml --target-dir "$folder" || exit 1

failed=0
for target in "${targets[@]}"; do
    found="$folder/found/$target" broken="$folder/broken/$target" log="$folder/$target.log"
    mkdir -p "$found" "$broken"
    options=(-max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 -artifact_prefix="$broken/"
        -print_final_stats=1)
    [ ! -f "fuzz/dictionaries/$target.dict" ] || options+=(-dict="fuzz/dictionaries/$target.dict")
    if KIM_FUZZ_TARGET=$target "$folder/debug/fuzz" "${options[@]}" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
        echo "ok $target: $(awk '/number_of_executed_units/ { print $2 }' "$log") inputs in $seconds s"
    else
        failed=1
        tail -n 60 "$log"
        echo "FAILED $target: the input is in $broken; KIM_FUZZ_TARGET=$target $folder/debug/fuzz FILE runs it again"
    fi
done
exit $failed
