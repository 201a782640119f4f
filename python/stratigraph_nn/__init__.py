"""Records what happens inside a network while it trains, and answers questions about it."""

from __future__ import annotations

from . import lightning, transformers
from ._native import (
    DeviceError,
    QueryError,
    RecordingError,
    StratigraphError,
    __version__,
)
from ._record import Recorder, StratigraphWarning, record

__all__ = [
    "DeviceError",
    "QueryError",
    "Recorder",
    "RecordingError",
    "StratigraphError",
    "StratigraphWarning",
    "__version__",
    "lightning",
    "record",
    "transformers",
]
