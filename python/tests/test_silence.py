"""What units say instead, while they are silenced."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import stratigraph_nn as sg
from stratigraph_nn._record import _Unrecorded
from stratigraph_nn._torch.errors import NetworkError
from stratigraph_nn._torch.silence import Silenced, change_of, silenced


class Functional(nn.Module):
    """A sigmoid that is a function, and a residual sum behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.sigmoid(self.first(x))
        return self.last(hidden + self.second(hidden))


def zero(path: str, units: list[int], is_followed: bool | None = True) -> Silenced:
    return Silenced(path, units, is_followed, change_of("zero", None, None, None))


def tap(path: str, units: list[int], num_units: int | None = None) -> Silenced:
    return Silenced(path, units, None, change_of("zero", None, None, None), is_tap=True, num_units=num_units)


def test_a_function_after_the_layer_is_what_is_changed() -> None:
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(5, 6)
    hidden = torch.sigmoid(model.first(x)).detach().clone()
    hidden[:, [1, 4]] = 0.0
    expected = model.last(hidden + model.second(hidden))
    before = model(x)
    with silenced(model, [zero("first", [1, 4])]):
        assert torch.equal(model(x), expected)
        with torch.no_grad():
            assert torch.equal(model(x), expected)
    assert torch.equal(model(x), before)


def test_a_layer_without_a_non_linearity_says_it_itself() -> None:
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(5, 6)
    hidden = torch.sigmoid(model.first(x))
    said = model.second(hidden).clone()
    said[:, 2] *= -2.0
    expected = model.last(hidden + said)
    scale = Silenced("second", [2], False, change_of("scale", -2.0, None, None))
    with silenced(model, [scale]):
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("zero", {}, [0.0, 0.0]),
        ("set", {"value": 1.5}, [1.5, 1.5]),
        ("mean", {"means": [0.25, -4.0]}, [0.25, -4.0]),
        (lambda said: said + 100.0, {}, None),
    ],
)
def test_modes(mode, options, expected) -> None:
    change = change_of(mode, None, options.get("value"), options.get("means"))
    said = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    changed = change(said)
    assert changed.shape == said.shape
    if expected is None:
        assert torch.equal(changed, said + 100.0)
    else:
        assert changed.tolist() == [expected, expected]


def test_channels_are_units_of_a_convolution() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 2))
    x = torch.randn(2, 1, 4, 4)
    values = torch.relu(model[0](x)).detach().clone()
    values[:, 1] = 0.0
    expected = model[3](values.flatten(1))
    with silenced(model, [zero("0", [1])]):
        assert torch.allclose(model(x), expected, atol=0, rtol=0)


def test_gradients_flow_through_what_is_not_silenced() -> None:
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(5, 6)
    with silenced(model, [zero("first", [0, 3])]):
        model(x).sum().backward()
    gradient = model.first.weight.grad
    assert gradient is not None
    assert torch.equal(gradient[[0, 3]], torch.zeros(2, 6))
    assert (gradient[[1, 2, 4]] != 0).all()


def test_hooks_are_gone_after_an_error() -> None:
    model = Functional()
    clean = copy.deepcopy(model)
    with pytest.raises(RuntimeError, match="mine"), silenced(model, [zero("first", [0])]):
        raise RuntimeError("mine")
    assert not any(module._forward_hooks for module in model.modules())
    x = torch.randn(2, 6)
    assert torch.equal(model(x), clean(x))


def test_what_is_not_there_is_named() -> None:
    model = Functional()
    with (
        pytest.raises(NetworkError, match="no layer 'third': it has first, second, last"),
        silenced(model, [zero("third", [0])]),
    ):
        pass
    with (
        pytest.raises(NetworkError, match="first has 8 units, the structure has unit 8"),
        silenced(model, [zero("first", [8])]),
    ):
        pass
    with pytest.raises(ValueError, match="factor goes with mode='scale'"):
        change_of("scale", None, None, None)
    with pytest.raises(ValueError, match="mode is one of zero, mean, scale, set"):
        change_of("off", None, None, None)


def test_compiled_code_sees_it() -> None:
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(5, 6)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    with silenced(compiled, [zero("first", list(range(8)))]):
        expected = model.last(torch.zeros(5, 8) + model.second(torch.zeros(5, 8)))
        assert torch.equal(compiled(x), expected)


