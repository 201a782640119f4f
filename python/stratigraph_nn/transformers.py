"""Recording with the ``Trainer`` of Hugging Face: ``Trainer(callbacks=[stratigraph_nn.transformers.Callback()])``.

``transformers`` is imported where :class:`Callback` is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._callbacks.transformers import Callback

__all__ = ["Callback"]


def __getattr__(name: str) -> Any:
    if name != "Callback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._callbacks.transformers import Callback

    globals()[name] = Callback
    return Callback
