"""Recording leaves training as it is, and a run holds what the network was."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import stratigraph_nn as sg

ALL = ("weights", "classifications", "activations", "metrics", "gradients", "gradients_applied", "moments")


class Perceptron(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.norm(self.conv(x.view(-1, 3, 2, 2)))))
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 8, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        # There is no LSTM of bfloat16 on every CPU.
        with torch.autocast("cpu", enabled=False):
            x = self.lstm(x.view(-1, 4, 3).float())[0][:, -1]
        return self.head(x)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.embed = nn.Linear(3, 8)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x.view(-1, 4, 3))).mean(1))


MODELS = (Perceptron, Convolutional, Recurrent, Transformer)


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def random_states() -> list[Any]:
    kind, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), (kind, keys.tolist(), *rest)]


Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor]


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return loss.detach()


def autocast(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model(x).float(), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


def trained(
    make: Callable[[], nn.Module],
    step: Step,
    path: Path | None,
    wrapped: Callable[[nn.Module], nn.Module] = lambda model: model,
    num_epochs: int = 3,
    **options: Any,
) -> dict[str, Any]:
    """Trains with augmentations out of all random generators; everything that training came to."""
    seeded()
    model = make()
    outer = wrapped(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
    held_out = torch.randn(20, 12), torch.randint(0, 4, (20,))
    losses = []
    if path is not None:
        # Also for captures of steps. Whatever recording cannot do fails the test.
        options = {"held_out": held_out, "on_error": "stop"} | options
    rec = sg.record(outer, path, optimizer=optimizer, **options) if path is not None else None
    for _ in range(num_epochs):
        order = np.random.permutation(32)
        for start in range(0, 32, 8):
            batch = torch.as_tensor(order[start : start + 8])
            noise = random.gauss(0, 0.1)
            losses.append(step(outer, optimizer, x[batch] + noise, y[batch]))
        if rec is not None:
            rec.epoch(train_loss=losses[-1])
    if rec is not None:
        rec.finish()
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "moments": [value for state in optimizer.state.values() for value in state.values()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "losses": losses,
        "random": random_states(),
        "training": [module.training for module in model.modules()],
    }


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return left.dtype == right.dtype and left.numpy().tobytes() == right.numpy().tobytes()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def check_same(make: Any, step: Step, path: Path, wrapped: Any = lambda model: model, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", sg.StratigraphWarning)
        recorded = trained(make, step, path, wrapped, record=ALL, record_initial=True, **options)
    alone = trained(make, step, None, wrapped)
    for name, value in alone.items():
        assert same(value, recorded[name]), name
    check_evaluated(path)


def check_evaluated(path: Path) -> None:
    """Every capture has what held-out samples make: they have run through the network that was trained."""
    captures = runs.captures(path)
    assert captures[0] == (-1, 0) and len(captures) > 3
    for table in ("activations", "classifications"):
        assert {(row["epoch"], row["step"]) for row in runs.rows(path, table)} == set(captures), table


@pytest.mark.parametrize("every", ["1epoch", "1steps"])
@pytest.mark.parametrize("make", MODELS)
def test_training_is_the_same_bit_by_bit(make: Any, every: str, tmp_path: Path) -> None:
    check_same(make, plain, tmp_path / "run", every=every)


@pytest.mark.parametrize("make", MODELS)
def test_training_with_bfloat16_autocast_is_the_same(make: Any, tmp_path: Path) -> None:
    check_same(make, autocast, tmp_path / "run", every="2steps")


def test_training_with_a_scaler_that_leaves_steps_out_is_the_same(tmp_path: Path) -> None:
    def scaled() -> tuple[Step, torch.amp.GradScaler]:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
        calls = [0]

        def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
            calls[0] += 1
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            scaler.scale(loss * (float("inf") if calls[0] in (1, 6) else 1.0)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            return loss.detach()

        return step, scaler

    step, scaler = scaled()
    recorded = trained(
        Perceptron, step, tmp_path / "run", record=ALL, scaler=scaler, every="1steps", record_initial=True
    )
    alone = trained(Perceptron, scaled()[0], None)
    assert all(same(alone[name], recorded[name]) for name in alone)
    assert runs.captures(tmp_path / "run")[-1] == (2, 10), "two of twelve steps were left out"
    check_evaluated(tmp_path / "run")


def compiled(backend: str) -> Callable[[nn.Module], nn.Module]:
    def wrapped(model: nn.Module) -> nn.Module:
        torch.compiler.reset()
        return torch.compile(model, backend=backend)  # type: ignore[return-value]

    return wrapped


@pytest.mark.filterwarnings("ignore:.*RNN module weights are not part of single contiguous chunk:UserWarning")
@pytest.mark.parametrize("make", MODELS)
def test_compiled_training_is_the_same(make: Any, tmp_path: Path) -> None:
    check_same(make, plain, tmp_path / "run", compiled("aot_eager"), every="2steps")
    if make in (Perceptron, Convolutional):
        assert all(layer["source"] for layer in runs.layers(tmp_path / "run").values() if layer["kind"] == "linear")


class Checkpointed(nn.Module):
    """Makes what is between its ends once more for its gradients."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 16), nn.Linear(16, 4)
        self.between = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self._use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        hidden: Any = checkpoint(self.between, torch.relu(self.first(x)), use_reentrant=self._use_reentrant)
        return self.last(hidden)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_training_that_makes_activations_once_more_is_the_same(use_reentrant: bool, tmp_path: Path) -> None:
    check_same(lambda: Checkpointed(use_reentrant), plain, tmp_path / "run", every="1steps")
    assert {row["layer"] for row in runs.rows(tmp_path / "run", "gradients")} == {
        "first",
        "between.0",
        "between.1",
        "last",
    }


