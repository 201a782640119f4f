"""The recipes of docs/elsewhere.md for reading a run, one class an engine, and the same three questions put to each.

columns  the partition columns' types, in the engine's words
facts    by partition: the number of rows and the sum of every number
elements by layer: sum and mean of each place of a list
"""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import hive

DUCKDB_VIEWS = Path(__file__).parents[2] / "schemas" / "duckdb.sql"


class Walk:
    """The yardstick: every file on its own, added up by numpy."""

    def __init__(self, run, table):
        self.partitions = hive.PARTITIONS[table]
        self.rows = hive.read_table(run, table)
        self.numbers = [field.name for field in self.rows.schema if is_number(field) and field.name != "epoch"]
        self.lists = [
            field.name for field in self.rows.schema
            if pa.types.is_list(field.type) and self.rows[field.name].null_count < self.rows.num_rows
        ]

    def facts(self):
        frame = self.rows.select([*self.partitions, *self.numbers]).to_pandas()
        facts = []
        for key, part in frame.groupby(list(self.partitions)):
            sums = {name: np.nansum(part[name].to_numpy(np.float64)) for name in self.numbers}
            facts.append(dict(zip(self.partitions, key, strict=True)) | {"rows": len(part)} | sums)
        return pd.DataFrame(facts)

    def elements(self, column):
        frame = self.rows.select([*self.partitions, column]).to_pandas()
        layers = frame.groupby("layer") if "layer" in self.partitions else [("", frame)]
        parts = []
        for layer, part in layers:
            matrix = np.stack(part[column].dropna().to_list()).astype(np.float64)
            parts.append(pd.DataFrame({
                "layer": layer,
                "position": np.arange(matrix.shape[1]),
                "sum": matrix.sum(axis=0),
                "mean": matrix.mean(axis=0),
            }))
        return pd.concat(parts, ignore_index=True)


def is_number(field):
    return pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)


def facts_sql(source, walk):
    """The facts in SQL that DuckDB and `query sql` both speak."""
    keys = ", ".join(walk.partitions)
    sums = ", ".join(f"coalesce(sum(CAST({name} AS DOUBLE)), 0) AS {name}" for name in walk.numbers)
    return f"SELECT {keys}, count(*) AS rows, {sums} FROM {source} GROUP BY {keys}"


class DuckDb:
    """DuckDB by read_parquet, with its own Hive partitions or with those at the end of the path, or by the views of
    schemas/duckdb.sql."""

    def __init__(self, duckdb, run, table, hive_types=False, views=False, by_path=False):
        self.duckdb, self.partitions, self.setup = duckdb, hive.PARTITIONS[table], []
        if views:
            self.setup = duckdb_views(run)
            self.source = table
        elif by_path:
            layer = "[^/]*/" if "layer" in self.partitions else ""
            columns = [f"regexp_extract(filename, '/epoch=(-?[0-9]+)/{layer}[^/]*$', 1)::INTEGER AS epoch"]
            if layer:
                columns.append("url_decode(regexp_extract(filename, '/layer=([^/]*)/[^/]*$', 1)) AS layer")
            files = f"read_parquet('{run}/{table}/**/*.parquet', hive_partitioning = false, filename = true)"
            self.source = f"(SELECT * EXCLUDE (filename), {', '.join(columns)} FROM {files})"
        else:
            types = {"epoch": "INTEGER", "layer": "VARCHAR"}
            types = ", ".join(f"'{name}': {types[name]}" for name in self.partitions)
            option = f", hive_types = {{{types}}}" if hive_types else ""
            self.source = f"read_parquet('{run}/{table}/**/*.parquet', hive_partitioning = true{option})"

    def columns(self):
        types, _ = self.duckdb.query(f"SELECT {', '.join(self.partitions)} FROM {self.source} LIMIT 1", self.setup)
        return types

    def facts(self, walk):
        return self.duckdb.query(facts_sql(self.source, walk), self.setup)[1].to_pandas()

    def elements(self, column):
        layer = "layer" if "layer" in self.partitions else "'' AS layer"
        _, rows = self.duckdb.query(
            f"""SELECT layer, position, sum(value) AS sum, avg(value) AS mean
                FROM (SELECT {layer}, generate_subscripts({column}, 1) - 1 AS position,
                             unnest({column})::DOUBLE AS value
                      FROM {self.source})
                GROUP BY layer, position""",
            self.setup,
        )
        return rows.to_pandas()


def duckdb_views(run):
    """The statements that make a run's views."""
    return [f"SET VARIABLE run = '{run}'", DUCKDB_VIEWS.read_text()]


