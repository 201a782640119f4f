"""Figures as trainers call them, as a recorder does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._options import phase_of


def figures(logged: Mapping[str, Any]) -> dict[str, Any]:
    """What was logged, by names of :meth:`stratigraph_nn.Recorder.epoch`: ``val/loss`` is ``eval_loss``.

    What is no single number is left out.
    """
    found = {}
    for name, value in logged.items():
        is_single = hasattr(value, "item") and getattr(value, "shape", None) in ((), (1,))
        if isinstance(value, bool) or not (isinstance(value, int | float) or is_single):
            continue
        head, separator, rest = name.replace("/", "_").partition("_")
        phase, rest = phase_of(
            f"{head.lower().replace('training', 'train')}{separator}{rest}"
        )
        found[f"{phase}_{rest}" if phase else name] = value
    # What a recorder's own arguments are called.
    return {f"{name}_" if name in ("epoch", "held_out", "self") else name: value for name, value in found.items()}
