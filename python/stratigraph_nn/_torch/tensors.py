"""Single tensors of a module: where they are found, of what type they are, which a trace cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .errors import LazyError, NetworkError, TensorError

#: Types that a trace holds as 32-bit floats, as safetensors spells them.
DTYPE_NAMES: dict[torch.dtype, str] = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}


@dataclass(frozen=True)
class Ref:
    """Where a tensor is: a module and the name of its parameter or buffer.

    A parameter may be replaced by another while a network trains, so the tensor is looked up anew at every
    call. No tensor is kept.
    """

    module: nn.Module
    field: str
    #: All names of the tensor in ``state_dict()``; several where it is tied.
    names: tuple[str, ...]

    def __call__(self) -> torch.Tensor:
        """The tensor as it is now: the parameter itself, no copy.

        Raises:
            NetworkError: if the module does not have it any more.
        """
        tensor: torch.Tensor | None = self.module._parameters.get(self.field)
        if tensor is None:
            tensor = self.module._buffers.get(self.field)
        if tensor is None:
            raise NetworkError(f"the network does not have {self.names[0]} any more")
        return tensor


def check(tensor: torch.Tensor, name: str, label: str) -> None:
    """Refuses what a trace cannot hold.

    Raises:
        LazyError: if the tensor has no shape yet.
        TensorError: if it is of another kind than a dense tensor of floats.
    """
    if is_lazy(tensor):
        raise LazyError(f"{name} is not initialised yet: run a forward pass first")
    _refuse(problem(tensor), name, label)


def check_module(module: nn.Module, name: str, label: str) -> None:
    """Refuses a module whose weights are no parameters, which would be passed over silently.

    Raises:
        TensorError: if there are weights that cannot be looked at.
    """
    if isinstance(module, torch.jit.ScriptModule):
        has_own = next(module.parameters(recurse=False), None) is not None
        if has_own:
            what = "is compiled by torch.jit, which calls no hooks", "record the module that it was made of"
            _refuse(what, name, label)
    elif ".quantized." in type(module).__module__ and callable(getattr(module, "weight", None)):
        _refuse((f"is quantised ({type(module).__name__})", ""), name, label)


def _refuse(why: tuple[str, str] | None, name: str, label: str) -> None:
    if why is not None:
        what, instead = why
        leave_out = f'leave its layer out by layers=["!{label}"]'
        raise TensorError(name, f"{name} {what}: {leave_out}{', or ' if instead else ''}{instead}")


def problem(tensor: torch.Tensor) -> tuple[str, str] | None:
    """What is wrong with a tensor, and what may be done besides leaving it out."""
    classes = {base.__name__ for base in type(tensor).__mro__}
    if "DTensor" in classes:
        return "is a DTensor, sharded over processes", "record a network that is not sharded"
    if "FlatParameter" in classes:
        return "is sharded by FSDP", "record a network that is not sharded"
    if tensor.is_quantized or hasattr(type(tensor), "__tensor_flatten__"):
        return f"is quantised ({type(tensor).__name__}, {tensor.dtype})", ""
    if tensor.layout != torch.strided:
        return f"is sparse ({tensor.layout})", "make it dense"
    if tensor.is_meta:
        return "is on the device meta and has no values", "give the network values first"
    if tensor.is_complex():
        return f"has complex values ({tensor.dtype})", "keep its real and imaginary parts (torch.view_as_real)"
    if not tensor.is_floating_point():
        return f"is quantised: values of {tensor.dtype}", ""
    if tensor.dtype not in DTYPE_NAMES:
        return f"has values of {tensor.dtype}, which a trace does not know", ""
    return None
