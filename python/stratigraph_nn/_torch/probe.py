"""What a forward pass shows of a network: the order of its layers, their non-linearities, and which units
their connections come from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from .errors import HeldOutError
from .guard import undisturbed
from .held_out import logits_of, on_device
from .kinds import EMBEDDING, Hears
from .labels import INPUT
from .layers import Layer, Network
from .nonlinear import Nonlinearities, first_tensor, is_dense, version
from .origins import UNKNOWN, Origin, Origins, input_maps, unit_map, units_along
from .ranges import ranges
from .recurrent import Hidden

__all__ = ["probe"]


def probe(
    network: Network,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    states: Sequence[Hidden] = (),
) -> None:
    """Runs the network once on inputs, ``[samples, ...]``, and says of its layers what that shows.

    Layers come in the order in which their modules are called first. One that is not called stays behind the
    one that is before it in the network. ``activation`` becomes the non-linearity that is applied to what
    the layer made, ``source`` where its rows' positions come from: layers, and hidden ``states`` of recurrent
    modules. Few samples are enough.

    The network is in evaluation mode meanwhile and otherwise left as it was (:func:`undisturbed`). If the
    forward pass raises, so does this, and the network's layers are as before.
    """
    seen = _Seen(network, states)
    with undisturbed(network.model), ExitStack() as stack:
        seen.hook(stack)
        args, kwargs = on_device((tuple(args), dict(kwargs or {})), torch.device(network.device))
        seen.note_inputs((*args, *kwargs.values()))
        stack.enter_context(seen.nonlinearities.watching(network.model, seen.applied))
        stack.enter_context(seen.origins)
        output = network.model(*args, **kwargs)
        seen.end(output)
    for index, layer in enumerate(network.layers):
        layer.activation = seen.activations.get(index)
        sources = seen.sources.get(index, [])
        # A module that is called several times may be given different things.
        is_one = bool(sources) and all(source == sources[0] for source in sources)
        layer.source = seen.named(sources[0]) if is_one else None
    network.layers = _in_order(network.layers, seen.calls)


class _Seen:
    """What a forward pass has shown."""

    def __init__(self, network: Network, states: Sequence[Hidden]) -> None:
        self.origins = Origins(network.model)
        self.nonlinearities = Nonlinearities()
        #: By layer.
        self.activations: dict[int, str] = {}
        #: By layer, of each call the units of all positions; None where they are not known.
        self.sources: dict[int, list[list[int] | None]] = {}
        #: Modules with layers, by identity, in the order of their first calls.
        self.calls: dict[int, int] = {}
        self._layers = network.layers
        self._outputs = WeakTensorKeyDictionary()
        self._states = states
        # Units are numbered across the network while it runs, behind the layers' come those of the hidden states and
        # of the inputs.
        self._firsts: list[int] = []
        num_units = 0
        holders: list[Layer | Hidden] = [*network.layers, *states]
        for holder in holders:
            self._firsts.append(num_units)
            num_units += holder.num_units
        self._first_input = num_units
        self._labels = [holder.label for holder in holders]

    def note_inputs(self, values: Sequence[Any]) -> None:
        """Inputs are numbered one tensor after the other."""
        first = self._first_input
        for tensor in _all_tensors(values):
            if not is_dense(tensor):
                self.origins.note(tensor, UNKNOWN)
                continue
            self.origins.note(tensor, Origin("units", input_maps(tensor.shape, first)))
            # One of no axes, as a count of the batch's targets, is a single value.
            first += max(tensor[:1].numel(), 1) if tensor.dim() else 1

    def hook(self, stack: ExitStack) -> None:
        """Follows the modules of all layers; takes the hooks away as ``stack`` is closed."""
        by_module: dict[int, tuple[nn.Module, list[int]]] = {}
        for index, layer in enumerate(self._layers):
            by_module.setdefault(id(layer.module), (layer.module, []))[1].append(index)
        connected = {
            id(layer.module) for layer in self._layers if layer.unit_axis is not None or layer.hears is not None
        }
        for module, indices in by_module.values():
            if _has_others_inside(module, connected):
                continue
            before = module.register_forward_pre_hook(self._before(indices), with_kwargs=True)
            stack.callback(before.remove)
            stack.callback(module.register_forward_hook(self._after(indices)).remove)
        for number, state in enumerate(self._states, len(self._layers)):
            stack.callback(state.module.register_forward_hook(self._after_state(state, self._firsts[number])).remove)

    def end(self, output: Any) -> None:
        """What a layer makes is its activation where it is the network's output."""
        with suppress(HeldOutError):
            logits = logits_of(output)
            layer, made_at = self._outputs.get(logits, (None, 0))
            if layer is not None and made_at == version(logits):
                self.activations.pop(layer, None)

    def named(self, units: list[int] | None) -> list[dict[str, Any]] | None:
        """Ranges of units with the labels of their layers."""
        if units is None:
            return None
        named = []
        for unit in units:
            if unit >= self._first_input:
                named.append((INPUT, unit - self._first_input))
            else:
                holder = bisect_right(self._firsts, unit) - 1
                named.append((self._labels[holder], unit - self._firsts[holder]))
        return ranges(named)

    def _before(self, indices: list[int]) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.calls.setdefault(id(module), len(self.calls))
            with self.origins.paused():
                for index in indices:
                    hears = self._layers[index].hears
                    if hears is not None:
                        units = self._heard(self._layers[index], hears, args, kwargs)
                        self.sources.setdefault(index, []).append(units)

        return hook

    def _heard(self, layer: Layer, hears: Hears, args: Any, kwargs: Any) -> list[int] | None:
        """The units of all positions of a row."""
        heard = [self.origins.of(tensor) for tensor in _arguments(hears.argument, args, kwargs)]
        units = [units_along(origin, hears.axis) for origin in heard]
        if not units or units[0] is None or any(other != units[0] for other in units):
            return None
        repeated = [unit for unit in units[0] for _ in range(hears.repeat)]
        return repeated if len(repeated) == layer.fan_in else None

    def _after(self, indices: list[int]) -> Any:
        # A module has one layer whose units its output is of.
        own = next((index for index in indices if self._layers[index].unit_axis is not None), None)

        def hook(_: nn.Module, __: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if own is None or tensor is None:
                return
            layer = self._layers[own]
            axis = layer.unit_axis
            assert axis is not None
            with self.origins.paused():
                is_expected = is_dense(tensor) and -tensor.dim() <= axis < tensor.dim() and tensor.shape[axis] == layer.num_activated
                if not is_expected or layer.kind == EMBEDDING:
                    # The dimensions of an embedding are not its units, which are tokens.
                    self.origins.note(tensor, UNKNOWN)
                else:
                    self.origins.note(tensor, Origin("units", (unit_map(tensor.shape, axis, self._firsts[own]),)))
                self._outputs[tensor] = (own, version(tensor))
                if is_expected:
                    self.nonlinearities.expect(tensor, own)

        return hook

    def _after_state(self, state: Hidden, first: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            with self.origins.paused():
                for tensor, units in state.maps(output, first):
                    self.origins.note(tensor, Origin("units", (units,)))

        return hook

    def applied(self, layer: int, name: str, _: Tensor) -> None:
        self.activations.setdefault(layer, name)


def _arguments(argument: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an argument of a module is."""
    if argument == "input":
        tensor = first_tensor((*args, *kwargs.values()))
        return [] if tensor is None else [tensor]
    names = ("query", "key", "value")
    given = dict(zip(names, args, strict=False)) | kwargs
    return [given[name] for name in (names if argument == "all" else (argument,)) if name in given]


def _all_tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in _all_tensors(value)]


def _has_others_inside(module: nn.Module, known: set[int]) -> bool:
    """Whether a module contains others of ``known``, so that a call of it is none of its own layers."""
    return any(inner is not module and id(inner) in known for inner in module.modules())


def _in_order(layers: list[Layer], calls: Mapping[int, int]) -> list[Layer]:
    """Layers by the first calls of their modules, each with those behind it that were not called."""
    groups: list[tuple[int, list[Layer]]] = [(-1, [])]
    for layer in layers:
        call = calls.get(id(layer.module))
        if call is not None:
            groups.append((call, []))
        groups[-1][1].append(layer)
    groups.sort(key=lambda group: group[0])
    return [layer for _, group in groups for layer in group]
