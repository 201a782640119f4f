"""Which function is a layer's non-linearity: one that is applied to the very tensor that the layer made.

A sum with something else, or a change in place, makes another value of it, so what follows these is no
layer's own non-linearity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

#: By the names of PyTorch's functions, without the underscore of those that work in place.
_NAMES = {
    name: name
    for name in (
        "relu relu6 leaky_relu elu selu celu gelu silu mish sigmoid tanh softplus softsign hardtanh hardswish "
        "hardsigmoid tanhshrink softshrink hardshrink threshold rrelu prelu sin"
    ).split()
} | {"_threshold": "threshold", "log_sigmoid": "logsigmoid", "logsigmoid": "logsigmoid", "expit": "sigmoid"}
_NAMES |= {f"{function}_": name for function, name in _NAMES.items()}

#: Modules of transformers that put a non-linearity together of several functions.
_MODULES = {
    "NewGELUActivation": "gelu",
    "PytorchGELUTanh": "gelu",
    "GELUTanh": "gelu",
    "FastGELUActivation": "gelu",
    "GELUActivation": "gelu",
    "QuickGELUActivation": "quick_gelu",
    "AccurateGELUActivation": "gelu",
    "ReLUSquaredActivation": "relu_squared",
    "LaplaceActivation": "laplace",
}


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place."""
    return 0 if tensor.is_inference() else tensor._version


def is_dense(tensor: Tensor) -> bool:
    """Whether all of its values are there, in rows of one length."""
    return tensor.layout == torch.strided and not tensor.is_nested


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of what a module was given or gave: of a tensor, a sequence, or a mapping."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple | list):
        return None
    return next((tensor for item in value if (tensor := first_tensor(item)) is not None), None)


_Applied = Callable[[int, str, Tensor], Tensor | None]


class Nonlinearities(TorchFunctionMode):
    """Within :meth:`watching`, tells of the first non-linearity that is applied to a tensor that is expected to
    get one."""

    def __init__(self) -> None:
        super().__init__()
        self._applied: _Applied | None = None
        self._outputs = WeakTensorKeyDictionary()

    def expect(self, output: Tensor, layer: int, said: Tensor | None = None) -> None:
        """``output`` is what a layer made, as it is now. Or it stands for what the layer made, ``said``: then the
        non-linearity is applied to that."""
        self._outputs[output] = (layer, version(output), said)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = _name(func, args, kwargs)
        if name is None:
            return func(*args, **kwargs)
        output = args[0] if args else kwargs.get("input")
        layer, said = self._taken(output)
        if said is not None:
            args, kwargs = ((said, *args[1:]), kwargs) if args else (args, {**kwargs, "input": said})
        result = func(*args, **kwargs)
        if layer is not None and isinstance(result, Tensor) and self._applied is not None:
            other = self._applied(layer, _bounded(name, args, kwargs), result)
            if said is not None and result is said:
                # It works in place, so that the network may go on with what it gave it.
                return output.copy_(result if other is None else other)
            result = _instead(result, other)
        return result

    @contextmanager
    def watching(self, model: nn.Module, applied: _Applied) -> Iterator[None]:
        """Sees functions that are called within, and modules that are non-linearities by themselves.

        ``applied(layer, name, result)`` is called the moment one was applied, before anything else can change the
        result. A tensor that it gives takes the result's place. It is not kept: a cycle of references would keep tensors until the next collection.
        """
        taken: list[int | None] = []

        def before(_: nn.Module, args: Any) -> Any:
            output = first_tensor(args)
            layer, said = self._taken(output)
            taken.append(layer)
            return None if said is None else tuple(said if item is output else item for item in args)

        def after(module: nn.Module, _: Any, output: Any) -> Tensor | None:
            layer = taken.pop()
            if layer is None or not isinstance(output, Tensor):
                return None
            return applied(layer, _MODULES[type(module).__name__], output)

        with ExitStack() as stack:
            self._applied = applied
            stack.callback(setattr, self, "_applied", None)
            for module in model.modules():
                if type(module).__name__ in _MODULES:
                    # Who watches last stands nearest: what it puts in place is what others may await.
                    stack.callback(module.register_forward_pre_hook(before, prepend=True).remove)
                    stack.callback(module.register_forward_hook(after).remove)
            stack.enter_context(self)
            yield

    def _taken(self, tensor: Any) -> tuple[int | None, Tensor | None]:
        """The layer whose output a tensor still is, and what it stands for; a second non-linearity does not find it
        again."""
        if not isinstance(tensor, Tensor):
            return None, None
        layer, made_at, said = self._outputs.pop(tensor, (None, 0, None))
        return (layer, said) if made_at == version(tensor) else (None, None)


def _instead(result: Tensor, other: Tensor | None) -> Tensor:
    """What stands for a result. Of a function that works in place nobody may look at what it gives, so its
    memory is changed as well, where no gradient needs it."""
    if other is None:
        return result
    if not torch.is_grad_enabled() and other.shape == result.shape:
        return result.copy_(other)
    return other


def is_of_one_slope(args: Any, kwargs: Any) -> bool:
    """Whether a ``prelu`` has one slope for all units. With a slope a unit it is a layer of its own."""
    slope = args[1] if len(args) > 1 else kwargs.get("weight")
    return isinstance(slope, Tensor) and slope.numel() == 1


def _name(func: Any, args: Any, kwargs: Any) -> str | None:
    """What a function is called as a non-linearity of a layer, if it is one."""
    name = _NAMES.get(getattr(func, "__name__", ""))
    return None if name == "prelu" and not is_of_one_slope(args, kwargs) else name


def _bounded(name: str, args: Any, kwargs: Any) -> str:
    """PyTorch's ``ReLU6`` is a ``hardtanh`` from 0 to 6."""
    bounds = (*args[1:3], *(kwargs[key] for key in ("min_val", "max_val") if key in kwargs))
    return "relu6" if name == "hardtanh" and bounds == (0, 6) else name
