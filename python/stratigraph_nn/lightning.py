"""Recording with Lightning: ``Trainer(callbacks=[stratigraph_nn.lightning.Callback()])``.

Lightning is imported where :class:`Callback` is first used, ``lightning`` or ``pytorch_lightning``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._callbacks.lightning import Callback

__all__ = ["Callback"]


def __getattr__(name: str) -> Any:
    if name != "Callback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._callbacks.lightning import Callback

    globals()[name] = Callback
    return Callback
