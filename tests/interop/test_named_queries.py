"""The named queries against the notebook's steps in pandas, on real runs."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import hive
import notebook_reference
from agreement import assert_agrees, assert_close

TYPES = {
    "class_result": pa.float32(),
    "epoch": pa.int32(),
    "final_classification_result": pa.float32(),
    "neuron": pa.int32(),
    "output": pa.int32(),
    "source_input": pa.int32(),
    "source_neuron": pa.int32(),
    "step": pa.int64(),
}


@pytest.fixture(scope="module")
def reference(real_run):
    return notebook_reference.reference(real_run)


@pytest.mark.parametrize("name", [
    "classification_series",
    "padded",
    "by_neuron",
    "epoch_average",
    "connections",
    "learning_curve",
    "confusion",
])
def test_agrees_with_the_notebook(name, real_run, query, reference):
    rows = query.named(name, real_run)
    assert_agrees(rows, reference[name], name)
    for column in rows.schema:
        assert column.type == TYPES.get(column.name, column.type), column


def test_by_layer_agrees_for_every_layer(real_run, query, reference):
    for layer, rows in reference["by_layer"].items():
        assert_agrees(query.named("by_layer", real_run, layer=layer), rows, layer)


def test_by_layer_takes_the_first_layer_by_default(real_run, query, reference):
    first = min(hive.layers(real_run), key=lambda layer: layer["layer_index"])["layer"]
    assert_agrees(query.named("by_layer", real_run), reference["by_layer"][first])


@pytest.mark.parametrize("name", ["by_neuron", "padded"])
def test_wide_csv_has_a_column_a_weight(name, real_run, query, reference):
    expected = reference[name]
    matrix = np.stack(expected["weights"].to_list())
    rows = pd.read_csv(query.write("run", name, real_run, "--wide", format="csv"))
    weights = [f"w_{i}" for i in range(matrix.shape[1])]
    # The list's columns stand where the list stood.
    at = expected.columns.get_loc("weights")
    before, after = list(expected.columns[:at]), list(expected.columns[at + 1:])
    assert list(rows.columns) == before + weights + after
    assert rows["neuron"].tolist() == expected["neuron"].tolist()
    assert rows["layer"].tolist() == expected["layer"].tolist()
    assert_close(rows[weights].to_numpy(np.float64), matrix.astype(np.float64), name)


def test_csv_writes_a_list_as_json_text(real_run, query, reference):
    rows = pd.read_csv(query.write("run", "by_neuron", real_run, format="csv"))
    assert_agrees(arrow(rows.assign(weights=rows["weights"].map(json.loads))), reference["by_neuron"])


def test_json_is_one_array_and_jsonl_an_object_a_line(real_run, query, reference):
    expected = reference["epoch_average"]
    lines = query.write("run", "epoch_average", real_run, format="jsonl").read_text().splitlines()
    array = query.write("run", "epoch_average", real_run, format="json").read_text()
    for objects in ([json.loads(line) for line in lines], json.loads(array)):
        assert set(objects[0]) == set(expected.columns)
        rows = pd.DataFrame(objects, columns=expected.columns)
        assert_agrees(arrow(rows.astype({"epoch": "Int32", "final_classification_result": "float32"})), expected)


def arrow(rows):
    return pa.Table.from_pandas(rows, preserve_index=False)
