#!/usr/bin/env bash
# Makes the pictures of docs/pictures.md again, from a run of the digits. The same seed gives the same
# run, and so the same pictures.
#
# usage: scripts/pictures.sh [DIRECTORY]     of recorder and query; by default they are built, for release
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:-}
if [ -z "$bin" ]; then
    cargo build --release --locked --bin recorder --bin query
    bin=${CARGO_TARGET_DIR:-target}/release
fi
bin=$(realpath "$bin")
root=$PWD
pictures=$root/docs/pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A picture says which run it is of, by the path that it was given.
cd "$work"

"$bin/recorder" train --dataset digits --device cpu --seed 42 --hidden 96,32 --epochs 11 \
    --out traces/digits
"$bin/query" structures find traces/digits --half first
"$bin/recorder" ablate traces/digits --epoch last --structure class_8
# The options of each are those that docs/pictures.md names.
picture() {
    local kind=$1
    shift
    "$bin/query" plot "$kind" traces/digits "$@" --scale 1 --force -o "$pictures/$kind.png"
}
picture curves
picture confusion
picture weights --param layer=L_hidden_1
picture distributions --param layer=L_hidden_1
picture association
picture correlation --param layer=L_hidden_1
picture embedding --param colour=class
picture network --param top=15
picture cartography
picture ablation

# The report's, by the browser that its tests use.
cd "$root"
STRATIGRAPH_PICTURES=$pictures cargo test --workspace --features vulkan,burn-train --locked --test cli -- \
    --ignored report::pictures_for_the_documentation
