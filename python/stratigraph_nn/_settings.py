"""What is recorded, when and where to: the options of ``record``, as the extension takes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _native
from . import _options as options

DEFAULT_TABLES = ("weights", "classifications", "activations", "metrics")

#: Options that are texts, each with one that it takes.
_TEXTS = {
    "weights": "raw",
    "activations": "raw",
    "gradients": "raw",
    "precision": "f32",
    "when_full": "block",
    "on_error": "continue",
}
#: Options that are whole numbers, with the least and the most of each.
_NUMBERS = (
    ("activation_samples", 1, None),
    ("units", 1, 2**32 - 1),
    ("histograms", 1, 65536),
    ("epochs", 1, 2**31 - 1),
    ("seed", 0, 2**64 - 1),
)


@dataclass
class Settings:
    """The options of a recording. Names and words are those of ``recorder train``."""

    path: Path
    every: str | int = "1epoch"
    record: str | Sequence[str] = DEFAULT_TABLES
    layers: str | Sequence[str] | None = ()
    weights: str = "raw"
    activations: str = "raw"
    gradients: str = "raw"
    activation_samples: int = 512
    units: int | None = None
    precision: str = "f32"
    histograms: int | None = None
    channel_bytes: int | str | None = None
    compress: str | None = None
    max_part_bytes: int | str | None = None
    when_full: str = "block"
    max_overhead: float | str | None = None
    max_disk: int | str | None = None
    on_error: str = "continue"
    commits: str | os.PathLike[str] | None = None
    record_initial: bool = False
    resume: tuple[int, int] | None = None
    epochs: int | None = None
    seed: int | None = None
    class_names: Sequence[str] = ()
    config: Any = field(default_factory=dict)

    def check(self) -> None:
        """Checks what can be checked before there is a network.

        Raises:
            TypeError: An option is given something that it does not take.
            ValueError: An option says what there is not, or options do not go together.
        """
        for option, example in _TEXTS.items():
            options.text(option, getattr(self, option), example)
        if self.compress is not None:
            options.text("compress", self.compress, "auto")
        for option, at_least, at_most in _NUMBERS:
            value = getattr(self, option)
            if value is not None or option == "activation_samples":
                setattr(self, option, options.whole(option, value, at_least, at_most))
        if not isinstance(self.every, str):
            self.every = str(options.whole("every, as a number of epochs,", self.every, 1))
        self.record = options.names("record", self.record, "weights")
        self.layers = [] if self.layers is None else options.names("layers", self.layers, "encoder.*")
        if isinstance(self.class_names, str | Mapping) or not isinstance(self.class_names, Iterable):
            options.names("class_names", self.class_names, "cat", are_split=False)
        # Settings are made to JSON several times, and what gives names may give them once.
        self.class_names = list(self.class_names)
        options.truth("record_initial", self.record_initial)
        if self.max_disk is not None:
            self.max_disk = options.size("max_disk", self.max_disk)
        if self.channel_bytes is not None:
            self.channel_bytes = options.size("channel_bytes", self.channel_bytes)
        if self.max_part_bytes is not None:
            self.max_part_bytes = options.size("max_part_bytes", self.max_part_bytes)
        if self.commits is not None:
            self.commits = options.file("commits", self.commits)
        if self.max_overhead is not None:
            self.max_overhead = options.share("max_overhead", self.max_overhead)
        if self.resume is not None:
            self.resume = options.moment(self.resume)
        self.config = options.config(self.config)
        _native.check(self.to_json(network=[], device="cpu", rank=0, world_size=1, num_held_out=None))

    def check_network(self, network: list[dict[str, Any]], device: str, rank: int, world_size: int) -> None:
        """Checks the same of a network that is known.

        Raises:
            RecordingError: It cannot be recorded, or the run that is gone on with is of another.
        """
        settings = self.to_json(
            network=network,
            device=device,
            rank=rank,
            world_size=world_size,
            num_held_out=None,
        )
        _native.check(settings)

    def to_json(
        self,
        *,
        network: list[dict[str, Any]],
        device: str,
        rank: int,
        world_size: int,
        num_held_out: int | None,
        held_out: dict[str, Any] | None = None,
    ) -> str:
        """As the extension takes it."""
        return json.dumps(
            {
                "path": os.fspath(self.path),
                "network": network,
                "created_by": f"stratigraph-nn {_native.__version__}",
                "device": device,
                "seed": self.seed,
                "rank": rank,
                "world_size": world_size,
                "num_epochs": self.epochs,
                "num_held_out": num_held_out,
                "class_names": [str(name) for name in self.class_names],
                "config": _jsonable(self.config),
                "held_out": held_out,
                "resume": self.resume,
                "record_initial": self.record_initial,
                "record": list(self.record),
                "every": str(self.every),
                "layers": list(self.layers or ()),
                "weights": self.weights,
                "activations": self.activations,
                "gradients": self.gradients,
                "activation_samples": self.activation_samples,
                "units": self.units,
                "precision": self.precision,
                "histograms": self.histograms,
                "channel_bytes": self.channel_bytes,
                "compress": self.compress,
                "max_part_bytes": self.max_part_bytes,
                "when_full": self.when_full,
                "max_overhead": self.max_overhead,
                "max_disk": self.max_disk,
                "on_error": self.on_error,
                "commits": self.commits,
            }
        )

    def has(self, table: str) -> bool:
        """Whether a table is recorded."""
        return table in self.record


def directory(path: str | os.PathLike[str] | None, name: str, resumes: bool) -> Path:
    """The run's directory: the one that is named, or ``traces/<name>``, with ``-2`` and so on where it is
    taken.

    Raises:
        RecordingError: The named directory exists and is not empty, save for what an interrupted creation left.
    """
    if path is not None:
        path = Path(path)
        if not resumes and path.exists() and not _native.is_unborn(path):
            has_run = (path / "run.json").exists()
            hint = "; a run is there, with which resume=(epoch, step) goes on" if has_run else ""
            raise _native.RecordingError(
                f"{path} exists and is not empty: nothing is ever overwritten, name another directory{hint}"
            )
        _check_creatable(path)
        return path
    first = Path("traces") / name
    if resumes:
        return first
    number = 1
    while True:
        candidate = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            # It is empty until the run is created: who comes next finds it taken.
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return candidate


def _check_creatable(path: Path) -> None:
    """Raises RecordingError: a directory cannot be created there, or not be written to."""
    there = next((each for each in (path.absolute(), *path.absolute().parents) if each.exists()), None)
    if there is None:
        return
    if not there.is_dir():
        raise _native.RecordingError(f"{path} cannot be created, since {there} is no directory: name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _native.RecordingError(f"{path} cannot be created, since {there} may not be written to: name another")


def _jsonable(value: Any) -> Any:
    """What JSON can hold of a configuration: numbers of other libraries become Python's, anything else its
    text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _jsonable(value.item())
    if hasattr(value, "__dict__") and not isinstance(value, type) and type(value).__module__ == "argparse":
        return _jsonable(vars(value))
    return str(value)
