#!/usr/bin/env bash
# Runs every fuzz target for a while: fuzz.sh [SECONDS]. It begins with the corpus that is kept beside
# the targets; what it finds on the way goes to target/fuzz-corpus, so that only what is worth keeping is committed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}

if ! command -v cargo-fuzz >/dev/null && [ ! -x .cache/tools/bin/cargo-fuzz ]; then
    cargo install --quiet --locked --root .cache/tools cargo-fuzz
fi
export PATH="$PWD/.cache/tools/bin:$PATH"
export RUSTC_BOOTSTRAP=1 # the sanitizer flags are not stable yet; the compiler is the same

mapfile -t folders < <(git ls-files '*fuzz/Cargo.toml' | xargs -r -n1 dirname)
[ ${#folders[@]} -gt 0 ] || { echo "fuzz: there is no fuzz target" >&2; exit 1; }
for folder in "${folders[@]}"; do
    for target in $(cargo fuzz list --fuzz-dir "$folder"); do
        echo "fuzz: $folder $target, $seconds s"
        found="${CARGO_TARGET_DIR:-target}/fuzz-corpus/$target" kept="$folder/corpus/$target"
        mkdir -p "$found" "$kept"
        cargo fuzz run --fuzz-dir "$folder" "$target" "$found" "$kept" -- -max_total_time="$seconds" -rss_limit_mb=2048
    done
done
