"""Checkpoints of other frameworks as a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import _native
from . import _options as options
from ._run import Run


@dataclass(frozen=True)
class Imported:
    """What :func:`import_checkpoints` made, or would make."""

    run: Run | None
    """The run; None after ``dry_run``."""
    captures: list[tuple[Path, int, int]]
    """Every checkpoint with the epoch and step that it became, in their order."""
    numbers_by: str
    """How epochs and steps were told: ``"pattern"``, ``"words"`` in names, the only ``"number"`` in names, taken as
    the epoch, or ``"inside"``: the files say them."""
    notes: list[str]
    """What should be known: what was taken of files and what left out, and what was inferred of layers."""

    def __repr__(self) -> str:
        number = len(self.captures)
        what = f"{number} checkpoint{'' if number == 1 else 's'} by {self.numbers_by}"
        where = "nothing was created" if self.run is None else f"in {self.run.path}"
        return "\n".join([f"Imported: {what}, {where}", *(f"note: {note}" for note in self.notes)])


def import_checkpoints(
    checkpoints: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    pattern: str | None = None,
    steps_per_epoch: int | None = None,
    key: str | None = None,
    strip_prefix: str | Iterable[str] = (),
    transpose: str | Iterable[str] = (),
    lossy: bool = False,
    compress: str | None = None,
    max_part_bytes: int | str | None = None,
    resume: bool = False,
    dry_run: bool = False,
) -> Imported:
    """Makes a run of a series of checkpoints, one capture each.

    Files of ``torch.save`` and Lightning are read by ``torch.load(weights_only=True, mmap=True)``, safetensors
    without PyTorch; a series may have both. All are looked at before anything is created. Then one tensor at a time
    is in memory. Files of PyTorch before 1.6, which cannot be mapped, are read whole.

    The weights of a file of ``torch.save`` are the file itself, where it is a state dict, or what is below
    ``state_dict`` (Lightning), ``model_state_dict``, ``model`` or ``module``. What is beside them, as the
    optimizer's state, is left out, and named in the notes.

    Args:
        checkpoints: A file or a glob, or several, in any order; of a sharded checkpoint its index, ``*.index.json``.
        out: The run's directory, which must not exist or be empty.
        pattern: Where names say the epoch or the step, as ``"model-{epoch}.pt"`` or ``"step-{step}/*.pt"``. Without
            it the number beside the word epoch or step tells, else the only number is the epoch. What names leave
            open, ``epoch`` and ``global_step`` in a file tell, as Lightning writes them.
        steps_per_epoch: Optimizer steps in an epoch: tells the step of checkpoints that tell the epoch alone, and the
            other way round. Without it, and where files do not tell, an epoch counts as one step, and steps are
            epochs 0, 1, ... in their order.
        key: Where in a file of ``torch.save`` the state dict is, if not as above, as ``"ema"`` or ``"nets.actor"``;
            ``""`` is the file itself.
        strip_prefix: What is taken off tensors' names that begin with it, as ``"_orig_mod."``; several are taken off
            one after the other.
        transpose: Globs of tensors that are ``[in, out]`` where their biases do not tell; ``"!GLOB"`` of those that
            are not.
        lossy: Whether to round values that a 32-bit float does not hold, of 64-bit floats and large integers. They
            are an error else.
        compress: What is compressed: ``"auto"`` what becomes a fifth smaller or more, as weights of half precision do,
            ``"size"`` what becomes smaller by 3 % or more, as other weights do by a sixth, which every query has to
            unpack, ``"none"`` nothing. ``"auto"`` where it is not said; with ``resume`` what was compressed before.
        max_part_bytes: How much of a layer goes into one file, its values as 32-bit floats, as ``"64MiB"``, 4 KiB at
            least: a larger one is split by its units. 256 MiB where it is not said; with ``resume`` what was said before.
        resume: Goes on with an import that did not come to its end.
        dry_run: Says what each checkpoint would become, and creates nothing.

    Returns:
        The run, and which epoch and step each checkpoint became.

    Raises:
        TypeError: ``steps_per_epoch`` is no whole number, ``compress`` no text, or ``max_part_bytes`` no size.
        ValueError: An option says what there is not.
        RecordingError: A checkpoint cannot be imported, with file, tensor, reason and what to do; or the directory is
            taken. Where the import had begun, the captures that the run has are whole.
        KeyboardInterrupt: Ctrl-C was pressed: what was imported is kept, ``resume=True`` goes on.
    """
    if out is None and not dry_run:
        raise ValueError("out names the run's directory; dry_run=True needs none")
    if steps_per_epoch is not None:
        steps_per_epoch = options.whole("steps_per_epoch", steps_per_epoch, 1)
    if compress is not None:
        options.text("compress", compress, "auto")
    if max_part_bytes is not None:
        max_part_bytes = str(options.size("max_part_bytes", max_part_bytes))
    told = _native.import_checkpoints(
        _several(checkpoints),
        None if dry_run or out is None else os.fspath(out),
        pattern,
        steps_per_epoch,
        key,
        _several(strip_prefix),
        _several(transpose),
        lossy,
        compress,
        max_part_bytes,
        resume,
    )
    found = json.loads(told)
    return Imported(
        run=None if dry_run or out is None else Run(out),
        captures=[(Path(file), epoch, step) for file, epoch, step in found["captures"]],
        numbers_by=found["numbers_by"],
        notes=found["notes"],
    )


def _several(values: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    if isinstance(values, (str, os.PathLike)):
        values = [values]
    return [os.fspath(value) for value in values]
