#!/usr/bin/env bash
# Verifies recording on this machine's own device, and measures what it costs there: see
# docs/cuda.md. Stops at the first thing that fails.
#
# usage: scripts/verify-gpu.sh [cuda|vulkan]
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
# The version that Cargo.lock has of a crate.
locked() { grep -A1 "^name = \"$1\"\$" Cargo.lock | sed -n 's/^version = "\(.*\)"$/\1/p' | paste -sd ' '; }

device=${1:-cuda}
case $device in
  cuda)
    features=()
    command -v nvidia-smi > /dev/null ||
      fail "there is no NVIDIA driver here (nvidia-smi is not found): run this where a device is, or say vulkan"
    nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv ||
      fail "the NVIDIA driver does not work"
    nvidia-smi | grep -o 'CUDA Version: [0-9.]*' || true
    toolkit=${CUDA_PATH:-/usr/local/cuda}
    printf 'toolkit %s: %s\n' "$toolkit" \
      "$("$toolkit/bin/nvcc" --version 2> /dev/null | tail -n 2 | paste -sd ' ' || echo 'no nvcc')"
    ;;
  vulkan)
    features=(--features vulkan)
    if command -v vulkaninfo > /dev/null; then
      vulkaninfo --summary 2> /dev/null | grep -E '^GPU|deviceName|driverName|driverInfo|apiVersion' || true
    fi
    ;;
  *)
    printf 'usage: scripts/verify-gpu.sh [cuda|vulkan]\n' >&2
    exit 2
    ;;
esac
printf '%s, %s, %s cores\n' "$(rustc --version)" "$(uname -sr)" "$(nproc)"
printf 'stratigraph %s' "$(git rev-parse --short HEAD 2> /dev/null || echo 'outside git')"
for crate in burn cubecl cubecl-cuda cudarc wgpu; do printf ', %s %s' "$crate" "$(locked "$crate")"; done
printf '\n'

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
recorder() { cargo run --release --quiet --locked "${features[@]}" --bin recorder -- "$@"; }
sink() { cargo run --release --quiet --locked "${features[@]}" --bin sink -- "$@"; }

# First, so that a device that cannot be used is known before the tests are built.
step recorder train --device "$device" --epochs 1 --record none

export STRATIGRAPH_TEST_DEVICES=$device
step cargo test --release -p recorder "${features[@]}" --lib --locked
# What is read in the wrong order is wrong only now and then.
for round in $(seq 20); do
  step cargo test --release --quiet -p recorder "${features[@]}" --lib --locked -- \
    training_goes_on_before what_is_read_is_what the_recorded_weights_are recording_changes_nothing ||
    fail "round $round of 20"
done

step recorder train --device "$device" --out "$run/digits"
step sink verify "$run/digits"
for epoch in 0 10 19; do
  step recorder replay "$run/digits" --epoch "$epoch"
done

step cargo bench --workspace "${features[@]}" --locked --bench side_by_side -- \
  --only overhead --device "$device"
printf '\nverified on %s\n' "$device"
