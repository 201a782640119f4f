"""What can be wrong with a network or a held-out set."""

from __future__ import annotations

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
