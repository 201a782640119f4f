"""The rows of an answer."""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from . import _native

# How much of a table is shown: at a prompt, and in a notebook.
_PROMPT_ROWS = 10
_PROMPT_WIDTH = 100
_NOTEBOOK_ROWS = 20
_NOTEBOOK_COLUMNS = 30
_CELL_WIDTH = 60
_LIST_ITEMS = 4


class Result:
    """The rows of an answer, worked out when they are read.

    It speaks the Arrow PyCapsule interface: ``pyarrow.table(result)``, ``polars.DataFrame(result)``,
    ``pyarrow.RecordBatchReader.from_stream(result)``, which has the rows as they come, and
    ``duckdb.sql("FROM result")`` take it, without a copy of the values. It is a table of the package
    ``datafusion``, too: ``context.register_table("name", result)``. Of a query's result those rows and columns are read
    that are asked for; any other, as a comparison or what is ``wide``, is worked out then. ``timeout`` is of what is asked
    of the run itself, not of what another engine does with its tables.

    It can be read several times. What was read to its end once and takes 64 MiB at most is kept with
    the result; a larger answer is worked out anew each time. It is about the run as it was when it was
    opened or refreshed, whatever is recorded meanwhile.

    Reading raises :class:`QueryError` if the query fails on its way, and KeyboardInterrupt on Ctrl-C,
    which gives the query up. Where another library reads the stream, either is an error of that library's
    with the same words.
    """

    __slots__ = ("_rows", "__weakref__")

    def __init__(self, rows: _native.Rows) -> None:
        self._rows = rows

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._rows.columns

    @property
    def schema(self) -> dict[str, str]:
        """The types of the columns, as ``Int32`` or ``List(Float32)``."""
        return dict(zip(self._rows.columns, self._rows.types))

    @property
    def notes(self) -> list[str]:
        """What is to be said of the answer beside its rows, as the command line says it on stderr; shown below
        them."""
        return self._rows.notes

    def __arrow_c_schema__(self) -> object:
        return self._rows.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)

    def __datafusion_table_provider__(self, session: object) -> object:
        return self._rows.__datafusion_table_provider__(session)

    def to_arrow(self) -> pyarrow.Table:
        """All rows as a pyarrow table, which shares their memory.

        Raises ModuleNotFoundError without pyarrow.
        """
        module = _module("pyarrow", "to_arrow()")
        table: pyarrow.Table = module.table(_Whole(self._rows))
        return table

    def to_pandas(self, **options: Any) -> pandas.DataFrame:
        """All rows as a pandas DataFrame; ``options`` are those of ``pyarrow.Table.to_pandas``.

        Lists become numpy arrays, integers with nulls floats, unless ``types_mapper`` says otherwise.
        Raises ModuleNotFoundError without pandas or pyarrow.
        """
        _module("pandas", "to_pandas()")
        module = _module("pyarrow", "to_pandas()")
        frame: pandas.DataFrame = module.table(_Whole(self._rows)).to_pandas(**options)
        return frame

    def to_polars(self) -> polars.DataFrame:
        """All rows as a polars DataFrame, which shares their memory.

        Raises ModuleNotFoundError without polars.
        """
        module = _module("polars", "to_polars()")
        frame: polars.DataFrame = module.DataFrame(_Whole(self._rows))
        return frame

    def rows(self, at_most: int | None = None) -> list[tuple[Any, ...]]:
        """The rows, or the first of them, as tuples: None, bool, int, float, str, datetime in UTC,
        lists, and dicts for structs. It needs no other package."""
        return self._rows.head(at_most)[0]

    fetchall = rows

    def to_dicts(self) -> list[dict[str, Any]]:
        """All rows as dicts."""
        columns = self.columns
        return [dict(zip(columns, row)) for row in self.rows()]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rows as tuples."""
        return iter(self.rows())

    def __len__(self) -> int:
        """How many rows there are. All of them are worked out."""
        return self._rows.num_rows()

    def __bool__(self) -> bool:
        """True, without a look at the rows: ``len(result)`` counts them."""
        return True

    def __repr__(self) -> str:
        rows, is_all = self._rows.head(_PROMPT_ROWS)
        return "\n".join([_table(self.columns, rows, is_all), *self.notes])

    def _repr_html_(self) -> str:
        rows, is_all = self._rows.head(_NOTEBOOK_ROWS)
        return _html_table(self.columns, self._rows.types, rows, is_all, self.notes)


class _Whole:
    """All rows of an answer, worked out before the first is handed over: Ctrl-C is noticed meanwhile, and
    other threads of Python go on."""

    __slots__ = ("_rows",)

    def __init__(self, rows: _native.Rows) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._rows.whole()


def _module(name: str, wanted_by: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        needed = "pandas pyarrow" if wanted_by == "to_pandas()" else name
        raise ModuleNotFoundError(
            f"{wanted_by} needs {needed.replace(' ', ' and ')}: pip install {needed}", name=name
        ) from None


def _cell(value: Any) -> str:
    """A value in few characters."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        shown = ", ".join(_cell(item) if item is not None else "null" for item in value[:_LIST_ITEMS])
        more = f", … {len(value)}" if len(value) > _LIST_ITEMS else ""
        return f"[{shown}{more}]"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "seconds")
    text = str(value).replace("\n", " ")
    return text if len(text) <= _CELL_WIDTH else text[: _CELL_WIDTH - 1] + "…"


def _more(is_all: bool, num_shown: int) -> str:
    noun = "row" if num_shown == 1 else "rows"
    return f"{num_shown} {noun}" if is_all else f"the first {num_shown} {noun}; there are more"


def _table(columns: list[str], rows: list[tuple[Any, ...]], is_all: bool) -> str:
    """Columns side by side, as many as a prompt has room for."""
    cells = [[_cell(value) for value in row] for row in rows]
    lines = [""] * (len(rows) + 1)
    num_shown = 0
    for place, name in enumerate(columns):
        column = [name, *(row[place] for row in cells)]
        is_number = bool(rows) and all(
            isinstance(row[place], (int, float)) or row[place] is None for row in rows
        )
        width = max(map(len, column))
        if num_shown and len(lines[0]) + width > _PROMPT_WIDTH:
            break
        align = str.rjust if is_number else str.ljust
        lines = [line + ("  " if num_shown else "") + align(text, width) for line, text in zip(lines, column)]
        num_shown += 1
    told = _more(is_all, len(rows))
    if num_shown < len(columns):
        told += f"; {num_shown} of {len(columns)} columns"
    return "\n".join([*(line.rstrip() for line in lines), f"({told})"])


def _html_table(
    columns: list[str], types: list[str], rows: list[tuple[Any, ...]], is_all: bool, notes: list[str]
) -> str:
    shown = slice(_NOTEBOOK_COLUMNS)
    heads = "".join(
        f'<th title="{html.escape(of)}">{html.escape(name)}</th>'
        for name, of in zip(columns[shown], types[shown])
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row[shown]) + "</tr>" for row in rows
    )
    told = _more(is_all, len(rows))
    if len(columns) > _NOTEBOOK_COLUMNS:
        told += f"; {_NOTEBOOK_COLUMNS} of {len(columns)} columns"
    below = "<br>".join(html.escape(text) for text in [told, *notes])
    return (
        f"<div><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table><small>{below}</small></div>"
    )
