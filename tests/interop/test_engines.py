"""DuckDB, polars, pandas and pyarrow read every table of a run by the recipes of docs/elsewhere.md, and find what we find."""

import shutil

import numpy as np
import pytest

import engines
import hive
import make_trace
from agreement import assert_agrees, assert_close

TABLES = hive.RECORDED

# What each engine makes of a directory name. docs/elsewhere.md says the same.
PARTITION_TYPES = {
    "duckdb": {"epoch": "BIGINT", "layer": "VARCHAR"},
    "duckdb hive_types": {"epoch": "INTEGER", "layer": "VARCHAR"},
    "polars": {"epoch": "Int64", "layer": "String"},
    "pandas": {"epoch": "category of int32", "layer": "category of str"},
    "dataset": {"epoch": "int32", "layer": "string"},
    "ours": {"epoch": "int32", "layer": "string"},
}


@pytest.fixture(scope="module", params=TABLES)
def table(request):
    return request.param


@pytest.fixture(scope="module")
def walk(real_run, table):
    return engines.Walk(real_run, table)


@pytest.fixture(scope="module")
def encoded(synthetic_run, table):
    walk = engines.Walk(synthetic_run, table)
    assert min(walk.rows["epoch"].to_pylist()) == -1
    if "layer" in walk.partitions:
        assert set(walk.rows["layer"].to_pylist()) == {"L_50% ~ü", "L_a/b", "L_output"}
    return walk


def assert_same(engine, walk, types):
    """Equal partition types, row counts, sums, and element-wise sums and means."""
    assert engine.columns() == {name: types[name] for name in engine.partitions}
    assert_rows(engine.facts(walk), walk.facts(), list(walk.partitions))
    for column in walk.lists:
        assert_rows(engine.elements(column), walk.elements(column), ["layer", "position"])


def assert_rows(actual, expected, keys):
    assert len(expected) > 0
    assert set(actual.columns) == set(expected.columns)
    kinds = {name: "str" if name == "layer" else "int64" for name in keys}
    actual = actual.astype(kinds).sort_values(keys, ignore_index=True)
    expected = expected.astype(kinds).sort_values(keys, ignore_index=True)
    assert actual[keys].values.tolist() == expected[keys].values.tolist()
    for name in expected.columns.difference(keys):
        assert_close(actual[name].to_numpy(np.float64), expected[name].to_numpy(np.float64), name)


def test_query_sql(query, real_run, table, walk):
    assert_same(engines.Ours(query, real_run, table), walk, PARTITION_TYPES["ours"])


def test_duckdb(duckdb, real_run, table, walk):
    assert_same(engines.DuckDb(duckdb, real_run, table), walk, PARTITION_TYPES["duckdb"])


def test_duckdb_with_hive_types(duckdb, real_run, table, walk):
    engine = engines.DuckDb(duckdb, real_run, table, hive_types=True)
    assert_same(engine, walk, PARTITION_TYPES["duckdb hive_types"])


def has_view(table):
    """DuckDB makes no view of files that are not there, and most runs have no histograms."""
    return table != "histograms"


def test_duckdb_views(duckdb, real_run, table, walk):
    if not has_view(table):
        return
    assert_same(engines.DuckDb(duckdb, real_run, table, views=True), walk, PARTITION_TYPES["duckdb hive_types"])


def test_duckdb_by_the_end_of_the_path(duckdb, real_run, table, walk):
    engine = engines.DuckDb(duckdb, real_run, table, by_path=True)
    assert_same(engine, walk, PARTITION_TYPES["duckdb hive_types"])


def test_polars(real_run, table, walk):
    assert_same(engines.Polars(real_run, table), walk, PARTITION_TYPES["polars"])


def test_polars_with_a_glob(real_run, table, walk):
    assert_same(engines.Polars(real_run, table, glob=True), walk, PARTITION_TYPES["polars"])


def test_pandas(real_run, table, walk):
    assert_same(engines.Pandas(real_run, table), walk, PARTITION_TYPES["pandas"])


def test_pyarrow_dataset(real_run, table, walk):
    assert_same(engines.Dataset(real_run, table), walk, PARTITION_TYPES["dataset"])


