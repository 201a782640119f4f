"""Reads a run's tables by walking its Hive directories: the plainest reader there is, and the others' yardstick."""

import json
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

PARTITIONS = {
    "weights": ("epoch", "layer"),
    "activations": ("epoch", "layer"),
    "classifications": ("epoch",),
    "metrics": ("epoch",),
    "histograms": ("epoch", "layer"),
    "ablations": ("epoch",),
}
# Tables of which there are rows only where somebody asked for some.
DERIVED = ["ablations"]
# Those that every run has rows of.
RECORDED = [table for table in PARTITIONS if table not in DERIVED]


def layers(run):
    """The topology: run.json's list of layers, in the model's order."""
    return json.loads((Path(run) / "run.json").read_text())["layers"]


def part_files(run, table):
    """(partition values, path) of every part file, in no order that means anything."""
    root = Path(run) / table
    for path in sorted(root.rglob("*.parquet")):
        values = dict(part.split("=", 1) for part in path.relative_to(root).parts[:-1])
        partition = {"epoch": int(values["epoch"])}
        if "layer" in values:
            partition["layer"] = unquote(values["layer"])
        yield partition, path


def read_table(run, table):
    """All rows of a table as an Arrow table, partition columns last; an empty table is an error."""
    parts = []
    for partition, path in part_files(run, table):
        rows = pq.ParquetFile(path).read()
        for name, value in partition.items():
            type_ = pa.int32() if name == "epoch" else pa.string()
            rows = rows.append_column(name, pa.repeat(pa.scalar(value, type_), rows.num_rows))
        parts.append(rows)
    if not parts:
        raise FileNotFoundError(f"{run} has no part files of {table}")
    return pa.concat_tables(parts)
