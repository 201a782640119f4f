#!/usr/bin/env bash
# The whole gate, the same on a laptop and in CI: format, lints, documentation, tests, interop.
# Cheapest first; stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
# Without CUDA, as the README offers it.
step cargo clippy -p recorder --no-default-features --all-targets --locked -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The README's first command, in this profile.
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
step cargo run --locked --bin recorder -- train --out "$run/digits"
step cargo run --locked --bin query -- run learning_curve "$run/digits"

step cargo test --workspace --doc --locked
# Every benchmark once, to see that it works.
step cargo test --workspace --bench pipeline --locked
# Last, so that the run ends with a test runner's own summary.
step cargo test --workspace --lib --bins --tests --locked
