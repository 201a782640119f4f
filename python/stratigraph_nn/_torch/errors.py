"""What can be wrong with a network or a held-out set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .._native import StratigraphError


class NetworkError(StratigraphError, ValueError):
    """A network cannot be described as layers, or lacks a layer or a unit that is asked for, or does not let it be
    changed."""


class LazyError(NetworkError):
    """A parameter has no shape yet: its module sees its inputs for the first time in a forward pass."""


class TensorError(NetworkError):
    """A tensor is of a kind that a trace cannot hold: quantised, sparse, sharded, complex, without values.

    ``name`` is the tensor's name in ``state_dict()``.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class HeldOutError(StratigraphError, ValueError):
    """What was given as held-out samples cannot be used, or does not go together with the network."""


def is_device_error(error: BaseException) -> bool:
    """Whether a failure is the device's, and so training's own."""
    # Whoever catches errors by their names needs no torch.
    import torch

    kinds = (getattr(torch, "AcceleratorError", None), getattr(torch.cuda, "CudaError", None))
    return isinstance(error, tuple(kind for kind in kinds if kind is not None))


@contextmanager
def tolerated() -> Iterator[None]:
    """Ends what is within where anything goes wrong but the device."""
    try:
        yield
    except Exception as error:
        if is_device_error(error):
            raise
