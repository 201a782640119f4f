"""A network of PyTorch, as a recorder drives it: what it is, what a capture takes of it, and when steps are
made."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .._options import given, takes
from .errors import HeldOutError, LazyError, NetworkError, is_device_error, tolerated
from .evaluate import DEFAULT_BATCH_SIZE, evaluate, not_held_out
from .guard import undisturbed
from .held_out import Wholes, fingerprint, first_inputs, generators_of, is_arrays, num_samples
from .kinds import BUFFER
from .labels import INPUT
from .layers import Network, describe, unwrapped
from .nonlinear import is_dense
from .probe import probe
from .ranks import SameSamples, Seen, is_distributed
from .recurrent import Hidden, hidden_of, watched
from .steps import Gradients, Guard, Steps, moments
from .taps import Tap, Tapped, Taps
from .transfer import Transfer

Part = tuple[str, int, Any, Any, Any]

#: Samples that show how layers are connected.
_FEW = 2

#: That processes have different held-out samples, among what was left out.
_OTHER_SAMPLES = "\0other samples"


class TorchNetwork:
    """A module, its optimizers, and what of them a capture needs."""

    #: A capture takes what the module has.
    takes_arrays = False

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None,
        *,
        labels: Mapping[str, str] | None,
        loss: str | None,
        batch_size: int | None,
        scaler: Any,
        example: Any,
        globs: Sequence[str],
    ) -> None:
        """Raises TypeError or NetworkError: model, optimizer or scaler are something else."""
        _check(model, scaler)
        self._given = model
        self._model = unwrapped(model)
        self._optimizers = _optimizers(optimizer)
        self._labels = labels
        self._loss = loss
        self._batch_size = batch_size
        self._scaler = _scaler_of(optimizer) if scaler is None else scaler
        #: Which layers are recorded.
        self._globs = globs
        #: The labels of what a trace cannot hold and ``globs`` leave out.
        self._unrecordable: set[str] = set()
        self._network: Network | None = None
        self._gradients: Gradients | None = None
        self._steps: Steps | None = None
        self._transfer = Transfer()
        #: What held-out samples made of layers, for the capture that comes.
        self._activations: list[Part] = []
        #: Inputs that show the network: its arguments, by place and by name.
        self._example = _arguments(example)
        self._first: Any = None
        #: Those of the first training batch, until a capture was made.
        self._seen: Any = None
        #: The layers of the run in their order: of modules, by their place among these, and what has no weights.
        self._order: list[int | Tap] = []
        #: Where those of modules come in it.
        self._places: dict[int, int] = {}
        self._states: list[Hidden] = []
        self._gathering = Taps()
        #: By label, why a layer or a tap has no activations; without one, why there are no classifications.
        self._left_out_of: dict[str, str] = {}
        #: Whether other processes look at the same held-out samples; None where there are none.
        self._same_samples: SameSamples | None = None
        self._wholes = Wholes()
        #: What is to be said of the network.
        self.remarks: list[str] = []
        #: Buffers before training.
        self._untrained: list[tuple[nn.Module, str, torch.Tensor]] = []

    @property
    def name(self) -> str:
        """The class of the model."""
        return type(self._model).__name__

    # The processes that record together

    @property
    def rank(self) -> int:
        """Which of the processes this is."""
        return torch.distributed.get_rank() if is_distributed() else 0

    @property
    def world_size(self) -> int:
        """How many processes train the network together."""
        return torch.distributed.get_world_size() if is_distributed() else 1

    def agree(self, choose: Callable[[], Path]) -> Path:
        """What rank 0 chooses, in all processes.

        Raises:
            RecordingError: in all of them, if rank 0 cannot choose.
        """
        if not is_distributed():
            return choose()
        chosen: list[Any] = [None, None]
        if self.rank == 0:
            try:
                chosen = [choose(), uuid.uuid4().hex]
            except Exception as error:  # Others wait for it.
                chosen = [error, ""]
        torch.distributed.broadcast_object_list(chosen, src=0)
        if isinstance(chosen[0], Exception):
            raise chosen[0]
        if self.world_size > 1:
            self._same_samples = SameSamples(chosen[1])
        path: Path = chosen[0]
        return path

    def _whole(self, held_out: Any) -> Any:
        """All of the held-out samples: of what shares them out among the processes as well."""
        return held_out if self._same_samples is None else self._wholes(held_out)

    @contextmanager
    def _forgotten_if_broken(self, held_out: Any) -> Iterator[None]:
        """Has the next look make the loader anew that takes these samples as a whole, where going through it raises: a
        worker of it that persists may have died."""
        try:
            yield
        except BaseException:
            self._wholes.forget_one(held_out)
            raise

    # Steps

    def begin(
        self,
        before: Callable[[], None],
        after: Callable[[int], int],
        guard: Guard,
        step: int,
        keeps_made: bool,
        keeps_applied: bool,
        keeps_untrained: bool,
    ) -> None:
        """Watches the optimizers, from ``step`` on, and the first gradients of those kinds.

        What hooks do is done within ``guard``. With ``keeps_untrained`` buffers are kept as they are before the first
        forward pass changes them.
        """
        if keeps_made or keeps_applied:
            self._gradients = Gradients(self._model, self._optimizers, keeps_made, keeps_applied, self._scaler, guard)
        self._steps = Steps(self._optimizers, _Watcher(self._transfer, self._gradients, before, after), guard)
        self._steps.go_on_from(step)
        if keeps_untrained:
            self._untrained = [
                (module, name, buffer.detach().clone())
                for module in self._model.modules()
                for name, buffer in module._buffers.items()
                if buffer is not None and not is_lazy(buffer)
            ]
        # Of a model that was compiled in place it would become part of what is compiled.
        if self._example is None and self._given._compiled_call_impl is None:
            self._first = _FirstInputs(self._given, guard)

    def go_on_from(self, step: int) -> None:
        """Counts on from a step."""
        if self._steps is not None:
            self._steps.go_on_from(step)

    def wake(self) -> None:
        """Tells of the next step again, whatever was said before."""
        if self._steps is not None:
            self._steps.wake()

    @contextmanager
    def untrained(self) -> Iterator[None]:
        """Puts the buffers in place that were there before training, and those that are there back; once."""
        before = [(module, name, module._buffers[name]) for module, name, _ in self._untrained]
        try:
            for module, name, buffer in self._untrained:
                module._buffers[name] = buffer
            yield
        finally:
            for module, name, now in before:
                module._buffers[name] = now
            self._untrained = []

    @property
    def is_before_training_known(self) -> bool:
        """Whether optimizers tell that a first step is about to be made."""
        return bool(self._optimizers)

    @property
    def has_several_optimizers(self) -> bool:
        """Whether one of them may make fewer steps than another."""
        return len(self._optimizers) > 1

    @property
    def is_optimizer_behind(self) -> bool:
        """Whether one of them has made fewer steps than another."""
        return self._steps is not None and self._steps.is_one_behind

    def end(self) -> None:
        """Takes all hooks away."""
        self._wholes.forget()
        if self._steps is not None:
            self._steps.remove()
        if self._gradients is not None:
            self._gradients.end()
            self._gradients.forget()
        if self._first is not None:
            self._first.remove()
        self._seen = None
        self._untrained = []

    @property
    def num_steps(self) -> int:
        """How many optimizer steps are done."""
        return 0 if self._steps is None else self._steps.num_steps

    def count_step(self) -> None:
        """Counts a step that no optimizer makes."""
        if self._steps is not None:
            self._steps.count()

    def close_step(self) -> None:
        """Ends a step that not all optimizers took part in."""
        if self._steps is not None:
            self._steps.close()

    # What the network is

    def preview(self) -> tuple[list[dict[str, Any]], str]:
        """The layers that there are now, in the order of the modules, and the device; none where it is not known
        what they will be.

        Raises:
            NetworkError: a tensor cannot be recorded, or labels do not fit.
        """
        if any(parameter.is_meta for parameter in self._model.parameters()):
            return [], "cpu"
        try:
            network = describe(self._model, self._labels, leave_out=self._is_left_out)
        except LazyError:
            return [], "cpu"
        return network.spec(), network.device

    def check_held_out(self, held_out: Any) -> None:
        """Checks what is known of held-out samples before they are run through the network.

        Raises:
            HeldOutError: they are nothing that could be.
        """
        if held_out is None:
            return
        if is_arrays(held_out):
            num_samples(held_out)
        elif not callable(held_out) and not isinstance(held_out, Iterable):
            raise HeldOutError(not_held_out(held_out))

    def describe(self, held_out: Any) -> list[dict[str, Any]]:
        """The layers, in the order in which a forward pass visits them if one can be made.

        Raises:
            NetworkError: a tensor cannot be recorded.
        """
        network = describe(self._model, self._labels, leave_out=self._is_left_out)
        self._states = hidden_of(self._model, [layer.label for layer in network.layers])
        tapped = self._probe(network, held_out)
        self._network = network
        self._order = _in_order(network, self._states, tapped)
        self._places = {place: index for index, place in enumerate(self._order) if not isinstance(place, Tap)}
        return _described(network, self._order)

    def _probe(self, network: Network, held_out: Any) -> dict[str, list[Tapped]]:
        """Makes a forward pass that shows the network, of the first inputs that can be passed: the example, those of
        the first training batch, held-out samples. Gives what was tapped in it, and remarks what it did not show."""
        self.remarks = []
        if self._seen is None and self._first is not None:
            self._seen = self._first.take()
        is_heard = any(layer.hears is not None for layer in network.layers)
        failed: Exception | None = None
        for inputs in (lambda: self._example, lambda: self._seen, lambda: self._first_of(held_out)):
            shown = inputs()
            if shown is None:
                continue
            args, kwargs = shown
            try:
                with self._gathering.gathering() as tapped, watched(self._states, self._tap_state):
                    probe(network, args, kwargs, self._states)
            except Exception as error:
                if is_device_error(error):
                    raise
                failed = failed or error
                continue
            if is_heard and not any(layer.source for layer in network.layers):
                self.remarks.append(
                    "of no layer it is known what it is connected to: what lies between them does not keep units apart, "
                    "or in a way that is not known; pictures of the network show no connections"
                )
            return tapped
        if failed is not None:
            self.remarks.append(
                f"a forward pass to see how layers are connected failed, their sources are unknown: {failed}"
            )
        elif is_heard:
            why = "was not called before"
            if self._given._compiled_call_impl is not None:
                why = "was compiled in place, which hides its inputs"
            elif self._first is not None and self._first.was_called:
                why = "has inputs that cannot be kept"
            self.remarks.append(
                "the order of the layers, their non-linearities and what they are connected to are unknown: the model "
                f"{why}; give record an example= of its inputs"
            )
        return {}

    def _first_of(self, held_out: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """A sample or two of held-out samples, whose random states stay as they are."""
        if held_out is None:
            return None
        first = next(self._model.parameters(), None)
        dtype = torch.float32 if first is None else first.dtype
        # What is wrong with them is said where they are run through the network.
        with tolerated(), undisturbed(self._model, generators_of(held_out)):
            with self._forgotten_if_broken(held_out):
                return first_inputs(self._whole(held_out), dtype, _FEW)
        return None

    @property
    def device(self) -> str:
        """What the first parameter is on."""
        return "cpu" if self._network is None else self._network.device

    def num_held_out(self, held_out: Any) -> int | None:
        """How many held-out samples there are, where that is known beforehand."""
        with suppress(HeldOutError):  # What is wrong with them is said where they are run through the network.
            return num_samples(held_out) if held_out is not None and is_arrays(held_out) else None
        return None

    def held_out_told(self, held_out: Any) -> dict[str, Any] | None:
        """What held-out samples are known by, in ``run.json``; None where they are not."""
        with tolerated():  # What is wrong with them is said where they are run through the network.
            return None if held_out is None else fingerprint(self._whole(held_out))
        return None

    def _is_left_out(self, label: str) -> bool:
        """Whether what a trace cannot hold is not to be recorded either."""
        if takes(self._globs, label):
            return False
        self._unrecordable.add(label)
        return True

    @property
    def unseen_labels(self) -> Collection[str]:
        """Labels that are not among the layers of :meth:`preview`: of what was left out since a trace cannot hold it,
        and of hidden states, which a forward pass has to show."""
        return {*self._unrecordable, *(state.label for state in hidden_of(self._model, ()))}

    def tap(self, name: str, tensor: Any, unit_axis: int) -> Any:
        """Gives the tensor back."""
        return self._gathering.tap(name, tensor, unit_axis)

    def _tap_state(self, state: Hidden, values: torch.Tensor) -> None:
        self._gathering.tap(state.path, values, -1)

    # What a capture takes

    def take(self, *_: Any) -> None:
        """Nothing is given: the module has it all."""

    def parts(
        self, parameters: Iterable[tuple[int, str]], selected: Sequence[int], has_moments: bool
    ) -> list[Part]:
        """Tensors of a capture, for the extension: on the CPU it copies them at once."""
        network = self._known()
        self._seen = None
        self._find_again(network)
        found: list[tuple[str, int, torch.Tensor, torch.Tensor | None]] = []
        for index, kind in parameters:
            place = self._of_module(index)
            if place is None:
                continue
            layer = network.layers[place]
            bias = layer.bias().detach() if layer.bias is not None else None
            found.append((kind, place, layer.weight().detach(), bias))
        selected = self._of_modules(selected)
        if self._gradients is not None:
            found.extend(self._gradients.take(network, selected, self.num_steps))
        if has_moments:
            found.extend(moments(network, self._optimizers, selected))
        parts: list[Part] = []
        for kind, index, weight, bias in found:
            tensors = [_as_floats(tensor) for tensor in ([weight] if bias is None else [weight, bias])]
            host, stay = self._transfer.to_host(tensors)
            if stay is None and kind in ("gradients", "gradients_applied"):
                # They are copies already, of which nobody else has the memory.
                stay = True
            parts.append((kind, self._in_run(index), host[0], host[1] if bias is not None else None, stay))
        # Whatever changes a value next comes behind its copy: the optimizer's next step, but also what clamps
        # weights, swaps averages in, or runs a batch norm.
        self._transfer.before_changes()
        parts.extend(self._activations)
        self._activations = []
        return parts

    def evaluate(self, held_out: Any, selected: Sequence[int]) -> tuple[str, Any, Any, Any] | None:
        """What held-out samples make of the network: the loss's name, logits, targets, losses that were given; None
        where they make nothing that can be classified. Activations wait for :meth:`parts`."""
        self._activations = []
        if held_out is None:
            if self._same_samples is not None and self.rank == 0:
                self._same_samples.differs(None, self.rank)
            return None
        network = self._known()
        self._find_again(network)
        of_modules = self._of_modules(selected)
        given, held_out = held_out, self._whole(held_out)
        # Whoever records no activations has nothing that could be of other samples, but the first tells what it has.
        is_looked_at = self._same_samples is not None and (self.rank == 0 or bool(selected))
        seen = Seen() if is_looked_at else None
        with (
            self._forgotten_if_broken(given),
            self._gathering.gathering() as tapped,
            watched(self._states, self._tap_state),
        ):
            made = evaluate(
                network,
                held_out,
                self._loss,
                self._batch_size or DEFAULT_BATCH_SIZE,
                activations=bool(of_modules),
                selected=of_modules,
                batch_ended=self._gathering.end_batch,
                needs_logits=False,
                see=seen,
            )
        problem = None
        if self._same_samples is not None and seen is not None:
            problem = self._same_samples.differs(seen, self.rank)
        if problem is not None:
            self._left_out_of.setdefault(
                _OTHER_SAMPLES,
                f"activations of the layers of process {self.rank} are left out, since they may be of other held-out samples "
                f"than those of the other layers ({problem}): give every process the same ones in the same order, as "
                "(inputs, targets) or by a loader that does not share them out",
            )
            return None
        self._activations = [
            ("activations", self._in_run(index), values, None, True) for index, values in made.activations.items()
        ]
        for index, why in made.left_out.items():
            if index in made.of_all:
                continue
            label = network.layers[index].label
            self._left_out_of.setdefault(
                label, f"activations of {label} are left out: {why}"
            )
        for index, tap in enumerate(self._order):
            if isinstance(tap, Tap) and index in selected and tap.name in tapped:
                values = tap.of_samples(tapped[tap.name], made.num_samples)
                if isinstance(values, str):
                    # Once, however many samples there are the next time.
                    why = f"activations of {tap.name} are left out: {values}"
                    self._left_out_of.setdefault(tap.name, why)
                else:
                    self._activations.append(("activations", index, values, None, True))
        if made.unclassified is not None:
            self._left_out_of.setdefault("", f"classifications are left out: {made.unclassified}")
            return None
        return made.loss, made.logits, made.targets, made.losses

    @property
    def left_out(self) -> Collection[str]:
        """What held-out samples could not be recorded of, and why."""
        return self._left_out_of.values()

    def expect_gradients(self, is_expected: bool, selected: Sequence[int]) -> None:
        """Begins to keep the gradients of the next step, or ends it."""
        if self._gradients is not None:
            self._gradients.expect(is_expected, self._known(), self._of_modules(selected))

    @property
    def has_lost_gradients(self) -> bool:
        """Whether those of the last step could not be kept."""
        return self._gradients is not None and self._gradients.has_lost(self.num_steps)

    def forget_gradients(self) -> None:
        """An epoch has ended: what was kept of its last step is not needed any more."""
        if self._gradients is not None:
            self._gradients.forget()

    def is_device_error(self, error: BaseException) -> bool:
        """Whether a failure is the device's, and so training's own."""
        return is_device_error(error)

    def _of_module(self, index: int) -> int | None:
        """The place among the layers of modules of a layer of the run; None of a tap."""
        layer = self._order[index]
        return None if isinstance(layer, Tap) else layer

    def _of_modules(self, layers: Sequence[int]) -> list[int]:
        return [place for index in layers if (place := self._of_module(index)) is not None]

    def _in_run(self, place: int) -> int:
        """The layer of the run that a module's is."""
        return self._places[place]

    def _find_again(self, network: Network) -> None:
        """Finds the layers of modules that were put in the place of others.

        Raises:
            NetworkError: if a layer is not there any more, or has another shape.
        """
        modules = {id(module) for module in self._model.modules()}
        if all(id(layer.weight.module) in modules for layer in network.layers):
            return
        found = describe(self._model, self._labels, leave_out=self._is_left_out)
        by_path = {layer.path: layer for layer in found.layers}
        for layer in network.layers:
            now = by_path.get(layer.path)
            if now is None or now.shape != layer.shape or (now.bias is None) != (layer.bias is None):
                what = "is not there any more" if now is None else f"was {layer.shape}, now it is {now.shape}"
                raise NetworkError(f"layer {layer.path} {what}: a run has one network, record another")
            layer.weight, layer.bias, layer.module = now.weight, now.bias, now.module

    def _known(self) -> Network:
        if self._network is None:
            raise NetworkError("the network was not described yet")
        return self._network


