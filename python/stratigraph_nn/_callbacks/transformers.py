"""A callback of Hugging Face's trainer."""

from __future__ import annotations

import os
from typing import Any

from transformers import TrainerCallback

from .._record import Recorder, record
from .figures import figures


class Callback(TrainerCallback):
    """Records the network that a trainer trains.

    An epoch ends, for the recorder, when the next begins, so that what its evaluation has logged is the
    epoch's. The evaluation's dataset is what is held out, from the first evaluation on, of a network that
    gives a row of logits a sample. What is logged are figures: ``loss`` is that of the phase ``train``. Steps
    are those of the trainer's optimizer. Epochs and steps of a training that was resumed go on from the
    trainer's.

    A trainer does not tell callbacks of an exception. As a context manager around ``trainer.train()`` the callback ends
    the recording with it, and publishes what there is: ``with sg.transformers.Callback(...) as callback: ...``. Elsewhere
    that is done where the callback is used again, is no longer there, or the interpreter ends.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Takes the path and options of :func:`stratigraph_nn.record`: ``held_out`` in place of the evaluation's
        dataset, ``optimizer`` in place of the trainer's."""
        self._path = path
        self._options = options
        self._has_ended_epoch = False
        self._held_out: Any = None
        #: The recorder of the training that is running, or was last.
        self.recorder: Recorder | None = None

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **_: Any
    ) -> None:
        """Begins the recording."""
        options = {"optimizer": optimizer, "seed": args.seed, "config": args.to_dict()} | self._options
        if float(state.num_train_epochs).is_integer() and args.max_steps <= 0:
            options.setdefault("epochs", int(state.num_train_epochs))
        # Of a training that was broken off.
        self.finish()
        self._has_ended_epoch, self._held_out = False, None
        self.recorder = record(model, self._path, **options)
        if options.get("resume") is None:
            self.recorder._begin_at(int(state.epoch or 0), state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ends the epoch before."""
        self._end_epoch()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluation may follow."""
        self._has_ended_epoch = True

    def on_evaluate(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any) -> None:
        """Knows what is held out."""
        self._held_out = eval_dataloader

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Notes figures."""
        if self.recorder is not None and state.is_local_process_zero:
            logged = {("train_loss" if name == "loss" else name): value for name, value in (logs or {}).items()}
            logged.pop("epoch", None)
            self.recorder.log(**figures(logged))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ends the last epoch, and the recording."""
        self._end_epoch()
        self.finish()

    def finish(self) -> None:
        """Ends the recording, wherever the training has come to, and publishes what there is."""
        if self.recorder is not None:
            self.recorder.finish()

    def __enter__(self) -> Callback:
        return self

    def __exit__(self, *exception: object) -> None:
        """Ends the recording; of an epoch that is over, and whose evaluation may have failed, its end as well."""
        self._end_epoch()
        self.finish()

    def _end_epoch(self) -> None:
        if self.recorder is not None and self._has_ended_epoch:
            self._has_ended_epoch = False
            is_given = self._options.get("held_out") is not None
            self.recorder.epoch(held_out=None if is_given else self._held_out)
