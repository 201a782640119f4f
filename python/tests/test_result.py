"""What an answer becomes."""

from __future__ import annotations

import datetime
import sys

import pytest

import stratigraph_nn as sg

SQL = "SELECT epoch, layer, neuron, weights, weight_l2 FROM weights ORDER BY epoch, neuron"


@pytest.fixture()
def result(run) -> sg.Result:
    return run.sql(SQL)


def test_arrow_takes_it_without_a_copy(result):
    pa = pytest.importorskip("pyarrow")
    table = pa.table(result)
    assert table.column_names == result.columns
    assert table.num_rows == len(result)
    # What was read to its end is kept: both tables are views of it.
    again = result.to_arrow()
    assert again.equals(table)
    values = [t["weight_l2"].chunk(0).buffers()[1].address for t in (table, again)]
    assert values[0] == values[1]
    assert pa.schema(result).names == result.columns


def test_a_stream_has_the_rows_as_they_come(run):
    pa = pytest.importorskip("pyarrow")
    result = run.table("weights")
    reader = pa.RecordBatchReader.from_stream(result)
    first = reader.read_next_batch()
    assert first.num_rows > 0
    # Whoever has read enough leaves the rest.
    del reader
    assert run.sql("SELECT 1").rows() == [(1,)]


def test_pandas_and_polars_take_it(result):
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    frame, polars = result.to_pandas(), result.to_polars()
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == result.columns
    assert len(frame) == polars.height == len(result)
    assert frame["weight_l2"].tolist() == polars["weight_l2"].to_list()
    assert pl.DataFrame(result).equals(polars)
    # Of whatever speaks the PyCapsule interface, polars makes a column of structs here.
    assert pl.from_arrow(result).struct.unnest().equals(polars)
    assert polars.schema["weights"] == pl.List(pl.Float32)


def test_duckdb_reads_it_by_name(result):
    duckdb = pytest.importorskip("duckdb")
    of_epoch = duckdb.sql("SELECT epoch, count(*) AS n FROM result GROUP BY epoch ORDER BY epoch").fetchall()
    assert sum(n for _, n in of_epoch) == len(result)
    # A second time as well.
    assert duckdb.sql("SELECT count(*) FROM result").fetchall() == [(len(result),)]


def test_rows_are_values_of_pythons(run):
    sql = """SELECT 1 AS a, NULL AS b, 'text' AS c, true AS d, 1.5 AS e, [1, NULL] AS f,
        TIMESTAMP '2026-01-02T03:04:05' AS g, named_struct('x', 2) AS h, CAST(7 AS SMALLINT) AS i"""
    [row] = run.sql(sql).rows()
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert row == (1, None, "text", True, 1.5, [1, None], when, {"x": 2}, 7)
    assert run.sql("SELECT 1 AS a").to_dicts() == [{"a": 1}]


def test_it_can_be_read_several_times(run):
    result = run.by_layer()
    assert result.rows() == result.rows() == list(result)
    assert result.fetchall() == result.rows()
    assert len(result.rows(2)) == 2
    everything = run.table("weights")
    assert len(everything) == len(everything.rows())


def test_an_empty_answer_has_its_columns(run):
    empty = run.sql("SELECT epoch, layer FROM weights WHERE epoch = 12345")
    assert empty.rows() == [] and empty.columns == ["epoch", "layer"]
    assert empty and len(empty) == 0
    pa = pytest.importorskip("pyarrow")
    assert pa.table(empty).column_names == ["epoch", "layer"]
    assert "0 rows" in repr(empty)


def test_what_is_shown_is_bounded(run):
    result = run.table("weights")
    text = repr(result)
    assert len(text.splitlines()) == 12
    assert max(map(len, text.splitlines())) <= 101
    assert "there are more" in text
    page = result._repr_html_()
    assert page.count("<tr>") == 21 and "there are more" in page
    assert "&lt;b&gt;" in run.sql("SELECT '<b>' AS t")._repr_html_()
    assert "(1 row)" in repr(run.sql("SELECT 1 AS a"))


def test_what_fails_on_its_way_is_an_error(run):
    failing = run.sql("SELECT 1 / (epoch - epoch) FROM weights")
    with pytest.raises(sg.QueryError, match="(?i)divi"):
        failing.rows()
    pa = pytest.importorskip("pyarrow")
    # The first rows are worked out before a stream is given: they may have to be asked for once more.
    with pytest.raises(sg.QueryError, match="(?i)divi"):
        pa.table(failing)


def test_a_package_that_is_not_there_is_named(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="pip install polars"):
        result.to_polars()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas pyarrow"):
        result.to_pandas()
