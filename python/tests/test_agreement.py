"""The recorder in Rust, PyTorch recorded from Python, and numpy agree on the same network and samples."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
from conftest import _program
from torch import nn

import stratigraph_nn as sg

NUM_CLASSES, NUM_HELD_OUT, NUM_BINS = 3, 40, 16


@dataclass(frozen=True)
class Kind:
    """What network it is."""

    #: How ``recorder train`` is told, and what labels it gives.
    options: str
    convolutions: tuple[str, ...]
    linears: tuple[str, ...]
    #: The shape of a sample, and what a convolution's input is, channels first.
    image: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """In their order."""
        return self.convolutions + self.linears


KINDS = {
    "mlp": Kind("--hidden 24,12", (), ("L_input", "L_hidden_1", "L_output"), (8,)),
    # Its last row and column are in no window of the second pooling.
    "cnn": Kind(
        "--model cnn --channels 5,4 --image 2x6x7 --hidden 12",
        ("L_conv_1", "L_conv_2"),
        ("L_hidden_1", "L_output"),
        (2, 6, 7),
    ),
}
LAYERS = [(name, label) for name, kind in KINDS.items() for label in kind.labels]
#: How far apart values of the same may be.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


@dataclass
class Both:
    """The same network at one moment, as each recorder has it."""

    kind: Kind
    rust: Path
    python: Path
    #: Epoch and step in either.
    moments: dict[Path, tuple[int, int]]
    #: By label ``[units, inputs]``, where a convolution's inputs are one position's, and ``[units]``.
    weights: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray

    def rows(self, run: Path, table: str, label: str | None = None) -> list[dict[str, Any]]:
        """The rows of the moment, by unit or sample."""
        epoch, step = self.moments[run]
        found = [row for row in runs.rows(run, table) if (row["epoch"], row["step"]) == (epoch, step)]
        if label is not None:
            found = [row for row in found if row["layer"] == label]
        return sorted(found, key=lambda row: row.get("unit", row.get("sample", 0)))

    def column(self, run: Path, table: str, name: str, label: str | None = None) -> np.ndarray:
        return np.array([row[name] for row in self.rows(run, table, label)])


def _table(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    lines = [",".join([*(f"x{at}" for at in range(x.shape[1])), "y"])]
    lines += [",".join([*(repr(float(value)) for value in row), f"c{kind}"]) for row, kind in zip(x, y, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def recorded_by_both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Both]:
    made: dict[str, Both] = {}

    def recorded(name: str) -> Both:
        if name not in made:
            made[name] = _recorded(KINDS[name], tmp_path_factory.mktemp("agreement"))
        return made[name]

    return recorded


@pytest.fixture()
def both(request: pytest.FixtureRequest, recorded_by_both: Callable[[str], Both]) -> Both:
    return recorded_by_both(request.param)


def _recorded(kind: Kind, directory: Path) -> Both:
    random = np.random.default_rng(5)
    # Values that a text of decimals has as they are.
    x = (random.integers(-64, 64, (240, math.prod(kind.image))) / 32).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 0.5)
    held_out = slice(240 - NUM_HELD_OUT, None)
    _table(directory / "train.csv", x[:-NUM_HELD_OUT], y[:-NUM_HELD_OUT])
    _table(directory / "test.csv", x[held_out], y[held_out])
    rust, python = directory / "rust", directory / "python"
    command = [_program("recorder"), "train", "--out", rust, "--dataset", f"csv:{directory / 'train.csv'}"]
    command += ["--held-out", directory / "test.csv", "--target", "y", "--scale", "none", "--epochs", "5"]
    command += [*kind.options.split(), "--histograms", str(NUM_BINS), "--device", "cpu"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=300)

    epoch, step = runs.captures(rust)[-1]
    values = runs.Values(rust, "weights")
    weights = {label: values.weight(epoch, step, label) for label in kind.labels}
    biases = {label: values.bias(epoch, step, label) for label in kind.labels}
    described = runs.layers(rust)
    assert list(described) == list(kind.labels)
    layers: list[nn.Module] = []
    names: dict[str, str] = {}
    num_channels = kind.image[0]
    for label in kind.labels:
        num_units, fan_in = weights[label].shape
        layer: nn.Conv2d | nn.Linear
        if label in kind.convolutions:
            layer = nn.Conv2d(num_channels, num_units, 3, padding=1)
            num_channels = num_units
        else:
            layer = nn.Linear(fan_in, num_units)
        layer.weight.data.copy_(torch.from_numpy(weights[label]).reshape(layer.weight.shape))
        layer.bias.data.copy_(torch.from_numpy(biases[label]))
        names[str(len(layers))] = label
        assert described[label]["activation"] == (None if label == kind.labels[-1] else "relu")
        layers += [layer, nn.ReLU()]
        if label in kind.convolutions:
            layers += [nn.MaxPool2d(2), *([nn.Flatten()] if label == kind.convolutions[-1] else [])]
    model = nn.Sequential(*layers[:-1])
    samples = torch.from_numpy(x[held_out]).reshape(-1, *kind.image), torch.from_numpy(y[held_out])
    with sg.record(model, python, labels=names, histograms=NUM_BINS, on_error="stop") as rec:
        rec.step()
        assert rec.epoch(held_out=samples)
    assert list(runs.layers(python)) == list(kind.labels)
    return Both(kind, rust, python, {rust: (epoch, step), python: (0, 1)}, weights, biases, x[held_out], y[held_out])


def _made(both: Both) -> dict[str, np.ndarray]:
    """What the layers make of the samples, by numpy: 64-bit floats ``[samples, units]``, means over an image."""
    made, values = {}, both.x.astype(np.float64).reshape(-1, *both.kind.image)
    for label in both.kind.labels:
        weights, bias = both.weights[label].astype(np.float64), both.biases[label].astype(np.float64)
        if label in both.kind.convolutions:
            padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            kernels = weights.reshape(len(weights), -1, 3, 3)
            values = np.maximum(np.einsum("nchwij,ocij->nohw", windows, kernels) + bias[:, None, None], 0)
            made[label] = values.mean(axis=(2, 3))
            # Of an odd number of rows or columns the last one is in no window.
            height, width = values.shape[2] // 2, values.shape[3] // 2
            whole = values[:, :, : 2 * height, : 2 * width]
            values = whole.reshape(*values.shape[:2], height, 2, width, 2).max(axis=(3, 5))
            continue
        values = values.reshape(len(values), -1) @ weights.T + bias
        if label != both.kind.labels[-1]:
            values = np.maximum(values, 0)
        made[label] = values
    return made


@pytest.mark.parametrize(("both", "label"), LAYERS, indirect=["both"])
def test_weights_and_their_statistics(both: Both, label: str) -> None:
    rust, python = (both.rows(run, "weights", label) for run in (both.rust, both.python))
    weights = both.weights[label].astype(np.float64)
    expected = {
        "weight_mean": weights.mean(1),
        "weight_std": weights.std(1),
        "weight_min": weights.min(1),
        "weight_max": weights.max(1),
        "weight_l1": np.abs(weights).sum(1),
        "weight_l2": np.sqrt((weights**2).sum(1)),
        "weight_median": np.median(weights, 1),
        "weight_zeros": (weights == 0).sum(1),
        "nonfinite": np.zeros(len(weights)),
    }
    same = ("neuron", "unit", "bias", "weights", *expected)
    assert len(rust) == len(weights)
    # The same code works on the same bits.
    assert [[row[name] for name in same] for row in rust] == [[row[name] for name in same] for row in python]
    for name, values in expected.items():
        assert np.allclose([row[name] for row in python], values, **TOLERANCE), name


@pytest.mark.parametrize(("both", "label"), LAYERS, indirect=["both"])
def test_activations_and_their_statistics(both: Both, label: str) -> None:
    made = _made(both)[label].T
    expected = {
        "activation_mean": made.mean(1),
        "activation_std": made.std(1),
        "activation_min": made.min(1),
        "activation_max": made.max(1),
        "activation_median": np.median(made, 1),
        "activation_l1": np.abs(made).sum(1),
        "activation_l2": np.sqrt((made**2).sum(1)),
        "zeros": (made == 0).sum(1),
        "num_samples": np.full(len(made), NUM_HELD_OUT),
        "nonfinite": np.zeros(len(made)),
    }
    # What 32-bit floats make of sums that nearly cancel is as far off as their terms are large.
    terms = np.abs(made).max() * 1e-6
    for run in (both.rust, both.python):
        values = both.column(run, "activations", "activations", label)
        assert np.allclose(values, made, rtol=1e-6, atol=terms), run
        for name, of_units in expected.items():
            found = both.column(run, "activations", name, label)
            assert np.allclose(found, of_units, rtol=1e-6, atol=terms), (run, name)
        # Statistics are of the very values beside them.
        values = values.astype(np.float64)
        for name, of in (("activation_mean", values.mean(1)), ("activation_std", values.std(1))):
            assert np.allclose(both.column(run, "activations", name, label), of, **TOLERANCE), (run, name)
    ids = [both.column(run, "activations", "neuron", label).tolist() for run in (both.rust, both.python)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("both", KINDS, indirect=True)
def test_classifications(both: Both) -> None:
    logits = _made(both)[both.kind.labels[-1]]
    likely = np.exp(logits - logits.max(1, keepdims=True))
    likely /= likely.sum(1, keepdims=True)
    places = np.arange(NUM_HELD_OUT)
    for run in (both.rust, both.python):
        column = {
            name: both.column(run, "classifications", name) for name in ("sample", "target", "predicted", "correct")
        }
        assert column["sample"].tolist() == places.tolist()
        assert column["target"].tolist() == both.y.tolist()
        assert column["predicted"].tolist() == likely.argmax(1).tolist()
        assert column["correct"].tolist() == (likely.argmax(1) == both.y).tolist()
        for name, expected in (
            ("outputs", likely),
            ("confidence", likely.max(1)),
            ("loss", -np.log(likely[places, both.y])),
        ):
            assert np.allclose(both.column(run, "classifications", name), expected, rtol=1e-5, atol=1e-6), (run, name)
    figures = {}
    for run, (epoch, _) in both.moments.items():
        recorded = runs.metrics(run)
        figures[run] = [recorded[epoch, "eval", name] for name in ("loss", "accuracy")]
        mean = -np.log(likely[places, both.y]).mean(), (likely.argmax(1) == both.y).mean()
        assert np.allclose(figures[run], mean, rtol=1e-5, atol=1e-6)
    assert np.allclose(figures[both.rust], figures[both.python], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("both", "label"), LAYERS, indirect=["both"])
def test_histograms(both: Both, label: str) -> None:
    found = {run: {row["of"]: row for row in both.rows(run, "histograms", label)} for run in (both.rust, both.python)}
    for run, rows in found.items():
        assert sorted(rows) == ["activations", "weights"], run
        values = {
            "weights": both.weights[label],
            "activations": both.column(run, "activations", "activations", label),
        }
        for of, numbers in values.items():
            edges = np.array(rows[of]["edges"])
            low, high = float(numbers.min()), float(numbers.max())
            assert np.allclose(edges, np.linspace(low, high, NUM_BINS + 1), rtol=1e-6, atol=1e-6 * (high - low))
            counts, _ = np.histogram(numbers.astype(np.float64), edges.astype(np.float64))
            assert rows[of]["counts"] == counts.tolist(), (run, of)
    rust, python = found[both.rust]["weights"], found[both.python]["weights"]
    assert (rust["edges"], rust["counts"]) == (python["edges"], python["counts"])


@pytest.mark.parametrize("both", KINDS, indirect=True)
def test_the_runs_are_the_same_network_to_whoever_asks(both: Both) -> None:
    one, other = sg.open(both.rust), sg.open(both.python)
    state = one.state_dict(epoch="last")
    assert sorted(tensor.shape for tensor in state.values()) == sorted(
        tensor.shape for tensor in other.state_dict(epoch="last").values()
    )
    sql = "SELECT layer, avg(weight_l2) AS l FROM weights WHERE epoch = {} GROUP BY layer ORDER BY layer"
    lengths = [
        run.sql(sql.format(both.moments[path][0])).rows() for run, path in ((one, both.rust), (other, both.python))
    ]
    assert lengths[0] == lengths[1] and len(lengths[0]) == len(both.kind.labels)
