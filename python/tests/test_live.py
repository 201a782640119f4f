"""A recorded network goes back into a model, and a recorded structure is silenced in one."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import stratigraph_nn as sg


class Mixed(nn.Module):
    """Tied weights, a norm with buffers, a recurrent layer, and a layer of 16-bit floats."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.norm = nn.BatchNorm1d(5)
        self.short = nn.Linear(5, 6).to(torch.bfloat16)
        self.output = nn.Linear(6, 11)
        self.output.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embedding(x))
        hidden = self.norm(hidden[:, -1])
        return self.output(torch.relu(self.short(hidden.to(torch.bfloat16))).float())


def test_each_recorded_epoch_goes_back_into_a_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, y = Mixed(), torch.randint(0, 11, (40, 4)), torch.randint(0, 11, (40,))
    optimizer = torch.optim.Adam(model.parameters())
    states = []
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=["weights", "metrics"]) as recorder:
        for _ in range(3):
            for _ in range(2):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            assert recorder.epoch()
            states.append({name: value.clone() for name, value in model.state_dict().items()})
    run = sg.open(tmp_path / "run")
    for epoch, expected in enumerate(states):
        fresh = Mixed()
        counted = fresh.norm.num_batches_tracked.clone()
        run.load_state_dict(fresh, epoch=epoch)
        for name, value in fresh.state_dict().items():
            if name == "norm.num_batches_tracked":
                assert torch.equal(value, counted)
            else:
                assert value.dtype == expected[name].dtype
                assert torch.equal(value, expected[name]), f"{name} of epoch {epoch}"
        assert fresh.output.weight is fresh.embedding.weight
    with pytest.raises(sg.QueryError, match="7"):
        run.state_dict(epoch=7)
    with pytest.raises(RuntimeError, match="Missing key"):
        run.load_state_dict(nn.Sequential(nn.Linear(2, 2)))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[sg.Run, nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("live") / "run"
    x = torch.randn(300, 6)
    y = (x[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    with sg.record(model, path, optimizer=optimizer, labels={"0": "hidden"}) as recorder:
        for _ in range(2):
            for start in range(0, 200, 20):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[start : start + 20]), y[start : start + 20]).backward()
                optimizer.step()
            recorder.epoch(held_out=(x[200:], y[200:]))
    run = sg.open(path)
    run.structures.label("mine", neurons=["hidden:1", "hidden:3"], class_=1)
    return run, model, x[200:], y[200:]


def said(model: nn.Module, x: torch.Tensor, instead: torch.Tensor) -> torch.Tensor:
    """What the network says where units 1 and 3 of the hidden layer say something else."""
    hidden = torch.sigmoid(model[0](x)).detach().clone()
    hidden[:, [1, 3]] = instead.expand(len(x), 2)
    return model[2](hidden)


def test_a_structure_is_silenced_by_its_label(labelled: tuple[sg.Run, nn.Module, torch.Tensor, torch.Tensor]) -> None:
    run, model, x, _ = labelled
    structure = run.structures["mine"]
    before = model(x)
    with structure.silenced(model):
        assert torch.equal(model(x), said(model, x, torch.zeros(2)))
    with structure.silenced(model, "set", value=0.25):
        assert torch.equal(model(x), said(model, x, torch.full((2,), 0.25)))
    assert torch.equal(model(x), before)


def test_neurons_are_a_list_and_epochs_have_no_gaps(
    labelled: tuple[sg.Run, nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    structures = labelled[0].structures
    with pytest.raises(TypeError, match=r"neurons are a list, as neurons=\['12'\], not a text"):
        structures.label("text", neurons="12")
    with pytest.raises(ValueError, match=r"range\(0, 100, 2\) leaves some out"):
        structures.label("gaps", neurons=[1], epochs=range(0, 100, 2))
    assert "text" not in structures and "gaps" not in structures


def test_the_mean_is_the_one_that_was_recorded(labelled: tuple[sg.Run, nn.Module, torch.Tensor, torch.Tensor]) -> None:
    run, model, x, _ = labelled
    means = torch.sigmoid(model[0](x)).double().mean(0)[[1, 3]].float()
    with run.structures["mine"].silenced(model, "mean"):
        assert torch.allclose(model(x), said(model, x, means.detach()), atol=1e-6)
    with pytest.raises(sg.QueryError, match="no activations of layer hidden were recorded at epoch 9"):
        run.structures["mine"].silenced(model, "mean", epoch=9)


def test_a_layer_may_stand_elsewhere(labelled: tuple[sg.Run, nn.Module, torch.Tensor, torch.Tensor]) -> None:
    run, model, x, _ = labelled
    wrapped = nn.ModuleDict({"body": model})
    structure = run.structures["mine"]
    with pytest.raises(ValueError, match="the model has no layer '0'"), structure.silenced(wrapped):
        pass
    with structure.silenced(wrapped, paths={"hidden": "body.0"}):
        assert torch.equal(wrapped["body"](x), said(model, x, torch.zeros(2)))


class Odd(nn.Module):
    """With a part that is compiled, and one that is checkpointed, and a tensor that no trace can hold."""

    def __init__(self, wrapped: bool) -> None:
        super().__init__()
        first, second = nn.Linear(6, 5), nn.Sequential(nn.Linear(5, 4), nn.Tanh())
        self.first = torch.compile(first, backend="eager") if wrapped else first
        self.second = checkpoint_wrapper(second) if wrapped else second
        self.last = nn.Linear(4, 3)
        self.register_buffer("turns", torch.ones(3, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.second(torch.relu(self.first(x))))


@pytest.mark.parametrize("wrapped", [True, False])
def test_parts_that_are_compiled_and_tensors_that_were_left_out(wrapped: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, y = Odd(wrapped), torch.randn(30, 6), torch.randint(0, 3, (30,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"layers": ["first", "second.*", "last"], "on_error": "stop"}
    with sg.record(model, tmp_path / "run", optimizer=optimizer, **options) as recorder:
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert recorder.epoch(held_out=(x, y))
    run = sg.open(tmp_path / "run")
    assert [layer["layer"] for layer in run.info["layers"]] == ["first", "second.0", "last"]
    for other in (Odd(True), Odd(False)):
        run.load_state_dict(other)
        assert torch.equal(other(x), model(x))
    with sg.silenced(model, run, neurons=["second.0:5"]):
        hidden = model.second(torch.relu(model.first(x)))
        assert torch.equal(hidden[:, 0], torch.zeros(30)) and (hidden[:, 1:] != 0).all()
    with warnings.catch_warnings():
        # Nothing is said of weights that would be others.
        warnings.simplefilter("error", sg.StratigraphWarning)
        found = sg.ablate(model, run, neurons=["first:1"], held_out=(x, y), draws=3)
    assert found.table.to_dicts()
    with torch.no_grad():
        model.last.weight[0, 0] += 1
    with pytest.raises(sg.QueryError, match="last.weight differs by up to 1"):
        sg.ablate(model, run, neurons=["first:1"], held_out=(x, y), draws=3)


def parametrized() -> nn.Sequential:
    """Of weights that are worked out of others."""
    of = nn.utils.parametrizations
    return nn.Sequential(
        of.weight_norm(nn.Linear(6, 5)),
        nn.ReLU(),
        of.orthogonal(nn.Linear(5, 5)),
        nn.Tanh(),
        of.spectral_norm(nn.Linear(5, 3)),
    )


def test_layers_of_parametrized_weights_are_recorded_put_back_and_silenced(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, y = parametrized(), torch.randn(30, 6), torch.randint(0, 3, (30,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, on_error="stop") as recorder:
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert recorder.epoch(held_out=(x, y))
    run, model = sg.open(tmp_path / "run"), model.eval()
    other = parametrized().eval()
    assert not torch.equal(other(x), model(x))
    run.load_state_dict(other)
    assert torch.equal(other(x), model(x))

    # The units of a module are those of the weight that its directions are kept in.
    first = {layer["layer"]: layer["first_neuron"] for layer in run.info["layers"]}
    direction, square = "L_0.parametrizations.weight.original1", "L_2.parametrizations.weight.original"
    units = [(direction, 1), (direction, 3), (square, 2)]
    neurons = [f"{label}:{first[label] + unit}" for label, unit in units]
    with torch.no_grad():
        hidden = torch.relu(model[0](x))
        hidden[:, [1, 3]] = 0
        hidden = torch.tanh(model[2](hidden))
        hidden[:, 2] = 0
        expected, whole = model[4](hidden), model(x)
    with sg.silenced(other, run, neurons=neurons), torch.no_grad():
        assert torch.equal(other(x), expected) and not torch.equal(expected, whole)
    assert torch.equal(other(x), whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sg.StratigraphWarning)
        found = sg.ablate(other, run, neurons=neurons, held_out=(x, y), draws=3)
    (loss,) = [row for row in found.table.to_dicts() if (row["samples"], row["metric"]) == ("all", "loss")]
    cross_entropy = [nn.functional.cross_entropy(logits, y).item() for logits in (whole, expected)]
    assert [loss["before"], loss["after"]] == pytest.approx(cross_entropy, rel=1e-6)
    # What no output has the units of is refused.
    bias = f"L_0.bias:{first['L_0.bias']}"
    with pytest.raises(sg.NetworkError, match="0.bias is a parameter, and no module's output has its units"):
        with sg.silenced(other, run, neurons=[bias]):
            pass


#: How long what was captured may take until it is committed, in seconds.
PATIENCE = 60.0


def test_a_run_is_opened_and_asked_while_it_is_recorded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
    run: sg.Run | None = None
    with sg.record(model, tmp_path / "run", optimizer=optimizer, on_error="stop") as recorder:
        for epoch in range(3):
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            assert recorder.epoch(held_out=(x, y))
            until = time.monotonic() + PATIENCE
            while run is None or run.epochs != [*range(epoch + 1)]:
                assert time.monotonic() < until, "it was not committed"
                time.sleep(0.02)
                run = sg.open(tmp_path / "run") if run is None else run.refresh()
            assert run.is_being_recorded
            rows = run.sql("SELECT DISTINCT epoch FROM weights ORDER BY epoch").rows()
            assert rows == [(each,) for each in range(epoch + 1)]
            assert torch.equal(run.state_dict(epoch=epoch)["2.weight"], model[2].weight)
            assert run.verify().problems == []
    assert run is not None and not run.refresh().is_being_recorded
