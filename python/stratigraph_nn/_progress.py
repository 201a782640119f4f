"""How far something is that takes a while, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

#: What took less is not spoken of, in seconds; and how often something is said.
_PATIENCE = 2.0
_EVERY = 0.2

#: Told how much is done, and of how much.
Progress = Callable[[int, int], None]


class Line:
    """A line that says how far something is, where somebody looks at it: at a terminal or in a notebook. It is gone
    once the work is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._said = time.monotonic()
        self._width = 0
        self._is_seen = sys.stderr is not None and (sys.stderr.isatty() or "ipykernel" in sys.modules)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._is_seen or now - self._began < _PATIENCE or now - self._said < _EVERY:
            return
        self._said = now
        left = (now - self._began) / max(done, 1) * (total - done)
        self._write(f"{self._what}: {done} of {total}, about {left:.0f} s left")

    def close(self) -> None:
        """Takes the line away."""
        if self._width:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = max(self._width, len(text))