class TestEncodedLabels:
    """Labels that a directory name can't hold, and the untrained network's epoch -1."""

    def test_duckdb(self, duckdb, synthetic_run, table, encoded):
        assert_same(engines.DuckDb(duckdb, synthetic_run, table), encoded, PARTITION_TYPES["duckdb"])

    def test_duckdb_views(self, duckdb, synthetic_run, table, encoded):
        if not has_view(table):
            return
        engine = engines.DuckDb(duckdb, synthetic_run, table, views=True)
        assert_same(engine, encoded, PARTITION_TYPES["duckdb hive_types"])

    def test_polars(self, synthetic_run, table, encoded):
        assert_same(engines.Polars(synthetic_run, table), encoded, PARTITION_TYPES["polars"])

    def test_pandas(self, synthetic_run, table, encoded):
        assert_same(engines.Pandas(synthetic_run, table), encoded, PARTITION_TYPES["pandas"])

    def test_pyarrow_dataset(self, synthetic_run, table, encoded):
        assert_same(engines.Dataset(synthetic_run, table), encoded, PARTITION_TYPES["dataset"])


@pytest.fixture(scope="session")
def below(tmp_path_factory, synthetic_run):
    """Puts a copy of the synthetic run below directories."""
    def place(*directories):
        run = tmp_path_factory.mktemp("odd").joinpath(*directories, "run")
        shutil.copytree(synthetic_run, run)
        return run

    return place


@pytest.fixture(scope="session")
def below_partitions(below):
    """A run below directories that look like partitions."""
    return below("exp", "epoch=7", "layer=zz", "lr=0.1,epoch=5")


class TestOddPaths:
    """Runs below directories that look like partitions themselves, or like globs."""

    def test_duckdb_by_the_end_of_the_path(self, duckdb, below_partitions, table, encoded):
        engine = engines.DuckDb(duckdb, below_partitions, table, by_path=True)
        assert_same(engine, encoded, PARTITION_TYPES["duckdb hive_types"])

    def test_duckdb_views(self, duckdb, below_partitions, table, encoded):
        if not has_view(table):
            return
        engine = engines.DuckDb(duckdb, below_partitions, table, views=True)
        assert_same(engine, encoded, PARTITION_TYPES["duckdb hive_types"])

    def test_duckdb_views_below_what_looks_like_a_glob(self, duckdb, below, table, encoded):
        if not has_view(table):
            return
        engine = engines.DuckDb(duckdb, below("sq[1]*", "what?"), table, views=True)
        assert_same(engine, encoded, PARTITION_TYPES["duckdb hive_types"])

    def test_a_filter_still_decides_which_files_duckdb_opens(self, duckdb, below_partitions, table, encoded):
        if table != "weights":
            return
        count = "SELECT count(neuron) AS rows FROM weights WHERE epoch = 0 AND layer = 'L_a/b'"
        parts = list(hive.part_files(below_partitions, table))
        wanted = {"epoch": 0, "layer": "L_a/b"}
        others = {path: path.read_bytes() for partition, path in parts[1:] if partition != wanted}
        assert len(others) > 1
        try:
            # The first says which columns there are.
            for path in others:
                path.write_bytes(b"no Parquet file")
            _, found = duckdb.query(count, engines.duckdb_views(below_partitions))
        finally:
            for path, content in others.items():
                path.write_bytes(content)
        keys = zip(encoded.rows["epoch"].to_pylist(), encoded.rows["layer"].to_pylist(), strict=True)
        assert found.to_pylist() == [{"rows": list(keys).count((0, "L_a/b"))}]

    def test_polars(self, below_partitions, table, encoded):
        assert_same(engines.Polars(below_partitions, table), encoded, PARTITION_TYPES["polars"])

    def test_pandas(self, below_partitions, table, encoded):
        assert_same(engines.Pandas(below_partitions, table), encoded, PARTITION_TYPES["pandas"])

    def test_pyarrow_dataset(self, below_partitions, table, encoded):
        assert_same(engines.Dataset(below_partitions, table), encoded, PARTITION_TYPES["dataset"])


