"""How much memory recording a large layer takes beside the layer itself.

    python benches/python/memory.py [--units N] [--fan-in N] [--layout out_in|in_out]

A layer of normal values is captured twice in a process of its own, durably. Printed is by how much its peak memory
grew meanwhile, beside what may be expected: a copy of the layer, what the channel may hold (256 MiB), and 1.2 times the
layer while rows are made of it. It needs numpy, and stratigraph_nn, built in release; and as much room on the disk as
two such layers take.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import stratigraph_nn as sg

MEBIBYTE = 2**20
CHANNEL_BYTES = 256 * MEBIBYTE


def peak_bytes():
    """The most memory that this process has had."""
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=11_008)
    parser.add_argument("--fan-in", type=int, default=4_096)
    parser.add_argument("--layout", choices=["out_in", "in_out"], default="out_in")
    options = parser.parse_args()

    shape = (options.units, options.fan_in)
    layer = np.empty(shape if options.layout == "out_in" else shape[::-1], np.float32)
    draw = np.random.default_rng(0)
    for row in layer:
        row[:] = draw.standard_normal(len(row), np.float32)
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        with sg.record(None, run, on_error="stop") as recording:
            for epoch in range(2):
                recording.capture({"layer.weight": layer}, epoch=epoch, step=epoch + 1, layout=options.layout)
        num_files = len(list(run.glob("weights/*/*/*.parquet")))
    grown = peak_bytes() - before
    most = layer.nbytes + CHANNEL_BYTES + 1.2 * layer.nbytes
    print(f"a layer of {layer.nbytes / MEBIBYTE:,.0f} MiB, {num_files} files of two captures")
    print(f"{grown / MEBIBYTE:,.0f} MiB more, at most {most / MEBIBYTE:,.0f} are expected")


if __name__ == "__main__":
    main()
