"""What options are given as: each is told by its name, what was given for it, and what it takes."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

LOSSES = ("cross_entropy", "bce_with_logits", "mse")

#: What figures are of that are named for a phase, as trainers name them. Those of a test are of samples beside
#: the ones that a training is evaluated on, and keep their names.
_PHASES = {"train": "train", **dict.fromkeys(("eval", "val", "valid", "validation"), "eval")}


def phase_of(name: str) -> tuple[str | None, str]:
    """The phase of a figure and its name in it: ``val_loss`` is ``loss`` of ``eval``, ``loss`` of neither."""
    head, _, rest = name.partition("_")
    return (_PHASES[head], rest) if rest and head in _PHASES else (None, name)


def whole(option: str, value: Any, at_least: int, at_most: int | None = None) -> int:
    """A whole number.

    Raises:
        TypeError: it is none.
        ValueError: it is too small or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{option} is a whole number, not {given(value)}")
    if number < at_least:
        raise ValueError(f"{option} is {at_least} at least, not {number}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{option} is {at_most} at most, not {number}")
    return number


def truth(option: str, value: Any) -> bool:
    """True or False, or a TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{option} is True or False, not {given(value)}")
    return value


def text(option: str, value: Any, example: str) -> str:
    """A text, or a TypeError."""
    if not isinstance(value, str):
        raise TypeError(f'{option} is a text as "{example}", not {given(value)}')
    return value


def size(option: str, value: Any) -> int | str:
    """Bytes, as a number or a text, or a TypeError."""
    if isinstance(value, str):
        return value
    try:
        return whole(option, value, 0)
    except TypeError:
        raise TypeError(f'{option} is a number of bytes or a text as "20GB", not {given(value)}') from None


def share(option: str, value: Any) -> float | str:
    """A share of something, as a number or a text.

    Raises:
        TypeError: it is neither.
        ValueError: it is not above 0, or above 1.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f'{option} is a share as 0.02 or a text as "2%", not {given(value)}')
    number = float(value)
    if not 0 < number <= 1:
        meant = f'; did you mean "{number:g}%"?' if 1 < number <= 100 else ""
        raise ValueError(f"{option} is a share above 0 and at most 1, not {number:g}{meant}")
    return number


def names(option: str, value: Any, example: str, *, are_split: bool = True) -> list[str]:
    """Names, of a list of them, or a text with commas between them where that is understood.

    Raises:
        TypeError: it is something else.
    """
    wanted = f'{option} is a list of names as ["{example}"]'
    if isinstance(value, str):
        if not are_split:
            raise TypeError(f"{wanted}, not the text {value!r}")
        return [name.strip() for name in value.split(",")]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{wanted}, not {given(value)}")
    found = list(value)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{wanted}: {given(name)} is no name")
    return found


def takes(globs: Sequence[str], label: str) -> bool:
    """Whether a layer is recorded by ``layers=``: the last glob that fits decides. A list that begins with a ``!``
    begins with every layer."""
    for glob in reversed(globs):
        if fnmatchcase(label.lower(), glob.removeprefix("!").lower()):
            return not glob.startswith("!")
    return not globs or globs[0].startswith("!")


def labels(value: Any) -> Mapping[str, str] | None:
    """Labels by module path, or a TypeError."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f'labels are names by module path, as {{"encoder.0": "first"}}, not {given(value)}')
    for path, label in value.items():
        if not isinstance(path, str) or not isinstance(label, str):
            raise TypeError(f"labels are names by module path: {given(path)} has {given(label)}")
    return value


def moment(value: Any) -> tuple[int, int]:
    """An epoch and a step.

    Raises:
        TypeError: it is no pair of whole numbers.
        ValueError: they are negative, but for the epoch before the first.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(
            f"resume is (epoch, step), the last epoch that has ended and how many steps are done, not {given(value)}"
        )
    return whole("the epoch of resume", value[0], -1), whole("the step of resume", value[1], 0)


def loss(value: Any) -> str | None:
    """The name of a loss.

    Raises:
        TypeError: it is something else, as a function.
        ValueError: there is none of that name.
    """
    if value is None:
        return None
    there_are = ", ".join(LOSSES)
    if not isinstance(value, str):
        raise TypeError(
            f"loss is one of {there_are}, not {given(value)}: losses of your own come from a held_out that is called, "
            "and gives (logits, targets, losses)"
        )
    if value not in LOSSES:
        raise ValueError(f"loss is one of {there_are}, not {value!r}{did_you_mean(value, LOSSES)}")
    return value


def config(value: Any) -> Any:
    """Names with values, or a TypeError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) and (not hasattr(value, "__dict__") or callable(value)):
        raise TypeError(f'config is values by their names, as {{"dropout": 0.1}}, not {given(value)}')
    return value


def path(value: Any) -> str | os.PathLike[str] | None:
    """A directory, or a TypeError."""
    if value is not None and not isinstance(value, str | os.PathLike):
        raise TypeError(f"the run's directory is a path, not {given(value)}")
    return value


def file(option: str, value: Any) -> str:
    """A file's path as a text, or a TypeError."""
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        if isinstance(path, str):
            return path
    raise TypeError(f"{option} is the path of a file, not {given(value)}")


def given(value: Any) -> str:
    """What was given, in a few words."""
    if value is None or isinstance(value, bool | int | float | str):
        shown = repr(value)
        return shown if len(shown) <= 60 else f"{shown[:57]}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shown = repr(value) if isinstance(value, list | tuple | dict | set) else ""
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return shown if 0 < len(shown) <= 40 else f"{article} {kind}"


def did_you_mean(name: str, there_are: Sequence[str]) -> str:
    """The end of an error's message that suggests a name, if one is close."""
    if len(name) > 256:  # Nobody types it, and comparing takes long.
        return ""
    close = difflib.get_close_matches(name.lower(), there_are, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


__all__ = [
    "LOSSES",
    "config",
    "did_you_mean",
    "given",
    "labels",
    "loss",
    "moment",
    "names",
    "path",
    "phase_of",
    "share",
    "size",
    "takes",
    "text",
    "truth",
    "whole",
]
