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

from .._tapped import Changes
from .errors import NetworkError
from .kinds import BUFFER
from .layers import Layer, Network, describe
from .nonlinear import Nonlinearities, first_tensor
from .recurrent import Hidden, hidden_of
from .taps import Taps

__all__ = ["MODES", "Hooks", "Silenced", "silenced"]

MODES = ("zero", "mean", "scale", "set")

#: What units say instead: of ``[..., units]``, those alone that are silenced, the same shape.
Change = Callable[[Tensor], Tensor]


@dataclass
class Silenced:
    """Units of a layer, and what they say instead of what they would."""

    #: The layer's path in the model; of a tap its name.
    path: str
    #: The units, ascending; a tensor is an index on the layer's device.
    units: Sequence[int] | Tensor
    #: Whether a non-linearity follows: then its result is changed, and else the layer's own output. Where that is not
    #: known (None), the network tells as it runs.
    is_followed: bool | None
    change: Change
    #: Whether it has no weights: the hidden state of a recurrent module, or what the model's own code taps.
    is_tap: bool = False
    #: How many units it had when it was recorded, where that is known.
    num_units: int | None = None


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
        self._units = list(units)
        #: By the number of what is silenced.
        self._changes: dict[int, tuple[Silenced, Layer]] = {}
        self._states: dict[int, tuple[Silenced, Hidden]] = {}
        self._taps: dict[int, Silenced] = {}
        layers = {layer.path: layer for layer in network.layers}
        states = {state.path: state for state in hidden_of(network.model, ())}
        for number, of_layer in enumerate(units):
            if of_layer.is_tap:
                state = states.get(of_layer.path)
                if state is not None and of_layer.num_units in (None, state.num_units):
                    _require_units(of_layer, state.num_units)
                    self._states[number] = of_layer, state
                else:
                    self._taps[number] = of_layer
                continue
            layer = layers.get(of_layer.path)
            if layer is None:
                # Not those of which nothing can be silenced, as biases and buffers.
                there = ", ".join(layer.path for layer in network.layers if layer.unit_axis is not None)
                raise NetworkError(f"the model has no layer {of_layer.path!r}: it has {there}")
            if layer.unit_axis is None:
                raise NetworkError(_why_not(layer, list(states.values())))
            _require_units(of_layer, layer.num_activated)
            self._changes[number] = (of_layer, layer)
        self._nonlinearities, self._uses, self._goes_on = Nonlinearities(), _Uses(), _GoesOn()
        self._ran: set[int] = set()
        self._reached: set[int] = set()
        #: Whether the model itself was called.
        self._has_run = False
        #: Gathers what hidden states and taps say, where that is asked for.
        self.gathering: Taps | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks the network; takes the hooks away."""
        with ExitStack() as stack:
            for number, (_, layer) in self._changes.items():
                stack.callback(layer.module.register_forward_hook(self._after(number)).remove)
            for number, (_, state) in self._states.items():
                stack.callback(state.module.register_forward_hook(self._after_state(number)).remove)
            if self._taps:
                self._watch_taps(stack)
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
        for number, of_layer in self._taps.items():
            instead = f"it is silenced where that goes on with what it is given back, as in x = rec.tap({of_layer.path!r}, x)"
            if self._has_run and number not in self._ran:
                yield of_layer.path, f"the model's forward pass has tapped nothing of that name; {instead}"
            elif number in self._ran - self._goes_on.used and len(of_layer.units):
                yield of_layer.path, f"the model's forward pass goes on with what it has tapped; {instead}"

    def settle(self) -> None:
        """Where it was not known whether a non-linearity follows: what was seen so far tells."""
        for number, (of_layer, _) in self._changes.items():
            if of_layer.is_followed is None:
                of_layer.is_followed = number in self._reached
        self._ran.clear()
        self._reached.clear()

    def not_run(self) -> list[str]:
        """The paths of layers that did not run."""
        return [of_layer.path for number, of_layer in enumerate(self._units) if number not in self._ran]

    def _applied(self, number: int, _: str, result: Tensor) -> Tensor | None:
        of_layer, layer = self._changes[number]
        self._reached.add(number)
        if not len(of_layer.units):
            return None
        with torch._C.DisableTorchFunction():
            if self._with_gradients:
                self._uses.replace(result, number)
            return changed_units(result, layer.unit_axis, of_layer)

    def _watch_taps(self, stack: ExitStack) -> None:
        """Has what the model taps changed, within calls of its modules: others may tap by the same names."""
        changes = Changes({of_layer.path: self._change_of_tap(number) for number, of_layer in self._taps.items()})

        def before(module: nn.Module, _: Any) -> None:
            self._has_run |= module is self._model
            changes.enter(module)

        def after(module: nn.Module, _: Any, output: Any) -> None:
            if module is self._model:
                self._goes_on.note(output)
            changes.leave(module)

        for module in self._model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            # Around all other hooks.
            stack.callback(module.register_forward_pre_hook(before, prepend=True).remove)
            stack.callback(module.register_forward_hook(after, always_call=True).remove)
        stack.enter_context(changes.active())
        stack.enter_context(self._goes_on)

    def _change_of_tap(self, number: int) -> Callable[[Tensor, int], Tensor]:
        of_layer = self._taps[number]

        def change(tensor: Tensor, unit_axis: int) -> Tensor:
            self._ran.add(number)
            with torch._C.DisableTorchFunction():
                if self.gathering is not None:
                    self.gathering.tap(of_layer.path, tensor, unit_axis)
                axis = unit_axis % tensor.dim() if -tensor.dim() <= unit_axis < tensor.dim() else 0
                if axis == 0 or of_layer.num_units not in (None, tensor.shape[axis]):
                    raise NetworkError(
                        f"{of_layer.path} is {list(tensor.shape)} with units along axis {unit_axis}, and had "
                        f"{of_layer.num_units} units when it was recorded"
                    )
                if not len(of_layer.units):
                    return tensor
                if of_layer.num_units is None:
                    _require_units(of_layer, tensor.shape[axis])
                changed = changed_units(tensor, axis, of_layer)
                self._goes_on.made[changed] = number
                return changed

        return change

    def _after_state(self, number: int) -> Callable[..., Any]:
        of_layer, state = self._states[number]

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            self._ran.add(number)
            with torch._C.DisableTorchFunction():
                if self.gathering is not None and (values := state.by_sample(output)) is not None:
                    self.gathering.tap(state.path, values, -1)
                if not len(of_layer.units):
                    return None
                return state.changed(output, lambda said: changed_units(said, -1, of_layer))

        return hook

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
                changed = changed_units(tensor, layer.unit_axis, of_layer)
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


class _GoesOn(TorchFunctionMode):
    """Sees which tensors that stand for what was tapped a network goes on with."""

    def __init__(self) -> None:
        super().__init__()
        #: By the number of what is silenced, those that were given back.
        self.made = WeakTensorKeyDictionary()
        self.used: set[int] = set()

    def note(self, value: Any) -> None:
        """A network is given ``value``, or gives it."""
        self.used |= {self.made[tensor] for tensor in _tensors(value) if tensor in self.made}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        # A look at its shape is no use of it.
        if first_tensor(result) is not None:
            self.note((args, kwargs))
        return result


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _require_units(of_layer: Silenced, num_units: int) -> None:
    if len(of_layer.units) and max(of_layer.units) >= num_units:
        raise NetworkError(f"{of_layer.path} has {num_units} units, the structure has unit {max(of_layer.units)}")


def _why_not(layer: Layer, states: Sequence[Hidden]) -> str:
    """Why units of a layer cannot be silenced, and what to do."""
    module = layer.module
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        state = next((state.label for state in states if state.module is module), None)
        instead = f"silence units of its hidden state, {state}" if state else "silence what hears its hidden state"
        return (
            f"{layer.path} has gates of a recurrent module, whose values stay inside PyTorch's function, so that they cannot "
            f"be silenced: {instead}"
        )
    if isinstance(module, nn.MultiheadAttention):
        outer = layer.path.rpartition(".")[0]
        return (
            f"{layer.path} makes queries, keys and values, which stay inside PyTorch's function, so that they cannot be "
            f"silenced: silence units of {f'{outer}.' if outer else ''}out_proj"
        )
    what = "buffer" if layer.kind == BUFFER else "parameter"
    return (
        f"{layer.path} is a {what}, and no module's output has its units, so that they cannot be silenced: tap what the "
        "model makes of it, by rec.tap, and silence that, or change its values"
    )


def changed_units(said: Tensor, unit_axis: int | None, of_layer: Silenced) -> Tensor:
    """``said`` with what the silenced units say instead, which lie along ``unit_axis``.

    Raises:
        NetworkError: a function gives something of another shape.
    """
    assert unit_axis is not None
    units = of_layer.units
    index = units.to(said.device) if isinstance(units, Tensor) else torch.tensor(list(units), device=said.device)
    moved = said.movedim(unit_axis, -1)
    chosen = moved.index_select(-1, index)
    changed = of_layer.change(chosen)
    if not isinstance(changed, Tensor) or changed.shape != chosen.shape:
        given = list(changed.shape) if isinstance(changed, Tensor) else f"a {type(changed).__name__}"
        name = getattr(of_layer.change, "__name__", type(of_layer.change).__name__)
        raise NetworkError(
            f"the units of {of_layer.path} cannot be silenced: the function {name} was given a tensor "
            f"{list(chosen.shape)}, units last, and gives {given} in place of as much"
        )
    return moved.index_copy(-1, index, changed.to(said.dtype)).movedim(-1, unit_axis)


def _replaced(output: Any, old: Tensor, new: Tensor) -> Any:
    if isinstance(output, tuple):
        items = [new if item is old else item for item in output]
        return type(output)(*items) if hasattr(output, "_fields") else tuple(items)
    if isinstance(output, list):
        return [new if item is old else item for item in output]
    if isinstance(output, dict):
        return type(output)((key, new if item is old else item) for key, item in output.items())
    return output
