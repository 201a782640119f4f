"""A network of any framework, as arrays: what a recorder is given where PyTorch does not train."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from . import _options as options

#: What frameworks call the weight that a module is named for, and the bias beside it.
_WEIGHTS = ("weight", "kernel", "w", "embedding", "scale", "gamma")
_BIASES = ("bias", "b", "beta")
_LAYOUTS = ("out_in", "in_out")

#: Types as safetensors spells them.
_DTYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}


class ArrayNetwork:
    """Parameters that are handed over as arrays, by name."""

    rank = 0
    world_size = 1
    #: Whether a capture is given arrays.
    takes_arrays = True
    #: Whether it is known when training begins.
    is_before_training_known = True

    #: What else is to be said.
    remarks: Sequence[str] = ()
    has_lost_gradients = False
    #: Labels that are no layers of the first look.
    unseen_labels: Sequence[str] = ()

    def __init__(self, labels: Mapping[str, str] | None) -> None:
        self._labels = dict(labels or {})
        self._num_steps = 0
        self._arrays: dict[str, Any] = {}
        self._layout = "out_in"
        self._layers: list[_ArrayLayer] = []
        self._outputs: tuple[Any, Any, str | None] | None = None
        self._activations: Mapping[str, Any] = {}
        #: The names of the first capture's arrays.
        self._names: set[str] = set()
        #: What is said of arrays that are left out, by name.
        self._left_out: dict[str, str] = {}

    @property
    def left_out(self) -> Collection[str]:
        """Which arrays are left out, and why."""
        return self._left_out.values()

    device = "cpu"
    #: No optimizers are known.
    has_several_optimizers = False
    is_optimizer_behind = False

    def preview(self) -> tuple[list[dict[str, Any]], str]:
        """Nothing is known before the first capture."""
        return [], self.device

    def agree(self, choose: Callable[[], Path]) -> Path:
        """The one process chooses."""
        return choose()

    def begin(self, _: Callable[[], None], __: Callable[[int], int], ___: Any, step: int, *____: bool) -> None:
        """Counts steps from ``step`` on."""
        self._num_steps = step

    def go_on_from(self, step: int) -> None:
        """Counts on from a step."""
        self._num_steps = step

    def wake(self) -> None:
        """Nobody is told of steps."""

    def untrained(self) -> AbstractContextManager[None]:
        """Arrays are what they are."""
        return nullcontext()

    def end(self) -> None:
        """Keeps nothing any longer."""
        self._arrays, self._outputs, self._activations = {}, None, {}

    @property
    def num_steps(self) -> int:
        """How many steps are done."""
        return self._num_steps

    def count_step(self) -> None:
        """Counts a step."""
        self._num_steps += 1

    def close_step(self) -> None:
        """Nothing waits."""

    def take(
        self,
        arrays: Mapping[str, Any] | None,
        layout: str,
        step: int | None,
        held_out: tuple[Any, Any] | None,
        loss: str | None,
        activations: Mapping[str, Any] | None,
    ) -> None:
        """Takes what the next capture is of.

        Raises:
            TypeError: arrays or activations have no names, or held_out is no pair.
            ValueError: the layout or the loss is none, or the step was before.
        """
        for given, what, name in ((arrays, "arrays", "dense.weight"), (activations, "activations", "dense")):
            if given is not None and not hasattr(given, "keys"):
                kind = type(given).__name__
                raise TypeError(f"{what} are given by their names, as {{{name!r}: ...}}, not as a {kind}")
        if layout not in _LAYOUTS:
            there_are = " or ".join(f'"{name}"' for name in _LAYOUTS)
            meant = options.did_you_mean(str(layout), _LAYOUTS)
            raise ValueError(f"layout is {there_are}, not {layout!r}{meant}")
        if not self._layers:
            self._layout = layout
        elif layout != self._layout:
            raise ValueError(f"layout is {layout!r} now, it was {self._layout!r} in the first capture")
        if held_out is not None and (not isinstance(held_out, tuple | list) or len(held_out) != 2):
            raise TypeError(f"held_out is (logits, targets), not {options.given(held_out)}")
        if step is not None:
            step = options.whole("step", step, 0)
        self._num_steps = self._num_steps + 1 if step is None else step
        self._arrays = dict(arrays or {})
        self._outputs = None if held_out is None else (*held_out, options.loss(loss))
        self._activations = dict(activations or {})

    def describe(self, _: Any) -> list[dict[str, Any]]:
        """The layers that the arrays are.

        Raises:
            TypeError: something is no array.
            ValueError: there are no arrays of floats.
        """
        self._layers = _layers(self._arrays, self._layout, self._labels)
        if not self._layers:
            raise ValueError("there are no arrays of floats to capture")
        self._names = set(self._arrays)
        for name, array in self._arrays.items():
            if (dtype := _unheld(array, name)) is not None:
                there_are = ", ".join(_DTYPES)
                self._left_out[name] = f"{name} is left out: its values are {dtype}, and a trace holds {there_are}"
        return [layer.spec() for layer in self._layers]

    def num_held_out(self, _: Any) -> int | None:
        """How many held-out samples there are, where that is known."""
        return None if self._outputs is None else len(self._outputs[1])

    def held_out_told(self, _: Any) -> dict[str, Any] | None:
        """What held-out samples are known by: how many there are, and a checksum of their targets."""
        try:
            import numpy
        except ImportError:
            return None
        if self._outputs is None:
            return None
        targets = numpy.asarray(_tensor(self._outputs[1], "targets"))
        targets = targets.astype(
            numpy.float32 if targets.dtype.kind == "f" else numpy.int64
        )
        return {
            "samples": len(targets),
            "targets": zlib.crc32(targets.tobytes()),
        }

    def expect_gradients(self, _: bool, __: Sequence[int]) -> None:
        """Arrays have none."""

    def forget_gradients(self) -> None:
        """Arrays have none."""

    def tap(self, _: str, tensor: Any, __: int) -> Any:
        """Gives the tensor back: activations are given to ``capture``."""
        return tensor

    def evaluate(self, _: Any, __: Sequence[int]) -> tuple[str, Any, Any, Any] | None:
        """Logits and targets that were given."""
        if self._outputs is None:
            return None
        logits, targets, loss = self._outputs
        return _loss_name(loss, targets), _tensor(logits, "logits"), _tensor(targets, "targets"), None

    def parts(self, parameters: Iterable[tuple[int, str]], selected: Sequence[int], _: bool) -> list[tuple[Any, ...]]:
        """Arrays of a capture, for the extension.

        Raises:
            TypeError: something is no array.
            ValueError: an array of the first capture is not there, one is of a layer that is not, or activations
                are not ``[samples, units]``.
        """
        parts: list[tuple[Any, ...]] = []
        for index, kind in parameters:
            layer = self._layers[index]
            weight = layer.rows(self._array(layer.weight))
            bias = None if layer.bias is None else self._array(layer.bias)
            parts.append((kind, index, weight, bias, None))
        for name in self._arrays:
            if name not in self._names:
                self._left_out[name] = f"{name} is left out: the layers of a run are the arrays of its first capture"
        places = {layer.label: index for index, layer in enumerate(self._layers)}
        for label, values in self._activations.items():
            if label not in places:
                raise ValueError(f"there is no layer {label!r}: there are {', '.join(places)}")
            if places[label] in selected:
                activations = self._checked(self._layers[places[label]], _tensor(values, f"activations of {label}"))
                parts.append(("activations", places[label], activations, None, None))
        return parts

    def is_device_error(self, _: BaseException) -> bool:
        """What is handed over is on the host."""
        return False

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            raise ValueError(f"{name} was there in the first capture, and is not now")
        return _tensor(self._arrays[name], name)

    def _checked(self, layer: _ArrayLayer, activations: Any) -> Any:
        shape = [int(size) for size in activations.shape]
        if len(shape) != 2 or shape[1] != layer.num_units:
            raise ValueError(
                f"activations of {layer.label} are [samples, {layer.num_units}], a value a sample and unit, "
                f"not of shape {shape}"
            )
        logits = None if self._outputs is None else getattr(self._outputs[0], "shape", None)
        if logits and shape[0] != int(logits[0]):
            raise ValueError(
                f"activations of {layer.label} are of {shape[0]} samples, the logits of held_out of {int(logits[0])}"
            )
        return activations


class _ArrayLayer:
    """A weight by its name, and the bias that is folded in."""

    def __init__(
        self, path: str, label: str, weight: str, bias: str | None, layout: str, arrays: Mapping[str, Any]
    ) -> None:
        array = arrays[weight]
        self.path, self.label, self.weight, self.bias = path, label, weight, bias
        self._shape = [int(size) for size in array.shape]
        self._is_last = layout == "in_out" and len(self._shape) > 1
        self._dtype = _dtype(array, weight)
        self._bias_dtype = None if bias is None else _dtype(arrays[bias], bias)

    @property
    def num_units(self) -> int:
        """How many units lie along the axis of the layout."""
        return self._shape[-1 if self._is_last else 0] if self._shape else 1

    def spec(self) -> dict[str, Any]:
        """As the extension takes it."""
        kind = {1: "parameter", 2: "linear"}.get(len(self._shape), "conv")
        fan_in = 1
        for size in self._shape[:-1]:
            fan_in *= size
        tensors = [_named(self.weight, self._dtype, self._shape, self._is_last)]
        if self.bias is not None:
            tensors.append(_named(self.bias, self._bias_dtype, [self._shape[-1 if self._is_last else 0]], False))
        return {
            "path": self.path,
            "label": self.label,
            "kind": kind,
            "layout": "columns" if self._is_last else "rows",
            "shape": [fan_in, self._shape[-1]] if self._is_last else self._shape,
            "activation": None,
            "trainable": True,
            "source": None,
            "tensors": tensors,
        }

    def rows(self, array: Any) -> Any:
        """The array in the shape that was described.

        Raises:
            ValueError: it has another shape than in the first capture.
        """
        if [int(size) for size in array.shape] != self._shape:
            raise ValueError(f"{self.weight} had shape {self._shape}, now it has {list(array.shape)}")
        return array


def _layers(arrays: Mapping[str, Any], layout: str, labels: Mapping[str, str]) -> list[_ArrayLayer]:
    def parts_of(name: str) -> tuple[str, str]:
        module, _, leaf = name.replace("/", ".").rpartition(".")
        return module, leaf

    floats = {name: _tensor(array, name) for name, array in arrays.items() if _dtype(array, name) is not None}
    biases: dict[str, str] = {}
    for name, array in floats.items():
        module, leaf = parts_of(name)
        if leaf in _BIASES and len(array.shape) == 1:
            biases[module] = name
    weights = [name for name in floats if parts_of(name)[1] in _WEIGHTS]
    folded: set[str] = set()
    layers: dict[str, _ArrayLayer] = {}
    for name in weights:
        module, _ = parts_of(name)
        array, bias = floats[name], biases.get(module)
        axis = -1 if layout == "in_out" and len(array.shape) > 1 else 0
        if bias is not None and (bias in folded or len(array.shape) == 0 or floats[bias].shape[0] != array.shape[axis]):
            bias = None
        if bias is not None:
            folded.add(bias)
        path = module or name
        layers[name] = _ArrayLayer(path, labels.get(path, path), name, bias, layout, floats)
    for name in floats:
        if name not in layers and name not in folded:
            path = name.replace("/", ".")
            layers[name] = _ArrayLayer(path, labels.get(path, path), name, None, layout, floats)
    # Two weights of one module are told apart by their own names.
    paths = [layer.path for layer in layers.values()]
    for name, layer in layers.items():
        if paths.count(layer.path) > 1:
            layer.path = name.replace("/", ".")
            layer.label = labels.get(layer.path, layer.path)
    return [layers[name] for name in floats if name in layers]


def _named(name: str, dtype: str | None, shape: list[int], transposed: bool) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape, "transposed": transposed}


def _dtype(array: Any, name: str) -> str | None:
    """Its type as safetensors spells it; None where it has no floats."""
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        return {"f": "F32", "d": "F64", "e": "F16"}.get(_view(array, name).format)
    return _DTYPES.get(str(getattr(dtype, "name", dtype)).removeprefix("torch."))


def _unheld(array: Any, name: str) -> str | None:
    """The type of an array whose values a trace does not hold; None of floats, and of counts and the like, which are no
    parameters."""
    if _dtype(array, name) is not None:
        return None
    dtype = getattr(array, "dtype", None)
    dtype = str(getattr(dtype, "name", dtype) if dtype is not None else _view(array, name).format)
    shape = getattr(array, "shape", ())
    is_whole = re.fullmatch(r"(torch\.)?(u?int\d*|bool|[bBhHiIlLqQ?])", dtype) is not None
    # A matrix of whole numbers is rather a weight that is quantised.
    return dtype.removeprefix("torch.") if not is_whole or len(shape) > 1 else None


def _tensor(array: Any, name: str) -> Any:
    """Something that speaks DLPack: what has only a buffer becomes an array of numpy's.

    Raises:
        TypeError: it has neither.
    """
    if hasattr(array, "__dlpack__"):
        return array.detach() if hasattr(array, "detach") else array
    view = _view(array, name)
    try:
        import numpy
    except ImportError:
        raise TypeError("buffers are read by numpy: pip install numpy") from None
    return numpy.asarray(view)


def _view(array: Any, name: str) -> memoryview:
    try:
        return memoryview(array)
    except TypeError:
        kind = type(array).__name__
    if isinstance(array, Mapping):
        what = f"names are flat, as '{name}.{next(iter(array), 'weight')}'"
    else:
        what = "an array is wanted that speaks DLPack or the buffer protocol, as numpy.asarray makes one"
    raise TypeError(f"{name} is a {kind}: {what}")


def _loss_name(loss: str | None, targets: Any) -> str:
    names = {
        "cross_entropy": "softmax_cross_entropy",
        "bce_with_logits": "binary_cross_entropy",
        "mse": "mean_squared_error",
    }
    if loss is None:
        is_float = "float" in str(getattr(targets, "dtype", ""))
        return names["mse" if is_float else "cross_entropy"]
    if loss == "bce_with_logits" and len(getattr(targets, "shape", ())) > 1 and targets.shape[1] > 1:
        return "multi_label_cross_entropy"
    return names[loss]
