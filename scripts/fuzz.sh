#!/usr/bin/env bash
# Fuzzes a target of fuzz/, led by what is covered, with AddressSanitizer. Wants a nightly compiler; the first build
# takes minutes.
#
# usage: scripts/fuzz.sh TARGET [SECONDS] [option of libFuzzer ...]   a file of fuzz/fuzz_targets; 600 seconds
#        scripts/fuzz.sh build                                       nothing but the build, without Burn and DataFusion
#
# Targets that read data sets have Burn in them, those of queries DataFusion: their first build takes longer.
# It begins with the inputs of tests/fuzz/corpus. What covers more goes to target/fuzz/corpus, where the next call goes
# on; an input that fails goes to target/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:?usage: scripts/fuzz.sh TARGET [SECONDS]}
seconds=${2:-600}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc +nightly -vV | sed -n 's/^host: //p')

# As cargo-fuzz has them with --strip-dead-code: with all that is never called, pulp, which Burn has, does not compile.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address \
-Ccodegen-units=16"
case $name in
    csv | idx | parquet) what=(--features datasets --bin "$name") ;;
    query_*) what=(--features queries --bin "$name") ;;
    build) what=(--bins) ;;
    *) what=(--bin "$name") ;;
esac
cargo +nightly build --manifest-path fuzz/Cargo.toml --release --locked --target "$host" \
    --target-dir "$target_dir" "${what[@]}"
[ "$name" = build ] && exit

found=$target_dir/corpus/$name
artifacts=$target_dir/artifacts/
mkdir -p "$found" "$artifacts"
# Each target measures its own time and memory, in which the sanitizer's is not. These are for one that never ends,
# and for one request of too much at once.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16
exec "$target_dir/$host/release/$name" "$found" "tests/fuzz/corpus/$name" -max_total_time="$seconds" \
    -max_len=16384 -timeout=60 -rss_limit_mb=2048 -malloc_limit_mb=256 -artifact_prefix="$artifacts$name-" "${@:3}"
