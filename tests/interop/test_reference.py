"""The reference itself, on a network small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest

import make_trace
import notebook_reference

# Two inputs, two hidden units, one output. Neurons: 0 and 1 in L_input, 2 in L_output.
LAYERS = make_trace.chain([2, 2, 1])


def capture(epoch, step, hidden, output, outputs, targets, metrics=()):
    return make_trace.Capture(
        epoch=epoch,
        step=step,
        weights={"L_input": (hidden, [0.5, 0.5]), "L_output": (output, None)},
        outputs=np.array(outputs),
        targets=np.array(targets),
        metrics=list(metrics),
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    run = make_trace.write_run(tmp_path_factory.mktemp("runs") / "tiny", LAYERS, [
        capture(-1, 0, [[9, 9], [9, 9]], [[9, 9]], [[0.9], [0.9]], [1, 1], [("train", "loss", 9.0)]),
        # An earlier capture of epoch 0, which its last one replaces.
        capture(0, 1, [[8, 8], [8, 8]], [[8, 8]], [[0.8], [0.8]], [1, 1]),
        capture(0, 2, [[1, 2], [3, 4]], [[5, 6]], [[0.25], [0.75]], [0, 1],
                [("train", "loss", 0.5), ("eval", "loss", 0.75), ("eval", "accuracy", 1.0)]),
        capture(1, 4, [[2, 4], [5, 8]], [[9, -6]], [[0.75], [0.625]], [0, 1],
                [("train", "loss", 0.25), ("eval", "loss", 0.5), ("eval", "accuracy", 0.5)]),
    ])
    return notebook_reference.reference(run)


def rows_of(table):
    """Plain tuples, with lists for vectors and None for what is missing."""
    def plain(value):
        if isinstance(value, np.ndarray):
            return value.tolist()
        return None if pd.isna(value) else value

    return [tuple(plain(value) for value in row) for row in table.itertuples(index=False, name=None)]


def test_series_lists_every_output_of_the_last_capture_of_each_epoch(tables):
    assert rows_of(tables["classification_series"]) == [
        (0, 2, 0, 0, 0.25),
        (0, 2, 1, 0, 0.75),
        (1, 4, 0, 0, 0.75),
        (1, 4, 1, 0, 0.625),
    ]


PADDED = [
    (0, "L_input", 0, [1, 2], 0.25),
    (0, "L_input", 1, [3, 4], 0.25),
    (0, "L_output", 2, [5, 6], 0.25),
    (1, "L_input", 0, [2, 4], 0.75),
    (1, "L_input", 1, [5, 8], 0.75),
    (1, "L_output", 2, [9, -6], 0.75),
]
MEANS = [(0, "L_input", [1.5, 3]), (1, "L_input", [4, 6]), (2, "L_output", [7, 0])]


def test_padded_joins_the_first_output_of_sample_zero(tables):
    assert rows_of(tables["padded"]) == PADDED


def test_by_layer_splits_the_padded_rows(tables):
    assert list(tables["by_layer"]) == ["L_input", "L_output"]
    assert rows_of(tables["by_layer"]["L_output"]) == [PADDED[2], PADDED[5]]


def test_by_neuron_averages_over_epochs_and_never_wraps_ids(tables):
    assert rows_of(tables["by_neuron"]) == MEANS


def test_epoch_average_appends_the_averages_to_the_rows(tables):
    assert rows_of(tables["epoch_average"]) == [("epoch", *row) for row in PADDED] + [
        ("Epoch_average", None, layer, neuron, weights, None) for neuron, layer, weights in MEANS
    ]


def test_connections_name_inputs_and_neurons(tables):
    last = tables["connections"].query("epoch == 1")
    assert rows_of(last) == [
        (1, "L_input", 0, 0, "input_0", 0, None, 2.0),
        (1, "L_input", 0, 1, "input_1", 1, None, 4.0),
        (1, "L_input", 1, 0, "input_0", 0, None, 5.0),
        (1, "L_input", 1, 1, "input_1", 1, None, 8.0),
        (1, "L_output", 2, 0, "n_0", None, 0, 9.0),
        (1, "L_output", 2, 1, "n_1", None, 1, -6.0),
    ]


def test_learning_curve_leaves_a_phase_without_accuracy_empty(tables):
    assert rows_of(tables["learning_curve"]) == [
        (0, "eval", 0.75, 1.0),
        (0, "train", 0.5, None),
        (1, "eval", 0.5, 0.5),
        (1, "train", 0.25, None),
    ]


def test_confusion_counts_pairs_that_occur(tables):
    assert rows_of(tables["confusion"]) == [(0, 0, 0, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)]


def test_narrower_layers_are_padded_with_zeros(tmp_path):
    layers = make_trace.chain([3, 1, 1])
    run = make_trace.write_run(tmp_path / "narrow", layers, [
        make_trace.Capture(0, 1, weights={"L_input": ([[1, 2, 3]], [0]), "L_output": ([[4]], [0])}),
    ])
    tables = notebook_reference.reference(run)
    assert rows_of(tables["padded"]) == [(0, "L_input", 0, [1, 2, 3], None), (0, "L_output", 1, [4, 0, 0], None)]
    assert rows_of(tables["connections"])[-1] == (0, "L_output", 1, 0, "n_0", None, 0, 4.0)
    assert "classification_series" not in tables


def test_neuron_ids_pass_twenty(tmp_path):
    run = make_trace.synthetic_run(tmp_path / "notebook")
    assert notebook_reference.reference(run)["by_neuron"]["neuron"].tolist() == list(range(21))


def test_sources_step_by_stride_and_repeat():
    source = [
        {"from": "L_a", "start": 1, "count": 2, "stride": 3, "repeat": 2},
        {"from": "input", "start": 5, "count": 1, "stride": 1, "repeat": 1},
    ]
    units = notebook_reference.source_units(source, 5)
    assert units == [("L_a", 1), ("L_a", 1), ("L_a", 4), ("L_a", 4), ("input", 5)]
    assert notebook_reference.source_units(None, 2) == [(None, None), (None, None)]