@pytest.mark.skipif(not os.environ.get("STRATIGRAPH_LONG"), reason="STRATIGRAPH_LONG is not set")
def test_training_compiled_by_inductor_is_the_same(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler for inductor")
    check_same(Perceptron, plain, tmp_path / "run", compiled("inductor"), every="2steps")


@pytest.mark.parametrize("every", ["1epoch", "2steps"])
def test_a_model_compiled_in_place_is_the_same(every: str, tmp_path: Path) -> None:
    def in_place(model: nn.Module) -> nn.Module:
        torch.compiler.reset()
        model.compile(backend="aot_eager")
        return model

    check_same(Perceptron, plain, tmp_path / "run", in_place, every=every)


class Checked(Perceptron):
    """Takes targets in training alone, so that its first batch cannot be passed in evaluation mode."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert self.training or y is None
        return super().forward(x)


@pytest.mark.parametrize("shown_by", ["held_out", "example", "nothing"])
@pytest.mark.parametrize("how", ["in place", "refuses"])
def test_what_the_first_batch_does_not_show_is_shown_by_others_or_said(
    how: str, shown_by: str, tmp_path: Path
) -> None:
    model = Perceptron() if how == "in place" else Checked()
    if how == "in place":
        model.compile(backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 12), torch.randint(0, 4, (8,))
    options: dict[str, Any] = {"held_out": {"held_out": (x, y)}, "example": {"example": x}, "nothing": {}}[shown_by]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(model, tmp_path / "run", optimizer=optimizer, **options) as rec:
            F.cross_entropy(model(x) if how == "in place" else model(x, y), y).backward()
            optimizer.step()
            assert rec.epoch()
    said = [str(each.message) for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    described = runs.layers(tmp_path / "run")
    if shown_by == "nothing":
        words = "compiled in place, which hides its inputs; give record an example=" if how == "in place" else "failed"
        assert len(said) == 1 and words in said[0], said
        assert described["L_3"]["source"] is None
    else:
        assert said == [] and described["L_3"]["source"][0]["from"] == "L_0" and described["L_0"]["activation"] == "relu"


def test_a_network_of_which_no_connection_is_known_is_said_to_be_one(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.embed(tokens).mean(1))

    model = Mixed()
    with pytest.warns(sg.StratigraphWarning, match="of no layer it is known what it is connected to"):
        with sg.record(model, tmp_path / "run", example=torch.zeros(2, 5, dtype=torch.int64)) as rec:
            rec.step()
            rec.epoch()


@pytest.mark.parametrize("every", ["3steps", "1epoch"])
def test_recording_does_not_have_a_model_compiled_once_more(every: str, tmp_path: Path) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    model = Perceptron()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=ALL, every=every) as rec:
        network = torch.compile(model, backend=backend)
        for _ in range(3):
            for _ in range(4):
                plain(network, optimizer, torch.randn(8, 12), torch.randint(0, 4, (8,)))  # type: ignore[arg-type]
            rec.epoch(held_out=(torch.randn(20, 12), torch.randint(0, 4, (20,))))
    assert len(graphs) == 1
    assert len(runs.captures(tmp_path / "run")) == (4 if every == "3steps" else 3)
    assert runs.rows(tmp_path / "run", "activations")


def test_what_is_committed_is_told_as_it_is(tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"

    def train(first: int, resume: tuple[int, int] | None) -> list[dict[str, Any]]:
        seeded()
        model = Perceptron()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with sg.record(model, tmp_path / "run", optimizer=optimizer, commits=told, resume=resume) as rec:
            for _ in range(first, first + 3):
                plain(model, optimizer, torch.randn(8, 12), torch.randint(0, 4, (8,)))  # type: ignore[arg-type]
                rec.epoch()
        return [json.loads(line) for line in told.read_text().splitlines()]

    def captures(lines: list[dict[str, Any]]) -> list[tuple[int, int]]:
        return [(capture["epoch"], capture["step"]) for line in lines for capture in line["captures"]]

    first = train(0, None)
    assert captures(first) == [(0, 1), (1, 2), (2, 3)]
    assert [line["final"] for line in first] == [False] * (len(first) - 1) + [True]
    both = train(1, (0, 1))
    assert both[: len(first)] == first
    again = both[len(first) :]
    assert again[0]["retired"] > 0 and not again[0]["captures"]
    assert captures(again) == [(1, 2), (2, 3), (3, 4)]
    assert [line["number"] for line in both] == list(range(len(both)))


def test_a_run_whose_creation_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "commits").mkdir(parents=True)
    (run / ".run.json.0123456789abcdef").write_text('{"form')
    model = Perceptron()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, run, optimizer=optimizer) as rec:
        plain(model, optimizer, torch.randn(8, 12), torch.randint(0, 4, (8,)))  # type: ignore[arg-type]
        rec.epoch()
    assert runs.captures(run) == [(0, 1)]
    assert not (run / ".run.json.0123456789abcdef").exists()


def test_what_cannot_be_told_is_said_before_anything_is_recorded(tmp_path: Path) -> None:
    model = Perceptron()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    told = tmp_path / "none" / "told.jsonl"
    rec = sg.record(model, tmp_path / "run", optimizer=optimizer, commits=told, on_error="stop")
    plain(model, optimizer, torch.randn(8, 12), torch.randint(0, 4, (8,)))  # type: ignore[arg-type]
    with pytest.raises(sg.RecordingError, match="cannot write to .*told.jsonl, where commits= is to tell"):
        rec.epoch()
    assert not (tmp_path / "run" / "run.json").exists()


class Parametrized(nn.Module):
    """Of weights that are worked out of others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(12, 16))
        self.second = nn.utils.parametrizations.orthogonal(nn.Linear(16, 16))
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("every", ["2steps", "1epoch", "logsteps,2epochs"])
def test_recorded_values_are_those_of_the_state_bit_by_bit(make: Any, every: str, tmp_path: Path) -> None:
    check_values(make, plain, every, tmp_path)


