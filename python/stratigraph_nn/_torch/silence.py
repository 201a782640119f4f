"""Changes what chosen units of a live network say, and takes the change back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .errors import NetworkError
from .layers import Layer, Network, describe
from .nonlinear import Nonlinearities, first_tensor

__all__ = ["MODES", "Hooks", "Silenced", "silenced"]

MODES = ("zero", "mean", "scale", "set")

#: What units say instead: of ``[..., units]``, those alone that are silenced, the same shape.
Change = Callable[[Tensor], Tensor]


@dataclass
class Silenced:
    """Units of a layer, and what they say instead of what they would."""

    #: The layer's path in the model.
    path: str
    #: The units, ascending; a tensor is an index on the layer's device.
    units: Sequence[int] | Tensor
    #: Whether a non-linearity follows: then its result is changed, and else the layer's own output. Where that is not
    #: known (None), the network tells as it runs.
    is_followed: bool | None
    change: Change


def change_of(mode: str | Change, factor: float | None, value: float | None, means: Sequence[float] | None) -> Change:
    """What a mode does, as ``recorder ablate`` has them: ``zero``, ``mean`` (of the recorded held-out samples),
    ``scale`` by ``factor``, ``set`` to ``value``; or a function.

    Raises:
        ValueError: the mode is none, or lacks what it needs.
    """
    if callable(mode):
        return mode
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)} or a function, not {mode!r}")
    if (factor is not None) != (mode == "scale"):
        raise ValueError("factor goes with mode='scale', which needs it")
    if (value is not None) != (mode == "set"):
        raise ValueError("value goes with mode='set', which needs it")
    if mode == "zero":
        return torch.zeros_like
    if mode == "scale":
        assert factor is not None
        return lambda said: said * factor
    if mode == "set":
        assert value is not None
        return lambda said: torch.full_like(said, value)
    if means is None:
        raise ValueError("mode='mean' needs recorded activations of the units")
    return lambda said: torch.tensor(means, dtype=said.dtype, device=said.device).expand_as(said)


@contextmanager
def silenced(model: nn.Module, units: Sequence[Silenced]) -> Iterator[nn.Module]:
    """Within, the units say what ``units`` has for them, in training and evaluation; then the network is as
    before. Gradients flow through what is not changed.

    A compiled network runs uncompiled meanwhile: compiled code does not see hooks.

    Warns at the end of a layer that ran and whose units were not silenced all the same: no non-linearity was applied to
    its output where one is expected, or the network does not use what came of it.

    Raises:
        NetworkError: the model has no such layer, or not as many units.
    """
    # What cannot be recorded is in no run, and stays as it is.
    network = describe(model, leave_out=lambda _: True)
    hooks = Hooks(network, units)
    with hooks.watching():
        yield model
    for path, why in hooks.not_silenced():
        warnings.warn(f"{path} ran without its units being silenced: {why}", stacklevel=3)


class Hooks:
    """What silences units of a network's layers. Which they are, and what they say, is read at each call."""

    def __init__(self, network: Network, units: Sequence[Silenced], with_gradients: bool = True) -> None:
        """``with_gradients`` is False where nobody takes any: it is quicker.

        Raises:
            NetworkError: the model has no such layer, or not as many units.
        """
        self._model = network.model
        self._with_gradients = with_gradients
        layers = {layer.path: layer for layer in network.layers}
        self._changes: dict[int, tuple[Silenced, Layer]] = {}
        for number, of_layer in enumerate(units):
            layer = layers.get(of_layer.path)
            if layer is None:
                raise NetworkError(f"the model has no layer {of_layer.path!r}: it has {', '.join(layers)}")
            if layer.unit_axis is None:
                raise NetworkError(f"{of_layer.path} is no layer whose output holds its units")
            if len(of_layer.units) and max(of_layer.units) >= layer.num_activated:
                raise NetworkError(
                    f"{of_layer.path} has {layer.num_activated} units, the structure has unit {max(of_layer.units)}"
                )
            self._changes[number] = (of_layer, layer)
        self._nonlinearities, self._uses = Nonlinearities(), _Uses()
        self._ran: set[int] = set()
        self._reached: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks the network; takes the hooks away."""
        with ExitStack() as stack:
            for number, (_, layer) in self._changes.items():
                stack.callback(layer.module.register_forward_hook(self._after(number)).remove)
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            if self._with_gradients:
                stack.enter_context(self._uses)
            stack.enter_context(self._nonlinearities.watching(self._model, self._applied))
            yield

    def not_silenced(self) -> Iterator[tuple[str, str]]:
        """The paths of layers that ran, and whose units were not silenced all the same, each with the reason."""
        for number, (of_layer, _) in self._changes.items():
            if number in self._uses.of_replaced:
                why = (
                    "its non-linearity works in place, and the network goes on with the tensor that it was applied to: "
                    "use what it gives, as in h = torch.relu_(h), or run it without gradients"
                )
            elif number in self._ran - self._reached and len(of_layer.units):
                why = "a non-linearity is expected right after it, and none was applied to its output itself"
            else:
                continue
            yield of_layer.path, why

    def settle(self) -> None:
        """Where it was not known whether a non-linearity follows: what was seen so far tells."""
        for number, (of_layer, _) in self._changes.items():
            if of_layer.is_followed is None:
                of_layer.is_followed = number in self._reached
        self._ran.clear()
        self._reached.clear()

    def not_run(self) -> list[str]:
        """The paths of layers that did not run."""
        return [of_layer.path for number, (of_layer, _) in self._changes.items() if number not in self._ran]

    def _applied(self, number: int, _: str, result: Tensor) -> Tensor | None:
        of_layer, layer = self._changes[number]
        self._reached.add(number)
        if not len(of_layer.units):
            return None
        with torch._C.DisableTorchFunction():
            if self._with_gradients:
                self._uses.replace(result, number)
            return changed_units(result, layer, of_layer)

    def _after(self, number: int) -> Callable[..., Any]:
        of_layer, layer = self._changes[number]

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            if tensor is None:
                return None
            self._ran.add(number)
            if of_layer.is_followed:
                if self._with_gradients:
                    self._uses.make(tensor, number)
                self._nonlinearities.expect(tensor, number)
                return None
            if not len(of_layer.units):
                if of_layer.is_followed is None:
                    self._nonlinearities.expect(tensor, number)
                return None
            self._reached.add(number)
            with torch._C.DisableTorchFunction():
                changed = changed_units(tensor, layer, of_layer)
            if of_layer.is_followed is None:
                # A non-linearity may come, and its result is changed then, of what the layer did say.
                self._nonlinearities.expect(changed, number, tensor)
            return changed if output is tensor else _replaced(output, tensor, changed)

        return hook


class _Uses(TorchFunctionMode):
    """Sees where a network goes on with a layer's own output, after a non-linearity worked in place on it.

    Where gradients are on, its memory has to stay, and only the function's result says what is silenced.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made = WeakTensorKeyDictionary()
        self._replaced = WeakTensorKeyDictionary()
        #: The layers of which that was seen.
        self.of_replaced: set[int] = set()

    def make(self, output: Tensor, number: int) -> None:
        """``output`` is what a layer made."""
        self._made[output] = number

    def replace(self, result: Tensor, number: int) -> None:
        """Another tensor stands for what a non-linearity gave."""
        if torch.is_grad_enabled() and self._made.get(result) == number:
            self._replaced[result] = number

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        used = {self._replaced[tensor] for tensor in _tensors((args, kwargs)) if tensor in self._replaced}
        result = func(*args, **kwargs)
        # A look at its shape is no use of it.
        if used and first_tensor(result) is not None:
            self.of_replaced |= used
        return result


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def changed_units(said: Tensor, layer: Layer, of_layer: Silenced) -> Tensor:
    """``said`` with what the silenced units say instead.

    Raises:
        NetworkError: a function gives something of another shape.
    """
    assert layer.unit_axis is not None
    units = of_layer.units
    index = units if isinstance(units, Tensor) else torch.tensor(list(units), device=said.device)
    moved = said.movedim(layer.unit_axis, -1)
    chosen = moved.index_select(-1, index)
    changed = of_layer.change(chosen)
    if not isinstance(changed, Tensor) or changed.shape != chosen.shape:
        given = list(changed.shape) if isinstance(changed, Tensor) else f"a {type(changed).__name__}"
        name = getattr(of_layer.change, "__name__", type(of_layer.change).__name__)
        raise NetworkError(
            f"the units of {of_layer.path} cannot be silenced: the function {name} was given a tensor "
            f"{list(chosen.shape)}, units last, and gives {given} in place of as much"
        )
    return moved.index_copy(-1, index, changed.to(said.dtype)).movedim(-1, layer.unit_axis)


def _replaced(output: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(output, tuple):
        items = [new if item is old else item for item in output]
        return type(output)(*items) if hasattr(output, "_fields") else tuple(items)
    if isinstance(output, list):
        return [new if item is old else item for item in output]
    if isinstance(output, dict):
        return type(output)((key, new if item is old else item) for key, item in output.items())
    return output
