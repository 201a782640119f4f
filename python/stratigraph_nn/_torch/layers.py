"""The layers of a module: one a weight tensor, with the bias that is folded in.

It knows modules, not runs: what a layer is called and how its tensor becomes rows is told to the recorder,
which makes the topology of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from . import kinds
from .errors import LazyError, NetworkError, TensorError
from .kinds import Hears, Kind
from .labels import INPUT, as_label, label_of
from .tensors import DTYPE_NAMES, Ref, check, check_module

__all__ = ["Layer", "LazyError", "Network", "NetworkError", "Ref", "TensorError", "describe", "unwrapped"]

#: What wrappers inside a network put into the names of its modules. A network has the same layers with and
#: without them.
_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
#: Of these, what ``state_dict()`` does not have either.
_NOT_IN_STATE_DICT = "_checkpoint_wrapped_module."
#: How deprecated hooks call what the weight is worked out of.
_HOOKED_WEIGHTS = ("weight_v", "weight_orig")


@dataclass
class Layer:
    """One weight tensor and its bias."""

    #: Where it stands: the module's path, or ``path.name`` for a tensor that its module is not named for.
    path: str
    #: What the trace calls it.
    label: str
    #: What kind of layer it is, as ``linear``.
    kind: str
    #: ``rows`` (units along axis 0), ``columns`` (``[in, out]``) or ``by_group:G``.
    layout: str
    #: Shape of the weight as PyTorch has it.
    shape: tuple[int, ...]
    #: Finds the weight.
    weight: Ref
    #: Finds the bias, ``[num_units]``, where there is one.
    bias: Ref | None
    #: The non-linearity whose result is the layer's activation; known after a probe.
    activation: str | None
    #: Whether it requires gradients; never of a buffer.
    trainable: bool
    #: Where the positions of a row come from, as ranges (``schemas/README.md``, topology); None where that is
    #: not known, as it is before a probe.
    source: list[dict[str, Any]] | None
    #: Names, types and shapes of weight and bias, where a trace could not tell them.
    tensors: list[dict[str, Any]]
    #: The axis of its module's output along which its units lie (an embedding's dimensions); None where
    #: the output is not what they make.
    unit_axis: int | None
    #: The module whose output holds the layer's activations.
    module: nn.Module
    #: What of the module's input a row belongs to; None where a trace cannot say it.
    hears: Hears | None = field(default=None, repr=False)

    @property
    def num_units(self) -> int:
        """How many units there are: rows of ``weights``."""
        return kinds.rows_of(self.layout, self.shape)[0]

    @property
    def fan_in(self) -> int:
        """How many weights a unit has."""
        return kinds.rows_of(self.layout, self.shape)[1]

    @property
    def num_activated(self) -> int:
        """How many values a sample has in ``activations``: one a unit, of an embedding one a dimension."""
        return self.fan_in if self.kind == kinds.EMBEDDING else self.num_units


@dataclass
class Network:
    """A module and its layers."""

    #: The module itself, out of what compiles or distributes it.
    model: nn.Module
    #: In the order of the topology: of the modules, or of the forward pass after a probe.
    layers: list[Layer]
    #: What the first parameter is on, as ``cpu`` or ``cuda:0``.
    device: str

    def spec(self) -> list[dict[str, Any]]:
        """The layers as the recorder is told of them; JSON can say it all."""
        return [
            {
                "path": layer.path,
                "label": layer.label,
                "kind": layer.kind,
                "layout": layer.layout,
                "shape": list(layer.shape),
                "has_bias": layer.bias is not None,
                "activation": layer.activation,
                "trainable": layer.trainable,
                "source": layer.source,
                "tensors": layer.tensors,
            }
            for layer in self.layers
        ]


def describe(
    model: nn.Module,
    labels: Mapping[str, str] | None = None,
    *,
    leave_out: Callable[[str], bool] | None = None,
) -> Network:
    """The layers of a module, without a look at its values.

    ``labels`` names layers by their paths. ``leave_out`` is asked, by its label, about a tensor that a trace
    cannot hold: where it says True, the tensor is no layer, instead of an error.

    Raises:
        LazyError: if a parameter has no shape yet.
        TensorError: if a trace cannot hold a tensor: it is quantised, sparse, sharded, complex or has no
            values.
        NetworkError: if there are no parameters, two layers have the same label, or a path in ``labels`` is
            no layer's.
    """
    model = unwrapped(model)
    walk = _Walk(labels or {}, leave_out or (lambda _: False))
    for path, module in model.named_modules():
        walk.check(without_wrappers(path), module)
    for tensor in _tensors(model):
        walk.add(tensor)
    layers = walk.layers()
    if not layers:
        raise NetworkError("the network has no float parameters")
    _check_labels(layers, labels or {})
    first = next(model.parameters(), None)
    return Network(model, layers, "cpu" if first is None else str(first.device))


def unwrapped(model: nn.Module) -> nn.Module:
    """The module itself, out of ``torch.compile``, ``DistributedDataParallel`` and ``DataParallel``.

    Raises:
        NetworkError: if it is wrapped in ``FullyShardedDataParallel``, which has no whole parameters.
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if inner is None:
            break
        model = inner
    for name, module in model.named_modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            what = f"module {name}" if name else "the network"
            raise NetworkError(
                f"{what} is sharded by FSDP and has no whole parameters: record a network that is not sharded, "
                "or what `torch.distributed.checkpoint.state_dict.get_model_state_dict` makes of it, as arrays"
            )
    return model


