"""Records what happens inside a network while it trains, and answers questions about it.

    import stratigraph_nn as sg

    run = sg.open("traces/mine")
    run.sql("SELECT epoch, layer, avg(weight_l2) FROM weights GROUP BY ALL").to_polars()
    run.by_neuron(layer="fc1").to_pandas()
    run.plot("network", epoch=5)

Importing the package loads none of what it can work with: no torch, numpy, pandas, polars or pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import lightning as lightning
    from . import transformers as transformers
    from ._ablate import Ablation as Ablation
    from ._ablate import ablate as ablate
    from ._checkpoints import Imported as Imported
    from ._checkpoints import import_checkpoints as import_checkpoints
    from ._native import DeviceError as DeviceError
    from ._native import NoRoomError as NoRoomError
    from ._native import QueryError as QueryError
    from ._native import QueryTimeoutError as QueryTimeoutError
    from ._native import RecordingError as RecordingError
    from ._native import StratigraphError as StratigraphError
    from ._native import __version__ as __version__
    from ._plot import Plot as Plot
    from ._record import Recorder as Recorder
    from ._record import StratigraphWarning as StratigraphWarning
    from ._record import record as record
    from ._result import Result as Result
    from ._run import Run as Run
    from ._run import describe as describe
    from ._run import open as open
    from ._structures import Neuron as Neuron
    from ._structures import Structure as Structure
    from ._structures import silenced as silenced
    from ._torch.errors import HeldOutError as HeldOutError
    from ._torch.errors import NetworkError as NetworkError
    from ._torch.errors import TensorError as TensorError

# Where each name is, which is loaded when it is first asked for.
_PLACES = {
    "Ablation": "_ablate",
    "DeviceError": "_native",
    "HeldOutError": "_torch.errors",
    "Imported": "_checkpoints",
    "NetworkError": "_torch.errors",
    "Neuron": "_structures",
    "NoRoomError": "_native",
    "Plot": "_plot",
    "QueryError": "_native",
    "QueryTimeoutError": "_native",
    "Recorder": "_record",
    "RecordingError": "_native",
    "Result": "_result",
    "Run": "_run",
    "StratigraphError": "_native",
    "StratigraphWarning": "_record",
    "Structure": "_structures",
    "TensorError": "_torch.errors",
    "__version__": "_native",
    "ablate": "_ablate",
    "describe": "_run",
    "import_checkpoints": "_checkpoints",
    "open": "_run",
    "record": "_record",
    "silenced": "_structures",
}

# Callbacks for libraries that own the training loop; a library is imported where its callback is first used.
_MODULES = ("lightning", "transformers")

__all__ = sorted([*_MODULES, *(name for name in _PLACES if not name.startswith("_"))])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{place}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_PLACES})