@pytest.mark.parametrize(
    ("make", "step"), [(Perceptron, autocast), (Transformer, autocast), (Parametrized, plain), (Parametrized, autocast)]
)
def test_values_of_mixed_precision_and_of_parametrizations_are_those_of_the_state(
    make: Any, step: Step, tmp_path: Path
) -> None:
    model = check_values(make, step, "1epoch", tmp_path)
    restored = make()
    sg.open(tmp_path / "run").load_state_dict(restored)
    for name, value in model.items():
        assert same(restored.state_dict()[name], value), name


@pytest.mark.filterwarnings("ignore:.*RNN module weights are not part of single contiguous chunk:UserWarning")
@pytest.mark.parametrize(("make", "step"), [*((make, plain) for make in MODELS), (Transformer, autocast)])
def test_recorded_values_of_compiled_networks_are_those_of_the_state(make: Any, step: Step, tmp_path: Path) -> None:
    check_values(make, step, "2steps", tmp_path, compiled("aot_eager"))


def check_values(
    make: Any, train: Step, every: str, tmp_path: Path, wrapped: Any = lambda model: model
) -> dict[str, Tensor]:
    """The state at the last capture."""
    seeded()
    model = make()
    outer = wrapped(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
    states: dict[int, dict[str, Tensor]] = {0: clone(model)}
    with sg.record(outer, tmp_path / "run", optimizer=optimizer, every=every, record_initial=True) as rec:
        for _ in range(3):
            for start in range(0, 32, 8):
                train(outer, optimizer, x[start : start + 8], y[start : start + 8])
                states[rec.num_steps] = clone(model)
            rec.epoch(held_out=(x, y))
            # In place, right after the capture: what was captured is a copy.
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(0.9)
    values, described = runs.Values(tmp_path / "run", "weights"), runs.layers(tmp_path / "run")
    captures = runs.captures(tmp_path / "run")
    expected = {"2steps": 7, "1epoch": 4, "logsteps,2epochs": 6}
    assert len(captures) == expected[every], captures
    for epoch, step in captures:
        for label, layer in described.items():
            if layer["kind"] == "tap":
                continue  # A hidden state has no weights.
            weight, bias = names_of(layer)
            key = (epoch, step, label)
            assert runs.same_bits(values.weight(*key), states[step][weight].numpy()), (key, weight)
            if bias in states[step]:
                assert runs.same_bits(values.bias(*key), states[step][bias].numpy()), (key, bias)
    return states[captures[-1][1]]


def clone(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def names_of(layer: dict[str, Any]) -> tuple[str, str]:
    named = [tensor["name"] for tensor in layer.get("tensors") or []]
    path = layer["module_path"]
    if named:
        return named[0], named[1] if len(named) > 1 else ""
    if layer["kind"] in ("buffer", "parameter"):
        return path, ""
    return f"{path}.weight", f"{path}.bias"


def test_a_change_in_place_right_after_a_step_is_not_recorded(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(64, 512), nn.Linear(512, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    states = []
    with sg.record(model, tmp_path / "run", optimizer=optimizer, every="1steps", record=["weights"]) as rec:
        for _ in range(20):
            model(torch.randn(4, 64)).sum().backward()
            optimizer.step()
            states.append(clone(model))
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(float("nan")).copy_(torch.randn_like(parameter))
        assert rec.num_steps == 20
    values = runs.Values(tmp_path / "run", "weights")
    for step, state in enumerate(states, 1):
        assert runs.same_bits(values.weight(0, step, "L_0"), state["0.weight"])
        assert runs.same_bits(values.bias(0, step, "L_1"), state["1.bias"])


def test_statistics_are_those_of_numpy(tmp_path: Path) -> None:
    seeded()
    model = Convolutional()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
    with torch.no_grad():
        model.head.weight[0, :3] = 0.0
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=ALL) as rec:
        plain(model, optimizer, x, y)
        rec.epoch(held_out=(x, y))
    for table in ("weights", "gradients", "gradients_applied"):
        for key, found in runs.Values(tmp_path / "run", table).rows.items():
            check_statistics([row["weights"] for row in found], found, "weight", key)
    activations = runs.Values(tmp_path / "run", "activations")
    assert {key[2] for key in activations.rows} == {"conv", "norm", "head"}
    for key, found in activations.rows.items():
        check_statistics([row["activations"] for row in found], found, "activation", key)
        assert all(row["num_samples"] == 32 for row in found)
    model.eval()
    hidden = F.relu(model.norm(model.conv(x.view(-1, 3, 2, 2)))).mean((2, 3))
    recorded = np.array([row["activations"] for row in activations.rows[0, 1, "norm"]]).T
    np.testing.assert_allclose(recorded, hidden.detach(), rtol=1e-5, atol=1e-6)
    logits = model(x).detach()
    rows = sorted(runs.rows(tmp_path / "run", "classifications"), key=lambda row: row["sample"])
    np.testing.assert_allclose([row["outputs"] for row in rows], logits.softmax(1), rtol=1e-5, atol=1e-6)
    losses = F.cross_entropy(logits, y, reduction="none")
    np.testing.assert_allclose([row["loss"] for row in rows], losses, rtol=1e-4, atol=1e-6)
    assert [row["target"] for row in rows] == y.tolist()
    assert [row["predicted"] for row in rows] == logits.argmax(1).tolist()
    figures = runs.metrics(tmp_path / "run")
    assert figures[0, "eval", "accuracy"] == pytest.approx((logits.argmax(1) == y).double().mean().item())
    assert figures[0, "eval", "loss"] == pytest.approx(losses.mean().item(), rel=1e-5)


def check_statistics(values: Any, found: list[dict[str, Any]], prefix: str, key: Any) -> None:
    exact = np.array(values, np.float64)
    expected = {
        "mean": exact.mean(1),
        "std": exact.std(1),
        "min": exact.min(1),
        "max": exact.max(1),
        "l2": np.sqrt((exact**2).sum(1)),
        "l1": np.abs(exact).sum(1),
        "median": np.median(exact, 1),
    }
    for name, value in expected.items():
        got = [row[f"{prefix}_{name}"] for row in found]
        scale = np.abs(exact).max() + 1e-30
        np.testing.assert_allclose(got, value, rtol=2e-6, atol=2e-7 * scale, err_msg=f"{key} {name}")
    zeros = [row["weight_zeros" if prefix == "weight" else "zeros"] for row in found]
    assert zeros == (exact == 0).sum(1).tolist(), key


class Neighbours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        return self.second(torch.relu(torch.sparse.mm(neighbours, self.first(x))))


class Ragged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.stack([torch.relu(self.first(part)).mean(0) for part in x.unbind()]))


@pytest.mark.filterwarnings("ignore:.*beta state:UserWarning", "ignore:.*prototype:UserWarning")
@pytest.mark.parametrize("kind", ["coo", "csr", "nested", "jagged"])
def test_inputs_that_are_not_dense(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    if kind in ("coo", "csr"):
        neighbours = torch.eye(6).to_sparse() if kind == "coo" else torch.eye(6).to_sparse_csr()
        model: nn.Module = Neighbours()
        inputs: tuple[Tensor, ...] = (torch.randn(6, 4), neighbours)
    else:
        parts = [torch.randn(2 + at % 2, 4) for at in range(6)]
        layout = torch.jagged if kind == "jagged" else torch.strided
        model, inputs = Ragged(), (torch.nested.nested_tensor(parts, layout=layout),)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    y = torch.arange(6) % 3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
            F.cross_entropy(model(*inputs), y).backward()
            optimizer.step()
            assert rec.epoch(held_out=lambda model: (model(*inputs), y))
    said = [str(each.message) for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    assert not [message for message in said if "failed" in message or "could not" in message], said
    second = runs.layers(tmp_path / "run")["second"]
    assert second["num_units"] == 3 and list(runs.layers(tmp_path / "run")) == ["first", "second"]
    assert len(runs.rows(tmp_path / "run", "classifications")) == 6
