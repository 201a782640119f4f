"""Held-out samples in the forms in which they are given, as batches for a network."""

from __future__ import annotations

import ctypes
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import HeldOutError
from .nonlinear import first_tensor

#: How datasets of Hugging Face and others call what is expected, in a batch that is a mapping.
_TARGETS = ("labels", "label", "targets", "target", "y")
#: Of arrays with more than so many bytes some samples are looked at, but so many at least.
_LOOKED_AT_BYTES = 8 << 20
_LEAST_LOOKED_AT = 16
#: Of many samples, so many at most.
_MOST_LOOKED_AT = 4096
#: How networks call their outputs, where they return a mapping.
_LOGITS = ("logits", "output", "outputs", "out")


def is_arrays(held_out: Any) -> bool:
    """Whether it is ``(inputs, targets)`` as a whole, each of them arrays."""
    if not isinstance(held_out, tuple | list) or len(held_out) != 2:
        return False
    inputs, targets = held_out
    # A pair of batches is no pair of arrays.
    return _length(inputs) is not None and (hasattr(targets, "shape") or _is_numbers(targets))


def num_samples(held_out: Any) -> int:
    """How many samples ``(inputs, targets)`` have.

    Raises:
        HeldOutError: if inputs and targets differ in it, or there are none.
    """
    inputs, targets = held_out
    num_inputs, num_targets = _length(inputs), _length(targets)
    if num_inputs != num_targets:
        raise HeldOutError(f"held_out has inputs of {num_inputs} samples and targets of {num_targets}")
    if not num_inputs:
        raise HeldOutError("held_out has no samples")
    return num_inputs


def slices(held_out: Any, batch_size: int, dtype: torch.dtype) -> Iterator[tuple[Any, Tensor]]:
    """``(inputs, targets)`` in batches, in order.

    Arrays of numpy's and frames of pandas become tensors; floats among the inputs get the type of the network's
    parameters.
    """
    inputs, targets = held_out
    for start in range(0, num_samples(held_out), batch_size):
        end = start + batch_size
        yield _slice(inputs, start, end, dtype), _slice(targets, start, end, None)


def batches(held_out: Iterable[Any], dtype: torch.dtype) -> Iterator[tuple[Any, Tensor]]:
    """The batches of a DataLoader or of anything else that gives ``(inputs, targets)``, or mappings that have
    targets as ``labels``.

    Raises:
        HeldOutError: if a batch is something else.
    """
    for batch in held_out:
        if isinstance(batch, Mapping):
            name = next((name for name in _TARGETS if name in batch), None)
            if name is None:
                raise HeldOutError(f"a batch of held_out has {', '.join(map(str, batch))}, and no labels among them")
            inputs: Any = {key: value for key, value in batch.items() if key != name}
            targets = batch[name]
        elif isinstance(batch, tuple | list) and len(batch) == 2:
            inputs, targets = batch
        else:
            what = f"{len(batch)} things" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
            raise HeldOutError(
                f"a batch of held_out is {what}, not (inputs, targets), where several inputs are a tuple"
            )
        yield _slice(inputs, None, None, dtype), _slice(targets, None, None, None)


