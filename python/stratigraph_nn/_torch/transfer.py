"""From a device to the host, without the training thread waiting.

On the CPU nothing is done here: the extension copies at the capture what training changes. On CUDA a side stream
copies into pinned memory, after what the training stream was given before; the training stream waits for it, on
the device, before it does what it is given next. The thread that trains does not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Transfer:
    """Copies of one capture's tensors, on their way to the host."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, Any] = {}
        self._fences: list[tuple[torch.device, Any]] = []

    def to_host(
        self, tensors: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], Callable[[], None] | None]:
        """The tensors on the host, and what waits until their values are there.

        Tensors that are on the host already come back as they are, with nothing to wait for: whoever takes
        them copies them before training goes on.
        """
        if all(tensor.device.type == "cpu" for tensor in tensors):
            return tensors, None
        events: list[Any] = []
        host = [self._copy(tensor, events) for tensor in tensors]

        def wait() -> None:
            for event in events:
                event.synchronize()

        return host, wait

    def _copy(self, tensor: torch.Tensor, events: list[Any]) -> torch.Tensor:
        if tensor.device.type != "cuda":
            # A copy in any case: one on the host is training's own.
            return tensor.to("cpu", copy=True)
        device = tensor.device
        current = torch.cuda.current_stream(device)
        stream = self._streams.get(device)
        if stream is None:
            stream = self._streams[device] = torch.cuda.Stream(device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            pinned.copy_(tensor, non_blocking=True)
            done = stream.record_event()
        # The allocator does not give its memory away while the copy reads it.
        tensor.record_stream(stream)
        events.append(done)
        self._fences.append((device, done))
        return pinned

    def before_changes(self) -> None:
        """Has the training streams wait for the copies, before anything changes what they read."""
        if self._fences:
            for device, done in self._fences:
                torch.cuda.current_stream(device).wait_event(done)
            self._fences.clear()
