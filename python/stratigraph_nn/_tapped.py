"""What a network taps while it is silenced: what stands for it, within forward passes of that network alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: What a tap gives in place of a tensor whose units lie along an axis.
Change = Callable[[Any, int], Any]

#: Of the networks that are silenced now.
_active: list[Changes] = []


class Changes:
    """What is changed of what one network taps, by name."""

    def __init__(self, by_name: Mapping[str, Change]) -> None:
        self._by_name = by_name
        #: In how many modules of the network a thread is.
        self._running = threading.local()

    def enter(self) -> None:
        """A module of the network is called."""
        self._running.depth = getattr(self._running, "depth", 0) + 1

    def leave(self) -> None:
        """It has ended, also by an exception."""
        self._running.depth -= 1

    def changed(self, name: str, tensor: Any, unit_axis: int) -> Any:
        """What stands for a tensor."""
        change = self._by_name.get(name)
        if change is None or not getattr(self._running, "depth", 0):
            return tensor
        return change(tensor, unit_axis)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within, taps are changed."""
        _active.append(self)
        try:
            yield
        finally:
            _active.remove(self)


def changed(name: str, tensor: Any, unit_axis: int) -> Any:
    """What a tap gives back: the tensor, or what stands for it."""
    for changes in _active:
        tensor = changes.changed(name, tensor, unit_axis)
    return tensor