class Polars:
    """polars by a table's directory, or by a glob."""

    def __init__(self, run, table, glob=False):
        self.partitions = hive.PARTITIONS[table]
        files = f"{run}/{table}/**/*.parquet" if glob else f"{run}/{table}"
        self.frame = pl.scan_parquet(files, hive_partitioning=True)

    def columns(self):
        schema = self.frame.collect_schema()
        return {name: str(schema[name]) for name in self.partitions}

    def facts(self, walk):
        sums = [pl.col(name).cast(pl.Float64).sum() for name in walk.numbers]
        return self.frame.group_by(self.partitions).agg(pl.len().alias("rows"), *sums).collect().to_pandas()

    def elements(self, column):
        layer = pl.col("layer") if "layer" in self.partitions else pl.lit("").alias("layer")
        values = self.frame.select(
            layer,
            pl.int_ranges(pl.col(column).list.len()).alias("position"),
            pl.col(column).cast(pl.List(pl.Float64)).alias("value"),
        ).drop_nulls("value").explode("position", "value")
        value = pl.col("value")
        means = values.group_by("layer", "position").agg(value.sum().alias("sum"), value.mean().alias("mean"))
        return means.collect().to_pandas()


class Pandas:
    def __init__(self, run, table):
        self.partitions = hive.PARTITIONS[table]
        self.frame = pd.read_parquet(Path(run) / table)

    def columns(self):
        columns = [self.frame[name] for name in self.partitions]
        return {column.name: f"{column.dtype} of {column.cat.categories.dtype}" for column in columns}

    def facts(self, walk):
        numbers = self.frame[walk.numbers].astype("float64")
        groups = numbers.groupby([self.frame[name] for name in self.partitions], observed=True)
        return groups.sum().assign(rows=groups.size()).reset_index()

    def elements(self, column):
        layer = self.frame["layer"].astype(str) if "layer" in self.partitions else ""
        values = self.frame[[column]].assign(layer=layer).dropna(subset=column)
        values = values.assign(position=values[column].map(lambda row: range(len(row))))
        values = values.explode([column, "position"]).astype({column: "float64", "position": "int64"})
        return values.groupby(["layer", "position"])[column].agg(["sum", "mean"]).reset_index()


class Dataset:
    """pyarrow.dataset."""

    def __init__(self, run, table):
        self.partitions = hive.PARTITIONS[table]
        self.dataset = ds.dataset(Path(run) / table, partitioning="hive")

    def columns(self):
        return {name: str(self.dataset.schema.field(name).type) for name in self.partitions}

    def facts(self, walk):
        rows = self.dataset.to_table(columns=[*self.partitions, *walk.numbers])
        for name in walk.numbers:
            at = rows.column_names.index(name)
            number = rows[name].cast(pa.int8()) if pa.types.is_boolean(rows[name].type) else rows[name]
            rows = rows.set_column(at, name, number.cast(pa.float64()).fill_null(0.0))
        totals = rows.group_by(list(self.partitions)).aggregate(
            [([], "count_all"), *((name, "sum") for name in walk.numbers)]
        )
        names = {"count_all": "rows"} | {f"{name}_sum": name for name in walk.numbers}
        return totals.rename_columns([names.get(name, name) for name in totals.column_names]).to_pandas()

    def elements(self, column):
        columns = [column, "layer"] if "layer" in self.partitions else [column]
        rows = self.dataset.to_table(columns=columns).combine_chunks()
        rows = rows.filter(pc.is_valid(rows[column])).combine_chunks()
        lists = rows[column].chunk(0)
        parents = pc.list_parent_indices(lists).to_numpy()
        layer = rows["layer"].take(pa.array(parents)) if "layer" in self.partitions else pa.repeat("", len(parents))
        starts = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy())])
        position = np.arange(len(parents)) - starts[parents]
        flat = pa.table({"layer": layer, "position": position, "value": pc.list_flatten(lists).cast(pa.float64())})
        means = flat.group_by(["layer", "position"]).aggregate([("value", "sum"), ("value", "mean")])
        return means.rename_columns({"value_sum": "sum", "value_mean": "mean"}).to_pandas()


class Ours:
    """`query sql`."""

    def __init__(self, query, run, table):
        self.query, self.run, self.table, self.partitions = query, run, table, hive.PARTITIONS[table]

    def columns(self):
        schema = self.query.sql(self.run, f"SELECT {', '.join(self.partitions)} FROM {self.table} LIMIT 1").schema
        return {field.name: str(field.type) for field in schema}

    def facts(self, walk):
        return self.query.sql(self.run, facts_sql(self.table, walk)).to_pandas()

    def elements(self, column):
        layer = "layer" if "layer" in self.partitions else "'' AS layer"
        rows = self.query.sql(
            self.run,
            f"SELECT {layer}, vec_sum({column}) AS sum, vec_mean({column}) AS mean FROM {self.table} GROUP BY 1",
        ).to_pandas()
        rows["position"] = rows["sum"].map(lambda values: range(len(values)))
        return rows.explode(["position", "sum", "mean"])
