"""A network that runs over the same held-out samples again and again, with other units silenced each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import NetworkError
from .evaluate import Evaluation, evaluate, kept, said_again
from .guard import undisturbed
from .held_out import generators_of
from .layers import Network, describe
from .silence import Change, Hooks, Silenced, change_of
from .taps import Tap, Tapped, Taps

__all__ = ["Chosen", "Sets", "measure"]


@dataclass
class Chosen:
    """Units of a layer that are silenced."""

    #: The layer's path in the model.
    path: str
    #: The units, ascending.
    units: Sequence[int]
    #: How many units the layer has.
    num_units: int
    #: Whether a non-linearity follows; None where that is not known, and is seen as the network runs as it is.
    is_followed: bool | None
    #: Whether it has no weights: the hidden state of a recurrent module, or what the model's own code taps.
    is_tap: bool = False


#: By layer, in the order of what is chosen: the units of every set.
Sets = Sequence[Sequence[Sequence[int]]]


def measure(
    model: nn.Module,
    held_out: Any,
    chosen: Sequence[Chosen],
    begin: Callable[[Evaluation], Sets],
    see: Callable[[int, Tensor, Tensor | None], None],
    *,
    mode: str,
    factor: float | None = None,
    value: float | None = None,
    loss: str | None = None,
    batch_size: int | None = None,
) -> None:
    """Runs a network over held-out samples (:func:`evaluate`) and tells ``begin`` what it says as it is, which answers
    with sets of units. Runs it with each of them silenced, and tells ``see`` the set's number, from 1, the logits, and
    losses where ``held_out`` gives them.

    It runs in evaluation mode without gradients, and is as it was afterwards (:func:`undisturbed`). Every pass begins
    at the same random state.

    Raises:
        NetworkError: if a layer is not there, does not run or cannot be silenced.
        HeldOutError: if samples, logits, targets and loss do not go together.
    """
    # What cannot be recorded is in no run, and stays as it is.
    network = describe(model, leave_out=lambda _: True)
    no_means = torch.empty(0)
    silenced = [
        Silenced(
            of.path, list(of.units), of.is_followed, _change(mode, factor, value, no_means), of.is_tap, of.num_units
        )
        for of in chosen
    ]
    hooks = Hooks(network, silenced, with_gradients=False)
    places = [None if of.is_tap else _place(network, of) for of in chosen]
    with undisturbed(network.model, generators_of(held_out)) as again:
        samples = kept(network, held_out, batch_size)
        needs_means = mode == "mean"
        selected = [place for place in places if place is not None] if needs_means else []
        for of_layer in silenced:
            of_layer.units = []
        gathering = Taps()
        hooks.gathering = gathering if needs_means else None
        with gathering.gathering() as tapped, hooks.watching():
            before = evaluate(
                network,
                samples,
                loss,
                activations=bool(selected),
                selected=selected,
                batch_ended=gathering.end_batch,
            )
        hooks.gathering = None
        hooks.settle()
        means = [_means(network, before, place, of, tapped) for place, of in zip(places, chosen)] if needs_means else []
        sets = begin(before)
        indices = [
            torch.tensor(of_layer, device=_device(network, place)) for place, of_layer in zip(places, sets, strict=True)
        ]
        with hooks.watching():
            for number, units in enumerate(zip(*indices, strict=True), start=1):
                for of_layer, index in zip(silenced, units, strict=True):
                    of_layer.units = index
                for of_layer, index, of_units in zip(silenced, units, means):
                    of_layer.change = _change(mode, factor, value, of_units[index])
                again()
                said = said_again(network, samples, len(before.logits))
                if number == 1:
                    _require_silenced(hooks)
                with torch._C.DisableTorchFunction():
                    see(number, *said)


def _place(network: Network, of: Chosen) -> int:
    """Where a layer stands among the network's, which has as many units as were recorded."""
    place = next(place for place, layer in enumerate(network.layers) if layer.path == of.path)
    num_units = network.layers[place].num_activated
    if num_units != of.num_units:
        raise NetworkError(f"{of.path} has {num_units} units, and had {of.num_units} when it was recorded")
    return place


def _device(network: Network, place: int | None) -> torch.device:
    """What a layer is on."""
    of_layer = None if place is None else next(network.layers[place].module.parameters(), None)
    return torch.device(network.device) if of_layer is None else of_layer.device


def _change(mode: str, factor: float | None, value: float | None, means: Tensor) -> Change:
    if mode == "mean":
        return lambda said: means.to(said.dtype).expand_as(said)
    return change_of(mode, factor, value, None)


def _means(
    network: Network, evaluation: Evaluation, place: int | None, of: Chosen, tapped: Mapping[str, list[Tapped]]
) -> Tensor:
    """The mean of each unit of a layer over all samples, on the network's device."""
    values: Tensor | str
    if place is not None:
        values = evaluation.activations.get(place, evaluation.left_out.get(place, "it has none"))
    elif of.path in tapped:
        values = Tap(of.path, of.num_units).of_samples(tapped[of.path], evaluation.num_samples)
    else:
        values = "it has none"
    if isinstance(values, str):
        raise NetworkError(f"there is no mean of what {of.path} says: {values}")
    return values.to(torch.float64).mean(0).to(torch.float32).to(_device(network, place))


def _require_silenced(hooks: Hooks) -> None:
    for path, why in hooks.not_silenced():
        raise NetworkError(f"{path} ran without its units being silenced: {why}")
    for path in hooks.not_run():
        raise NetworkError(f"{path} did not run on the held-out samples, so that nothing of it can be silenced")
