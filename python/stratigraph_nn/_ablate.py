"""What a network of PyTorch loses without some of its neurons."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _native
from ._native import QueryError
from ._plot import Plot
from ._progress import Line, Progress
from ._record import StratigraphWarning
from ._result import Result
from ._run import Run
from ._structures import TAP, Structure, is_followed, named_neurons, require_known
from ._words import epoch_word, optional_word, word

if TYPE_CHECKING:
    from typing import Literal

    import torch

    from ._torch.ablation import Sets
    from ._torch.evaluate import Evaluation

#: How many tensors an error tells of.
_MAX_TOLD = 3


@dataclass(frozen=True)
class Ablation:
    """What a network lost without some of its neurons. It shows itself as its table."""

    id: str
    """What its rows are called in the run's table ``ablations``, column ``ablation``."""
    epoch: int
    """The epoch of the capture whose network it is said to be of."""
    step: int
    """The step of that capture."""
    structure: str | None
    """The structure that was silenced; None where neurons were named."""
    neurons: tuple[int, ...]
    """The ids of the silenced neurons, ascending."""
    class_: int | None
    """The class that the neurons are said to go with."""
    mode: str
    """What a silenced neuron said: ``zero``, ``mean``, ``scale`` or ``set``."""
    half: str
    """The held-out samples that were looked at: ``first``, ``second`` (half) or ``all``."""
    seed: int
    """What halves and random neurons followed from."""
    draws: int
    """How often as many random neurons were silenced instead."""
    num_samples: int
    """How many samples were looked at."""
    table: Result = field(repr=False, compare=False)
    """A row a figure: ``samples`` (``all``, ``class`` or ``others``), ``class``, ``num_samples``, ``metric``,
    ``before``, ``after``, and over the draws of random neurons ``random_mean``, ``random_std`` and ``p_value``."""
    _run: Run = field(repr=False, compare=False)
    _notes: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def notes(self) -> list[str]:
        """What should be known of it: notes of the table, and whether held-out samples are those of the run."""
        return [*self.table.notes, *self._notes]

    def plot(self, **parameters: Any) -> Plot:
        """Accuracy before and after, a row a class, as ``run.plot("ablation")``; ``metric="loss"`` draws the loss."""
        return self._run.plot("ablation", ablation=self.id, **parameters)

    def __repr__(self) -> str:
        # The table has its notes below it.
        return "\n".join([self._told(), repr(self.table), *self._notes])

    def _repr_html_(self) -> str:
        import html

        lines = (f"<p>{html.escape(line)}</p>" for line in [self._told(), *self._notes])
        return self.table._repr_html_() + "".join(lines)

    def _told(self) -> str:
        what = self.structure or f"neurons {', '.join(map(str, self.neurons))}"
        samples = "held-out samples" if self.half == "all" else f"held-out samples, the {self.half} half"
        return (
            f"{what} silenced (mode {self.mode}), epoch {self.epoch}, {self.num_samples} {samples}, {self.draws} draws"
        )


