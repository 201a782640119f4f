#!/usr/bin/env bash
# The whole gate, the same on a laptop and in CI: format, lints, documentation, tests, interop.
# Cheapest first; stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# Each step is named with the time since the gate began. How long each took is listed before the last one,
# whose runner has the last word.
declare -a took=()
step() {
    printf '\n== %s (%s s since the start)\n' "$*" "$SECONDS"
    local began=$SECONDS
    "$@"
    took+=("$(printf '%5s s  %s' $((SECONDS - began)) "$*")")
}

# One selection of features for every step that runs something, so that dependencies are compiled
# once.
features=(--features vulkan,burn-train)

step cargo fmt --all --check
step cargo fmt --manifest-path fuzz/Cargo.toml --check
step cargo clippy --workspace "${features[@]}" --all-targets --locked -- -D warnings
# Without CUDA and Vulkan, as the README offers it.
step cargo clippy -p recorder --no-default-features --all-targets --locked -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --workspace "${features[@]}" --no-deps --locked

# The README's first command, in this profile and with these features.
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
step cargo run "${features[@]}" --locked --bin recorder -- train --out "$run/digits"
step cargo run "${features[@]}" --locked --bin query -- run learning_curve "$run/digits"

# The examples, as whoever tries the library would.
step cargo build --workspace "${features[@]}" --examples --locked
for example in cnn transformer learner; do
    step "${CARGO_TARGET_DIR:-target}/debug/examples/$example" "$run/$example"
done
step cargo run "${features[@]}" --locked --bin sink -- verify "$run/learner"
for example in own_datafusion read_with_arrow; do
    step "${CARGO_TARGET_DIR:-target}/debug/examples/$example" "$run/digits"
done

step cargo test --workspace "${features[@]}" --doc --locked
# Every benchmark once, to see that it works.
step cargo test --workspace "${features[@]}" --bench capture --bench pipeline --bench structure_scores --locked
step cargo test --workspace "${features[@]}" --lib --bins --tests --locked --no-run
step cargo test --workspace "${features[@]}" --lib --bins --tests --locked

printf '\n== how long each step took\n'
printf '%s\n' "${took[@]}"
printf '%5s s  in all\n' "$SECONDS"
# Once more the quickest of the tests, so that the run ends with a test runner's own summary.
step cargo test --workspace "${features[@]}" --test architecture --locked
