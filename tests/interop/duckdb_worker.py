"""Runs one statement in the DuckDB that PYTHONPATH chooses; request and reply are JSON, rows go to a Parquet file."""

import json
import sys

import duckdb

request = json.load(sys.stdin)
connection = duckdb.connect()
for step in request["setup"]:
    connection.execute(step)
relation = connection.sql(request["statement"])
types = {name: str(type_) for name, type_ in zip(relation.columns, relation.types, strict=True)}
relation.write_parquet(request["output"])
json.dump({"version": duckdb.__version__, "types": types}, sys.stdout)
