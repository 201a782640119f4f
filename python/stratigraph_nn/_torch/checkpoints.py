"""Files of ``torch.save``, and Lightning's, for the import: one tensor at a time."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

#: The names that safetensors has, by those of PyTorch.
_DTYPES = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.int16": "I16",
    "torch.uint16": "U16",
    "torch.int32": "I32",
    "torch.uint32": "U32",
    "torch.int64": "I64",
    "torch.uint64": "U64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.float8_e8m0fnu": "F8_E8M0",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float32": "F32",
    "torch.float64": "F64",
}

#: Where training loops put the state dict of the model, beside that of the optimizer and others.
_KEYS = ("state_dict", "model_state_dict", "model", "module")

#: How much of a file that is mapped is read before it is mapped anew, which gives back what was read.
_MAPPED_BYTES = 64 << 20

#: How many names a message has at most.
_MAX_NAMES = 6


class RefusedError(Exception):
    """A file cannot be imported: why, and what to do about it."""


class Library:
    """Opens files. ``key`` says which of several state dicts is meant, with dots between the keys; ``""`` is the
    file itself."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def open(self, path: str) -> Checkpoint:
        """Opens a file. Raises :class:`RefusedError` if it cannot be imported."""
        return Checkpoint(path, self._key)


class Checkpoint:
    """An open file, whose values are read when they are asked for."""

    def __init__(self, path: str, key: str | None) -> None:
        self._path, self._key = path, key
        self._is_mapped = _can_be_mapped(path)
        loaded = self._load()
        self.place, self._state = _state_dict(loaded, key)
        self._num_read = 0
        #: Names, types and shapes.
        self.tensors = [_described(name, value) for name, value in self._state.items()]
        #: What Lightning and others write beside the state dict.
        self.epoch, self.step = _number(loaded, "epoch"), _number(loaded, "global_step")
        self.notes = _notes(loaded, self.place)

    def values(self, index: int) -> torch.Tensor:
        """The bytes of the ``index``-th tensor, row-major: ``[bytes]``, of ``uint8``."""
        name, _, _ = self.tensors[index]
        if self._is_mapped and self._num_read > _MAPPED_BYTES:
            self._state = {}
            _, self._state = _state_dict(self._load(), self._key)
            self._num_read = 0
        value = self._state[name].detach()
        self._num_read += value.numel() * value.element_size()
        # A view whose sign is still to be changed.
        if value.is_neg():
            value = value.resolve_neg()
        return value.contiguous().reshape(-1).view(torch.uint8)

    def _load(self) -> Any:
        try:
            return torch.load(self._path, map_location="cpu", weights_only=True, mmap=self._is_mapped)
        except Exception as error:
            raise RefusedError(_refusal(error)) from error


