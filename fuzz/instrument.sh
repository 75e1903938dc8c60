#!/bin/sh
# Stands before the compiler (RUSTC_WRAPPER): what is ours gets the counters that libFuzzer steers by, everything else is
# built as usual. Without a sanitizer: our code forbids `unsafe`, so AddressSanitizer would find next to nothing in it, at
# twice the time. Then the stable compiler suffices, too.
rustc=$1
shift
case "${CARGO_PKG_NAME-} $*" in
    *'--crate-name build_script_'*) ;;
    kim\ * | kim-*)
        set -- "$@" -Cpasses=sancov-module -Ccodegen-units=4 \
            -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
esac
exec "$rustc" "$@"
