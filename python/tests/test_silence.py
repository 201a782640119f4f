"""What units say instead, while they are silenced."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

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


def zero(path: str, units: list[int], is_followed: bool = True) -> Silenced:
    return Silenced(path, units, is_followed, change_of("zero", None, None, None))


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
    with pytest.raises(NetworkError, match="no layer 'third': it has first, second, last"), silenced(
        model, [zero("third", [0])]
    ):
        pass
    with pytest.raises(NetworkError, match="first has 8 units, the structure has unit 8"), silenced(
        model, [zero("first", [8])]
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
