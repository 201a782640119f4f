"""Reads a run's files back, as any program could: by its commits, with pyarrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

PARAMETERS = ("weights", "gradients", "gradients_applied", "moments")


def info(run: Path) -> dict[str, Any]:
    """What ``run.json`` says."""
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


def layers(run: Path) -> dict[str, dict[str, Any]]:
    """The layers, by label."""
    return {layer["layer"]: layer for layer in info(run)["layers"]}


def commits(run: Path) -> list[dict[str, Any]]:
    """All commits, in their order, each with its number, captures, files and what it retires."""
    found: dict[int, dict[str, Any]] = {}
    for path in sorted((run / "commits").glob("*")):
        if path.suffix == ".json":
            commit = json.loads(path.read_text())
            found[commit["number"]] = commit
        elif path.suffix == ".parquet":
            for row in pq.ParquetFile(path).read().to_pylist():
                commit = found.setdefault(row["number"], {"number": row["number"], "captures": [], "files": []})
                row = {name: value for name, value in row.items() if value is not None}
                if row["kind"] == "capture":
                    commit["captures"].append(row)
                elif row["kind"] == "file":
                    commit["files"].append(row)
                elif row["kind"] == "retired":
                    commit.setdefault("retired", []).append(row["path"])
    return [found[number] for number in sorted(found)]


def captures(run: Path) -> list[tuple[int, int]]:
    """Epoch and step of every capture of the network."""
    retired = {path for commit in commits(run) for path in commit.get("retired", [])}
    found = {
        (each["epoch"], each["step"])
        for commit in commits(run)
        for each in commit["captures"]
        if any(file["path"] not in retired for file in commit["files"])
    }
    return sorted(found, key=lambda capture: (capture[1], capture[0]))


def rows(run: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table, with epoch and layer."""
    found = []
    retired = {path for commit in commits(run) for path in commit.get("retired", [])}
    for commit in commits(run):
        for file in commit["files"]:
            if file["table"] != table or file["path"] in retired:
                continue
            partition = {key: file[key] for key in ("epoch", "layer") if key in file}
            # By itself: a directory's partitions are not wanted.
            for row in pq.ParquetFile(run / file["path"]).read().to_pylist():
                found.append(partition | row)
    return found


class Values:
    """A table of parameters as arrays, by epoch, step and layer, and the moment's name."""

    def __init__(self, run: Path, table: str) -> None:
        places: dict[Any, list[dict[str, Any]]] = {}
        for row in rows(run, table):
            key = (row["epoch"], row["step"], row["layer"])
            if "name" in row:
                key = (*key, row["name"])
            places.setdefault(key, []).append(row)
        self.rows = {key: sorted(found, key=lambda row: row["unit"]) for key, found in places.items()}

    def __contains__(self, key: Any) -> bool:
        return key in self.rows

    def weight(self, *key: Any) -> np.ndarray:
        """``[units, fan_in]``."""
        return np.array([row["weights"] for row in self.rows[key]], np.float32)

    def bias(self, *key: Any) -> np.ndarray:
        """``[units]``."""
        return np.array([row["bias"] for row in self.rows[key]], np.float32)

    def column(self, name: str, *key: Any) -> np.ndarray:
        """A figure of every unit."""
        return np.array([row[name] for row in self.rows[key]])


def metrics(run: Path) -> dict[tuple[int, str | None, str], float]:
    """Figures by epoch, phase and name; not those of the recorder itself."""
    return {
        (row["epoch"], row["phase"], row["name"]): row["value"]
        for row in rows(run, "metrics")
        if not row["name"].startswith(("recorder.", "sink."))
    }


def same_bits(left: np.ndarray, right: Any) -> bool:
    """Whether values are the same bit by bit, as float32, whatever their shapes."""
    left = np.ascontiguousarray(left, np.float32).reshape(-1)
    right = np.ascontiguousarray(right, np.float32).reshape(-1)
    return left.shape == right.shape and bool((left.view(np.uint32) == right.view(np.uint32)).all())
