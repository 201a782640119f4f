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

    @property
    def label(self) -> str:
        """What the trace calls it."""
        return as_label(self.name)

    def spec(self) -> dict[str, Any]:
        """As the recorder is told of it."""
        return {
            "path": self.name,
            "label": self.label,
            "kind": TAP,
            "layout": "rows",
            "shape": [self.num_units, 0],
            "has_bias": False,
            "activation": None,
            "trainable": False,
            "source": None,
            "tensors": [],
        }

    def of_samples(self, batches: list[Tapped], num_samples: int) -> torch.Tensor | str:
        """``[num_samples, num_units]`` of what was gathered, or why there is none."""
        for batch in batches:
            num_rows, num_units = batch.rows.shape
            if num_units != self.num_units:
                return f"it has {num_units} units, and had {self.num_units} before"
            # As many rows as samples in all would not say whose they are.
            if batch.num_samples is not None and num_rows != batch.num_samples:
                return f"it has {num_rows} rows of a batch of {batch.num_samples} samples"
        num_rows = sum(len(batch.rows) for batch in batches)
        if num_rows != num_samples:
            return f"it has {num_rows} rows of {num_samples} samples"
        return torch.cat([batch.rows for batch in batches])


@dataclass
class Tapped:
    """What was tapped in a batch."""

    #: Float32 ``[rows, units]``.
    rows: torch.Tensor
    #: How many samples the batch had; None where that is not known.
    num_samples: int | None


class Taps:
    """Gathers what is tapped while a network is looked at, and nothing while it is trained.

    Of what is tapped several times in a batch, the last counts, as of layers that are called several times.
    """

    def __init__(self) -> None:
        #: What was tapped in this batch.
        self._batch: dict[str, torch.Tensor] | None = None
        #: What was tapped in the batches before.
        self._gathered: dict[str, list[Tapped]] = {}

    def tap(self, name: str, tensor: torch.Tensor, unit_axis: int) -> torch.Tensor:
        """Gives the tensor back, ``[samples, ...]``; axes besides samples and units are averaged.

        Raises:
            ValueError: if there is no such axis.
        """
        if self._batch is None:
            return tensor
        unit = unit_axis % tensor.dim() if -tensor.dim() <= unit_axis < tensor.dim() else 0
        if unit == 0:
            raise ValueError(f"tap {name!r}: {list(tensor.shape)} has no units along axis {unit_axis} beside samples")
        values = tensor.detach().to(torch.float32)
        others = [axis for axis in range(1, values.dim()) if axis != unit]
        self._batch[name] = values.mean(others) if others else values.clone()
        return tensor

    def end_batch(self, num_samples: int | None = None) -> None:
        """What was tapped last stays, of a batch of so many samples."""
        for name, values in (self._batch or {}).items():
            self._gathered.setdefault(name, []).append(
                Tapped(values.to("cpu"), num_samples)
            )
        if self._batch:
            self._batch.clear()

    @contextmanager
    def gathering(self) -> Iterator[dict[str, list[Tapped]]]:
        """What is tapped in each batch, by name, while the network runs."""
        self._batch, self._gathered = {}, {}
        try:
            yield self._gathered
        finally:
            try:
                self.end_batch()
            finally:
                self._batch = None
