"""``examples/notebook.ipynb`` runs, and shows what is saved in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pandas")
pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")

import run_notebook

AGAIN = "it is run and saved anew by: python python/tests/run_notebook.py"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def shown(cell: Any) -> dict[str, str]:
    """What a cell shows, by media type."""
    found: dict[str, str] = {}
    for output in cell.outputs:
        assert output.output_type in ("execute_result", "display_data"), f"{cell.id}: {output}"
        found |= output.data
    return found


def said(cell: Any) -> str:
    """What does not depend on the last digits of a training: the heads of tables, and of a text its first sentence,
    without numbers and layers."""
    found = shown(cell)
    if "text/html" in found:
        return " ".join(re.findall(r"<th[^>]*>([A-Za-z_ ]+)</th>", found["text/html"].split("</thead>")[0]))
    text = found.get("text/markdown", found.get("text/plain", ""))
    first = re.sub(r"L_(input|hidden_1|output)", "L", re.split(r"[.:;] ", text)[0])
    return re.sub(r"-?\d[\d.,%]*(, -?\d[\d.,%]*)*", "#", first)


def test_what_is_saved_is_of_these_cells() -> None:
    notebook = run_notebook.read()
    assert notebook.metadata["outputs_of"] == run_notebook.fingerprint(notebook), AGAIN
    cells = code_cells(notebook)
    assert len(cells) > 40
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), AGAIN
    for cell in cells:
        # What only prepares says so.
        assert bool(shown(cell)) != ("silent" in tags(cell)), f"{cell.id} shows {shown(cell)}"
    assert sum("image/svg+xml" in shown(cell) for cell in cells) >= 5


def test_what_is_saved_is_small_and_of_no_machine() -> None:
    text = run_notebook.NOTEBOOK.read_text()
    assert len(text) < 600_000
    outputs = str([shown(cell) for cell in code_cells(run_notebook.read())])
    for of_one in (r"(?<![\w.])/(tmp|root|home|Users|var|work)/", r"\d{4}-\d\d-\d\d[T ]\d\d:"):
        assert not re.search(of_one, outputs), of_one


def test_it_runs_and_shows_what_is_saved() -> None:
    saved = run_notebook.read()
    again = run_notebook.executed(saved, run_notebook.NOTEBOOK.parent)
    for before, after in zip(code_cells(saved), code_cells(again), strict=True):
        assert shown(before).keys() == shown(after).keys(), f"{before.id}: {AGAIN}"
        assert said(before) == said(after), f"{before.id}: {AGAIN}"
        if "exact" in tags(before):
            assert shown(before) == shown(after), f"{before.id}: {AGAIN}"


def test_a_cell_that_fails_is_an_error(tmp_path) -> None:
    from nbclient.exceptions import CellExecutionError
    from nbformat import v4

    cells = [v4.new_code_cell("import stratigraph_nn"), v4.new_code_cell("assert 1 == 2, 'it has failed'")]
    with pytest.raises(CellExecutionError, match="it has failed"):
        run_notebook.executed(v4.new_notebook(cells=cells), tmp_path)
    assert not any(tmp_path.iterdir())