BY_NEURON_IN_DUCKDB = """
    WITH padded AS (
        SELECT neuron, layer, pad(weights, (SELECT max(fan_in) FROM layers)) AS weights FROM weights WHERE epoch >= 0
    ), elements AS (
        SELECT neuron, layer, unnest(weights)::DOUBLE AS weight, generate_subscripts(weights, 1) AS position
        FROM padded
    ), means AS (
        SELECT neuron, layer, position, avg(weight)::FLOAT AS weight FROM elements GROUP BY ALL
    )
    SELECT neuron, layer, list(weight ORDER BY position) AS weights FROM means GROUP BY ALL ORDER BY neuron
"""


class TestDuckDbSchema:
    """schemas/duckdb.sql: the network and `pad`, beside the views that the tests above read."""

    def test_by_neuron_in_duckdb_sql_agrees_with_the_named_query(self, duckdb, query, real_run):
        _, rows = duckdb.query(BY_NEURON_IN_DUCKDB, engines.duckdb_views(real_run))
        assert_agrees(rows, query.named("by_neuron", real_run).to_pandas(), "by_neuron")

    def test_neurons_agree_with_ours(self, duckdb, query, real_run):
        statement = "SELECT neuron, layer, layer_index, unit FROM neurons ORDER BY neuron"
        _, rows = duckdb.query(statement, engines.duckdb_views(real_run))
        assert rows.num_rows > 0
        assert_agrees(rows, query.sql(real_run, statement).to_pandas(), "neurons")

    def test_layers_agree_with_run_json(self, duckdb, real_run):
        _, rows = duckdb.query("SELECT * FROM layers ORDER BY layer_index", engines.duckdb_views(real_run))
        assert rows.to_pylist() == [
            {name: layer[name] for name in rows.column_names} for layer in hive.layers(real_run)
        ]

    def test_layers_and_neurons_of_a_known_network(self, duckdb, synthetic_run):
        setup = engines.duckdb_views(synthetic_run)
        _, layers = duckdb.query("SELECT * FROM layers ORDER BY layer_index", setup)
        assert layers.to_pylist() == hive.layers(synthetic_run)
        types, neurons = duckdb.query("SELECT * FROM neurons ORDER BY neuron", setup)
        assert types == {"neuron": "INTEGER", "layer": "VARCHAR", "layer_index": "INTEGER", "unit": "INTEGER"}
        expected = [("L_a/b", 0, unit) for unit in range(5)] + [("L_50% ~ü", 1, unit) for unit in range(4)]
        expected += [("L_output", 2, unit) for unit in range(10)]
        assert [tuple(row.values()) for row in neurons.to_pylist()] == [
            (neuron, *row) for neuron, row in enumerate(expected)
        ]

    def test_views_follow_the_variable(self, duckdb, synthetic_run, tmp_path):
        other = make_trace.synthetic_run(tmp_path / "other", sizes=(3, 2, 1), labels=["L_input", "L_output"])
        setup = [*engines.duckdb_views(synthetic_run), f"SET VARIABLE run = '{other}'"]
        _, rows = duckdb.query("SELECT DISTINCT layer FROM weights ORDER BY layer", setup)
        assert rows["layer"].to_pylist() == ["L_input", "L_output"]

    def test_pad_fills_with_zeros_and_keeps_the_type(self, duckdb, synthetic_run):
        types, rows = duckdb.query(
            "SELECT pad([1, 2]::FLOAT[], 4) AS padded, pad([1, 2]::FLOAT[], 2) AS same, pad(NULL::FLOAT[], 2) AS none",
            engines.duckdb_views(synthetic_run),
        )
        assert types == {"padded": "FLOAT[]", "same": "FLOAT[]", "none": "FLOAT[]"}
        assert rows.to_pylist() == [{"padded": [1, 2, 0, 0], "same": [1, 2], "none": None}]

    def test_pad_refuses_a_list_longer_than_the_width(self, duckdb, synthetic_run):
        with pytest.raises(AssertionError, match="a list of 2 is longer than the width 1"):
            duckdb.query("SELECT pad([1, 2]::FLOAT[], 1) AS padded", engines.duckdb_views(synthetic_run))
