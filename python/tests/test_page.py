"""The page on Python does what it says: its blocks run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = r"^<!-- not run: python/tests/test_page.py runs it -->\n```python\n(.*?)^```"
    blocks = re.findall(block, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "curves.svg").stat().st_size > 0
    assert len(names["run"].epochs) == 5  # type: ignore[attr-defined]
    arrays = names["sg"].open("traces/arrays")  # type: ignore[attr-defined]
    rows = arrays.sql("SELECT epoch, unit, weights FROM weights WHERE layer = 'dense' ORDER BY epoch, unit").to_dicts()
    assert [row["weights"] for row in rows[3:6]] == [[1.0] * 4] * 3
