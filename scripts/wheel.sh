#!/usr/bin/env bash
# Builds the wheel of the Python package, optimised and stripped, into dist/, and says how large it is. A
# wheel for older systems: scripts/wheel.sh --zig --compatibility manylinux_2_17, with ziglang from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../python"

# As large as it may be.
limit=$((60 * 1000 * 1000))

# Slower to build, and smaller.
export CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1

rm -rf ../dist
maturin build --release --locked --out ../dist "$@"

for wheel in ../dist/*.whl; do
    bytes=$(stat --format=%s "$wheel")
    printf '%s: %s bytes, of at most %s\n' "$wheel" "$bytes" "$limit"
    if ((bytes > limit)); then
        echo "the wheel is too large" >&2
        exit 1
    fi
done