def first_inputs(held_out: Any, dtype: torch.dtype, count: int = 2) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The inputs of the first ``count`` held-out samples, as arguments and arguments by name: enough for a probe.

    None if they cannot be had without losing them or running a callable. A DataLoader's generators are used, so this
    belongs within :func:`undisturbed`.
    """
    if is_arrays(held_out):
        inputs, _ = next(slices(held_out, count, dtype))
    elif isinstance(held_out, Iterable) and not isinstance(held_out, Iterator):
        batch = next(batches(held_out, dtype), None)
        if batch is None:
            return None
        length = _length(batch[0])
        inputs = batch[0] if length is None else _slice(batch[0], 0, count, None)
    else:
        return None
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def fingerprint(held_out: Any) -> dict[str, Any] | None:
    """What tells these samples from others: how many there are, and checksums of their targets and inputs (of some
    of them, evenly spread, where they are many). None where they are not known without going through them, as those
    of a loader that shuffles, of a data set without ``tensors``, or of a callable.
    """
    if not is_arrays(held_out):
        held_out = _in_order(held_out)
    if held_out is None:
        return None
    inputs, targets = held_out
    count = num_samples(held_out)
    return {
        "samples": count,
        "targets": checksum(targets, count),
        "inputs": checksum(inputs, count),
    }


def _in_order(held_out: Any) -> Any:
    """The samples of a ``DataLoader`` that gives those of a ``TensorDataset`` in their order. Of classes of others it
    is not known in what order they give them.
    """
    data = torch.utils.data
    if not isinstance(held_out, data.DataLoader) or type(held_out.dataset) is not data.TensorDataset:
        return None
    sampler, of_batches = held_out.sampler, held_out.batch_sampler
    is_in_order = (
        type(sampler) is data.SequentialSampler
        and sampler.data_source is held_out.dataset
        and type(of_batches) is data.BatchSampler
        and of_batches.sampler is sampler
        and not of_batches.drop_last
    )
    pair = tuple(held_out.dataset.tensors)
    return pair if is_in_order and is_arrays(pair) else None


def checksum(value: Any, num_samples: int, begun: int = 0) -> int:
    """CRC-32 of arrays, ``[num_samples, ...]``, by the numbers that are in them, after what was ``begun`` with."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=str)]
    if isinstance(value, tuple | list) and not _is_numbers(value):
        for item in value:
            begun = checksum(item, num_samples, begun)
        return begun
    num_bytes = 8 * max(_slice(value, 0, 1, None).numel(), 1)
    count = min(max(_LOOKED_AT_BYTES // num_bytes, _LEAST_LOOKED_AT), _MOST_LOOKED_AT, num_samples)
    every = -(-num_samples // count)
    rows = _slice(value, None, None, None, every).detach()
    numbers = rows.to("cpu", torch.float32 if rows.is_floating_point() else torch.int64).contiguous()
    content = ctypes.string_at(numbers.data_ptr(), numbers.numel() * numbers.element_size())
    return zlib.crc32(content, begun)


def whole(held_out: Any) -> Any:
    """Of a ``DataLoader`` that gives each process a share of its samples one that gives all of them, in their order;
    anything else as it is.

    Raises:
        HeldOutError: processes share out batches as they take them.
    """
    data = torch.utils.data
    if not isinstance(held_out, data.DataLoader):
        return held_out
    dataset, sampler, of_batches = held_out.dataset, held_out.sampler, held_out.batch_sampler
    if any(each.__name__ == "DataLoaderDispatcher" for each in type(held_out).__mro__):
        # The first process reads what all others are sent: nobody may look alone.
        if isinstance(dataset, data.IterableDataset):
            raise HeldOutError(
                "held_out is a loader that gives each process a share of what the first one reads: give "
                "(inputs, targets), or a loader of your own that gives every process all samples"
            )
        return _loader_like(held_out, batch_sampler=of_batches)
    inner = getattr(of_batches, "batch_sampler", None)
    if inner is not None and getattr(of_batches, "num_processes", 1) > 1:
        return whole(_loader_like(held_out, batch_sampler=inner))
    of_batches_sampler = getattr(of_batches, "sampler", None)
    shared = sampler if of_batches is None else of_batches_sampler
    if getattr(shared, "num_replicas", 1) <= 1 or type(of_batches) not in (type(None), data.BatchSampler):
        return held_out
    shared_out = getattr(shared, "dataset", None)
    # What Lightning shares out is a sampler of the user's own.
    own = data.SequentialSampler(dataset) if shared_out is dataset else getattr(shared_out, "_sampler", None)
    if own is None:
        return held_out
    if of_batches is None:
        return _loader_like(held_out, batch_size=None, sampler=own)
    return _loader_like(held_out, batch_size=of_batches.batch_size, sampler=own)


class Wholes:
    """What :func:`whole` makes of loaders, once of each: workers that persist do so from one look to the next."""

    def __init__(self) -> None:
        self._made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def __call__(self, held_out: Any) -> Any:
        """As :func:`whole`."""
        if not isinstance(held_out, torch.utils.data.DataLoader):
            return held_out
        made = self._made.get(held_out)
        if made is None:
            made = whole(held_out)
            # One that is whole itself would keep itself there.
            if made is not held_out:
                self._made[held_out] = made
        return made

    def forget_one(self, held_out: Any) -> None:
        """Lets the loader go that was made of this one, if one was."""
        if isinstance(held_out, torch.utils.data.DataLoader):
            self._made.pop(held_out, None)

    def forget(self) -> None:
        """Lets the loaders go that were made, and their workers."""
        self._made.clear()


def _loader_like(loader: Any, **how: Any) -> Any:
    """A loader of the same data set that works as this one does, but gives batches in their order: samples are known by
    it."""
    of_batches = how.get("batch_sampler")
    if type(of_batches) is torch.utils.data.BatchSampler and of_batches.drop_last:
        # What it drops is what does not fill a batch of each process.
        how["batch_sampler"] = torch.utils.data.BatchSampler(of_batches.sampler, of_batches.batch_size, False)
    return torch.utils.data.DataLoader(
        loader.dataset,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        timeout=loader.timeout,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
        # Its seeds are none of training's.
        generator=torch.Generator(),
        **how,
    )


def generators_of(held_out: Any) -> list[torch.Generator]:
    """The random generators of a DataLoader's own."""
    holders = (held_out, getattr(held_out, "sampler", None), getattr(held_out, "batch_sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def called(model: torch.nn.Module, inputs: Any, device: torch.device) -> Any:
    """What a network makes of a batch: a tuple is arguments, a mapping is arguments by name."""
    inputs = on_device(inputs, device)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def logits_of(output: Any) -> Tensor:
    """The logits in what a network returned: a tensor; the attribute or item ``logits``; the first tensor of a
    tuple.

    Raises:
        HeldOutError: if there is no tensor, or a mapping has several and none is called so.
    """
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, Mapping):
        logits = next((output[name] for name in _LOGITS if name in output), None)
        if logits is None and len(output) != 1:
            raise HeldOutError(
                f"the network returns {', '.join(map(str, output))}: give held_out as a callable that gives "
                "(logits, targets)"
            )
    found = first_tensor(output if logits is None else logits)
    if found is None:
        raise HeldOutError(
            f"the network returns a {type(output).__name__} and no logits: give held_out as a callable that gives "
            "(logits, targets)"
        )
    return found


def _length(value: Any) -> int | None:
    """How many samples an array has, or arrays have."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if not isinstance(value, tuple | list) or not value:
        return None
    if _is_numbers(value):
        return len(value)
    lengths = [_length(item) for item in value]
    return lengths[0] if all(length == lengths[0] for length in lengths) else None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(item, int | float) for item in value)


def _slice(
    value: Any, start: int | None, end: int | None, dtype: torch.dtype | None, every: int | None = None
) -> Any:
    at = slice(start, end, every)
    if isinstance(value, Tensor):
        return value[at] if value.dim() and at != slice(None) else value
    if isinstance(value, Mapping):
        return {key: _slice(item, start, end, dtype, every) for key, item in value.items()}
    if _is_numbers(value):
        return torch.as_tensor(value[at])
    if isinstance(value, tuple | list):
        return tuple(_slice(item, start, end, dtype, every) for item in value)
    if hasattr(value, "shape"):
        # Frames of pandas are sliced by their places, not by their index.
        values = getattr(value, "iloc", value)[at] if len(value.shape) else value
        if hasattr(values, "to_numpy"):
            values = values.to_numpy()
        if not getattr(getattr(values, "flags", None), "writeable", True):
            values = values.copy()
        tensor = torch.as_tensor(values)
        return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
    return value


def on_device(value: Any, device: torch.device, copy: bool = False) -> Any:
    """All tensors of arguments on a device; the same ones where they are there already, unless ``copy``."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True, copy=copy)
    if isinstance(value, Mapping):
        return {key: on_device(item, device, copy) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(on_device(item, device, copy) for item in value)
    return value
