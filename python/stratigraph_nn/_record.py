"""Recording a network of PyTorch while it trains."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _native
from . import _options as options
from ._arrays import ArrayNetwork
from ._native import DeviceError, RecordingError
from ._settings import DEFAULT_TABLES, Settings, directory
from ._tapped import changed

if TYPE_CHECKING:
    import torch

    from ._torch.network import TorchNetwork


class StratigraphWarning(UserWarning):
    """Something that recording could not do, while training goes on."""


def record(
    model: torch.nn.Module | None,
    path: str | os.PathLike[str] | None = None,
    *,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    every: str | int = "1epoch",
    record: str | Sequence[str] = DEFAULT_TABLES,
    layers: str | Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    weights: str = "raw",
    activations: str = "raw",
    gradients: str = "raw",
    activation_samples: int = 512,
    phases: str = "eval",
    units: int | None = None,
    precision: str = "f32",
    histograms: int | None = None,
    record_initial: bool = False,
    held_out: Any = None,
    loss: str | None = None,
    batch_size: int | None = None,
    scaler: Any = None,
    example: Any = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    seed: int | None = None,
    class_names: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    resume: tuple[int, int] | None = None,
    channel_bytes: int | str | None = None,
    compress: str | None = None,
    max_part_bytes: int | str | None = None,
    when_full: str = "block",
    max_overhead: float | str | None = None,
    max_disk: int | str | None = None,
    on_error: str = "continue",
    commits: str | os.PathLike[str] | None = None,
) -> Recorder:
    """Begins to record a network into a run.

    Training stays as it is: one call begins, :meth:`Recorder.epoch` is called at the end of each epoch. Nothing
    that is recorded changes training: weights, losses and random states are the same bits with it and without.

    Args:
        model: The network; compiled or distributed ones are recorded as what they wrap. With ``torch.distributed``
            every process calls this. None for a framework
            other than PyTorch: then :meth:`Recorder.capture` is given arrays.
        path: The run's directory, which must not exist or be empty; ``traces/<class of the model>`` where it is
            not said, with ``-2`` and so on where that is taken.
        optimizer: The optimizer, or several: they count the steps, and their gradients and moments can be
            recorded. Without one, :meth:`Recorder.step` is called after each step.
        every: When the network is captured: ``5`` or ``"5epochs"``, ``"100steps"``, ``"log"``, ``"0,1,2,5"``, or several
            joined by commas, as ``recorder train --every``.
        record: Tables: any of ``weights``, ``classifications``, ``activations``, ``metrics``, ``gradients`` (as the
            backward pass made them: accumulated, unscaled, before clipping; of ``DistributedDataParallel`` those
            of the process alone, before they are averaged), ``gradients_applied`` (as the optimizer used them),
            ``moments`` (that the optimizer keeps).
        layers: Globs of labels, ``"encoder.*"`` or ``["*", "!*.norm"]``; the last that fits decides.
        labels: Names for layers, by module path.
        weights, activations, gradients: ``"raw"`` values with statistics, or ``"stats"`` alone; ``gradients`` is of
            gradients and moments.
        activation_samples: Of how many held-out samples the values are kept; statistics cover all.
        phases: ``"eval"``: activations are those of held-out samples. Of batches of the training ``recorder train``
            alone records them.
        units: Of layers with more units, so many are recorded, drawn with the seed.
        precision: ``"f32"``, or ``"f16"``, which rounds values to 3 digits in half the bytes.
        histograms: In so many bins weights and activations are counted, by layer.
        record_initial: Whether the untrained network is captured, as epoch -1; what it makes of held-out samples, too,
            where ``held_out`` is given here.
        held_out: Held-out samples for every capture, where :meth:`Recorder.epoch` is not given others. Captures of
            steps take these, or those of the epoch before.
        loss: What the logits mean: ``"cross_entropy"``, ``"bce_with_logits"`` or ``"mse"``; told by the targets
            where it is not said.
        batch_size: Held-out samples in one forward pass.
        scaler: The ``GradScaler``, whose scale is taken out of recorded gradients; the one that Accelerate's or
            Lightning's optimizers have where it is not said.
        example: Inputs for one forward pass that shows the order of the layers and what they are connected
            to: a tensor, a tuple of arguments or a dictionary of them. Where it is not given, or cannot be passed,
            the first training batch shows it, and else the held-out samples. A model that was compiled in place shows
            no batch.
        epochs: How many epochs there will be: intervals then capture the last one, too.
        steps_per_epoch: How many steps an epoch has. Gradients at the end of an epoch are kept from the step
            that is known to be its last; without this, in the first epoch, from every step, and so in an epoch in
            whose midst a training goes on. An epoch that ends earlier than all before it, and than this, has no
            gradients at its end, which is said once.
        seed, class_names, config: For whoever reads the run: they go into ``run.json``.
        resume: ``(epoch, step)``, after which a run that is there is gone on with, as the training loop's own
            checkpoint has them: the last epoch that has ended (-1 for none), and how many optimizer steps are done,
            which may be some of the next epoch. What was recorded after that step is recorded anew.
        channel_bytes: Memory for rows that wait to be written, as ``"64MiB"``.
        compress: What is compressed: ``"auto"`` what becomes a fifth smaller or more, as activations behind a ReLU
            do, ``"size"`` what becomes smaller by 3 % or more, as weights do by a sixth, which every query has to unpack,
            ``"none"`` nothing. ``"auto"`` where it is not said; with ``resume`` what the run's last session compressed.
        max_part_bytes: How much of a layer goes into one file, its values as 32-bit floats, as ``"64MiB"``, 4 KiB at
            least: a larger one is split by its units. 256 MiB where it is not said; with ``resume`` what the run's last
            session said.
        when_full: What happens to a capture while the one before is not taken over yet: ``"block"`` (training
            waits), ``"thin"`` (fewer captures are taken) or ``"drop"``.
        max_overhead: What recording may cost of training's time, as ``"2%"`` or ``0.02``: captures are thinned out.
        max_disk: What the run may take, as ``"20GB"``: recording stops before, training goes on.
        on_error: ``"continue"``: what goes wrong with recording is said once, as a :class:`StratigraphWarning`, and
            training goes on without it. Where the disk was full, recording goes on as soon as there is room, which is
            said as well; ``summary`` counts what was lost. ``"stop"``: it is raised. A failure of the device is always
            raised.
        commits: A file, at whose end is told what is committed, as that happens: a line of JSON a commit, with
            ``number``, ``time`` and its ``captures``. What a line says survives any crash. Whoever reads a pipe has
            to keep up: training waits for that, up to 5 seconds, also for somebody to open a pipe that has a name, after
            which nothing more is told, with a :class:`StratigraphWarning`. One that goes away does no harm.

    Returns:
        The recorder, which is a context manager: leaving it publishes what there is, whatever happened.

    Raises:
        TypeError: An option is given something that it does not take.
        ValueError: An option says what there is not. Where that is the network, it is a :class:`NetworkError`, of a
            tensor that a trace cannot hold a :class:`TensorError`, and of held-out samples a :class:`HeldOutError`; each
            says what to do.
        RecordingError: The named directory is taken, or has no run that can be gone on with.
    """
    settings = Settings(
        path=Path(),
        every=every,
        record=record,
        layers=layers,
        weights=weights,
        activations=activations,
        gradients=gradients,
        activation_samples=activation_samples,
        units=units,
        precision=precision,
        histograms=histograms,
        channel_bytes=channel_bytes,
        compress=compress,
        max_part_bytes=max_part_bytes,
        when_full=when_full,
        max_overhead=max_overhead,
        max_disk=max_disk,
        on_error=on_error,
        commits=commits,
        record_initial=record_initial,
        resume=resume,
        epochs=epochs,
        seed=seed,
        class_names=class_names,
        config=config,
    )
    settings.check()
    if phases != "eval":
        raise ValueError(
            f'phases is "eval", not {options.given(phases)}: activations of training batches are recorded by '
            "`recorder train --phases train` alone"
        )
    if batch_size is not None:
        batch_size = options.whole("batch_size", batch_size, 1)
    if steps_per_epoch is not None:
        steps_per_epoch = options.whole("steps_per_epoch", steps_per_epoch, 1)
    labels, loss, path = options.labels(labels), options.loss(loss), options.path(path)
    network: TorchNetwork | ArrayNetwork
    if model is None:
        for option, value in (
            ("optimizer", optimizer),
            ("held_out", held_out),
            ("scaler", scaler),
        ):
            if value is not None:
                raise ValueError(
                    f"{option} is of a PyTorch module: arrays are given to capture(...), with all of theirs"
                )
        if record_initial:
            raise ValueError("arrays of the untrained network are captured by capture(..., epoch=-1)")
        for table in ("gradients", "gradients_applied", "moments"):
            if settings.has(table):
                raise ValueError(f"{table} are recorded of a PyTorch module: capture them as arrays of their own run")
        network = ArrayNetwork(labels)
        name = "run"
    else:
        from ._torch.network import TorchNetwork

        network = TorchNetwork(
            model,
            optimizer,
            labels=labels,
            loss=loss,
            batch_size=batch_size,
            scaler=scaler,
            example=example,
            globs=list(settings.layers or ()),
        )
        network.check_held_out(held_out)
        name = network.name
    if settings.resume is not None:
        settings.path = directory(path, name, True)
    # Of layers that were misspelled, or a run of another network, nobody wants to hear after an hour.
    described, device = network.preview()
    settings.check_network(described, device, network.rank, network.world_size)
    settings.path = network.agree(lambda: _free_directory(path, name, settings.resume is not None))
    recorder = Recorder(network, settings, held_out, steps_per_epoch)
    if described:
        recorder._doubt_layers([layer["label"] for layer in described])
    if settings.resume is not None and network.rank == 0 and (gap := _gap_before(settings.path, settings.resume[0])):
        recorder._say_once(f"{settings.path}: {gap}")
    return recorder


def _fits(glob: str, label: str) -> bool:
    return fnmatchcase(label.lower(), glob.removeprefix("!").lower())


def _gap_before(path: Path, epoch: int) -> str | None:
    """What is to be said of a run that is gone on with long after its last capture."""
    with suppress(_native.QueryError):
        captured = _native.Run(path).epochs
        if not captured:
            return None
        # A schedule may have captures farther and farther apart, up to twice as far each time.
        usual = max((later - before for before, later in pairwise(captured)), default=1)
        if epoch - captured[-1] > 2 * usual:
            return (
                f"the run's last capture is of epoch {captured[-1]}, and it is gone on with after epoch {epoch}: what "
                "was between is not in it"
            )
    return None


def _meant(glob: str, labels: Iterable[str]) -> str:
    """What was probably meant by a glob that fits no label: one of these, or what layers are below."""
    parts = [label.split(".") for label in labels]
    names = {".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
    return options.did_you_mean(glob.removeprefix("!").rstrip(".*?"), sorted(names))


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")


#: Directories of recorders in this process that may not have created their runs yet.
_taken: weakref.WeakValueDictionary[Path, Recorder] = weakref.WeakValueDictionary()


def _free_directory(path: str | os.PathLike[str] | None, name: str, resumes: bool) -> Path:
    free = directory(path, name, resumes)
    if free.absolute() in _taken:
        raise RecordingError(f"{free} is what another recorder of this program records into: name another directory")
    return free


#: A number that is a word of its own.
_NUMBER = re.compile(r"-?\b\d+\b")

#: After so many steps a recorder looks whether it has failed, whatever is due.
_LOOK_EVERY = 256


class Recorder:
    """Records a network; made by :func:`record`.

    In a process that was forked off, as the workers of a ``DataLoader``, it does nothing.
    """

    def __init__(
        self,
        network: TorchNetwork | ArrayNetwork,
        settings: Settings,
        held_out: Any,
        steps_per_epoch: int | None,
    ) -> None:
        self._network = network
        self._settings = settings
        self._held_out = held_out
        #: Those of the epoch before, for captures of steps.
        self._held_out_before: Any = None
        #: Whether a step was captured before any held-out samples were known.
        self._lacks_held_out = False
        self._process = os.getpid()
        self._native: _native.Recorder | None = None
        #: Whether nothing is recorded any more: it was finished, or has failed.
        self._is_over = False
        self._is_finished = False
        self._summary: dict[str, Any] | None = None
        self._epoch, self._epoch_start = 0, 0
        self._is_initial_due = settings.record_initial and settings.resume is None
        #: Figures for the next moment that is handed over, by phase and name: the last value counts.
        self._figures: dict[tuple[str | None, str], float] = {}
        self._steps_per_epoch = steps_per_epoch
        #: Whether recording may have begun in the midst of this epoch: how many steps are left of it is not known.
        self._is_begun_within = False
        self._keeps_gradients = settings.has("gradients") or settings.has("gradients_applied")
        self._is_step_scheduled = "step" in str(settings.every)
        self._watches_steps = self._is_step_scheduled or self._keeps_gradients
        #: Whether the gradients of the next step are kept.
        self._expects_gradients = self._keeps_gradients
        #: From which steps on they were kept or not, as it was decided last.
        self._expected_from: deque[tuple[int, bool]] = deque([(0, self._keeps_gradients)], maxlen=4)
        self._has_told_missing = False
        #: Whether the run could not be begun for want of room, and from which step and which end of an epoch on; how
        #: often the untrained network was to be captured then.
        self._is_unbegun = False
        self._unbegun_step = 0
        self._unbegun_epoch: int | None = None
        self._num_unbegun_initial = 0
        #: Whether recording could not be begun for another reason, and what was missed before it was.
        self._cannot_begin = False
        self._num_missed = 0
        #: Whether a capture is due that was not handed over yet.
        self._is_capture_due = False
        #: What was said, which is not said again.
        self._said: set[Any] = set()
        self._selected: list[int] = []
        self._parameters: list[tuple[int, str]] = []
        if settings.resume is not None:
            epoch, step = settings.resume
            self._epoch, self._epoch_start = epoch + 1, step
            self._is_begun_within = self._may_be_within(self._epoch, step)
        _taken[settings.path.absolute()] = self
        network.begin(
            self._before_step,
            self._after_step,
            _guard_of(self),
            self._epoch_start,
            settings.has("gradients"),
            settings.has("gradients_applied"),
            self._is_initial_due,
        )
        self._at_exit = _finish_at_exit(self)
        if self._is_initial_due and not network.is_before_training_known:
            # Nothing else says when training begins.
            with self._guarded():
                self._capture_initial()

    # What users call

    @property
    def path(self) -> Path:
        """The run's directory. It is created with the first capture."""
        return self._settings.path

    @property
    def num_steps(self) -> int:
        """How many optimizer steps are done."""
        return self._network.num_steps

    @property
    def summary(self) -> dict[str, Any] | None:
        """What was recorded and what that cost, once it is finished: captures taken, left out and lost, bytes,
        seconds."""
        return self._summary

    def epoch(self, epoch: int | None = None, held_out: Any = None, **metrics: Any) -> bool:
        """Ends an epoch: records its figures, and captures the network where that is due.

        Args:
            epoch: The epoch's number, from 0; they count by themselves where it is not said.
            held_out: Held-out samples: ``(inputs, targets)``, a ``DataLoader``, or a callable that is given the
                model and gives ``(logits, targets)``. They are run through the network, without gradients and in
                evaluation mode, where it is captured now, and was not at the epoch's last step already; so come
                ``activations``, ``classifications``, and the figures ``loss`` and ``accuracy`` of the phase ``eval``.
                Steps of the next epoch that are captured have them, too, where :func:`record` was given none.
            metrics: Figures of the epoch: ``train_loss=...`` is the loss of the phase ``train``, ``eval_...`` of
                ``eval``, and so are ``val_...``, ``valid_...`` and ``validation_...``. Any other is of neither phase,
                ``test_...`` as well, which is of other samples.

        Returns:
            Whether the network was captured.
        """
        if self._is_inert():
            return False
        start = time.perf_counter()
        is_captured = False
        with self._guarded():
            self._network.close_step()
            number = self._epoch if epoch is None else _number(epoch)
            self._keep_held_out(held_out)
            with self._ending(number), self._noting(metrics):
                is_captured = self._end_epoch(number, self._held_out if held_out is None else held_out, start)
        return is_captured

    def _keep_held_out(self, held_out: Any) -> None:
        """Keeps what an epoch is given for the steps of the next that are captured; not what can be gone through but
        once."""
        if held_out is None or isinstance(held_out, Iterator):
            return
        self._held_out_before = held_out
        if self._lacks_held_out and (self._settings.has("activations") or self._settings.has("classifications")):
            self._lacks_held_out = False
            self._say_once(
                f"{self.path}: steps were captured without what held-out samples make, since none were known before "
                "the first epoch ended: give them to record as held_out="
            )

    def log(self, **metrics: Any) -> None:
        """Notes figures for the next end of an epoch or capture, named as for :meth:`epoch`."""
        if not self._is_inert():
            with self._guarded():
                self._note(metrics)

    def _log_late(self, metrics: Mapping[str, Any]) -> None:
        """Records figures of the epoch that has ended, before the first step of the next."""
        if self._is_inert():
            return
        with self._guarded():
            noted, self._figures = self._figures, {}
            self._note(metrics)
            self._hand_over_figures()
            self._figures = noted

    def step(self) -> None:
        """Counts a step where no optimizer was given, after the parameters have changed."""
        if not self._is_inert():
            with self._hooked("a step could not be counted"):
                self._network.count_step()

    def tap(self, name: str, tensor: Any, unit_axis: int = -1) -> Any:
        """Records what held-out samples make of something that no module names, as a layer of kind ``tap``,
        which has ``activations`` and no ``weights``.

        Called in a module's ``forward``, as ``x = rec.tap("resid.3", x)``, it gives the tensor back; while the network
        is trained that is all.
        Which taps there are is seen in one forward pass before the first capture: of ``example``, the first
        training batch or held-out samples.

        Args:
            name: The layer's label.
            tensor: ``[samples, ...]``; axes beside the units' are averaged.
            unit_axis: Along which axis its units lie, not the first.

        Returns:
            The tensor. Where its units are silenced (:meth:`Structure.silenced`), what stands for it then: a forward pass
            that goes on with what it is given back has it.
        """
        return self._network.tap(name, changed(name, tensor, unit_axis), unit_axis)

    def capture(
        self,
        arrays: Mapping[str, Any] | None = None,
        *,
        epoch: int | None = None,
        step: int | None = None,
        layout: str = "out_in",
        held_out: tuple[Any, Any] | None = None,
        loss: str | None = None,
        activations: Mapping[str, Any] | None = None,
        **metrics: Any,
    ) -> bool:
        """Captures now what arrays hold: the parameters of a network of any framework.

        Args:
            arrays: Parameters by name, ``dense.kernel`` or ``dense.weight`` with ``dense.bias``: whatever speaks
                DLPack or the buffer protocol. None captures the module that was given to :func:`record`.
            epoch: The epoch's number, from 0; they count by themselves where it is not said. -1 is the untrained
                network's, before any other.
            step: How many optimizer steps are done; counted by itself where it is not said.
            layout: ``"out_in"``: units lie along axis 0, as PyTorch has them; ``"in_out"``: along the last axis, as
                JAX and Keras have them.
            held_out: ``(logits, targets)`` of held-out samples: ``[samples, outputs]``, and classes or numbers.
            loss: What the logits mean, as for :func:`record`.
            activations: What held-out samples made of layers, by label: ``[samples, units]``.
            metrics: Figures, as for :meth:`epoch`.

        Returns:
            Whether the network was captured: the schedule says when.
        """
        if not self._network.takes_arrays and arrays is not None:
            raise ValueError("capture takes arrays where record was given no model: record(None, ...)")
        if self._network.takes_arrays and arrays is None:
            raise ValueError("capture needs arrays where no model was given to record")
        if self._is_inert():
            return False
        is_captured = False
        with self._guarded():
            number = self._epoch if epoch is None else _number(epoch)
            step = 0 if number == -1 and step is None else step
            self._network.take(arrays, layout, step, held_out, loss, activations)
            with self._ending(number), self._noting(metrics):
                is_captured = self._end_epoch(number, self._held_out, time.perf_counter())
        return is_captured

    def finish(self) -> dict[str, Any] | None:
        """Waits until everything that was captured is durable, and ends the recording.

        Returns:
            The summary (:attr:`summary`); None where nothing was recorded.
        """
        if self._is_finished or os.getpid() != self._process:
            return self._summary
        self._is_finished = True
        atexit.unregister(self._at_exit)
        _taken.pop(self.path.absolute(), None)
        had_failed = self._is_over
        with self._guarded():
            if not self._is_over:
                self._network.close_step()
                self._hand_over_figures()
        self._network.end()
        self._held_out = self._held_out_before = None
        native, self._native = self._native, None
        self._is_over = True
        if native is not None:
            try:
                summary = json.loads(native.finish())
            except RecordingError as error:
                if not had_failed:
                    self._failed(error)
            else:
                changes = summary.pop("changes")
                self._summary = summary
                if not had_failed:
                    self._say_changes(changes)
            self._say_messages()
        else:
            if self._network.num_steps > 0 and not had_failed and not self._is_unbegun:
                self._warn(f"nothing was recorded into {self.path}: epoch() was never called, and no step was due")
            # The directory that was chosen, where nothing came.
            with suppress(OSError):
                self.path.rmdir()
        return self._summary

    def _doubt_layers(self, labels: Sequence[str]) -> None:
        """Says what is probably mistaken in ``layers`` before anything is trained. What is not there yet may be a
        tap."""
        globs = self._settings.layers or ()
        known = [*labels, *self._network.unseen_labels]
        for glob in globs:
            if not any(_fits(glob, label) for label in known) and (meant := _meant(glob, known)):
                self._say_once(
                    f'{self.path}: no layer fits "{glob.removeprefix("!")}": there are {_shown(labels)}{meant}',
                    key=("layers", glob),
                )
                return
        if globs and not any(options.takes(globs, label) for label in known):
            self._say_once(
                f"{self.path}: no layer of the network fits layers= (it has {_shown(labels)}): nothing is recorded unless "
                "a tap or a hidden state is called so"
            )

    def _doubt_left_out(self, labels: Sequence[str]) -> None:
        """Says what of ``layers`` has left nothing out, now that all layers and taps are known."""
        known = [*labels, *self._network.unseen_labels]
        for glob in self._settings.layers or ():
            if glob.startswith("!") and not any(_fits(glob, label) for label in known):
                self._say_once(
                    f'{self.path}: "{glob}" of layers= leaves nothing out, no layer and no tap is called so: there are '
                    f"{_shown(labels)}{_meant(glob, known)}",
                    key=("layers", glob),
                )

    def _begin_at(self, epoch: int, step: int) -> None:
        """Counts on from where a training was resumed whose run begins here, before its first step."""
        self._epoch, self._epoch_start = epoch, step
        self._is_begun_within = self._may_be_within(epoch, step)
        self._network.go_on_from(step)
        # The network is not untrained any more.
        self._is_initial_due = self._is_initial_due and step == 0

    def _may_be_within(self, epoch: int, step: int) -> bool:
        """Whether an epoch may have begun before this step."""
        return step != epoch * self._steps_per_epoch if self._steps_per_epoch is not None else step > 0

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    def __del__(self) -> None:
        # Of one that failed to be made there is nothing to end.
        if "_at_exit" not in self.__dict__ or self._is_finished:
            return
        with suppress(Exception):
            if isinstance(threading.current_thread(), threading._DummyThread):
                # It may be the recorder's own thread that collects garbage, and would wait for itself.
                threading.Thread(target=self.finish).start()
            else:
                self.finish()

    def __deepcopy__(self, _: Any) -> Recorder:
        """A copy of a model that holds its recorder, as for :meth:`tap`, is not recorded by another."""
        return self

    def __reduce__(self) -> Any:
        return _Unrecorded, ()

    def __repr__(self) -> str:
        return f"<stratigraph_nn.Recorder of {self.path}>"

    # What hooks call

    @contextmanager
    def _hooked(self, what: str, loses_capture: bool = True) -> Iterator[None]:
        """Keeps what goes wrong in a hook away from training, unless it is training's own; ``what`` is said of it,
        once."""
        was_inert = self._is_inert()
        try:
            yield
        except Exception as error:
            is_own = isinstance(error, DeviceError) or self._network.is_device_error(error)
            if was_inert and not is_own:
                return
            if is_own or self._settings.on_error == "stop":
                self._over()
                raise
            if loses_capture:
                self._num_missed += self._native is None
                self._miss_if(True)
            self._say_once(f"{self.path}: {what}: {error}", error, key=what)

    def _before_step(self) -> None:
        """Before an optimizer changes parameters."""
        if self._is_initial_due and not self._is_inert():
            with self._guarded():
                self._capture_initial()

    def _after_step(self, step: int) -> int:
        """After a step; returns the next one that there may be something to do before or after."""
        if not self._watches_steps:
            return sys.maxsize
        if self._is_inert():
            return step + _LOOK_EVERY
        with self._guarded():
            native = self._started(self._held_out_of_steps())
            is_scheduled = self._is_step_scheduled and native.is_step_scheduled(step)
            if is_scheduled:
                # One that is left out, to keep within what recording may cost, is counted.
                self._capture_step(native, step)
            # Where an optimizer lags, the next step has begun, and what its backward pass made is there.
            self._expect_gradients(native, step + 1, self._network.is_optimizer_behind)
            # What is captured may be read still when the next step begins.
            return step + 1 if is_scheduled or self._expects_gradients else self._next_busy(native, step)
        # Of a run that could not be begun, it is not tried at each step.
        return step + 1 if self._native is not None else step + _LOOK_EVERY

    def _next_busy(self, native: _native.Recorder, step: int) -> int:
        """The next step after which there may be something to do: a capture, gradients to be kept from then on, or
        a look whether recording has failed."""
        busy = step - step % _LOOK_EVERY + _LOOK_EVERY
        ahead = self._num_steps_ahead
        if self._is_step_scheduled and (scheduled := native.next_scheduled_step(step, busy + ahead)) is not None:
            busy = min(busy, max(scheduled - ahead, step + 1))
        if self._keeps_gradients and self._steps_per_epoch is not None and not self._is_begun_within:
            before_end = self._epoch_start + self._steps_per_epoch - ahead
            busy = min(busy, before_end) if before_end > step else busy
        return busy

    @property
    def _num_steps_ahead(self) -> int:
        """How many steps before a capture something is to be done for it.

        Gradients are kept from the step before on. Of several optimizers one may lag: the end of a step is told when
        the next one's gradients are there already, so that it is done one step earlier.
        """
        if not self._keeps_gradients:
            return 0
        return 2 if self._network.has_several_optimizers else 1

    def _expect_gradients(self, native: _native.Recorder, step: int, is_late: bool = False) -> None:
        """Has the gradients of a step kept if they are needed, or if those of the next one are and it will be too late
        then. ``is_late`` says that those of this step were made before."""
        if self._keeps_gradients:
            self._expects_gradients = any(
                (self._is_step_scheduled and native.is_step_due(each)) or self._may_end(native, each)
                for each in range(step, step + self._num_steps_ahead)
            )
            self._expected_from.append((step + is_late, self._expects_gradients))
            self._network.expect_gradients(self._expects_gradients, self._selected)

    # Captures

    def _capture_step(self, native: _native.Recorder, step: int) -> None:
        decision = self._decide(native, self._epoch, step, False)
        if decision == "left_out":
            native.leave_out(self._epoch, step)
        elif decision == "capture":
            start = time.perf_counter()
            held_out = self._held_out_of_steps()
            self._lacks_held_out |= held_out is None
            self._evaluate(native, held_out)
            self._hand_over(native, self._epoch, step, False, True, start)

    def _held_out_of_steps(self) -> Any:
        return self._held_out_before if self._held_out is None else self._held_out

    def _decide(self, native: _native.Recorder, epoch: int, step: int, is_end: bool) -> str:
        decision = native.decide(epoch, step, is_end)
        self._is_capture_due = decision == "capture"
        return decision

    def _end_epoch(self, epoch: int, held_out: Any, start: float) -> bool:
        native = self._started(held_out)
        if epoch == -1:
            self._capture_initial()
            return True
        if self._is_initial_due:
            # No step was made.
            self._capture_initial()
        step = self._network.num_steps
        is_captured = self._decide(native, epoch, step, True) == "capture"
        if is_captured:
            self._tell_missing_gradients(step)
            self._evaluate(native, held_out)
        return self._hand_over(native, epoch, step, True, is_captured, start)

    def _tell_missing_gradients(self, step: int) -> None:
        """Says once that an epoch ended where its end was not expected, so that its last gradients were not kept."""
        if not self._keeps_gradients or self._has_told_missing or step == self._epoch_start:
            return
        decided = (is_expected for start, is_expected in reversed(self._expected_from) if start <= step)
        if not next(decided, False):
            self._has_told_missing = True
            self._say_once(
                f"{self.path}: epoch {self._epoch} is captured at its end without gradients: it ended after "
                f"{step - self._epoch_start} steps, and gradients are kept where an epoch is known to end; "
                "steps_per_epoch= says how many steps each has at least"
            )

    def _hand_over(
        self, native: _native.Recorder, epoch: int, step: int, is_end: bool, is_captured: bool, start: float
    ) -> bool:
        """Hands a moment over, with the network if it can be captured."""
        if is_captured:
            with self._tolerant():
                parts = self._parts()
                self._say_figures(native)
                is_handed_over = native.hand_over(epoch, step, is_end, parts, time.perf_counter() - start)
                self._is_capture_due = False
                return is_handed_over
            self._miss_if(True)
            self._is_capture_due = False
        self._say_figures(native)
        return native.hand_over(epoch, step, is_end, None, time.perf_counter() - start)

    def _say_figures(self, native: _native.Recorder) -> None:
        """Notes the figures for the moment that is handed over."""
        figures, self._figures = self._figures, {}
        for (phase, name), value in figures.items():
            native.metric(phase, name, value)

    def _hand_over_figures(self) -> None:
        """Hands over what was noted since the last moment."""
        native = self._native
        if native is None or not self._figures:
            return
        self._say_figures(native)
        step = self._network.num_steps
        epoch = self._epoch if step > self._epoch_start or self._epoch == 0 else self._epoch - 1
        native.hand_over_last(epoch, step, None)

    def _capture_initial(self) -> None:
        self._is_initial_due = False
        self._is_capture_due = True
        native = self._started(self._held_out)
        # What was noted is of what training has done.
        noted, self._figures = self._figures, {}
        with self._network.untrained():
            self._evaluate(native, self._held_out)
            self._say_figures(native)
            native.hand_over_initial(self._parts())
        self._is_capture_due = False
        self._figures = noted

    def _parts(self) -> list[tuple[Any, ...]]:
        parts = self._network.parts(self._parameters, self._selected, self._settings.has("moments"))
        self._say_left_out()
        self._miss_if(self._network.has_lost_gradients)
        return parts

    def _say_left_out(self) -> None:
        for message in self._network.left_out:
            self._say_once(f"{self.path}: {message}")

    def _evaluate(self, native: _native.Recorder, held_out: Any) -> None:
        """Runs held-out samples through the network, for the capture that comes."""
        wants_activations = self._settings.has("activations")
        if not wants_activations and not self._settings.has("classifications"):
            return
        with self._tolerant("held-out samples could not be run through the network, captures go on without"):
            outputs = self._network.evaluate(held_out, self._selected if wants_activations else [])
            self._say_left_out()
            if outputs is None:
                return
            loss, logits, targets, losses = outputs
            mean_loss, figure, value = native.classified(loss, logits, targets, losses)
            for name, number in (("loss", mean_loss), (figure, value)):
                self._figures.setdefault(("eval", name), number)

    def _started(self, held_out: Any) -> _native.Recorder:
        """The recorder, which is started where it is first needed: a forward pass has shown the network."""
        if self._native is None:
            # Of arrays that are none, others may be given.
            self._cannot_begin = not self._network.takes_arrays
            spec = self._network.describe(held_out)
            self._cannot_begin = True
            try:
                self._native = self._begun(spec, held_out)
            except _native.NoRoomError:
                self._cannot_begin = False
                raise
            self._cannot_begin = False
        return self._native

    def _begun(self, spec: list[dict[str, Any]], held_out: Any) -> _native.Recorder:
        """Creates the run, and the recorder."""
        told = self._network.held_out_told(held_out)
        settings = self._settings.to_json(
            network=spec,
            device=self._network.device,
            rank=self._network.rank,
            world_size=self._network.world_size,
            num_held_out=self._network.num_held_out(held_out),
            held_out=told,
        )
        native = _native.Recorder(settings)
        for _ in range(self._num_missed):
            native.miss()
        self._num_missed = 0
        if self._is_unbegun:
            for _ in range(self._num_unbegun_initial):
                native.miss()
            first = self._epoch if self._unbegun_epoch is None else self._unbegun_epoch
            native.miss_scheduled((first, self._epoch), (self._unbegun_step, self._network.num_steps))
            self._is_unbegun = False
            self._warn(f"there is room, recording into {self.path} begins")
        with self._tolerant("what held-out samples the run was begun with cannot be read"):
            about = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            began = about["config"].get("held_out")
            # Other processes are told so when they have run theirs.
            if self._network.rank == 0 and began is not None and told is not None and began != told:
                self._say_once(f"{self.path}: held-out samples are not those that the run was begun with")
        for message in self._network.remarks:
            self._say_once(f"{self.path}: {message}")
        self._doubt_left_out([layer["label"] for layer in spec])
        self._selected = [index for index, is_selected in enumerate(native.selected()) if is_selected]
        self._parameters = native.parameters()
        return native

    # Figures

    def _note(self, metrics: Mapping[str, Any]) -> None:
        said: dict[tuple[str | None, str], str] = {}
        for name, value in metrics.items():
            with self._tolerant(f"the figure {name} is left out"):
                figure = options.phase_of(name)
                if figure in said:
                    raise ValueError(f"{said[figure]} is {figure[1]} of the phase {figure[0]} as well")
                self._figures[figure] = _single(value)
                said[figure] = name

    @contextmanager
    def _noting(self, metrics: Mapping[str, Any]) -> Iterator[None]:
        """Notes figures of a moment, which go with it if it is refused."""
        before = dict(self._figures)
        self._note(metrics)
        try:
            yield
        except Exception:
            self._figures = before
            raise

    @contextmanager
    def _ending(self, epoch: int) -> Iterator[None]:
        """Ends an epoch, also where nothing of it could be recorded, but not where it is refused, as one that was
        there before."""
        try:
            yield
        except Exception as error:
            if isinstance(error, _native.NoRoomError) and self._native is None and self._unbegun_epoch is None:
                self._unbegun_epoch = max(epoch, 0)
            if self._loses_moment(error):
                self._end_of_epoch_known(epoch)
            raise
        self._end_of_epoch_known(epoch)

    def _loses_moment(self, error: Exception) -> bool:
        """Whether what goes wrong loses a moment of training, which is not refused."""
        if isinstance(error, DeviceError):
            return False
        return self._is_capture_due or not isinstance(error, RecordingError) or isinstance(error, _native.NoRoomError)

    def _end_of_epoch_known(self, epoch: int) -> None:
        """Goes on to the next epoch."""
        num_steps = self._network.num_steps - self._epoch_start
        if num_steps == 0 and epoch >= 0 and not self._network.takes_arrays:
            self._say_once(
                f"{self.path}: no step was counted in epoch {epoch}: give record the optimizer that makes them, or call "
                "step() after each",
                key="no step was counted",
            )
        if num_steps > 0 and not self._is_begun_within:
            # Of epochs of different lengths, the shortest: gradients are kept from where one may end.
            known = self._steps_per_epoch
            self._steps_per_epoch = num_steps if known is None else min(known, num_steps)
        self._is_begun_within = self._is_begun_within and epoch < 0
        self._epoch, self._epoch_start = epoch + 1, self._network.num_steps
        self._network.wake()
        if self._keeps_gradients:
            self._network.forget_gradients()
            if self._native is not None:
                self._expect_gradients(self._native, self._network.num_steps + 1)

    def _may_end(self, native: _native.Recorder, step: int) -> bool:
        """Whether a step may be the last of an epoch that is captured."""
        num_steps = step - self._epoch_start
        is_length_known = self._steps_per_epoch is not None and not self._is_begun_within
        may_be_last = not is_length_known or num_steps >= (self._steps_per_epoch or 0)
        return may_be_last and native.is_end_due(self._epoch, step)

    # Failures

    def _is_inert(self) -> bool:
        return self._is_over or os.getpid() != self._process

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keeps what goes wrong with recording away from training, unless it is training's own."""
        try:
            yield
            self._say_messages()
            if self._native is not None and not self._is_over:
                self._say_changes(self._native.take_changes())
                if not self._is_over and self._native.is_disk_full():
                    self._stop(f"{self.path} may take no more of the disk; recording has stopped, training goes on")
        except DeviceError:
            self._over()
            raise
        except Exception as error:
            # By a moment that comes too late nothing else is lost, by anything else a capture is.
            self._miss_if(self._is_capture_due or not isinstance(error, RecordingError))
            if self._settings.on_error == "stop" or self._network.is_device_error(error):
                self._over()
                raise
            if self._native is None and isinstance(error, _native.NoRoomError):
                self._wait_to_begin(error)
            elif self._cannot_begin or (self._native is not None and self._native.failure() is not None):
                self._failed(error)
            else:
                # A mistake, as an epoch that was there before.
                self._num_missed += self._native is None and not isinstance(error, RecordingError)
                # Of the same mistake at another epoch or step nothing more is said.
                key = _NUMBER.sub("", str(error)) if isinstance(error, RecordingError) else None
                self._say_once(f"recording into {self.path} goes on, without this: {error}", error, key)
        except BaseException:
            # An interrupt, in the midst of a capture perhaps.
            self._miss_if(self._is_capture_due)
            raise
        finally:
            self._is_capture_due = False

    def _miss_if(self, is_missed: bool) -> None:
        """Counts a capture that could not be made: the run does not say then that everything was recorded."""
        if is_missed and self._native is not None:
            with suppress(RecordingError):
                self._native.miss()

    def _wait_to_begin(self, error: RecordingError) -> None:
        """There was no room for the run itself, which is begun where there is."""
        if not self._is_unbegun:
            self._is_unbegun, self._unbegun_step = True, self._network.num_steps
            self._warn(f"recording into {self.path} waits until there is room, training goes on: {error}", error)
        # The recorder is not there that would say whether another one is due.
        self._num_unbegun_initial += self._is_capture_due

    @contextmanager
    def _tolerant(self, what: str = "the network could not be captured, figures alone are recorded") -> Iterator[None]:
        """Keeps what goes wrong with one part of a capture away from the others, unless recording stops for it."""
        try:
            yield
        except DeviceError:
            raise
        except Exception as error:
            if self._settings.on_error == "stop" or self._network.is_device_error(error):
                raise
            if self._native is not None and self._native.failure() is not None:
                raise
            self._say_once(f"{self.path}: {what}: {error}", error)

    def _say_once(self, message: str, cause: BaseException | None = None, key: Any = None) -> None:
        """Says something that was not said before; with ``key``, nothing of what has the same."""
        key = message if key is None else key
        if key not in self._said:
            self._said.add(key)
            self._warn(message, cause)

    def _warn(self, message: str, cause: BaseException | None = None) -> None:
        try:
            _warn(message, cause)
        except StratigraphWarning:
            # Warnings are errors here, and training goes on all the same.
            if self._settings.on_error == "stop":
                raise
            logging.getLogger("stratigraph_nn").warning(message)

    def _say_changes(self, changes: Iterable[Sequence[str]]) -> None:
        """Says that recording has stopped while training goes on, and that it goes on itself."""
        for kind, words in changes:
            if kind == "waits":
                self._warn(f"recording into {self.path} has stopped until there is room, training goes on: {words}")
            elif kind == "taken_up":
                self._warn(f"there is room again, recording into {self.path} goes on: {words}")
            else:
                self._failed(words)

    def _failed(self, error: object) -> None:
        if self._settings.on_error == "stop" and isinstance(error, BaseException):
            raise error
        self._stop(
            f"recording into {self.path} failed, training goes on without it: {error}",
            error if isinstance(error, BaseException) else None,
        )

    def _stop(self, message: str, cause: BaseException | None = None) -> None:
        self._over()
        self._warn(message, cause)

    def _over(self) -> None:
        self._is_over = True
        self._network.end()

    def _say_messages(self) -> None:
        for message in _native.take_messages():
            self._warn(message)


