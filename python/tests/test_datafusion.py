"""A run in a program of datafusion-python's."""

from __future__ import annotations

import gc

import pytest

import stratigraph_nn as sg

datafusion = pytest.importorskip("datafusion")


@pytest.fixture()
def context(run):
    context = datafusion.SessionContext()
    context.register_catalog_provider("mine", run)
    return context


def asked(context, sql):
    return context.sql(sql).to_pydict()


def test_tables_and_answers_are_joined_there(run):
    context = datafusion.SessionContext()
    context.from_arrow(run.table("metrics"), name="metrics")
    context.from_arrow(run.by_layer(), name="by_layer")
    num_metrics = context.sql("SELECT count(*) AS n FROM metrics").to_pydict()["n"]
    assert num_metrics == [len(run.table("metrics"))]
    layers = context.sql("SELECT DISTINCT layer FROM by_layer ORDER BY layer").to_pydict()["layer"]
    assert layers == sorted({row["layer"] for row in run.by_layer().to_dicts()})


def test_a_run_is_a_catalogue(run, context):
    schema = context.catalog("mine").schema("public")
    assert {"weights", "metrics", "by_neuron", "layers"} <= schema.names()
    assert {"public", "epochs", "epochs_initial", "captures"} == context.catalog("mine").schema_names()
    for table in ["weights", "metrics", "classifications", "layers", "by_neuron", "learning_curve"]:
        expected = sorted(map(repr, run.sql(f"SELECT * FROM {table}").to_arrow().to_pylist()))
        rows = context.table(f"mine.public.{table}").to_arrow_table().to_pylist()
        assert sorted(map(repr, rows)) == expected, table


def test_what_is_asked_of_a_table_is_planned_where_the_run_is(run, context):
    sql = """SELECT epoch, neuron, weight_l2 FROM {}weights
             WHERE epoch BETWEEN 1 AND 2 AND layer <> 'L_output' AND (weight_l2 > 0.5 OR neuron IN (1, 3))
             ORDER BY epoch, neuron"""
    expected = run.sql(sql.format("")).to_arrow().to_pydict()
    assert len(expected["epoch"]) > 10
    assert asked(context, sql.format("mine.public.")) == expected
    assert asked(context, "SELECT count(*) AS n FROM mine.public.weights")["n"] == [len(run.table("weights"))]
    limited = asked(context, "SELECT epoch FROM mine.public.weights LIMIT 3 OFFSET 2")["epoch"]
    assert len(limited) == 3
    # The filter is no longer there: the table's own plan has it.
    plan = asked(context, "EXPLAIN SELECT weight_l2 FROM mine.public.weights WHERE epoch = 1")["plan"]
    assert "FilterExec" not in plan[-1], plan[-1]
    assert "projection=[weight_l2]" in plan[0], plan[0]


def test_a_run_is_joined_with_what_others_know(run, context):
    notes = {"epoch": [0, 2, 99], "note": ["first", "third", "never"]}
    context.from_pydict(notes, name="notes")
    sql = """SELECT note, avg(weight_l2) AS mean FROM mine.epochs.weights JOIN notes USING (epoch)
             GROUP BY note ORDER BY note"""
    joined = asked(context, sql)
    of_run = run.sql("SELECT epoch, avg(weight_l2) AS mean FROM weights WHERE epoch IN (0, 2) GROUP BY epoch ORDER BY epoch")
    assert joined["note"] == ["first", "third"]
    assert joined["mean"] == pytest.approx(of_run.to_arrow().to_pydict()["mean"])


def test_a_filter_may_call_a_function_of_the_other_side(run, context):
    import pyarrow as pa
    import pyarrow.compute as pc

    is_even = datafusion.udf(
        lambda values: pc.equal(pc.bit_wise_and(values, 1), 0), [pa.int32()], pa.bool_(), "immutable", "is_even"
    )
    context.register_udf(is_even)
    rows = asked(context, "SELECT DISTINCT epoch FROM mine.epochs.weights WHERE is_even(epoch) ORDER BY epoch")
    assert rows["epoch"] == [epoch for epoch in run.epochs if epoch % 2 == 0]


def test_an_answer_is_a_table(run):
    context = datafusion.SessionContext()
    context.register_table("by_neuron", run.by_neuron())
    context.register_table("wide", run.query("padded", wide=True, layer="first"))
    context.register_table("lengths", run.sql("SELECT epoch, vec_norm(weights) AS length FROM weights"))
    counted = asked(context, "SELECT count(*) AS n FROM by_neuron")["n"]
    assert counted == [len(run.by_neuron())]
    longest = asked(context, "SELECT max(length) AS longest FROM lengths WHERE epoch = 3")["longest"]
    assert longest == [run.sql("SELECT max(vec_norm(weights)) FROM weights WHERE epoch = 3").rows()[0][0]]
    assert context.table("wide").schema().names == run.query("padded", wide=True, layer="first").columns
    # What was found in another way than by SQL is a table as well.
    context.register_table("compared", run.compare(run))
    assert set(asked(context, "SELECT weight_distance AS d FROM compared")["d"]) == {0.0}


def test_a_table_outlives_the_run_that_it_was_made_of(recorded):
    context = datafusion.SessionContext()
    run = sg.open(recorded)
    num_rows = len(run.table("metrics"))
    context.register_catalog_provider("mine", run)
    context.register_table("metrics", run.table("metrics"))
    del run
    gc.collect()
    assert asked(context, "SELECT count(*) AS n FROM mine.public.metrics")["n"] == [num_rows]
    assert asked(context, "SELECT count(*) AS n FROM metrics")["n"] == [num_rows]


def test_its_queries_stay_within_the_memory_that_the_run_was_opened_with(recorded):
    context = datafusion.SessionContext()
    context.register_table("sorted", sg.open(recorded, memory=1000).sql("SELECT * FROM weights ORDER BY weight_l2"))
    with pytest.raises(Exception, match="[Mm]emory|[Rr]esources exhausted"):
        asked(context, "SELECT * FROM sorted")


def test_columns_of_one_name_are_refused(run):
    twice = run.sql("SELECT a.epoch, b.epoch FROM metrics a JOIN metrics b USING (step)")
    with pytest.raises(sg.QueryError, match="two columns are called epoch"):
        datafusion.SessionContext().register_table("twice", twice)


def test_what_is_no_session_is_refused(run, monkeypatch):
    import sys

    session = datafusion.SessionContext()
    monkeypatch.delitem(sys.modules, "datafusion")
    with pytest.raises(sg.QueryError, match="package datafusion, which is not what asks"):
        run.table("weights").__datafusion_table_provider__(session)


def test_what_goes_wrong_there_is_said(run, context):
    with pytest.raises(Exception, match="weighs"):
        context.sql("SELECT * FROM mine.public.weighs")
    with pytest.raises(Exception, match="length"):
        context.sql("SELECT length FROM mine.public.weights")


def test_another_version_is_refused(run, monkeypatch):
    context = datafusion.SessionContext()
    monkeypatch.setattr(datafusion, "__version__", "51.0.0")
    with pytest.raises(sg.QueryError, match="is 51.0.0: pip install 'datafusion>=55,<56'"):
        context.register_table("weights", run.table("weights"))
    with pytest.raises(sg.QueryError, match="datafusion 55"):
        context.register_catalog_provider("mine", run)
