"""Says what globs over a run's tables see: a request is a line of JSON, and so is its answer.

A request has the run and the engine. An answer has, for each part file (DuckDB) or partition (polars), the table,
epoch, layer, step, how many rows it has, and how many keys.
"""

import glob
import json
import sys

import duckdb
import polars as pl

KEYS = {"weights": "neuron", "activations": "neuron", "classifications": "sample"}


def with_duckdb(run, table):
    layer = "layer" if table != "classifications" else "'' AS layer"
    rows = duckdb.sql(
        f"""SELECT filename, epoch, {layer}, step, count(*), count(DISTINCT {KEYS[table]})
            FROM read_parquet('{run}/{table}/**/*.parquet', hive_partitioning = true, filename = true)
            GROUP BY ALL"""
    ).fetchall()
    return [[table, path.removeprefix(f"{run}/"), *rest] for path, *rest in rows]


def with_polars(run, table):
    partition = ["epoch", "layer", "step"] if table != "classifications" else ["epoch", "step"]
    frame = pl.scan_parquet(f"{run}/{table}/**/*.parquet", hive_partitioning=True)
    counted = frame.group_by(partition).agg(pl.len().alias("rows"), pl.col(KEYS[table]).n_unique().alias("keys"))
    rows = counted.collect().to_dicts()
    return [[table, "", row["epoch"], row.get("layer", ""), row["step"], row["rows"], row["keys"]] for row in rows]


def answer(run, engine):
    seen = []
    for table in KEYS:
        # An engine that finds no file says that this is an error.
        if glob.glob(f"{run}/{table}/**/*.parquet", recursive=True):
            seen += (with_duckdb if engine == "duckdb" else with_polars)(run, table)
    return seen


for line in sys.stdin:
    request = json.loads(line)
    try:
        print(json.dumps({"seen": answer(request["run"], request["engine"])}), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
