"""A long training takes no more memory, threads or handles at its end than at its beginning.

With ``STRATIGRAPH_LONG=1`` 10,000 captures of all tables are made, in place of 2,000 of some; ``-s`` shows what it came
to.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import stratigraph_nn as sg

IS_LONG = bool(os.environ.get("STRATIGRAPH_LONG"))
NUM_CAPTURES = 10_000 if IS_LONG else 2_000
#: What the process may grow by, in bytes, while all but the first tenth of them is made. Their tensors
#: have more than 8 KB each.
ROOM = 8 << 20


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted() -> dict[str, int]:
    """What could grow from capture to capture."""
    gc.collect()
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
    }


def test_memory_is_flat(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10)) if IS_LONG else nn.Linear(96, 10)
    optimizer = torch.optim.Adam(model.parameters())
    held_out = torch.randn(32, 96), torch.randint(0, 10, (32,))
    x, y = torch.randn(16, 96), torch.randint(0, 10, (16,))
    tables = ["weights", "gradients", "activations", "metrics"]
    if IS_LONG:
        tables += ["gradients_applied", "moments", "classifications"]
    before: dict[str, int] = {}
    start = 0
    with sg.record(
        model,
        tmp_path / "run",
        optimizer=optimizer,
        every="1steps",
        record=tables,
        held_out=held_out,
        weights="stats",
        activations="stats",
    ) as rec:
        for step in range(NUM_CAPTURES):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                rec.epoch(train_loss=loss)
            if step == NUM_CAPTURES // 10:
                before, start = counted(), resident()
        grown, after = resident() - start, counted()
    print(f"{NUM_CAPTURES} captures: {grown / 2**20:.1f} MiB more, {before} and {after}")
    assert rec.summary is not None and rec.summary["captures"] == NUM_CAPTURES
    assert grown < ROOM, f"{grown / 2**20:.1f} MiB"
    # Some that waited for work of tests before may have ended.
    assert after["threads"] <= before["threads"]
    assert abs(after["files"] - before["files"]) <= 4
    assert after["objects"] - before["objects"] < 100, after
