"""Python's values as the words that queries and pictures understand."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from ._native import QueryError


def word(value: Any) -> str:
    """A value as a parameter says it: ``true``, ``5``, ``last``; several as ``3,7,120``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, Mapping)):
        raise TypeError(f"a parameter is a number, a text or several of them, not {value!r}")
    if isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0:
        return ",".join(word(item) for item in value)
    text = str(value)
    # numpy's and torch's truth values.
    return text.lower() if text in ("True", "False") else text


def words(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters that are given: what is None is not."""
    return [(name, word(value)) for name, value in parameters.items() if value is not None]


def optional_word(value: Any) -> str | None:
    """A value as a word; none where there is none."""
    return None if value is None else word(value)


def epoch_word(value: Any) -> int | str:
    """Which epoch is meant: a number, ``first`` or ``last``.

    Raises:
        QueryError: it is another text.
        TypeError: it is something else.
    """
    if isinstance(value, str):
        if value in ("first", "last"):
            return value
        try:
            return int(value)
        except ValueError:
            raise QueryError(f"epoch is a number, 'first' or 'last', not {value!r}") from None
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"epoch is a whole number, 'first' or 'last', not {value!r}") from None
