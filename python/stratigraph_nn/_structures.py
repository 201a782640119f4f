"""Structures: named sets of neurons that go with a class, kept in the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._native import QueryError
from ._result import Result
from ._words import epoch_word, optional_word, word

if TYPE_CHECKING:
    from typing import Literal

    import torch

    from ._run import Run


#: The kind of layers that have activations and no weights.
TAP = "tap"


@dataclass(frozen=True)
class Neuron:
    """A neuron of a structure."""

    layer: str
    """The label of its layer."""
    unit: int
    """Its number in its layer, from 0."""
    neuron: int
    """Its id across the network, as the tables have it."""
    first_epoch: int
    """The first epoch for which it belongs to the structure."""
    last_epoch: int
    """The last one."""
    score: float | None
    """How strongly it goes with the class, by the structure's measure; None where that was not measured."""
    p_value: float | None
    """How likely chance takes any neuron that far; None where that was not worked out."""


@dataclass(frozen=True, repr=False)
class Structure:
    """A named set of neurons. It shows itself as its layers and their units; :meth:`rows` has all of it."""

    label: str
    """Its name."""
    class_: int | None
    """The class whose prediction its neurons go with; None where that was not said."""
    neurons: tuple[Neuron, ...]
    """Its neurons, the strongest first."""
    _run: Run = field(repr=False, compare=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """The labels of the layers that its neurons are of, in their order."""
        return tuple(dict.fromkeys(neuron.layer for neuron in self.neurons))

    @property
    def layer(self) -> str | None:
        """The label of the layer that all its neurons are of; None where there are several."""
        layers = self.layers
        return layers[0] if len(layers) == 1 else None

    @property
    def units(self) -> dict[str, tuple[int, ...]]:
        """By layer, which of its units belong to it, from 0."""
        units: dict[str, list[int]] = {}
        for neuron in self.neurons:
            units.setdefault(neuron.layer, []).append(neuron.unit)
        return {layer: tuple(of) for layer, of in units.items()}

    def rows(self) -> Result:
        """A row a neuron, the strongest first: ``name``, ``class``, ``layer``, ``neuron``, ``first_epoch``,
        ``last_epoch``, ``score``, ``p_value``, ``measure``, ``half``, ``seed``."""
        return Result(self._run._native.structure_rows(self.label))

    def power(self) -> Power | None:
        """How well its neurons tell its class together, by a linear probe that is cross-validated; None where
        it has no class.

        Raises :class:`QueryError` if no activations of the held-out samples were recorded.
        """
        found = self._run._native.structure_power(self.label)
        return None if found is None else Power(*found)

    def silenced(
        self,
        model: torch.nn.Module,
        mode: Literal["zero", "mean", "scale", "set"] | Callable[[torch.Tensor], torch.Tensor] = "zero",
        *,
        factor: float | None = None,
        value: float | None = None,
        epoch: int | str = "last",
        paths: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[torch.nn.Module]:
        """Silences its neurons in a live network of PyTorch, within a ``with``; afterwards the network is as before.

        - ``mode``: what a silenced neuron says after its layer's non-linearity: ``zero``; ``mean``, its mean over
          the held-out samples that was recorded at ``epoch``; ``scale``, ``factor`` times what it said; ``set``,
          ``value``; or a function that is given what the silenced units of a layer said, ``[..., units]``, and
          gives as much.
        - ``paths``: by label, where the layer stands in ``model``, if not where it stood in the recorded network.

        Where the run does not say that a non-linearity follows a layer, as of imported checkpoints, the first that
        the model applies to the layer's output itself is taken for it. A function is asked twice then: for the
        layer's own output, and for what came of it.

        The hidden state of a recurrent module is silenced in what the module gives: at all positions, and after the
        last. From one position to the next it goes on inside PyTorch's function as it was, but in a cell that is called
        position by position. What the model taps (:meth:`Recorder.tap`) is silenced where its forward pass goes on with
        what it is given back, as in ``x = rec.tap("resid.3", x)``.

        Raises :class:`NetworkError` if the model has no such layer or units, or its layer's values stay inside a
        function of PyTorch's, as gates, queries, keys and values do, with what to silence instead; or, once the model
        runs, if a function gives another shape. Raises :class:`ValueError` if a mode lacks what it needs, or ``paths``
        names a layer that the run has not, and :class:`QueryError` if neurons are tokens of an embedding, or ``mean`` is
        asked for and no activations were recorded. Warns at the end of a layer that ran without its neurons being
        silenced, as where a norm stands between it and its non-linearity, and of a tap that was not met.
        """
        return silenced(
            model, self._run, structure=self, mode=mode, factor=factor, value=value, epoch=epoch, paths=paths
        )

    def __repr__(self) -> str:
        units = "; ".join(f"{layer} {', '.join(map(str, of))}" for layer, of in self.units.items())
        of_class = "" if self.class_ is None else f" of class {self.class_}"
        return f"<Structure {self.label!r}{of_class}: {units}>"


@dataclass(frozen=True)
class Power:
    """How well the neurons of a structure tell its class together."""

    epoch: int
    """Of the activations that it was worked out of."""
    half: str
    """The held-out samples that it was judged on."""
    accuracy: float
    """The share of samples that the probe has right, 0 to 1."""
    majority: float
    """The share that is right without a look at the neurons."""
    auc: float
    """The probability that the probe puts a sample of the class above another one; 0.5 by chance."""


class Structures(Mapping[str, Structure]):
    """The structures of a run, by their names."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, name: str) -> Structure:
        """The structure of that name. Raises :class:`QueryError` if there is none, with the closest name."""
        native = self._run._native
        rows = Result(native.structure_rows(name)).to_dicts()
        neurons = (
            Neuron(
                layer=row["layer"],
                unit=_unit(native.unit(row["neuron"])),
                neuron=row["neuron"],
                first_epoch=row["first_epoch"],
                last_epoch=row["last_epoch"],
                score=row["score"],
                p_value=row["p_value"],
            )
            for row in rows
        )
        return Structure(name, rows[0]["class"], tuple(neurons), self._run)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def get(self, name: str, default: Any = None) -> Any:
        """The structure of that name, or ``default``."""
        return self[name] if name in self else default

    def _names(self) -> list[str]:
        return self._run._native.structure_names()

    def list(self) -> Result:
        """A row a structure: ``name``, ``class``, ``epoch``, ``neurons``, ``first_epoch``, ``last_epoch``,
        ``mean_score``, ``p_value``, ``measure``, ``half``."""
        return Result(self._run._native.list_structures())

    def find(
        self,
        *,
        epoch: int | str = "last",
        class_: int | str | None = None,
        layer: str | None = None,
        size: int = 5,
        sign: Literal["positive", "negative", "any"] = "positive",
        measure: Literal["correlation", "mutual_information", "auc"] = "correlation",
        half: Literal["all", "first", "second"] = "all",
        seed: int = 42,
        permutations: int = 1000,
        prefix: str = "class_",
        force: bool = False,
        dry_run: bool = False,
    ) -> tuple[Structure, ...]:
        """Finds the neurons that go with each class more than chance explains, and keeps them in the run.

        - ``epoch``: at which neurons are looked for: a number, ``first`` or ``last``.
        - ``class_``: of this class alone, by its number or name. ``layer``: in this layer alone, or in those
          that a glob fits.
        - ``size``: the most neurons of a structure. ``sign``: neurons that are more active with the class,
          less, or either. ``measure``: what they are ranked by.
        - ``half``: the held-out samples that are looked at: all, or one half of each class, so that the other
          can judge. ``seed`` decides about halves and permutations; p-values are made of ``permutations``.
        - ``prefix``: what names begin with; their class follows. ``force`` replaces structures of the same
          names. ``dry_run`` keeps nothing.

        Returns what was found; nothing where no neuron goes with a class more than chance explains. Raises
        :class:`QueryError` if no activations or classifications were recorded, or a name is taken.
        """
        found = self._run._native.find_structures(
            word(epoch),
            optional_word(class_),
            layer,
            size,
            sign,
            measure,
            half,
            seed,
            permutations,
            prefix,
            force,
            dry_run,
        )
        if found and not dry_run:
            self._run.refresh()
        return tuple(self._told(one) for one in found)

    def label(
        self,
        name: str,
        label: str | None = None,
        *,
        neurons: Iterable[int | str] | None = None,
        class_: int | str | None = None,
        epochs: range | tuple[int | None, int | None] | None = None,
        force: bool = False,
    ) -> Structure:
        """Gives a structure another name, or a name to neurons of your own choice.

        ``label("class_3", "loops")`` renames. ``label("mine", neurons=[12, "fc1:17"])`` makes a structure:
        each neuron by its number in the tables, alone or after its layer. ``class_`` is the class that they
        go with, ``epochs`` those for which they belong to it, as ``range(5, 20)`` or ``(5, None)``, without
        the second; all that were captured if not given. ``force`` replaces a structure of the same name.

        Raises :class:`QueryError` if there is no such structure, neuron or class, or the name is taken,
        :class:`TypeError` if neurons are a text, and :class:`ValueError` if epochs leave some out.
        """
        native = self._run._native
        if (label is None) == (neurons is None):
            raise TypeError("either the label that a structure gets, or the neurons of a new one")
        if neurons is None:
            assert label is not None
            native.label_structure(name, label)
            self._run.refresh()
            return self[label]
        named = named_neurons(neurons)
        if isinstance(epochs, range) and epochs.step != 1:
            raise ValueError(f"epochs are all from the first to the last, and {epochs!r} leaves some out")
        first, until = (epochs.start, epochs.stop) if isinstance(epochs, range) else epochs or (None, None)
        native.name_structure(
            name,
            named,
            optional_word(class_),
            first,
            None if until is None else until - 1,
            force,
        )
        self._run.refresh()
        return self[name]

    def remove(self, *structures: str | Structure) -> None:
        """Removes structures, by their names or themselves: all of them, or none where one is not there. Ablations
        that silenced them stay in the run.

        Raises :class:`QueryError` if there is no structure of a name.
        """
        names = [one.label if isinstance(one, Structure) else one for one in structures]
        self._run._native.remove_structures(set(names))
        self._run.refresh()

    def _told(self, told: tuple[Any, ...]) -> Structure:
        name, class_, _, neurons = told
        of = (
            Neuron(layer, _unit(unit), neuron, first, last, score, p_value)
            for layer, neuron, unit, first, last, score, p_value in neurons
        )
        return Structure(name, class_, tuple(of), self._run)

    def __repr__(self) -> str:
        return repr(self.list())

    def _repr_html_(self) -> str:
        return self.list()._repr_html_()


def silenced(
    model: torch.nn.Module,
    run: Run | str | os.PathLike[str],
    *,
    structure: Structure | str | None = None,
    neurons: Iterable[int | str] | None = None,
    mode: Literal["zero", "mean", "scale", "set"] | Callable[[torch.Tensor], torch.Tensor] = "zero",
    factor: float | None = None,
    value: float | None = None,
    epoch: int | str = "last",
    paths: Mapping[str, str] | None = None,
) -> AbstractContextManager[torch.nn.Module]:
    """Silences neurons in a live network of PyTorch, within a ``with``; afterwards the network is as before.

    ``structure`` is the name of one, or one itself. Or ``neurons``: each by its number in the tables, alone or after
    its layer, as ``[12, "fc1:17"]``; outputs as well. All else is as :meth:`Structure.silenced` has it.

    Raises :class:`TypeError` if neither or both are given, or neurons are a text, :class:`QueryError` if there is no
    such structure or neuron, and what :meth:`Structure.silenced` raises.
    """
    from ._run import Run
    from ._torch.silence import Silenced, change_of
    from ._torch.silence import silenced as hooked

    if (structure is None) == (neurons is None):
        raise TypeError("either a structure is silenced, or neurons: structure='class_3', or neurons=[12, 17]")
    if not isinstance(run, Run):
        run = Run(run)
    if isinstance(structure, str):
        structure = run.structures[structure]
    of_structure = () if structure is None else structure.neurons
    names = [f"{neuron.layer}:{neuron.neuron}" for neuron in of_structure] or named_neurons(neurons or ())
    layers = {layer["layer"]: layer for layer in run.info["layers"]}
    require_known(paths, layers)
    return hooked(
        model,
        [
            Silenced(
                path=(paths or {}).get(label, layers[label]["module_path"]),
                units=units,
                is_followed=is_followed(layers[label]),
                change=change_of(mode, factor, value, _means(run, label, units, epoch) if mode == "mean" else None),
                is_tap=layers[label]["kind"] == TAP,
                num_units=num_units,
            )
            for label, units, num_units in run._native.silenced_layers(names)
        ],
    )


def named_neurons(neurons: Iterable[int | str]) -> list[str]:
    """Neurons as the engine reads them.

    Raises:
        TypeError: they are a text, whose characters would be taken for neurons.
    """
    if isinstance(neurons, str | bytes):
        raise TypeError(f"neurons are a list, as neurons=[{neurons!r}], not a text")
    return [word(neuron) for neuron in neurons]


def is_followed(layer: Mapping[str, Any]) -> bool | None:
    """Whether a non-linearity follows a recorded layer; None where the run does not say so, and the network tells."""
    return True if layer["activation"] is not None else None


def require_known(paths: Mapping[str, str] | None, layers: Mapping[str, Any]) -> None:
    """Makes sure that paths are of layers that a run has.

    Raises:
        ValueError: one is not.
    """
    if unknown := [label for label in paths or () if label not in layers]:
        raise ValueError(f"paths names {', '.join(unknown)}, and the layers are {', '.join(layers)}")


def _means(run: Run, layer: str, units: list[int], epoch: int | str) -> list[float]:
    """The recorded means of units over the held-out samples."""
    asked = epoch_word(epoch)
    captured = run.epochs
    if isinstance(asked, str):
        if not captured:
            raise QueryError(f"no activations of layer {layer} were recorded, so there is no mean")
        asked = captured[-1] if asked == "last" else captured[0]
    quoted = layer.replace("'", "''")
    rows = run.sql(
        f"SELECT unit, activation_mean FROM activations WHERE phase = 'eval' AND layer = '{quoted}' "
        f"AND epoch = {asked} ORDER BY step"
    ).to_dicts()
    means = {row["unit"]: row["activation_mean"] for row in rows}
    if any(means.get(unit) is None for unit in units):
        raise QueryError(f"no activations of layer {layer} were recorded at epoch {asked}, so there is no mean")
    return [means[unit] for unit in units]


def _unit(unit: int | None) -> int:
    # Structures are of neurons that the topology has.
    assert unit is not None
    return unit
