"""The captures of a run, written once more by pyarrow with the same layout and encodings.

    python write_pyarrow.py traces/digits -o /tmp/again [--fsync] [--threads 2]

Everything is read into memory first; only writing is timed: one file a table, epoch, layer and capture, capture after
capture. With --fsync each file is synced before the next one is begun; without, nothing is. The output directory
must not exist, and lies on the disk that is to be measured.
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import steps

TABLES = ("weights", "activations", "classifications", "metrics", "histograms")


def read(run, tables):
    """(path inside the run, rows) of every part file, in the order in which they were captured."""
    parts = []
    for table in tables:
        for path in (run / table).rglob("*.parquet"):
            parts.append((path.relative_to(run), pq.ParquetFile(path).read().combine_chunks()))
    return sorted(parts, key=lambda part: (first_step(part[1]), part[0]))


def first_step(rows):
    return rows["step"][0].as_py() if rows.num_rows else -1


def options(schema, compression="zstd"):
    """The format's encodings for one table; `compression` is `zstd` or `none`."""
    lists = [field.name for field in schema if pa.types.is_list(field.type)]
    leaves = [f"{name}.list.{schema.field(name).type.value_field.name}" for name in lists]
    scalars = [name for name in schema.names if name not in lists]
    floats = [name for name in scalars if pa.types.is_floating(schema.field(name).type)]
    order = [("step", "ascending")] + [(name, "ascending") for name in ("neuron", "sample") if name in scalars]
    return {
        "compression": compression,
        "compression_level": 1 if compression == "zstd" else None,
        "data_page_version": "2.0",
        "use_byte_stream_split": floats + leaves,
        "use_dictionary": [name for name in scalars if name not in floats],
        "write_statistics": scalars,
        "use_compliant_nested_type": False,
        "store_schema": False,
        "sorting_columns": pq.SortingColumn.from_ordering(schema, order),
    }


def write_part(path, rows, settings, fsync):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pq.write_table(rows, file, **settings)
        if fsync:
            file.flush()
            os.fsync(file.fileno())


def write(parts, output, compression="zstd", threads=1, fsync=False):
    """Writes all parts, into a directory that is made."""
    settings = {path.parts[0]: options(rows.schema, compression) for path, rows in parts}
    output.mkdir(parents=True)

    def write_one(part):
        path, rows = part
        write_part(output / path, rows, settings[path.parts[0]], fsync)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(write_one, parts) if threads > 1 else map(write_one, parts):
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="directory to write, which must not exist")
    parser.add_argument("--tables", default=",".join(TABLES), help="which tables to write")
    parser.add_argument("--fsync", action="store_true", help="sync each file")
    parser.add_argument("--threads", type=int, default=1, help="how many files are written at once")
    parser.add_argument("--total", action="store_true", help="print only the line of the writing")
    arguments = parser.parse_args()

    start = time.perf_counter()
    parts = read(arguments.run, arguments.tables.split(","))
    if not arguments.total:
        steps.report("read", time.perf_counter() - start)
    start = time.perf_counter()
    write(parts, arguments.output, threads=arguments.threads, fsync=arguments.fsync)
    seconds = time.perf_counter() - start
    written = sum(path.stat().st_size for path in arguments.output.rglob("*.parquet"))
    steps.report(
        "write_pyarrow", seconds, fsync=arguments.fsync, threads=arguments.threads, files=len(parts), bytes=written
    )


if __name__ == "__main__":
    main()