class _Unrecorded:
    """What a recorder becomes in a file, or in another process: it records nothing. It is called as a recorder is."""

    #: There is no run.
    path: Path | None = None
    num_steps = 0
    summary: dict[str, Any] | None = None

    def epoch(self, epoch: int | None = None, held_out: Any = None, **metrics: Any) -> bool:
        """Nothing is captured."""
        return False

    def capture(
        self,
        arrays: Mapping[str, Any] | None = None,
        *,
        epoch: int | None = None,
        step: int | None = None,
        layout: str = "out_in",
        held_out: tuple[Any, Any] | None = None,
        loss: str | None = None,
        activations: Mapping[str, Any] | None = None,
        **metrics: Any,
    ) -> bool:
        """Nothing is captured."""
        return False

    def tap(self, name: str, tensor: Any, unit_axis: int = -1) -> Any:
        """Gives the tensor back, or what stands for it where its units are silenced."""
        return changed(name, tensor, unit_axis)

    def log(self, **metrics: Any) -> None:
        """Notes nothing."""

    def step(self) -> None:
        """Counts nothing."""

    def finish(self) -> dict[str, Any] | None:
        """There is nothing to end."""
        return None

    def __enter__(self) -> _Unrecorded:
        return self

    def __exit__(self, *exception: object) -> None:
        """There is nothing to end."""


