"""A recorded network as a ``state_dict``."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .layers import unwrapped, without_wrappers
from .tensors import problem

#: By the names that safetensors has.
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name."""
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", content)
    start = 8 + length
    tensors = {}
    for name, about in json.loads(bytes(content[8:start])).items():
        if name == "__metadata__":
            continue
        dtype, shape = _DTYPES[about["dtype"]], about["shape"]
        first, end = about["data_offsets"]
        if first == end:
            tensors[name] = torch.empty(shape, dtype=dtype)
            continue
        count = (end - first) // dtype.itemsize
        tensors[name] = torch.frombuffer(content, dtype=dtype, count=count, offset=start + first).reshape(shape)
    return tensors


def load(model: nn.Module, tensors: dict[str, torch.Tensor], strict: bool) -> None:
    """Puts tensors into a module. Whole numbers, as the batches that a norm has counted, and what else no trace can hold
    are not recorded, and stay as they are.

    Raises:
        RuntimeError: names or shapes are others, as ``load_state_dict`` says it.
    """
    module = unwrapped(model)
    own = module.state_dict()
    recorded = _by_own_names(own, tensors)
    kept = {name: value for name, value in own.items() if name not in recorded and not _is_recordable(value)}
    # Of tied tensors one name was recorded.
    tied = {}
    for name, value in own.items():
        if name in recorded or name in kept:
            continue
        same = [other for other in recorded if other in own and own[other].data_ptr() == value.data_ptr()]
        if same and own[same[0]].shape == value.shape:
            tied[name] = recorded[same[0]]
    module.load_state_dict({**kept, **recorded, **tied}, strict=strict)


def _is_recordable(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and problem(value) is None


def _by_own_names(own: Iterable[str], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names that the model has for them: parts that are compiled or checkpointed have a word more in
    theirs, which is not recorded."""
    names = {without_wrappers(name): name for name in own}
    return {names.get(name, name): value for name, value in tensors.items()}


def unlike(model: nn.Module, tensors: dict[str, torch.Tensor], is_half: bool) -> list[str]:
    """In what a module differs from a recorded ``state_dict``, a phrase a tensor; nothing where it is that network.

    What was recorded are 32-bit floats; with ``is_half`` weights were rounded to 16 bits, and biases were not.
    """
    own = {without_wrappers(name): value for name, value in unwrapped(model).state_dict().items()}
    found = []
    for name, recorded in tensors.items():
        value = own.get(name)
        if not isinstance(value, torch.Tensor):
            found.append(f"it has no {name}")
        elif value.shape != recorded.shape:
            found.append(f"{name} is {list(value.shape)}, recorded {list(recorded.shape)}")
        else:
            value, recorded = value.detach().to("cpu", torch.float32), recorded.to(torch.float32)
            if not _equal(value, recorded) and not (is_half and _equal(value.half().float(), recorded)):
                found.append(f"{name} differs by up to {float((value - recorded).abs().max()):.2g}")
    return found


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, rtol=0.0, atol=0.0, equal_nan=True)
