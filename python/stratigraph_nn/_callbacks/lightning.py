"""A callback of Lightning's trainer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._record import Recorder, record
from .._torch.errors import HeldOutError
from .._torch.held_out import whole
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
    optimizers, and the scale of mixed precision is taken out of gradients. Epochs and steps of a fit that was resumed
    go on from the trainer's; of several optimizers, from those that the checkpoint says were recorded.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Takes the path and options of :func:`stratigraph_nn.record`: ``held_out`` in place of the validation
        loader, ``optimizer`` in place of the trainer's."""
        super().__init__()
        self._path = path
        self._options = options
        #: How many steps a checkpoint says were done.
        self._num_steps: int | None = None
        self._logged = _Logged()
        #: The recorder of the fit that is running, or was last.
        self.recorder: Recorder | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins the recording, with the optimizers that there are now."""
        options = {"optimizer": list(trainer.optimizers), "config": dict(pl_module.hparams)} | self._options
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            options.setdefault("epochs", trainer.max_epochs)
        if options.get("held_out") is None:
            options["held_out"] = _validation(trainer)
        if options.get("scaler") is None:
            options["scaler"] = getattr(getattr(trainer, "precision_plugin", None), "scaler", None)
        # Of a fit that was broken off without a word.
        self._finish()
        self._logged = _Logged(trainer.callback_metrics)
        self.recorder = record(pl_module, self._path, **options)
        if options.get("resume") is None:
            self.recorder._begin_at(trainer.current_epoch, self._num_steps_done(trainer))

    def state_dict(self) -> dict[str, Any]:
        """How many steps are done, for a checkpoint."""
        return {} if self.recorder is None else {"num_steps": self.recorder.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """How many steps were done where the fit is gone on with."""
        self._num_steps = state_dict.get("num_steps")

    def _num_steps_done(self, trainer: pl.Trainer) -> int:
        """How many steps were done before this fit. The trainer counts those of all optimizers together; without a
        recorder's own count each of them has made its share."""
        count, self._num_steps = self._num_steps, None
        if trainer.global_step == 0 or len(trainer.optimizers) < 2:
            return trainer.global_step
        return trainer.global_step // len(trainer.optimizers) if count is None else count

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds what the module has logged at the very end of the epoch before."""
        self._end_epoch(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends an epoch, of which validation is done."""
        if self.recorder is not None:
            self.recorder.epoch(trainer.current_epoch, **_figures(self._logged.in_epoch(trainer.callback_metrics)))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ends the recording."""
        self._end_epoch(trainer)
        self._finish()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Publishes what there is. Figures are not asked for: other processes may have to take part in working them
        out."""
        self._finish()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Publishes what there is, of a fit that has ended otherwise."""
        if stage == "fit":
            self._finish()

    def _end_epoch(self, trainer: pl.Trainer) -> None:
        late = self._logged.behind_epoch(trainer.callback_metrics) if self._logged.has_ended else {}
        if self.recorder is not None and late:
            self.recorder._log_late(_figures(late))

    def _finish(self) -> None:
        if self.recorder is not None:
            self.recorder.finish()


class _Logged:
    """Tells what was logged in an epoch from what stands there since an earlier one: a trainer puts another tensor in a
    name's place whenever it is logged.

    A module's own end of an epoch comes behind that of callbacks, so that what it logs there is seen when the next
    begins. What was seen at the epoch's end already is of the next then, as a learning rate.
    """

    def __init__(self, logged: Mapping[str, Any] | None = None) -> None:
        """``logged`` is what stands there before the first epoch."""
        self._at_end: dict[str, Any] = dict(logged or {})
        self._in_epoch: set[str] = set()
        self._behind: dict[str, Any] = {}
        self._is_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether an epoch has ended of which nobody has asked what was logged behind it."""
        return self._is_ended

    def in_epoch(self, logged: Mapping[str, Any]) -> dict[str, Any]:
        """What was logged since the end of the epoch before."""
        now = dict(logged)
        before = self._at_end | self._behind
        self._at_end, self._behind, self._is_ended = now, {}, True
        fresh = {name: value for name, value in now.items() if name not in before or before[name] is not value}
        self._in_epoch = set(fresh)
        return fresh

    def behind_epoch(self, logged: Mapping[str, Any]) -> dict[str, Any]:
        """What was logged behind the end of an epoch; nothing, where none has ended since this was asked."""
        if not self._is_ended:
            return {}
        self._is_ended = False
        self._behind = {
            name: value
            for name, value in logged.items()
            if name not in self._in_epoch and self._at_end.get(name) is not value
        }
        return self._behind


def _figures(logged: Mapping[str, Any]) -> dict[str, Any]:
    return figures({name: value for name, value in logged.items() if not _is_part(name, logged)})


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
    # What limits is fewer batches than this process has: of all samples there may be more, as of shares that drop some.
    length = _length(loaders)
    is_limited = first != float("inf") and (length is None or first < length)
    loader = loaders
    with suppress(HeldOutError):  # It is said where they are run through the network.
        loader = whole(loaders)
    if loader is not loaders:
        # Of each process it is a share.
        first *= trainer.world_size
    return _Batches(loader, int(first)) if is_limited else loader


def _length(loader: Any) -> int | None:
    """How many batches a loader has, if it knows that."""
    try:
        return len(loader)
    except TypeError:
        return None


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