def _guard_of(recorder: Recorder) -> Callable[..., AbstractContextManager[None]]:
    """What hooks do their work within: they go with a model, and do not keep its recorder."""
    reference = weakref.ref(recorder)

    def guard(what: str, loses_capture: bool = True) -> AbstractContextManager[None]:
        recorder = reference()
        return suppress(Exception) if recorder is None else recorder._hooked(what, loses_capture)

    return guard


def _finish_at_exit(recorder: Recorder) -> Callable[[], None]:
    """Publishes what there is at the end of the interpreter, of a recorder that nobody finished."""
    reference = weakref.ref(recorder)

    def finish() -> None:
        if (recorder := reference()) is not None:
            recorder.finish()

    atexit.register(finish)
    # At the end of the interpreter it would take back what is to be called there.
    weakref.finalize(recorder, atexit.unregister, finish).atexit = False
    return finish


def _warn(message: str, cause: BaseException | None) -> None:
    """Says something where training called the recorder, or a hook."""
    warning = StratigraphWarning(message)
    warning.__cause__ = cause
    inside = os.path.dirname(__file__), contextlib.__file__
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)


def _number(epoch: Any) -> int:
    """An epoch's number.

    Raises:
        TypeError: it is something else, as a loss.
        ValueError: it is of no epoch.
    """
    try:
        return options.whole("an epoch", epoch, -1, 2**31 - 1)
    except TypeError as error:
        raise TypeError(f"{error}: a loss is given as train_loss=...") from None


def _single(value: Any) -> float:
    """The number that a figure is.

    Raises:
        TypeError: it is something else.
    """
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"it is no single number, but {options.given(value)}") from None


__all__ = ["Recorder", "StratigraphWarning", "record"]
