"""Hidden states of recurrent modules are layers without weights, which others hear."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import stratigraph_nn as sg

KINDS: dict[str, Any] = {
    "lstm": lambda: nn.LSTM(3, 4, num_layers=2, batch_first=True),
    "time first": lambda: nn.GRU(3, 4),
    "both directions": lambda: nn.RNN(3, 4, batch_first=True, bidirectional=True),
    "projected": lambda: nn.LSTM(3, 6, proj_size=4, batch_first=True),
}


class Sequences(nn.Module):
    """Its head hears the state at the last position, as the module's outputs or as its last state."""

    def __init__(self, kind: str, hears: str) -> None:
        super().__init__()
        self.rnn = KINDS[kind]()
        self.wide = nn.Linear(8 if kind == "both directions" else 4, 5)
        self.head = nn.Linear(5, 3)
        self.hears = hears

    def states(self, x: Tensor) -> tuple[Tensor, Any]:
        return self.rnn(x if self.rnn.batch_first else x.transpose(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        outputs, last = self.states(x)
        if self.hears == "outputs":
            state = outputs[:, -1] if self.rnn.batch_first else outputs[-1]
        else:
            last = last[0] if isinstance(self.rnn, nn.LSTM) else last
            state = torch.cat([last[-2], last[-1]], 1) if self.rnn.bidirectional else last[-1]
        return self.head(torch.relu(self.wide(state)))


def recorded(model: nn.Module, x: Tensor, y: Tensor, run: Path, **options: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, run, optimizer=optimizer, on_error="stop", batch_size=4, **options) as rec:
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            assert rec.epoch(held_out=(x, y))


@pytest.mark.filterwarnings("error::stratigraph_nn.StratigraphWarning")
@pytest.mark.parametrize("hears", ["outputs", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_state_is_a_layer_behind_its_gates_that_others_hear(kind: str, hears: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, run = Sequences(kind, hears), tmp_path / "run"
    # As many positions as samples in a batch.
    x, y = torch.randn(10, 4, 3), torch.randint(0, 3, (10,))
    recorded(model, x, y, run)
    described = runs.layers(run)
    gates = [label for label in described if label.startswith("rnn.weight")]
    assert list(described) == [*gates, "rnn.hidden", "wide", "head"]
    hidden, num_units = described["rnn.hidden"], model.wide.in_features
    assert (hidden["kind"], hidden["num_units"], hidden["fan_in"]) == ("tap", num_units, 0)
    (source,) = described["wide"]["source"]
    assert (source["from"], source["start"], source["count"]) == ("rnn.hidden", 0, num_units)
    activations = runs.Values(run, "activations").rows
    assert {layer for _, _, layer in activations} == {"rnn.hidden", "wide", "head"}
    states = model.states(x)[0].detach()
    expected = states.mean(1 if model.rnn.batch_first else 0)
    found = np.array([row["activations"] for row in activations[1, 2, "rnn.hidden"]]).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    weights = runs.Values(run, "weights")
    assert runs.same_bits(weights.weight(1, 2, "wide"), model.wide.weight.detach())
    assert runs.same_bits(weights.weight(1, 2, gates[-1]), model.rnn.get_parameter(gates[-1][4:]).detach())
    restored = Sequences(kind, hears)
    sg.open(run).load_state_dict(restored)
    assert torch.equal(restored(x), model(x))


class Lengths(nn.Module):
    """Of sequences of different lengths, and cells that are called position by position."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.cell, self.head = nn.GRU(3, 4, batch_first=True), nn.LSTMCell(3, 5), nn.Linear(9, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        state: Any = None
        for position in range(x.shape[1]):
            state = self.cell(x[:, position], state)
        return self.head(torch.cat([last[-1], state[0]], 1))


def test_sequences_of_different_lengths_and_cells(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, run = Lengths(), tmp_path / "run"
    x, y, lengths = torch.randn(6, 4, 3), torch.randint(0, 3, (6,)), torch.tensor([2, 4, 1, 3, 4, 2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, run, optimizer=optimizer, on_error="stop") as rec:
        F.cross_entropy(model(x, lengths), y).backward()
        optimizer.step()
        assert rec.epoch(held_out=((x, lengths), y))
    described = runs.layers(run)
    assert [(each["from"], each["count"]) for each in described["head"]["source"]] == [
        ("gru.hidden", 4),
        ("cell.hidden", 5),
    ]
    activations = runs.Values(run, "activations").rows
    with torch.no_grad():
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(model.gru(packed)[0], batch_first=True)
        state: Any = None
        for position in range(4):
            state = model.cell(x[:, position], state)
    for label, expected in (("gru.hidden", states.sum(1) / lengths.unsqueeze(1)), ("cell.hidden", state[0])):
        found = np.array([row["activations"] for row in activations[0, 1, label]]).T
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_tap_of_the_same_name_is_what_it_says(tmp_path: Path) -> None:
    class Tapped(Sequences):
        rec: sg.Recorder | None = None

        def forward(self, x: Tensor) -> Tensor:
            made = super().forward(x)
            if self.rec is not None:
                self.rec.tap("rnn.hidden", made)
            return made

    torch.manual_seed(0)
    model = Tapped("lstm", "outputs")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(10, 4, 3), torch.randint(0, 3, (10,))
    with sg.record(model, tmp_path / "run", optimizer=optimizer, on_error="stop") as rec:
        model.rec = rec
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert rec.epoch(held_out=(x, y))
    described = runs.layers(tmp_path / "run")
    assert described["rnn.hidden"]["num_units"] == 3 and described["wide"]["source"] is None


class Tapped(nn.Module):
    """With a hidden state, and a stream that its own code makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 3)
        self.rec: Any = None

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x)
        stream = states[:, -1] * 2 + 1
        return self.head(stream if self.rec is None else self.rec.tap("stream", stream))


@pytest.fixture(scope="module")
def tapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[sg.Run, Tapped, Tensor, Tensor]:
    torch.manual_seed(0)
    model, run = Tapped(), tmp_path_factory.mktemp("tapped") / "run"
    x, y = torch.randn(30, 4, 3), torch.randint(0, 3, (30,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, run, optimizer=optimizer, on_error="stop") as rec:
        model.rec = rec
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert rec.epoch(held_out=(x, y))
    opened = sg.open(run)
    opened.structures.label("state", neurons=["gru.hidden:36", "gru.hidden:39"], class_=1)
    opened.structures.label("stream", neurons=["stream:43"], class_=2)
    return opened, model, x, y


def changed_by_hand(model: Tapped, x: Tensor, where: str, units: list[int], value: Tensor | float) -> Tensor:
    with torch.no_grad():
        states = model.gru(x)[0][:, -1].clone()
        if where == "state":
            states[:, units] = value
        stream = states * 2 + 1
        if where == "stream":
            stream[:, units] = value
        return model.head(stream)


@pytest.mark.parametrize(("structure", "units"), [("state", [0, 3]), ("stream", [1])])
def test_units_of_hidden_states_and_taps_are_silenced_and_measured(
    structure: str, units: list[int], tapped: tuple[sg.Run, Tapped, Tensor, Tensor]
) -> None:
    run, model, x, y = tapped
    layers = {layer["layer"]: layer["first_neuron"] for layer in run.info["layers"]}
    assert layers == {"gru.weight_ih_l0": 0, "gru.weight_hh_l0": 18, "gru.hidden": 36, "stream": 42, "head": 48}
    before = model(x).detach()
    loaded = pickle.loads(pickle.dumps(model))
    for each in (model, loaded):
        with torch.no_grad(), run.structures[structure].silenced(each):
            assert torch.equal(each(x), changed_by_hand(model, x, structure, units, 0.0))
        assert torch.equal(each(x), before)
    layer = "gru.hidden" if structure == "state" else "stream"
    rows = run.sql(f"SELECT activation_mean FROM activations WHERE layer = '{layer}' ORDER BY unit").rows()
    means = torch.tensor([row[0] for row in rows])[units]
    for mode, value in (("zero", 0.0), ("mean", means)):
        found = sg.ablate(model, run, structure=structure, held_out=(x, y), mode=mode, draws=5, half="all")
        after = changed_by_hand(model, x, structure, units, value)
        expected = float((after.argmax(1) == y).double().mean()), float(F.cross_entropy(after, y))
        of_all = {row["metric"]: row for row in found.table.to_dicts() if row["samples"] == "all"}
        assert of_all["accuracy"]["after"] == pytest.approx(expected[0])
        assert of_all["loss"]["after"] == pytest.approx(expected[1], rel=1e-5), mode
    assert torch.equal(model(x), before)


def test_gates_are_refused_with_what_to_silence_instead(tapped: tuple[sg.Run, Tapped, Tensor, Tensor]) -> None:
    run, model, x, y = tapped
    words = "gru.weight_ih_l0 has gates of a recurrent module.*silence units of its hidden state, gru.hidden"
    with pytest.raises(sg.NetworkError, match=words), sg.silenced(model, run, neurons=["gru.weight_ih_l0:2"]):
        pass
    with pytest.raises(sg.NetworkError, match=words):
        sg.ablate(model, run, neurons=["gru.weight_ih_l0:2"], held_out=(x, y), draws=2)
    untapped = Tapped()
    untapped.load_state_dict(model.state_dict())
    with pytest.raises(sg.NetworkError, match="stream ran without its units being silenced.*tapped nothing of that name"):
        sg.ablate(untapped, run, structure="stream", held_out=(x, y), draws=2)
