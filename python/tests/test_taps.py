"""What a network's own code makes between its modules, recorded by name."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import inspect
import pickle
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stratigraph_nn as sg
from stratigraph_nn._record import _Unrecorded

TABLES = ("weights", "classifications", "activations", "metrics", "gradients", "moments")


class Residual(nn.Module):
    """With a stream that no module makes, and an image whose channels come first."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.rec: sg.Recorder | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.tanh(self.inner(x))
        if self.rec is not None:
            assert self.rec.tap("resid.0", x) is x
            self.rec.tap("image", x.view(-1, 2, 2, 2), unit_axis=1)
        return self.head(x)


def trained(path: Path | None, **options: Any) -> tuple[Residual, Tensor]:
    torch.manual_seed(0)
    model = Residual()
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(24, 8), torch.randint(0, 3, (24,))
    rec = None
    if path is not None:
        rec = model.rec = sg.record(model, path, optimizer=optimizer, record=TABLES, batch_size=10, **options)
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if rec is not None:
            rec.epoch(held_out=(x, y))
    if rec is not None:
        rec.finish()
    return model, x


def test_a_tap_is_a_layer_without_weights(tmp_path: Path) -> None:
    run = tmp_path / "run"
    model, x = trained(run, record_initial=True)
    alone, _ = trained(None)
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in model.state_dict().items())
    described = runs.layers(run)
    assert list(described) == ["inner", "resid.0", "image", "head"], "the output layer is the last"
    tap = described["resid.0"]
    assert (tap["kind"], tap["num_units"], tap["fan_in"], tap["shape"]) == ("tap", 8, 0, [8, 0])
    assert tap["first_neuron"] == 8 and described["image"]["num_units"] == 2
    assert {row["layer"] for row in runs.rows(run, "weights")} == {"inner", "head"}
    stream = (x + torch.tanh(model.inner(x))).detach()
    activations = runs.Values(run, "activations").rows
    recorded = np.array([row["activations"] for row in activations[3, 4, "resid.0"]]).T
    np.testing.assert_allclose(recorded, stream, rtol=1e-6, atol=1e-6)
    recorded = np.array([row["activations"] for row in activations[3, 4, "image"]]).T
    np.testing.assert_allclose(recorded, stream.view(-1, 2, 2, 2).mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert [row["neuron"] for row in activations[3, 4, "image"]] == [16, 17]
    gradients, weights = runs.Values(run, "gradients"), runs.Values(run, "weights")
    assert runs.same_bits(weights.weight(3, 4, "head"), model.head.weight.detach())
    assert runs.same_bits(gradients.weight(3, 4, "head"), model.head.weight.grad)
    np.testing.assert_allclose(
        np.array([row["activations"] for row in activations[3, 4, "head"]]).T, model.head(stream).detach(), atol=1e-6
    )


def test_a_model_that_holds_its_recorder_is_copied_saved_and_compiled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Residual()
    torch.compiler.reset()
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(24, 8), torch.randint(0, 3, (24,))
    with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
        model.rec = rec
        for _ in range(2):
            F.cross_entropy(compiled(x), y).backward()
            optimizer.step()
            rec.epoch(held_out=(x, y))
        twin, loaded = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        assert torch.equal(twin(x), model(x))
        assert isinstance(loaded.rec, _Unrecorded)
        stream = x + torch.tanh(model.inner(x))
        assert torch.equal(loaded.head(stream), model.head(stream))
        # Its own forward asserts that it gets back what it taps.
        assert torch.equal(loaded(x), model(x))
        loaded.rec.step()
        assert rec.num_steps == 2 and not loaded.rec.epoch()
    layers = {row["layer"] for row in runs.rows(tmp_path / "run", "activations")}
    assert layers == {"inner", "head", "resid.0", "image"}


def test_what_a_recorder_becomes_elsewhere_is_called_as_a_recorder() -> None:
    for name, member in inspect.getmembers(sg.Recorder):
        if name.startswith("_") and name not in ("__enter__", "__exit__"):
            continue
        assert hasattr(_Unrecorded, name), name
        if inspect.isfunction(member):
            parameters = inspect.signature(member).parameters
            assert dict(inspect.signature(getattr(_Unrecorded, name)).parameters) == dict(parameters), name


def test_taps_can_be_left_out(tmp_path: Path) -> None:
    trained(tmp_path / "run", layers=["*", "!resid.*"])
    assert {row["layer"] for row in runs.rows(tmp_path / "run", "activations")} == {"inner", "head", "image"}


def test_a_tap_without_such_an_axis_is_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Residual()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(model, tmp_path / "run") as rec:
            model.inner.register_forward_hook(lambda _, __, output: rec.tap("wrong", output, unit_axis=0))
            model(torch.randn(2, 8))
            rec.step()
            assert rec.epoch(held_out=(torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)))
    said = [str(each.message) for each in caught]
    assert said and all("wrong" in message for message in said)
    assert runs.captures(tmp_path / "run") == [(0, 1)]


class Looped(nn.Module):
    """With a stream that is tapped each time around, and with rows that are no samples."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.rec: sg.Recorder | None = None

    def stream(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = torch.tanh(self.inner(x))
            if self.rec is not None:
                self.rec.tap("stream", x)
                self.rec.tap("pooled", x.mean(0, keepdim=True).expand(2, 8))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stream(x))


@pytest.mark.parametrize("is_callable", [False, True])
def test_the_last_call_of_a_tap_counts_and_rows_that_are_no_samples_do_not(is_callable: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, run = Looped(), tmp_path / "run"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(40, 8), torch.randint(0, 3, (40,))

    def by_parts(_: Any) -> Any:
        # The network itself is not called.
        return ((model.head(model.stream(part)), y[at : at + 16]) for at in (0, 16, 32) for part in [x[at : at + 16]])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(model, run, optimizer=optimizer, batch_size=16) as rec:
            model.rec = rec
            for _ in range(2):
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                assert rec.epoch(held_out=by_parts if is_callable else (x, y))
    (said,) = [each.message for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    assert "activations of pooled are left out: it has 2 rows of a batch of 16 samples" in str(said)
    model.rec = None
    activations = runs.Values(run, "activations").rows
    assert {layer for _, _, layer in activations} == {"inner", "stream", "head"}
    recorded = np.array([row["activations"] for row in activations[1, 2, "stream"]]).T
    np.testing.assert_allclose(recorded, model.stream(x).detach(), rtol=1e-5, atol=1e-6)


def test_programs_ask_a_run_with_taps(tmp_path: Path) -> None:
    programs = os.environ.get("STRATIGRAPH_BIN")
    if programs is None:
        pytest.skip("STRATIGRAPH_BIN is not set")
    run = str(tmp_path / "run")
    trained(tmp_path / "run")
    for program, *arguments in (
        ("sink", "verify", run),
        ("query", "info", run),
        ("query", "run", "dead_neurons", run),
        ("query", "run", "by_layer", run),
        ("query", "run", "class_selectivity", run),
        ("query", "run", "connections", run),
        ("query", "embed", run),
        ("query", "phases", run),
        ("query", "structures", "find", run),
        ("query", "report", run, "-o", str(tmp_path / "report.html")),
        ("query", "plot", "network", run, "-o", str(tmp_path / "network.svg")),
    ):
        done = subprocess.run(
            [Path(programs, program), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, (arguments, done.stderr)
