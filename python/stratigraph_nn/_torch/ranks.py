"""The processes that record one network together: whether they look at the same held-out samples.

Each records the activations of its share of the layers, by sample: of other samples they would be wrong without a
sign of it. No process waits for all others here, since one whose recorder has ended would never come.
"""

from __future__ import annotations

import time
import zlib
from contextlib import suppress
from typing import Any

import torch

from .errors import tolerated
from .held_out import checksum

#: How long a process waits for what the first one has seen, in seconds: they come to a capture at about the same time.
_PATIENCE = 30.0
#: What the first process tells that has no samples.
_NONE = "none"
#: Of so many looks at different samples the first process tells at most.
_MOST_TOLD = 64
#: How often it looks.
_LOOK_EVERY = 0.01


def is_distributed() -> bool:
    """Whether there are several processes, or might be."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class Seen:
    """What tells the held-out samples of a look from others, whatever form they came in."""

    def __init__(self) -> None:
        self._num_samples = 0
        self._checksum = 0

    def __call__(self, inputs: Any, targets: Any) -> None:
        """A batch, of which inputs may not be known."""
        # What is wrong with them is said where they are run through the network.
        with tolerated(), torch._C.DisableTorchFunction(), torch.no_grad():
            count = len(targets)
            self._num_samples += count
            self._checksum = checksum(targets, count, self._checksum)
            self._checksum = checksum(inputs, count, self._checksum)

    def __str__(self) -> str:
        return f"{self._num_samples}-{self._checksum:08x}"


class SameSamples:
    """Tells whether a process looks at the samples that the first one looks at.

    The first puts what it has seen into the store that the processes have in common, and the others look there.
    """

    def __init__(self, run: str) -> None:
        """``run`` is a word for the recording that all its processes have."""
        self._run = f"stratigraph_nn/{zlib.crc32(run.encode()):08x}"
        self._agreed: set[str] = set()
        #: What the first process has told, the oldest first.
        self._told: list[str] = []
        self._patience = _PATIENCE

    def differs(self, seen: Seen | None, rank: int) -> str | None:
        """What is the matter with samples that a process has seen, or None for none of its own: the first process has
        other ones, or has told of none. None where they are the same, or nobody can tell. What the first has seen is told
        to the others."""
        what = _NONE if seen is None else str(seen)
        if what in self._agreed:
            return None
        try:
            store: Any = torch.distributed.distributed_c10d._get_default_store()
            if rank == 0:
                self._tell(store, what)
            elif seen is not None and (problem := self._problem(store, what)) is not None:
                return problem
        except (RuntimeError, ValueError, AttributeError):
            # A group that was made without a store, or has ended: nobody can tell.
            return None
        if len(self._agreed) < _MOST_TOLD:
            self._agreed.add(what)
        return None

    def _tell(self, store: Any, what: str) -> None:
        store.set(f"{self._run}/{what}", "seen")
        if what != _NONE:
            store.set(f"{self._run}/any", "seen")
        self._told.append(what)
        if len(self._told) > _MOST_TOLD:
            # Of samples that are others at each look, nobody needs the first any more.
            with suppress(RuntimeError, NotImplementedError):
                store.delete_key(f"{self._run}/{self._told.pop(0)}")

    def _problem(self, store: Any, what: str) -> str | None:
        """What is wrong with samples that the first process has not told of; waits for that, but not long where it has
        told of others, or of none."""
        start, since_other = time.monotonic(), None
        while not store.check([f"{self._run}/{what}"]):
            now = time.monotonic()
            if since_other is None and any(store.check([f"{self._run}/{other}"]) for other in ("any", _NONE)):
                since_other = now
            if now - start > self._patience or (since_other is not None and now - since_other > self._patience / 10):
                # It is not waited for at every capture.
                self._patience = 0.0
                has_others = store.check([f"{self._run}/any"])
                return "process 0 has others" if has_others else "process 0 has told of none"
            time.sleep(_LOOK_EVERY)
        return None
