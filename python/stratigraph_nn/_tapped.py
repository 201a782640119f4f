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
        #: In which modules of the network a thread is, each within the one before.
        self._running = threading.local()

    def _modules(self) -> list[Any]:
        modules: list[Any] | None = getattr(self._running, "modules", None)
        if modules is None:
            modules = self._running.modules = []
        return modules

    def enter(self, module: Any) -> None:
        """A module of the network is called."""
        self._modules().append(module)

    def leave(self, module: Any) -> None:
        """It has ended, also by an exception, perhaps before :meth:`enter`; what it had called has ended with it."""
        modules = self._modules()
        for place in range(len(modules) - 1, -1, -1):
            if modules[place] is module:
                del modules[place:]
                return

    def changed(self, name: str, tensor: Any, unit_axis: int) -> Any:
        """What stands for a tensor."""
        change = self._by_name.get(name)
        if change is None or not (self._modules() or _is_in_backward_pass()):
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


def _is_in_backward_pass() -> bool:
    """Whether what is computed is computed anew for a backward pass, outside of any module: what was checkpointed."""
    import torch

    return torch._C._current_graph_task_id() != -1


def changed(name: str, tensor: Any, unit_axis: int) -> Any:
    """What a tap gives back: the tensor, or what stands for it."""
    for changes in _active:
        tensor = changes.changed(name, tensor, unit_axis)
    return tensor
