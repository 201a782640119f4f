"""A callback of Lightning's trainer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._record import Recorder, record
from .figures import figures

if TYPE_CHECKING:
    import lightning.pytorch as pl
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    import pytorch_lightning as pl
else:
    try:
        import lightning.pytorch as pl
    except ImportError:
        import pytorch_lightning as pl


class Callback(pl.Callback):
    """Records the network that a trainer fits.

    Each epoch ends with :meth:`stratigraph_nn.Recorder.epoch`: the first validation loader is what is held out,
    if its batches are ``(inputs, targets)`` and the module's ``forward`` gives logits, and what was logged are
    the epoch's figures (``val_loss`` is ``loss`` of the phase ``eval``). Steps are those of the trainer's
    optimizers. Epochs and steps of a fit that was resumed go on from the trainer's.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Takes the path and options of :func:`stratigraph_nn.record`: ``held_out`` in place of the validation
        loader, ``optimizer`` in place of the trainer's."""
        super().__init__()
        self._path = path
        self._options = options
        #: The recorder of the fit that is running, or was last.
        self.recorder: Recorder | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the recording, with the optimizers that there are now."""
        options = {"optimizer": list(trainer.optimizers), "config": dict(pl_module.hparams)} | self._options
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            options.setdefault("epochs", trainer.max_epochs)
        if options.get("held_out") is None:
            options["held_out"] = _validation(trainer)
        self.recorder = record(pl_module, self._path, **options)
        if options.get("resume") is None:
            self.recorder._begin_at(trainer.current_epoch, trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends an epoch, of which validation is done."""
        if self.recorder is not None:
            logged = trainer.callback_metrics
            whole = {name: value for name, value in logged.items() if not _is_part(name, logged)}
            self.recorder.epoch(trainer.current_epoch, **figures(whole))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the recording."""
        self._finish()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Publishes what there is."""
        self._finish()

    def _finish(self) -> None:
        if self.recorder is not None:
            self.recorder.finish()


def _is_part(name: str, logged: Any) -> bool:
    """Whether it is ``loss_step`` or ``loss_epoch`` beside ``loss``."""
    base, _, kind = name.rpartition("_")
    return kind in ("step", "epoch") and base in logged


def _validation(trainer: pl.Trainer) -> Any:
    loaders = trainer.val_dataloaders
    if isinstance(loaders, list | tuple):
        loaders = loaders[0] if loaders else None
    if isinstance(loaders, dict):
        loaders = next(iter(loaders.values()), None)
    if loaders is None or not trainer.num_val_batches:
        return None
    first = trainer.num_val_batches[0]
    return loaders if first == float("inf") else _Batches(loaders, int(first))


class _Batches:
    """As many batches of a loader as the trainer validates."""

    def __init__(self, loader: Any, num_batches: int) -> None:
        self._loader = loader
        self._num_batches = num_batches
        # Whose random states are kept.
        self.generator = getattr(loader, "generator", None)
        self.sampler = getattr(loader, "sampler", None)
        self.batch_sampler = getattr(loader, "batch_sampler", None)

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._loader), self._num_batches)