@dataclass
class _Found:
    """A tensor where it is met first, and all the names that it has."""

    tensor: torch.Tensor
    module: nn.Module
    #: The module's path without what wrappers put there.
    module_path: str
    field: str
    is_buffer: bool
    #: The modules that the module stands in, from its own parent outwards.
    around: list[nn.Module]
    names: list[str]

    @property
    def name(self) -> str:
        """The tensor's name in the ``state_dict()`` of a network without wrappers."""
        return f"{self.module_path}.{self.field}" if self.module_path else self.field

    @property
    def path(self) -> str:
        """The module's path where the module is named for the tensor, its whole name elsewhere."""
        is_named = self.field == "weight" and not self.is_buffer
        return self.module_path if is_named and self.module_path else self.name

    def ref(self) -> Ref:
        return Ref(self.module, self.field, tuple(self.names))


def _tensors(model: nn.Module) -> list[_Found]:
    """Parameters and the buffers of ``state_dict()``, each tensor once, in the order of the modules."""
    found: dict[int, _Found] = {}
    modules: dict[str, nn.Module] = {}
    for raw_path, module in model.named_modules(remove_duplicate=False):
        modules[raw_path] = module
        prefix = f"{raw_path}.".replace(_NOT_IN_STATE_DICT, "") if raw_path else ""
        for field_name, tensor, is_buffer in _own_tensors(module):
            name = f"{prefix}{field_name}"
            if id(tensor) in found:
                found[id(tensor)].names.append(name)
                continue
            parts = raw_path.split(".") if raw_path else []
            around = [modules[".".join(parts[:end])] for end in range(len(parts) - 1, -1, -1)]
            path = without_wrappers(raw_path)
            found[id(tensor)] = _Found(tensor, module, path, field_name, is_buffer, around, [name])
    return list(found.values())


def without_wrappers(path: str) -> str:
    """A module's path, or a tensor's name, as it is in a network without wrappers."""
    return ".".join(part for part in path.split(".") if part not in _WRAPPERS)


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    if isinstance(module, torch.jit.ScriptModule):
        return
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter, False
    for name, buffer in module._buffers.items():
        if buffer is None or name in module._non_persistent_buffers_set:
            continue
        # Integers as num_batches_tracked are counts, nothing that is learned; a matrix of them that is called a weight is
        # one that is quantised.
        is_quantised = "weight" in name and buffer.dim() >= 2 and buffer.dtype != torch.bool
        if buffer.is_floating_point() or buffer.is_complex() or is_quantised:
            yield name, buffer, True