def _can_be_mapped(path: str) -> bool:
    """Whether values lie in the file as they are. Files of PyTorch before 1.6 are no zip files; others may have packed
    a file anew."""
    try:
        with zipfile.ZipFile(path) as file:
            return all(entry.compress_type == zipfile.ZIP_STORED for entry in file.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _refusal(error: Exception) -> str:
    """What PyTorch says of a file, and what to do."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    _, is_unpickler, inner = said.partition("WeightsUnpickler error: ")
    said = inner if is_unpickler else said
    # Advice on trusting files and on damaged ones, which is ours to give.
    for advice in ("\n\nCheck the documentation", "In PyTorch 2.6, we changed", "This is an internal miniz error"):
        said = said.partition(advice)[0]
    said = " ".join(said.split()).rstrip(".")
    if "weights_only" in said or "Unsupported global" in said or "Unsupported class" in said:
        return (
            f"PyTorch reads nothing but tensors and plain values, by weights_only: {said}. Load it where it was made, "
            "and save its state_dict() alone; or allow what it names by torch.serialization.add_safe_globals, if you "
            "trust the file"
        )
    return f"PyTorch cannot read it ({said}): save, copy or download it again"


def _tensors(value: Any) -> list[str]:
    """The names of the tensors that a dictionary has."""
    if not isinstance(value, Mapping):
        return []
    return [key for key, item in value.items() if isinstance(key, str) and isinstance(item, torch.Tensor)]


def _places(value: Any, place: str = "", depth: int = 2) -> list[str]:
    """Where in a file there are dictionaries with tensors by name, but the file itself."""
    if not isinstance(value, Mapping) or not depth:
        return []
    found = []
    for key, item in value.items():
        if isinstance(key, str) and isinstance(item, Mapping):
            inner = f"{place}.{key}" if place else key
            found += [inner] if _tensors(item) else []
            found += _places(item, inner, depth - 1)
    return found


def _at(loaded: Any, key: str) -> Any:
    """What is below a key, or below several with dots between them; None if nothing is."""
    if not key:
        return loaded
    if not isinstance(loaded, Mapping):
        return None
    if key in loaded:
        return loaded[key]
    first, _, rest = key.partition(".")
    return _at(loaded[first], rest) if rest and first in loaded else None


def _state_dict(loaded: Any, key: str | None) -> tuple[str, dict[str, torch.Tensor]]:
    """Where in a file the weights are, and they themselves, by name."""
    places = _places(loaded)
    is_itself = bool(_tensors(loaded))
    listed = _listed([repr(place) for place in places] + ([repr("")] if is_itself else []))
    if key is not None:
        if not _tensors(_at(loaded, key)):
            known = f"; tensors are below {listed}" if listed else ""
            raise RefusedError(f"below the key {key!r} there are no tensors by name{known}")
        place = key
    else:
        taken = [name for name in _KEYS if name in places]
        if len(taken) > 1:
            named = _listed([repr(name) for name in taken])
            raise RefusedError(f"{named} each hold tensors: the key says which is meant, as key={taken[0]!r}")
        if taken:
            place = taken[0]
        elif is_itself and not places:
            place = ""
        elif places or is_itself:
            raise RefusedError(
                f"no state dict is below {_listed(list(_KEYS))}, and tensors are below {listed}: the key says which "
                f"are meant, as key={places[0]!r}"
            )
        elif isinstance(loaded, Mapping):
            keys = _listed([repr(name) for name in loaded]) or "nothing"
            raise RefusedError(f"it has no tensors by name, only {keys}: save the model's state_dict()")
        else:
            raise RefusedError(f"it holds no state dict, but a {type(loaded).__name__}: save the model's state_dict()")
    state = _at(loaded, place)
    inner = [str(name) for name, item in state.items() if _tensors(item) and not str(name).endswith("_extra_state")]
    unnamed = [name for name, item in state.items() if isinstance(item, torch.Tensor) and not isinstance(name, str)]
    if inner or unnamed:
        beside = _listed([repr(name) for name in [*inner, *unnamed]])
        raise RefusedError(
            f"{_where(place)} has tensors by name and beside them {beside}, which are none: the key says which are "
            "meant; or save one flat dictionary of them"
        )
    return place, {name: state[name] for name in _tensors(state)}


def _where(place: str) -> str:
    return f"what is below {place!r}" if place else "the file itself"


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _described(name: str, value: torch.Tensor) -> tuple[str, str, list[int]]:
    """A tensor's name, type and shape; refuses what has no values of its own for each place."""
    if type(value) not in (torch.Tensor, nn.Parameter):
        kind = type(value).__name__
        raise RefusedError(f"tensor {name} is a {kind}, no plain tensor: save what its full_tensor() or the like gives")
    if value.is_quantized or str(value.dtype).startswith(("torch.q", "torch.bits")):
        raise RefusedError(f"tensor {name} is quantised ({value.dtype}): save what its dequantize() gives")
    if value.layout is not torch.strided or value.is_nested:
        raise RefusedError(f"tensor {name} is sparse or nested ({value.layout}): save what its to_dense() gives")
    if value.device.type != "cpu":
        raise RefusedError(f"tensor {name} has no values (device {value.device}): save it with them")
    return name, _DTYPES.get(str(value.dtype), str(value.dtype)), list(value.shape)


def _number(loaded: Any, key: str) -> int | None:
    """What a file says of its epoch or step."""
    number = loaded.get(key) if isinstance(loaded, Mapping) else None
    return number if type(number) is int and number >= 0 else None


def _notes(loaded: Any, place: str) -> list[str]:
    """What should be known of what was taken."""
    notes = []
    if place:
        others = [repr(name) for name in loaded if name != place.partition(".")[0] and name != place]
        rest = f"; left out: {_listed(others)}" if others else ""
        notes.append(f"the tensors below {place!r} are taken{rest}")
    no_tensors = [repr(name) for name, item in _at(loaded, place).items() if not isinstance(item, torch.Tensor)]
    if no_tensors:
        notes.append(f"{_listed(no_tensors)} are left out of the state dict, as they are no tensors")
    return notes
