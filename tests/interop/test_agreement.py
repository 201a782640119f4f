"""The yardstick has to notice what is wrong."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from agreement import assert_agrees

EXPECTED = pd.DataFrame({
    "neuron": pd.Series([0, None], dtype="Int32"),
    "layer": ["L_a", "L_b"],
    "weights": [np.float32([1, 2]), np.float32([1000, 0])],
    "value": np.float32([0.5, np.nan]),
})


def table(neuron=(0, None), layer=("L_a", "L_b"), weights=([1, 2], [1000, 0]), value=(0.5, None)):
    return pa.table({
        "neuron": pa.array(neuron, pa.int32()),
        "layer": pa.array(layer),
        "weights": pa.array(weights, pa.list_(pa.float64())),
        "value": pa.array(value, pa.float32()),
    })


@pytest.mark.parametrize("change", [
    {},
    {"weights": ([1, 2], [1000.0009, 0])},
    {"weights": ([1, 2], [1000, 0.9e-7])},
])
def test_accepts_equal_tables_and_small_differences(change):
    assert_agrees(table(**change), EXPECTED)


@pytest.mark.parametrize("change", [
    {"neuron": (0, 1)},
    {"neuron": (1, None)},
    {"layer": ("L_b", "L_a")},
    {"weights": ([1, 2], [1000.0011, 0])},
    {"weights": ([1, 2], [1000, 1.1e-7])},
    {"weights": ([1, 2, 1000], [0])},
    {"weights": ([1, 2], None)},
    {"weights": ([1, 2], [1000, None])},
    {"value": (None, 0.5)},
    {"value": (0.5, 0.0)},
])
def test_notices_any_other_difference(change):
    with pytest.raises(AssertionError):
        assert_agrees(table(**change), EXPECTED)


def test_notices_missing_rows_and_columns():
    with pytest.raises(AssertionError):
        assert_agrees(table().slice(1), EXPECTED)
    with pytest.raises(AssertionError):
        assert_agrees(table().drop_columns("value"), EXPECTED)
