"""Runs that were opened."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _native
from ._plot import Plot
from ._queries import Queries
from ._result import Result
from ._structures import Structures
from ._words import epoch_word, optional_word, word, words

if TYPE_CHECKING:
    from typing import Literal

    import torch

    from ._plot import Theme


def open(path: str | os.PathLike[str], *, memory: int | None = None, timeout: float | None = None) -> Run:
    """Opens a run, also while it is being recorded: what was committed by now can be asked.

    ``memory`` is how many bytes its queries may hold before they spill to disk; three quarters of what is
    available if not given. ``timeout`` is how many seconds an answer may take: a question that takes longer is
    given up, and raises :class:`QueryTimeoutError`. Raises :class:`QueryError` if there is no run, a newer version
    wrote it, or its commits cannot be read.
    """
    return Run(path, memory=memory, timeout=timeout)


def describe(name: str) -> str:
    """What a table, a column, a named query or a function of SQL means, takes and returns, as text.

    Raises :class:`QueryError` if nothing has that name, with the closest one.
    """
    return _native.describe(name)


class Run(Queries):
    """A run, as it was when it was opened or refreshed.

    Every named query is a method, as ``run.by_neuron(layer="fc1")``; :meth:`queries` lists them. Ctrl-C
    gives up what is being worked out. It can be used from several threads.

    It is a catalogue of the package ``datafusion`` as well: after
    ``context.register_catalog_provider("mine", run)`` its tables and named queries are
    ``mine.public.weights``, ``mine.public.by_neuron`` and so on, as they were when the run was opened or refreshed
    last, for SQL beside other sources.
    """

    __slots__ = ("_native", "__weakref__")

    def __init__(
        self, path: str | os.PathLike[str], *, memory: int | None = None, timeout: float | None = None
    ) -> None:
        self._native = _native.Run(os.fspath(path), memory, timeout)
        if not self._native.has_commits:
            warnings.warn(
                f"{self.path} has no commits/, so its directories were listed: captures may not be whole",
                stacklevel=3,
            )

    def refresh(self) -> Run:
        """Takes in what was committed since. Results that were made before stay as they are.

        Raises :class:`QueryError` if another run is in its place.
        """
        self._native = self._native.reloaded()
        return self

    @property
    def path(self) -> Path:
        """The run's directory."""
        return Path(self._native.path)

    @property
    def epochs(self) -> list[int]:
        """The epochs that were captured, in order, the untrained network (-1) aside."""
        return self._native.epochs

    @property
    def is_being_recorded(self) -> bool:
        """Whether a process records the run just now, as far as can be told by its last commit."""
        return self._native.is_being_recorded

    @property
    def info(self) -> dict[str, Any]:
        """What ``run.json`` says: ``run_id``, ``layers``, ``dataset``, ``class_names``, ``seed`` and so on."""
        info: dict[str, Any] = json.loads(self._native.info())
        return info

    @property
    def config(self) -> Any:
        """How the run was recorded, as its newest session was told."""
        return json.loads(self._native.config())

    @property
    def tables(self) -> list[str]:
        """The names of the tables; :meth:`table` has the rows of one."""
        return self._native.table_names

    def sql(self, query: str) -> Result:
        """The rows of a SQL query.

        Tables are those of :attr:`tables`, and each named query is a table and a function as well;
        :func:`describe` tells what each means. Raises :class:`QueryError` if it cannot be understood, names
        what is not there or would change something.
        """
        return Result(self._native.sql(query))

    def table(self, name: str) -> Result:
        """All rows of a table. Raises :class:`QueryError` if there is no such table."""
        quoted = name.replace('"', '""')
        return self.sql(f'SELECT * FROM "{quoted}"')

    def __datafusion_catalog_provider__(self, session: object) -> object:
        return self._native.__datafusion_catalog_provider__(session)

    def queries(self) -> list[str]:
        """The names of the named queries."""
        return [name for name, *_ in _native.named_queries()]

    def describe(self, name: str) -> str:
        """What a table, a column, a named query or a function of SQL means, takes and returns, as text."""
        return describe(name)

    def list(self, what: Literal["queries", "tables", "functions", "all"] = "queries") -> str:
        """What SQL can name, a line each, as text."""
        return _native.listed(what)

    def plot(self, kind: str, *, theme: Theme = "light", **parameters: Any) -> Plot:
        """A picture: ``curves``, ``confusion``, ``weights``, ``distributions``, ``association``,
        ``correlation``, ``embedding``, ``network``, ``cartography`` or ``ablation``.

        ``stratigraph plot --help`` tells what each takes. It is drawn in a notebook; ``.save(path)`` writes an .svg, .png or .html. Raises :class:`QueryError` if a parameter is
        unknown or cannot have its value, or the run lacks what the picture shows.
        """
        return Plot(self._native.plot(kind, words(parameters)), kind, theme)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        theme: Theme = "light",
        epochs: int = 25,
        permutations: int = 199,
        overwrite: bool = True,
    ) -> Path:
        """Writes the whole run on one page, an .html that needs no network.

        ``epochs`` is how many the page's sliders choose among, ``permutations`` how many chance is judged by.
        Raises :class:`QueryError` if nothing was captured yet, ``path`` is no .html or, without ``overwrite``,
        is there already.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise _native.QueryError(f"a report is an .html, which {path} is not")
        if not overwrite and path.exists():
            raise _native.QueryError(f"{path} exists; overwrite=True replaces it")
        self._native.report(os.fspath(path), overwrite, theme, epochs, permutations)
        return path

    @property
    def structures(self) -> Structures:
        """Its structures, by name: ``run.structures["class_3"]``, ``.find()``, ``.label(...)``, ``.list()``."""
        return Structures(self)

    def compare(
        self,
        other: Run | str | os.PathLike[str],
        *,
        epoch: int | str = "all",
        layer: str | None = None,
        same_samples: bool = False,
    ) -> Result:
        """Two runs side by side, by the epochs that both captured and the layers that both have.

        A row an epoch and layer: ``epoch``, ``layer``, ``cka`` (linear centred kernel alignment of the
        held-out activations, 0 to 1), ``num_samples``, ``weight_distance`` (‖A - B‖ / ‖A‖ in Frobenius norms,
        A of this run). ``cka`` is null where the runs held out other samples, or do not say which, as of a
        ``DataLoader`` that shuffles or a callable: ``same_samples=True`` says that they are the same, in the same
        order. ``.notes`` says so. Raises :class:`QueryError` if they have no epoch or no layer in common.
        """
        if not isinstance(other, Run):
            other = Run(other)
        return Result(
            self._native.compare(other._native, word(epoch), layer, same_samples)
        )

    def embed(
        self,
        *,
        of: Literal["activations", "weights"] = "activations",
        method: Literal["tsne", "pca"] = "tsne",
        dimensions: int = 2,
        perplexity: float | None = None,
        seed: int = 0,
        epoch: int | str = "last",
        layer: str | None = None,
        linkage: Literal["ward", "average", "complete", "single"] = "ward",
        clusters: int | None = None,
        rows: Literal["neurons", "merges"] = "neurons",
    ) -> Result:
        """Neurons as points in two or three dimensions, and in clusters.

        A row a neuron and epoch, or a merge of clusters with ``rows="merges"``. ``epoch`` is ``last``,
        ``first``, a number or ``all``, each of which begins where the one before it ended. ``.notes`` says how
        far the picture can be trusted. Raises :class:`QueryError` if no values of single neurons were
        recorded, or there are too few or too many.
        """
        return Result(
            self._native.embed(
                of, method, dimensions, perplexity, seed, word(epoch), layer, linkage, clusters, rows
            )
        )

    def phases(self, *, layer: str | None = None, phases: int | None = None) -> Result:
        """Phases of the training: epochs in which a layer keeps to one behaviour.

        ``phases`` is how many; by default the number from 1 to 6 with the smallest Bayesian information
        criterion. ``.notes`` has a sentence a layer. Raises :class:`QueryError` if too little was recorded.
        """
        return Result(self._native.phases(layer, phases))

    def meta(
        self,
        *,
        epoch: int | str = "last",
        layer: str | None = None,
        top: int | str = 20,
        trees: int = 100,
        seed: int = 42,
    ) -> Result:
        """Learns from the neurons whether the network is right about a held-out sample, and which matter.

        A row a neuron, the ``top`` most important; ``.notes`` says how well that is learned. Raises
        :class:`QueryError` if it cannot be learned there, with what to do.
        """
        return Result(self._native.meta(word(epoch), word(top), word(trees), word(seed), optional_word(layer)))

    def state_dict(self, *, epoch: int | str = "last", step: int | None = None) -> dict[str, torch.Tensor]:
        """The weights of a capture as a ``state_dict`` of PyTorch: under the names, in the types and shapes that they
        had. ``step`` chooses among several captures of an epoch.

        Raises :class:`QueryError` if there is no such capture, or not all of its weights were recorded.
        """
        from ._torch.state import read

        named: dict[int | str, int | None] = {"last": None, "first": min(self.epochs, default=None)}
        asked = epoch_word(epoch)
        number = named[asked] if isinstance(asked, str) else asked
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "state.safetensors"
            _native.export_checkpoint(self.path, file, number, step)
            return read(file)

    def _recorded_weights(self, epoch: int, step: int) -> tuple[dict[str, torch.Tensor], list[str]]:
        """As :meth:`state_dict`, of the layers whose weights were recorded whole; and the labels of the others."""
        from ._torch.state import read

        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "state.safetensors"
            others = _native.export_recorded(self.path, file, epoch, step)
            return read(file), others

    def load_state_dict(
        self, model: torch.nn.Module, *, epoch: int | str = "last", step: int | None = None, strict: bool = True
    ) -> None:
        """Puts a recorded network back into a model: what :meth:`state_dict` gives, by ``model.load_state_dict``.

        Whole numbers, as the batches that a norm has counted, are not recorded, and stay as they are. Raises
        :class:`QueryError` as for :meth:`state_dict`, and :class:`RuntimeError` if the model has other tensors.
        """
        from ._torch.state import load

        load(model, self.state_dict(epoch=epoch, step=step), strict)

    def verify(self) -> Verified:
        """Checks that every committed file is there, whole and readable. It reads all of them."""
        return Verified(**json.loads(self._native.verify()))

    def __repr__(self) -> str:
        return self._native.told().rstrip("\n")

    def __fspath__(self) -> str:
        return os.fspath(self._native.path)


@dataclass(frozen=True)
class Verified:
    """What :meth:`Run.verify` found."""

    problems: list[dict[str, str]]
    """What is wrong, each with ``path``, ``check``, ``expected`` and ``found``."""
    uncommitted: list[tuple[str, int]]
    """Files that are no part of the run, with their bytes."""
    partial: list[tuple[int, int]]
    """Captures that some rank has not committed, as epoch and step."""
    is_finished: bool | None
    """Whether the last session ended in order, with everything recorded. Not if it goes on, was interrupted, lost
    something, or its last commits are gone. None where nothing says: nothing was recorded, or by an earlier version."""
    num_commits: int
    num_captures: int
    num_files: int
    num_rows: int
    num_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def plot_parameters(kind: str) -> dict[str, str]:
    """What a kind of picture takes: by name, its type, default and meaning. Raises KeyError for no kind."""
    kinds = {name: parameters for name, _, parameters in _native.plot_kinds()}
    return {
        name: f"{data_type}{values} = {default}: {meaning}"
        for name, data_type, values, default, meaning in kinds[kind]
    }
