"""A run in a program of datafusion-python's."""

from __future__ import annotations

import pytest

datafusion = pytest.importorskip("datafusion")


def test_tables_and_answers_are_joined_there(run):
    context = datafusion.SessionContext()
    context.from_arrow(run.table("metrics"), name="metrics")
    context.from_arrow(run.by_layer(), name="by_layer")
    num_metrics = context.sql("SELECT count(*) AS n FROM metrics").to_pydict()["n"]
    assert num_metrics == [len(run.table("metrics"))]
    layers = context.sql("SELECT DISTINCT layer FROM by_layer ORDER BY layer").to_pydict()["layer"]
    assert layers == sorted({row["layer"] for row in run.by_layer().to_dicts()})
