"""Pictures of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import _native

if TYPE_CHECKING:
    from typing import Literal

    Theme = Literal["light", "dark"]

_SUFFIXES = {".svg": "svg", ".png": "png", ".html": "html", ".htm": "html"}


class Plot:
    """A picture: an SVG in a notebook, and a file by :meth:`save`."""

    __slots__ = ("_chart", "_theme", "kind")

    def __init__(self, chart: _native.Chart, kind: str, theme: Theme = "light") -> None:
        self._chart = chart
        self._theme = theme
        self.kind = kind

    def svg(self) -> str:
        """The picture as a vector image, 960 across."""
        return self._chart.draw("svg", self._theme, 1).decode()

    def png(self, scale: int = 2) -> bytes:
        """The picture as a raster image of ``scale`` times 960 pixels across; ``scale`` is 1 to 4."""
        return self._chart.draw("png", self._theme, scale)

    def html(self) -> str:
        """The picture as a page that can be zoomed into and pointed at, and needs no network."""
        return self._chart.draw("html", self._theme, 1).decode()

    def save(self, path: str | os.PathLike[str], *, scale: int = 2) -> Path:
        """Writes a file by its ending, .svg, .png or .html, in the place of one that is there.

        Raises :class:`QueryError` for another ending, OSError if it cannot be written.
        """
        path = Path(path)
        kind = _SUFFIXES.get(path.suffix.lower())
        if kind is None:
            raise _native.QueryError(f"a picture is an .svg, a .png or an .html, which {path} is not")
        path.write_bytes(self._chart.draw(kind, self._theme, scale))
        return path

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return f"<Plot {self.kind!r}: .save(path) writes an .svg, .png or .html>"