class _Watcher:
    """Tells of steps whoever needs to know."""

    def __init__(
        self,
        transfer: Transfer,
        gradients: Gradients | None,
        before: Callable[[], None],
        after: Callable[[int], int],
    ) -> None:
        self._transfer = transfer
        self._gradients = gradients
        self._before = before
        self.after = after

    def before(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """Copies are done before what they read changes."""
        self._transfer.before_changes()
        self._before()
        if self._gradients is not None:
            self._gradients.before(optimizer, step, has_closure)

    def changed(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """Gradients may be there now that were not before."""
        if self._gradients is not None:
            self._gradients.changed(optimizer, step, has_closure)


#: Takes whatever it is given and does nothing; Python alone can load it where it was saved.
_nothing = partial(sys.audit, "stratigraph_nn.nothing")


class _FirstInputs:
    """Keeps the inputs of the first forward pass, until they are asked for.

    A hook goes with a model where that is copied or saved: a copy of this one does nothing.
    """

    def __init__(self, model: nn.Module, guard: Guard) -> None:
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._guard = guard
        self._is_over = False
        #: Whether the model was called.
        self.was_called = False
        self._handle = model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # One that is over may be part of what is compiled, also where held-out samples run uncompiled.
        if torch.compiler.is_compiling() or self._is_over:
            return
        with self._guard("inputs of the first batch could not be kept", False):
            self.was_called = True
            self.remove()
            self._inputs = _few(args, kwargs)

    def take(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The inputs, which are not kept any longer.

        The hook stays where it was not called: it may be part of a compiled model, which would be compiled anew
        without it.
        """
        inputs, self._inputs = self._inputs, None
        self._is_over = True
        return inputs

    def remove(self) -> None:
        """Takes the hook away."""
        self._handle.remove()

    def __deepcopy__(self, _: Any) -> Any:
        return _nothing

    def __reduce__(self) -> Any:
        return _nothing.__reduce__()


def _in_order(network: Network, states: Sequence[Hidden], tapped: Mapping[str, Sequence[Tapped]]) -> list[int | Tap]:
    """The layers of a run in their order: by their place among those of modules, and what was tapped.

    Hidden states follow the layers of their modules. Other taps come before the last layer with parameters, which is
    the output layer.
    """
    taps = {name: Tap(name, values[-1].rows.shape[1]) for name, values in tapped.items()}
    behind: dict[int, list[Tap]] = {}
    for state in states:
        own = [place for place, layer in enumerate(network.layers) if layer.module is state.module]
        if state.path in taps and own:
            behind.setdefault(own[-1], []).append(taps.pop(state.path))
    last = max((place for place, layer in enumerate(network.layers) if layer.kind != BUFFER), default=0)
    order: list[int | Tap] = []
    for place in range(len(network.layers)):
        order += [*(taps.values() if place == last else ()), place, *behind.get(place, ())]
    return order


def _described(network: Network, order: Sequence[int | Tap]) -> list[dict[str, Any]]:
    """The layers as the recorder is told of them."""
    of_modules = network.spec()
    spec = [layer.spec() if isinstance(layer, Tap) else of_modules[layer] for layer in order]
    # A hidden state may be tapped by the same name, as something else.
    num_units = {tap.label.lower(): tap.num_units for tap in order if isinstance(tap, Tap)}
    num_units |= {layer.label.lower(): layer.num_units for layer in network.layers}
    for layer in spec:
        ranges = [each for each in layer["source"] or () if each["from"] != INPUT]
        if any(_last_unit(each) >= num_units.get(each["from"].lower(), 0) for each in ranges):
            layer["source"] = None
    return spec


def _last_unit(of_range: Mapping[str, Any]) -> int:
    last: int = of_range["start"] + (of_range["count"] - 1) * of_range["stride"]
    return last


def _as_floats(tensor: torch.Tensor) -> torch.Tensor:
    """Floats of a byte are handed over as floats of 32 bits, which hold the same values."""
    return tensor if tensor.element_size() > 1 else tensor.to(torch.float32)


def _itself(optimizer: Any) -> Any:
    """The optimizer in what Lightning or Accelerate wrap it in: its own step is what counts."""
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    return optimizer


def _scaler_of(optimizer: Any) -> Any:
    """The scaler of gradients that Accelerate or Lightning keep in what they wrap an optimizer in, if there is one."""
    for each in optimizer if isinstance(optimizer, list | tuple) else [optimizer]:
        while each is not None:
            strategy = getattr(each, "_strategy", None)
            precision = getattr(strategy, "precision_plugin", None) or getattr(strategy, "precision", None)
            for scaler in (getattr(each, "scaler", None), getattr(precision, "scaler", None)):
                if hasattr(scaler, "get_scale"):
                    return scaler
            inner = getattr(each, "optimizer", None)
            each = inner if isinstance(inner, torch.optim.Optimizer) else None
    return None


def _optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that are given, as they themselves are.

    Raises:
        TypeError: something is none.
    """
    if optimizer is None:
        return []
    found = [_itself(each) for each in (optimizer if isinstance(optimizer, list | tuple) else [optimizer])]
    for each in found:
        if not hasattr(each, "register_step_post_hook"):
            raise TypeError(
                f"optimizer is a torch.optim.Optimizer, or a list of them, not {given(each)}: give the optimizer that "
                "makes the steps, and none where step() is called after each"
            )
    return found


def _check(model: Any, scaler: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"the model is a torch.nn.Module, not {given(model)}; arrays of other frameworks are recorded by "
            "record(None, ...) and capture(...)"
        )
    if scaler is not None and not hasattr(scaler, "get_scale"):
        raise TypeError(f"scaler is a torch.amp.GradScaler, not {given(scaler)}")


def _few(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The first samples of a batch, where all tensors have as many."""
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    # One of no axes is of the whole batch, as how many of its targets count. Of a sparse tensor, as a matrix of what is
    # a neighbour of what, and of a nested one samples are not taken.
    lengths = {len(tensor) for tensor in tensors if tensor.dim()} if all(map(is_dense, tensors)) else set()
    end = _FEW if len(lengths) == 1 else None

    def first(value: Any) -> Any:
        # A copy: the batch is training's own, which may change it in place.
        if not isinstance(value, torch.Tensor):
            return value
        return (value if end is None or not value.dim() else value[:end]).detach().clone()

    return tuple(map(first, args)), {name: first(value) for name, value in kwargs.items()}


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Arguments of a forward pass, of what a user gives as an example.

    Raises:
        TypeError: it is nothing that a network takes.
    """
    if example is None:
        return None
    if isinstance(example, bool | int | float | str | bytes):
        raise TypeError(f"example is a tensor, a tuple of arguments or a dictionary of them, not {given(example)}")
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        return example, {}
    return (example,), {}
