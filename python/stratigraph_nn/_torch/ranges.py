"""Units in a row as ranges, as ``run.json`` says where the positions of a layer's rows come from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

#: A source of more ranges is an enumeration of connections, not a rule: it counts as unknown.
MAX_RANGES = 1024


def ranges(units: Sequence[tuple[str, int]]) -> list[dict[str, Any]] | None:
    """The ranges that stand for units one after the other, each a label and an index; None if they are too
    many to be a rule.

    Three channels at two positions each, ``a0 a0 a1 a1 a2 a2``, are one range with ``repeat`` 2.
    """
    found: list[dict[str, Any]] = []
    for (label, unit), positions in groupby(units):
        repeat = sum(1 for _ in positions)
        last = found[-1] if found else None
        if last is not None and _continues(last, label, unit, repeat):
            last["stride"] = unit - last["start"] if last["count"] == 1 else last["stride"]
            last["count"] += 1
            continue
        if len(found) == MAX_RANGES:
            return None
        found.append({"from": label, "start": unit, "count": 1, "stride": 1, "repeat": repeat})
    return found


def _continues(last: dict[str, Any], label: str, unit: int, repeat: int) -> bool:
    if last["from"] != label or last["repeat"] != repeat:
        return False
    if last["count"] == 1:
        return bool(unit > last["start"])
    return bool(unit == last["start"] + last["count"] * last["stride"])