class Between(nn.Module):
    """What stands between a layer and what hears it, as a function."""

    def __init__(self, between) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.between(self, self.first(x)))


def _ignored(_: nn.Module, h: torch.Tensor) -> torch.Tensor:
    torch.relu_(h)
    return h


def _in_place(_: nn.Module, h: torch.Tensor) -> torch.Tensor:
    size = h.shape
    return h.relu_().view(size)


def _normed(model: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return torch.relu(model.norm(h))


@pytest.mark.parametrize(
    ("between", "with_gradients", "problem"),
    [
        (_ignored, True, "first ran without its units being silenced: its non-linearity works in place"),
        (_ignored, False, None),
        (_in_place, True, None),
        (_in_place, False, None),
        (_normed, True, "first ran without its units being silenced: a non-linearity is expected right after it"),
        (_normed, False, "first ran without its units being silenced: a non-linearity is expected right after it"),
    ],
)
def test_a_layer_that_is_not_silenced_is_named(between, with_gradients: bool, problem: str | None) -> None:
    torch.manual_seed(0)
    model, x = Between(between), torch.randn(5, 6)
    plain = model(x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with silenced(model, [zero("first", list(range(8)))]), torch.set_grad_enabled(with_gradients):
            said = [model(x) for _ in range(2)]
    assert torch.equal(said[0], plain) == (problem is not None)
    assert [str(each.message).startswith(problem or "") for each in caught] == [True] * (problem is not None)
    assert all(each.filename == __file__ for each in caught)


def test_a_layer_that_did_not_run_is_not_spoken_of() -> None:
    model = Between(_normed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silenced(model, [zero("first", [0])]):
            model.last(torch.zeros(2, 8))


def _module(model: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return model.gelu(h)


def _sigmoid(_: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(input=h)


def _functional_in_place(_: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return nn.functional.relu(h, inplace=True) + 1.0


def _dropped(_: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(nn.functional.dropout(h, 0.0) * 1.0)


class GELUActivation(nn.Module):
    """One of several functions, as transformers has them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x * (1.0 + torch.erf(x / 2.0**0.5))


@pytest.mark.parametrize("with_gradients", [True, False])
@pytest.mark.parametrize(
    ("between", "after"),
    [
        (_sigmoid, lambda _, h, change: change(torch.sigmoid(h))),
        (_module, lambda model, h, change: change(model.gelu(h))),
        (_ignored, lambda _, h, change: change(torch.relu(h))),
        (_in_place, lambda _, h, change: change(torch.relu(h))),
        (_functional_in_place, lambda _, h, change: change(torch.relu(h)) + 1.0),
        # No non-linearity of the layer's own: its own output is its activation.
        (_normed, lambda model, h, change: torch.relu(model.norm(change(h)))),
        (_dropped, lambda _, h, change: torch.sigmoid(change(h))),
    ],
)
def test_the_live_network_tells_whether_a_non_linearity_follows(between, after, with_gradients: bool) -> None:
    torch.manual_seed(0)
    model, x = Between(between), torch.randn(5, 6)
    model.gelu = GELUActivation()

    def change(said: torch.Tensor) -> torch.Tensor:
        return torch.cat([said[:, :3], torch.full_like(said[:, 3:5], 0.75), said[:, 5:]], 1)

    expected = model.last(after(model, model.first(x), change))
    weight = torch.autograd.grad(expected.sum(), model.first.weight)[0]
    change_of_units = change_of("set", None, 0.75, None)
    with (
        silenced(model, [Silenced("first", [3, 4], None, change_of_units)]),
        torch.set_grad_enabled(with_gradients),
    ):
        for _ in range(2):
            said = model(x)
            assert torch.equal(said, expected)
            if with_gradients:
                assert torch.equal(torch.autograd.grad(said.sum(), model.first.weight)[0], weight)


@pytest.mark.parametrize("between", [_sigmoid, _ignored, _module])
def test_layers_that_are_silenced_one_in_the_other_are_both(between) -> None:
    torch.manual_seed(0)
    model, x = Between(between), torch.randn(5, 6)
    model.gelu = GELUActivation()
    expected = between(model, model.first(x)).detach().clone()
    expected[:, 1], expected[:, 6] = 3.0, 4.0
    heard: list[torch.Tensor] = []
    model.last.register_forward_pre_hook(lambda _, args: heard.append(args[0].detach().clone()))
    outer, inner = (
        Silenced("first", [unit], None, change_of("set", None, value, None)) for unit, value in ((1, 3.0), (6, 4.0))
    )
    with silenced(model, [outer]), silenced(model, [inner]):
        model(x)
    assert torch.equal(heard[0], expected)


@pytest.mark.parametrize(
    ("change", "given"),
    [
        (lambda said: said.sum(-1), r"\[5\]"),
        (lambda said: said[..., :1], r"\[5, 1\]"),
        (lambda said: 0.0, "a float"),
    ],
)
def test_a_function_that_gives_another_shape_is_told_so(change, given: str) -> None:
    model, x = Functional(), torch.randn(5, 6)
    told = rf"the units of first cannot be silenced: the function <lambda> was given a tensor \[5, 2\].*gives {given}"
    for is_followed in (True, None):
        with (
            silenced(model, [Silenced("first", [0, 1], is_followed, change)]),
            pytest.raises(NetworkError, match=told),
        ):
            model(x)


RECURRENT: dict[str, Any] = {
    "rnn": lambda: nn.RNN(3, 4, batch_first=True),
    "gru, two layers": lambda: nn.GRU(3, 4, num_layers=2),
    "lstm, both directions": lambda: nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True),
    "lstm, projected": lambda: nn.LSTM(3, 6, proj_size=4, batch_first=True),
}


class Recurrent(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.rnn = RECURRENT[kind]()

    def forward(self, x: Any) -> Any:
        return self.rnn(x)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("kind", RECURRENT)
def test_a_hidden_state_is_silenced_at_all_positions_and_after_the_last(kind: str, is_packed: bool) -> None:
    torch.manual_seed(0)
    model = Recurrent(kind)
    first = model.rnn.batch_first
    x: Any = torch.randn(2, 5, 3) if first else torch.randn(5, 2, 3)
    if is_packed:
        x = pack_padded_sequence(x, torch.tensor([3, 5]), batch_first=first, enforce_sorted=False)
    with torch.no_grad():
        before, last_before = model(x)
        with silenced(model, [tap("rnn.hidden", [0, 3], num_units=4)]):
            after, last_after = model(x)
    if is_packed:
        assert [torch.equal(*pair) for pair in zip(before[1:], after[1:], strict=True)] == [True] * 3
        _, lengths = pad_packed_sequence(after, batch_first=True)
        assert lengths.tolist() == [3, 5]
        before, after = before.data, after.data
    expected = before.clone()
    expected[..., [0, 3]] = 0
    assert torch.equal(after, expected) and after.abs().sum() > 0
    if isinstance(model.rnn, nn.LSTM):
        assert torch.equal(last_after[1], last_before[1]), "what it remembers stays"
        last_before, last_after = last_before[0], last_after[0]
    expected = last_before.clone()
    # The second direction's units are behind the first one's.
    for unit in (0, 3):
        row, column = divmod(unit, expected.shape[-1])
        expected[row - (2 if model.rnn.bidirectional else 1), ..., column] = 0
    assert torch.equal(last_after, expected) and not torch.equal(last_after, last_before)
    with torch.no_grad():
        again = model(x)[0]
    assert torch.equal(again.data if is_packed else again, before)


class Cells(nn.Module):
    """Called position by position, so that what is silenced is heard at the next."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.cell, self.head = kind(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, without: Sequence[int] = ()) -> torch.Tensor:
        state: Any = None
        for position in range(x.shape[1]):
            state = self.cell(x[:, position], state)
            if without:
                hidden = (state[0] if isinstance(state, tuple) else state).clone()
                hidden[:, list(without)] = 0
                state = (hidden, state[1]) if isinstance(state, tuple) else hidden
        return self.head(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_cell_hears_what_is_silenced(kind: Any) -> None:
    torch.manual_seed(0)
    model, x = Cells(kind), torch.randn(2, 5, 3)
    with silenced(model, [tap("cell.hidden", [1, 2], num_units=4)]):
        said = model(x)
    assert torch.equal(said, model(x, [1, 2])) and not torch.equal(said, model(x))
    said.sum().backward()
    assert model.cell.weight_ih.grad is not None


class Tapping(nn.Module):
    """With a stream that no module makes, its units along the first axis behind the samples."""

    def __init__(self, how: str = "goes on") -> None:
        super().__init__()
        self.inner, self.head, self.how = nn.Linear(4, 6), nn.Linear(6, 2), how
        self.rec: Any = _Unrecorded()

    def stream(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.inner(x)) + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.stream(x)
        if self.how == "goes on":
            hidden = self.rec.tap("stream", hidden.unsqueeze(2), unit_axis=1).squeeze(2)
        elif self.how == "does not":
            self.rec.tap("stream", hidden)
        elif self.how == "gives it":
            return self.rec.tap("stream", hidden)
        return self.head(hidden)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_what_a_model_taps_is_silenced_in_that_model_alone(with_gradients: bool) -> None:
    torch.manual_seed(0)
    model, x = Tapping(), torch.randn(5, 4)
    other = copy.deepcopy(model)
    hidden = model.stream(x).detach().clone()
    hidden[:, [0, 5]] = 0
    before = model(x)
    with silenced(model, [tap("stream", [0, 5], num_units=6)]), torch.set_grad_enabled(with_gradients):
        said = model(x)
        assert torch.equal(said, model.head(hidden))
        assert torch.equal(other(x), before), "another model taps by the same name"
        wrapped = nn.Sequential(model)
        assert torch.equal(wrapped(x), said)
    if with_gradients:
        said.sum().backward()
        gradient = model.inner.weight.grad
        assert gradient is not None and torch.equal(gradient[[0, 5]], torch.zeros(2, 4)) and (gradient[1] != 0).all()
    assert torch.equal(model(x), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    given = Tapping("gives it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silenced(given, [tap("stream", [1], num_units=6)]):
            assert torch.equal(given(x)[:, 1], torch.zeros(5))


class Checkpointing(Tapping):
    """What it taps is computed anew in the backward pass, outside of any module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def hidden(x: torch.Tensor) -> torch.Tensor:
            return self.rec.tap("stream", self.stream(x))

        return self.head(checkpoint(hidden, x, use_reentrant=self.how == "reentrant"))


@pytest.mark.parametrize("how", ["reentrant", "not reentrant"])
def test_what_is_tapped_anew_for_a_backward_pass_is_silenced_there(how: str) -> None:
    model, x = Checkpointing(how), torch.randn(5, 4, requires_grad=True)
    with silenced(model, [tap("stream", [0, 5], num_units=6)]):
        model(x).sum().backward()
    gradient = model.inner.weight.grad
    assert gradient is not None and torch.equal(gradient[[0, 5]], torch.zeros(2, 4)) and (gradient[1] != 0).any()


def test_a_hook_that_fails_before_ours_leaves_taps_silenced_within_the_model_alone() -> None:
    model, x = Tapping("gives it"), torch.randn(5, 4)

    def fails(*_: Any) -> None:
        raise RuntimeError("not now")

    with silenced(model, [tap("stream", [0], num_units=6)]):
        handle = model.register_forward_pre_hook(fails, prepend=True)
        with pytest.raises(RuntimeError, match="not now"):
            model(x)
        handle.remove()
        assert torch.equal(model(x)[:, 0], torch.zeros(5))
        assert model.rec.tap("stream", torch.ones(5, 6)).sum() == 30


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("does not", "goes on with what it has tapped; it is silenced where that goes on with what it is given back"),
        ("is not tapped", "has tapped nothing of that name"),
    ],
)
def test_a_tap_that_is_not_silenced_is_said(how: str, words: str) -> None:
    model = Tapping(how)
    with pytest.warns(UserWarning, match=f"stream ran without its units being silenced: .*{words}"):
        with silenced(model, [tap("stream", [0], num_units=6)]):
            model(torch.randn(5, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silenced(model, [tap("stream", [0], num_units=6)]):
            model.stream(torch.randn(5, 4))


def test_a_tap_of_another_size_is_said() -> None:
    model = Tapping()
    problem = r"stream is \[5, 6, 1\] with units along axis 1, and had 7 units when it was recorded"
    with pytest.raises(NetworkError, match=problem), silenced(model, [tap("stream", [0], num_units=7)]):
        model(torch.randn(5, 4))
    # The call that has failed has ended.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silenced(model, [tap("stream", [0], num_units=6)]):
            assert model.rec.tap("stream", torch.ones(5, 6)).sum() == 30


class Inside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.gru = nn.MultiheadAttention(4, 2), nn.GRU(4, 3)
        self.norm, self.scale = nn.BatchNorm1d(4), nn.Parameter(torch.ones(4))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "gru.weight_ih_l0",
            "gru.weight_ih_l0 has gates of a recurrent module, whose values stay inside PyTorch's function, so that they "
            "cannot be silenced: silence units of its hidden state, gru.hidden",
        ),
        (
            "attention.in_proj_weight",
            "attention.in_proj_weight makes queries, keys and values, which stay inside PyTorch's function, so that they "
            "cannot be silenced: silence units of attention.out_proj",
        ),
        (
            "norm.running_mean",
            "norm.running_mean is a buffer, and no module's output has its units, so that they cannot be silenced: tap "
            "what the model makes of it, by rec.tap, and silence that, or change its values",
        ),
        ("scale", "scale is a parameter, and no module's output has its units"),
    ],
)
def test_what_stays_inside_a_function_is_refused_with_what_to_silence_instead(path: str, words: str) -> None:
    with pytest.raises(NetworkError) as refused, silenced(Inside(), [zero(path, [0])]):
        pass
    assert str(refused.value).startswith(words)


class Mixed(nn.Module):
    """Layers, and parameters beside them that say nothing by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(6))
        self.words = nn.Embedding(7, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.attention = nn.MultiheadAttention(5, 1, batch_first=True)
        self.norm = nn.BatchNorm1d(5)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4))
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.words(x) + self.token)
        hidden, _ = self.attention(hidden, hidden, hidden)
        return self.out(torch.relu(self.normed(self.norm(hidden.mean(1)))))


def test_neurons_that_are_told_are_those_that_can_be_silenced(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Mixed(), torch.randint(0, 7, (20, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    targets = torch.randint(0, 3, (20,))
    with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
        nn.functional.cross_entropy(model(x), targets).backward()
        optimizer.step()
        rec.epoch(held_out=(x, targets))
    run = sg.open(tmp_path / "run")
    first = {layer["layer"]: layer["first_neuron"] for layer in run.info["layers"]}
    # The dimensions of an embedding come after all rows of weights.
    starts = first | {"words": first["out"] + 3}
    said = {
        "words": 6,
        "lstm.hidden": 5,
        "attention.out_proj": 5,
        "norm": 5,
        "normed.parametrizations.weight.original1": 4,
    }
    told = {layer: range(starts[layer], starts[layer] + num_units) for layer, num_units in said.items()}
    those = ", ".join(f"{of[0]} to {of[-1]} ({layer})" for layer, of in told.items())
    with pytest.raises(sg.QueryError, match=re.escape(f"there is no neuron 999: those that can be silenced are {those}")):
        sg.silenced(model, run, neurons=[999])
    with pytest.raises(sg.QueryError, match=re.escape(f"there is no neuron 999: those before the outputs are {those}")):
        run.structures.label("mine", neurons=[999])
    # All of them can be, and nothing else that has a number, but outputs.
    for layer, neurons in told.items():
        with sg.silenced(model, run, neurons=[neurons[0]]):
            model(x)
    for layer in set(first) - set(told) - {"out"}:
        with pytest.raises(NetworkError, match="cannot be silenced"), sg.silenced(model, run, neurons=[first[layer]]):
            pass
    paths = {"norm": "no.such"}
    says = "the model has no layer 'no.such': it has words, attention.out_proj, norm, "
    with pytest.raises(NetworkError, match=re.escape(says)) as raised:
        with sg.silenced(model, run, neurons=[first["norm"]], paths=paths):
            pass
    assert "bias" not in str(raised.value) and "running" not in str(raised.value), raised.value