class _Walk:
    """Puts tensors together to layers."""

    def __init__(self, labels: Mapping[str, str], leave_out: Callable[[str], bool]) -> None:
        self._labels = labels
        self._leave_out = leave_out
        self._found: list[_Found] = []
        self._fields: dict[tuple[int, str], _Found] = {}

    def check(self, path: str, module: nn.Module) -> None:
        """Refuses a module whose weights cannot be looked at."""
        label = self._label(path or "weight")
        try:
            check_module(module, path or "the network", label)
        except TensorError:
            if not self._leave_out(label):
                raise

    def add(self, found: _Found) -> None:
        label = self._label(found.path)
        try:
            check(found.tensor, found.name, label)
        except TensorError:
            if self._leave_out(label):
                return
            raise
        self._found.append(found)
        self._fields[id(found.module), found.field] = found

    def layers(self) -> list[Layer]:
        # Weights first: they say which biases are folded in.
        described = [(found, *self._kind_and_bias(found)) for found in self._found]
        folded = {id(bias.tensor) for _, _, bias in described if bias is not None}
        return [self._layer(found, kind, bias) for found, kind, bias in described if id(found.tensor) not in folded]

    def _kind_and_bias(self, found: _Found) -> tuple[Kind, _Found | None]:
        if found.is_buffer:
            return Kind(kinds.BUFFER, unit_axis=None), None
        bias = self._bias(found)
        kind = self._kind(found, None if bias is None else bias.tensor)
        num_units, _ = kinds.rows_of(kind.layout, tuple(found.tensor.shape))
        is_folded = bias is not None and bias.tensor.shape == (num_units,)
        return kind, bias if is_folded else None

    def _bias(self, weight: _Found) -> _Found | None:
        """The bias of the same module by its name: ``bias_ih_l0`` of ``weight_ih_l0``."""
        if "weight" not in weight.field:
            return None
        bias = self._fields.get((id(weight.module), weight.field.replace("weight", "bias", 1)))
        return None if bias is None or bias.is_buffer else bias

    def _kind(self, found: _Found, bias: torch.Tensor | None) -> Kind:
        module, tensor = found.module, found.tensor
        if found.field == "weight" and not isinstance(module, nn.ParameterDict | nn.ParameterList):
            in_attention = any(isinstance(outer, nn.MultiheadAttention) for outer in found.around[:1])
            return kinds.of_weight(module, tensor, bias, in_attention)
        if isinstance(module, ParametrizationList):
            # `fc.parametrizations.weight` of `fc`.
            is_of_weight = found.module_path.endswith("parametrizations.weight")
            if is_of_weight and len(found.around) >= 2:
                return kinds.of_parametrized(found.around[1], tensor)
            return Kind(kinds.PARAMETER, unit_axis=None)
        if found.field in _HOOKED_WEIGHTS:
            return kinds.of_parametrized(module, tensor)
        weight = module._parameters.get("weight")
        if found.field == "bias" and weight is not None and (id(module), "weight") not in self._fields:
            # Its weight is known by another module's name: the bias stands for the units alone.
            kind = kinds.of_weight(module, weight, None, in_attention=False)
            num_units, _ = kinds.rows_of(kind.layout, tuple(weight.shape))
            return Kind(kinds.PARAMETER, unit_axis=kind.unit_axis if tuple(tensor.shape) == (num_units,) else None)
        return kinds.of_parameter(module, found.field)

    def _layer(self, found: _Found, kind: Kind, bias: _Found | None) -> Layer:
        module = found.module
        if isinstance(module, ParametrizationList):
            module = found.around[1] if len(found.around) >= 2 else module
        elif found.around and kinds.is_attention(found.around[0]) and found.module_path.endswith("out_proj"):
            # What the output's weight hears is inside the function that is attention.
            module, kind = found.around[0], replace(kind, hears=None)
        return Layer(
            path=found.path,
            label=self._label(found.path),
            kind=kind.name,
            layout=kind.layout,
            shape=tuple(found.tensor.shape),
            weight=found.ref(),
            bias=None if bias is None else bias.ref(),
            activation=None,
            trainable=not found.is_buffer and found.tensor.requires_grad,
            source=None,
            tensors=_tensor_specs(found, kind, bias),
            unit_axis=kind.unit_axis,
            module=module,
            hears=kind.hears,
        )

    def _label(self, path: str) -> str:
        return as_label(self._labels[path]) if self._labels.get(path) else label_of(path)


def _tensor_specs(weight: _Found, kind: Kind, bias: _Found | None) -> list[dict[str, Any]]:
    """Names, types and shapes of a layer's tensors; none where they follow from its path and kind."""
    specs: list[dict[str, Any]] = []
    is_told = kind.layout != "columns"
    for tensor, parameter in ((weight, "weight"), (bias, "bias")):
        if tensor is None:
            continue
        dtype = DTYPE_NAMES[tensor.tensor.dtype]
        spec: dict[str, Any] = {"name": tensor.name, "dtype": dtype, "shape": list(tensor.tensor.shape)}
        if kind.layout == "columns" and parameter == "weight":
            spec["transposed"] = True
        specs.append(spec)
        is_told = is_told and dtype == "F32" and tensor.name == _conventional_name(weight.path, kind, parameter)
    return [] if is_told else specs


def _conventional_name(path: str, kind: Kind, parameter: str) -> str:
    """What a trace takes a tensor's name to be from its layer's path and kind."""
    if path == "weight":
        return parameter
    return path if kind.name in (kinds.BUFFER, kinds.PARAMETER) else f"{path}.{parameter}"


def _check_labels(layers: list[Layer], labels: Mapping[str, str]) -> None:
    paths = {layer.path for layer in layers}
    for path in labels:
        if path not in paths:
            raise NetworkError(f"there is no layer {path!r} to label: there are {', '.join(sorted(paths))}")
    taken: dict[str, Layer] = {}
    for layer in layers:
        folded = layer.label.lower()
        if folded == INPUT:
            raise NetworkError(
                f"{layer.path} cannot be called {layer.label!r}, the word for the network's inputs: "
                f"give it another label by labels={{{layer.path!r}: ...}}"
            )
        other = taken.setdefault(folded, layer)
        if other is not layer:
            raise NetworkError(
                f"{other.path} and {layer.path} are both called {layer.label!r} (labels must differ by more than "
                f"upper and lower case): give one a label of its own by labels={{{layer.path!r}: ...}}"
            )
