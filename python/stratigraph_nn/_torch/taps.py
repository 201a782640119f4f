"""Taps: values of a network's own code that no module makes, recorded as layers without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .labels import as_label

#: What kind of layer they are.
TAP = "tap"


@dataclass
class Tap:
    """A layer that has activations and no weights."""

    name: str
    num_units: int

    def spec(self) -> dict[str, Any]:
        """As the recorder is told of it."""
        return {
            "path": self.name,
            "label": as_label(self.name),
            "kind": TAP,
            "layout": "rows",
            "shape": [self.num_units, 0],
            "has_bias": False,
            "activation": None,
            "trainable": False,
            "source": None,
            "tensors": [],
        }


class Taps:
    """Gathers what is tapped while a network is looked at, and nothing while it is trained."""

    def __init__(self) -> None:
        self._gathered: dict[str, list[torch.Tensor]] | None = None

    def tap(self, name: str, tensor: torch.Tensor, unit_axis: int) -> torch.Tensor:
        """Gives the tensor back, ``[samples, ...]``; axes besides samples and units are averaged.

        Raises:
            ValueError: if there is no such axis.
        """
        if self._gathered is None:
            return tensor
        unit = unit_axis % tensor.dim() if -tensor.dim() <= unit_axis < tensor.dim() else 0
        if unit == 0:
            raise ValueError(f"tap {name!r}: {list(tensor.shape)} has no units along axis {unit_axis} beside samples")
        values = tensor.detach().to(torch.float32)
        others = [axis for axis in range(1, values.dim()) if axis != unit]
        means = values.mean(others) if others else values.clone()
        self._gathered.setdefault(name, []).append(means.to("cpu"))
        return tensor

    @contextmanager
    def gathering(self) -> Iterator[dict[str, list[torch.Tensor]]]:
        """Float32 ``[samples, units]`` of each batch, by name, while the network runs."""
        gathered: dict[str, list[torch.Tensor]] = {}
        self._gathered = gathered
        try:
            yield gathered
        finally:
            self._gathered = None