def ablate(
    model: torch.nn.Module,
    run: Run | str | os.PathLike[str],
    *,
    structure: Structure | str | None = None,
    neurons: Iterable[int | str] | None = None,
    held_out: Any,
    loss: str | None = None,
    mode: Literal["zero", "mean", "scale", "set"] = "zero",
    factor: float | None = None,
    value: float | None = None,
    draws: int = 100,
    seed: int | None = None,
    half: Literal["first", "second", "all"] | None = None,
    class_: int | str | None = None,
    epoch: int | str = "last",
    check_weights: bool = True,
    paths: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """Silences neurons in a network, measures what that costs, and keeps it in the run, in the table ``ablations``, as
    ``recorder ablate`` does.

    The network runs over the held-out samples as it is, with the neurons silenced, and ``draws`` times with as many
    random neurons of the same layers silenced instead: what the neurons cost beyond that is what they are for. It runs
    in evaluation mode without gradients, and is as it was afterwards. An ablation that asked the same before is
    replaced.

    - ``structure``: the name of one, or one itself. Or ``neurons``: each by its number in the tables, alone or after
      its layer, as ``[12, "fc1:17"]``.
    - ``held_out``, ``loss``, ``batch_size``: as in ``rec.epoch``. They are passed ``draws`` + 2 times: batches are kept
      on the network's device. The samples come in the order in which they were recorded, or halves are others. Where
      the run and the samples tell which they are, and those are others, that is a note, and an error where a half is
      looked at.
    - ``mode``: what a silenced neuron says after its layer's non-linearity: ``zero``; ``mean``, its mean over the
      held-out samples; ``scale``, ``factor`` times what it said; ``set``, ``value``.
    - ``seed``: halves and random neurons follow from it; the structure's, or the run's, if not given. ``half``: on
      which samples to judge; those that the structure was not found on, or all, if not given. ``class_``: the class
      that the neurons are said to go with, by its number or name, which is set against the others; the structure's if
      not given. A p-value is at least 1 / (1 + ``draws``), so several that are corrected together take more.
    - ``epoch``: the captured epoch whose network the model is: a number, ``first`` or ``last``. The weights are
      compared with those that were recorded, as far as they were, and a :class:`StratigraphWarning` says which were
      not; ``check_weights=False`` leaves that out, and measures whatever ``model`` is.
    - ``paths``: by label, where a layer stands in ``model``, if not where it stood in the recorded network.
    - ``progress``: is called with the passes that are done, and all; a line on stderr says it if not given.

    Raises :class:`QueryError` if there is no such structure, neuron, class or capture, the model is not the network of
    that epoch, or the run cannot be written, :class:`TypeError` if neither or both of structure and neurons are given,
    and :class:`ValueError` if ``mode`` is none or lacks its ``factor`` or ``value``, ``paths`` names a layer that the
    run has not, the model lacks a layer, or held-out samples and network do not go together.
    """
    if (structure is None) == (neurons is None):
        raise TypeError("either a structure is silenced, or neurons: structure='class_3', or neurons=[12, 17]")
    named = named_neurons(neurons or ())
    if callable(mode):
        raise TypeError("mode is a name, which is kept in the run; structure.silenced() takes a function")
    if draws < 0:
        raise ValueError(f"draws is {draws}: 0 of them is the least")
    from ._torch.ablation import Chosen, measure
    from ._torch.silence import change_of

    change_of(mode, factor, value, ())
    if not isinstance(run, Run):
        run = Run(run)
    name = structure.label if isinstance(structure, Structure) else structure
    native = _native.Ablation(
        run.refresh()._native,
        word(epoch_word(epoch)),
        name,
        named,
        mode,
        factor,
        value,
        draws,
        seed,
        half,
        optional_word(class_),
    )
    captured, step = native.capture
    layers = {layer["layer"]: layer for layer in run.info["layers"]}
    require_known(paths, layers)
    notes = _told_of_samples(held_out, run, native.half)
    places = {label: (paths or {}).get(label, layer["module_path"]) for label, layer in layers.items()}
    if check_weights:
        _require_weights(model, run, captured, step, places)
    chosen = [
        Chosen(places[label], units, num_units, is_followed(layers[label]), layers[label]["kind"] == TAP)
        for label, units, num_units in native.layers
    ]
    line = Line(f"silencing {name or 'neurons'}") if progress is None else None
    tell = progress or line
    assert tell is not None

    def begin(before: Evaluation) -> Sets:
        tell(1, draws + 2)
        return native.begin(before.loss, before.logits, before.targets, before.losses)

    def see(number: int, logits: torch.Tensor, losses: torch.Tensor | None) -> None:
        native.add(number, logits, losses)
        tell(number + 1, draws + 2)

    try:
        measure(
            model,
            held_out,
            chosen,
            begin,
            see,
            mode=mode,
            factor=factor,
            value=value,
            loss=loss,
            batch_size=batch_size,
        )
    finally:
        if line is not None:
            line.close()
    key, _, silenced, of_class, judged, used_seed, num_samples, rows = native.publish()
    run.refresh()
    return Ablation(
        id=key,
        epoch=captured,
        step=step,
        structure=silenced,
        neurons=tuple(native.neurons),
        class_=of_class,
        mode=mode,
        half=judged,
        seed=used_seed,
        draws=draws,
        num_samples=num_samples,
        table=Result(rows),
        _run=run,
        _notes=notes,
    )


def _told_of_samples(held_out: Any, run: Run, half: str) -> tuple[str, ...]:
    """What is to be said of held-out samples that are not those of the run.

    Raises:
        QueryError: they are others, and a half of them would be another half.
    """
    from ._torch.held_out import HeldOutError, fingerprint

    recorded = (run.info.get("config") or {}).get("held_out")
    if not recorded:
        return ()
    try:
        given = fingerprint(held_out)
    except (HeldOutError, TypeError, ValueError, AttributeError):
        # What is wrong with them is said where they are run through the network.
        return ()
    # Of runs of arrays inputs are not known, and targets by another checksum.
    compared = ("samples", "targets", "inputs") if "inputs" in recorded else ("samples",)
    if given is None or all(given[name] == recorded.get(name) for name in compared):
        return ()
    if half != "all":
        raise QueryError(
            f"the held-out samples are not those that were recorded, so that their {half} half is another: give those, "
            'in the order in which they were recorded, or say half="all"'
        )
    return ("note: the held-out samples are not those that were recorded",)


def _require_weights(model: torch.nn.Module, run: Run, epoch: int, step: int, places: Mapping[str, str]) -> None:
    """Makes sure that a model is the network of a capture, as far as that was recorded."""
    from ._torch.state import unlike

    try:
        recorded, others = run._recorded_weights(epoch, step)
    except QueryError as error:
        warnings.warn(
            f"nobody can tell whether the model is the network of epoch {epoch}, as which it is measured: {error}",
            StratigraphWarning,
            stacklevel=3,
        )
        return
    if others:
        warnings.warn(
            f"nobody can tell whether all of the model is the network of epoch {epoch}, as which it is measured: the "
            f"weights of {', '.join(others)} were not recorded, or not whole",
            StratigraphWarning,
            stacklevel=3,
        )
    moved = {
        f"{layer['module_path']}.": f"{places[layer['layer']]}."
        for layer in run.info["layers"]
        if layer["module_path"] != places[layer["layer"]]
    }

    def placed(name: str) -> str:
        prefix = next((prefix for prefix in moved if name.startswith(prefix)), None)
        return name if prefix is None else moved[prefix] + name[len(prefix) :]

    config = run.info.get("config") or {}
    is_half = (config.get("record") or {}).get("precision") == "f16"
    problems = unlike(model, {placed(name): value for name, value in recorded.items()}, is_half)
    if problems:
        told = "; ".join(problems[:_MAX_TOLD]) + (
            f"; and {len(problems) - _MAX_TOLD} more" * (len(problems) > _MAX_TOLD)
        )
        raise QueryError(
            f"the model is not the network of epoch {epoch}, which the ablation would be kept as: {told}. "
            f"run.load_state_dict(model, epoch={epoch}) makes it that, epoch= names another capture, paths= says where "
            "layers stand in the model, and check_weights=False measures it as it is"
        )
