"""Optimizer steps: counting them, and what of a step goes into the capture after it.

Between captures a step costs a comparison. Hooks on parameters are there only for a step whose gradients are
recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .._native import StepCounter
from .layers import Network


class Guard(Protocol):
    """Keeps what goes wrong in a hook away from training, and says what that was, once: every hook's work is done within
    one. A failure of the device passes."""

    def __call__(self, what: str, loses_capture: bool = True) -> AbstractContextManager[None]:
        """``what`` is said of it; ``loses_capture`` is False where no capture lacks anything yet."""


#: What is said where gradients are lost.
_LOST = "gradients could not be kept, captures go on without them where that happens"


class Watcher(Protocol):
    """What is told of steps."""

    def before(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """An optimizer is about to change parameters, in a step that has this number when it is done.

        With a closure it makes the gradients itself, within.
        """

    def changed(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """It has changed them. No optimizer did where ``optimizer`` is None."""

    def after(self, step: int) -> int:
        """The step is done; returns the next one that is to be told of, unless it wakes before."""


class Steps:
    """Watches the optimizers of a network.

    A step is done when the optimizers have done it: where there are several, the one that has made the
    most steps counts, and what follows a step waits until the others have caught up or the next begins.
    A step that a ``GradScaler`` leaves out is none, except on CUDA of an optimizer that leaves it out
    itself (``fused=True``): to find out, training would wait for the device.

    Steps that nobody needs to be told of are counted by their optimizers' hooks and no more. Of several optimizers
    one may make fewer steps than the network, so that its own count does not say when it is to be told of: all are told
    of again from where the first of them begins the step before.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], watcher: Watcher, guard: Guard) -> None:
        self.optimizers = list(optimizers)
        self._guard = guard
        self._watcher = watcher
        self._num_steps = 0
        self._is_open = False
        #: The first step that the watcher is told of again.
        self._quiet_until = 0
        self._handles: list[Any] = []
        self._counters: list[StepCounter] = []
        for index, optimizer in enumerate(self.optimizers):
            # Of a step that is compiled as a whole, what is done here stays uncompiled.
            pre, post = torch.compiler.disable(self._pre(index)), torch.compiler.disable(self._post(index))
            counter = StepCounter(pre, post)
            self._counters.append(counter)
            self._handles.append(optimizer.register_step_pre_hook(counter.about_to))
            self._handles.append(optimizer.register_step_post_hook(counter.done))

    @property
    def num_steps(self) -> int:
        """How many steps are done."""
        return max(self._num_steps, self._num_made)

    @property
    def _num_made(self) -> int:
        """How many of them the optimizers have made."""
        return max((counter.num_made for counter in self._counters), default=0)

    @property
    def is_one_behind(self) -> bool:
        """Whether an optimizer has made fewer steps than another."""
        return any(counter.num_made < self._num_made for counter in self._counters)

    def go_on_from(self, step: int) -> None:
        """Counts on from a step, as where a run is gone on with."""
        self._num_steps = step
        for counter in self._counters:
            counter.num_made = step
        self.wake()

    def wake(self) -> None:
        """Tells of the next step again, whatever was said before."""
        self._be_quiet_until(0)

    def count(self) -> None:
        """Counts a step that no optimizer makes."""
        # What an optimizer makes as well is not counted twice: it is told of.
        self.wake()
        self._num_steps = self.num_steps + 1
        self._watcher.changed(None, self._num_steps, True)
        self._tell(self._num_steps)

    def close(self) -> None:
        """Ends a step that still waited for other optimizers."""
        if self._is_open:
            self._is_open = False
            self._tell(self.num_steps)

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _tell(self, step: int) -> None:
        if step >= self._quiet_until:
            self._be_quiet_until(self._watcher.after(step))

    def _be_quiet_until(self, step: int) -> None:
        self._quiet_until = step
        # What was counted otherwise is in no optimizer's count.
        is_quiet = self._num_made == self.num_steps
        if len(self._counters) > 1:
            step -= 1
            is_quiet = is_quiet and self.num_steps + 1 < step
        self._have_counters_be_quiet_until(step if is_quiet else 0)

    def _have_counters_be_quiet_until(self, step: int) -> None:
        for counter in self._counters:
            counter.quiet_until = step

    def _pre(self, index: int) -> Callable[..., None]:
        def pre(optimizer: Any, args: Any, kwargs: Any) -> None:
            with self._guard("an optimizer's step could not be looked at"):
                done = self._counters[index].num_made
                if self._is_open and done == self.num_steps:
                    self.close()
                step = max(self.num_steps, done + 1)
                if len(self._counters) > 1 and step >= self._quiet_until - 1:
                    self._have_counters_be_quiet_until(0)
                self._watcher.before(optimizer, step, _has_closure(args, kwargs))

        return pre

    def _post(self, index: int) -> Callable[..., None]:
        counters = self._counters

        def post(optimizer: Any, args: Any, kwargs: Any) -> None:
            with self._guard("an optimizer's step could not be counted"):
                if _was_left_out(optimizer):
                    return
                before, done = self.num_steps, counters[index].num_made + 1
                self._watcher.changed(optimizer, max(before, done), _has_closure(args, kwargs))
                counters[index].num_made = done
                are_behind = any(counter.num_made < max(before, done) for counter in counters)
                if done > before:
                    self._num_steps = done
                    if are_behind:
                        self._is_open = True
                    else:
                        self._tell(done)
                elif self._is_open and not are_behind:
                    self.close()

        return post


def _has_closure(args: Sequence[Any], kwargs: Any) -> bool:
    """Of the arguments of an optimizer's ``step``, the optimizer itself being the first."""
    return (len(args) > 1 and args[1] is not None) or (bool(kwargs) and kwargs.get("closure") is not None)


def _was_left_out(optimizer: Any) -> bool:
    """Whether an optimizer has found infinite gradients by itself, on the CPU."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, torch.Tensor) and found.device.type == "cpu" and bool(found.item())


class Gradients:
    """Gradients of the step that leads to a capture.

    Made are those of the backward pass, with everything that was accumulated, unscaled; applied are those
    that the optimizer used. Each is kept for the step that it was used in, since what is made for a step
    that is left out is none of the step before.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        keeps_made: bool,
        keeps_applied: bool,
        scaler: Any,
        guard: Guard,
    ) -> None:
        """Of all parameters, until :meth:`expect` says which."""
        self._optimizers = optimizers
        self._keeps_made = keeps_made
        self._keeps_applied = keeps_applied
        self._scaler = scaler
        self._guard = guard
        self._is_expected = False
        #: Whether some of this step are lost, and so all of them; the last step of which that is true.
        self._is_lost = False
        self._lost_in: int | None = None
        self._handles: list[Any] = []
        #: The hooks of parameters, by identity.
        self._handles_of: dict[int, Any] = {}
        #: By its identity, the parameters whose gradients are kept.
        self._parameters: dict[int, torch.Tensor] = {}
        #: By a parameter's identity: made, and not used yet.
        self._waiting: dict[int, torch.Tensor] = {}
        #: Memory of what nobody took.
        self._spare: dict[int, torch.Tensor] = {}
        #: By what they are and a parameter's identity, with the step.
        self._kept: dict[tuple[str, int], tuple[int, torch.Tensor]] = {}
        #: The backward pass that is running, and the scale of its gradients.
        self._pass: int | None = None
        self._scale: float | None = None
        self._hook = torch.compiler.disable(self._keep)
        self._expect(model.parameters())
        for module in model.modules():
            if any(parameter is not None and is_lazy(parameter) for parameter in module._parameters.values()):
                self._add_when_known(module)

    def expect(self, is_expected: bool, network: Network, layers: Iterable[int]) -> None:
        """Begins to keep the gradients of the next step, or ends it."""
        if is_expected and self._is_expected:
            # Some may have been put in the place of others.
            parameters = {id(parameter): parameter for parameter in _parameters(network, layers)}
            for place in [place for place in self._parameters if place not in parameters]:
                self._drop(place)
            self._add(parameters.values())
        elif is_expected:
            self._expect(_parameters(network, layers))
        elif self._is_expected:
            self.end()

    def _expect(self, parameters: Iterable[torch.Tensor]) -> None:
        self._is_expected, self._is_lost = True, False
        self._parameters = {}
        self._add(parameters)

    def _add(self, parameters: Iterable[torch.Tensor]) -> None:
        """Keeps gradients of these parameters, too."""
        for parameter in parameters:
            if id(parameter) in self._parameters or is_lazy(parameter):
                continue
            self._parameters[id(parameter)] = parameter
            if self._keeps_made and parameter.requires_grad and parameter.is_leaf:
                self._handles_of[id(parameter)] = parameter.register_post_accumulate_grad_hook(self._hook)

    def _drop(self, place: int) -> None:
        """Keeps no more of a parameter that is not the network's any more."""
        for memory in (self._parameters, self._waiting, self._spare):
            memory.pop(place, None)
        if (handle := self._handles_of.pop(place, None)) is not None:
            handle.remove()

    def _add_when_known(self, module: nn.Module) -> None:
        """Keeps gradients of a lazy module, whose parameters get their shapes right before its first forward pass."""

        def hook(module: nn.Module, _: Any) -> None:
            with self._guard(_LOST, False):
                handle.remove()
                if self._is_expected:
                    self._add(parameter for parameter in module._parameters.values() if parameter is not None)

        # Behind the hook that gives them their shapes.
        handle = module.register_forward_pre_hook(torch.compiler.disable(hook))
        self._handles.append(handle)

    def end(self) -> None:
        """Takes the hooks away."""
        self._is_expected = False
        for handle in (*self._handles, *self._handles_of.values()):
            handle.remove()
        self._handles.clear()
        self._handles_of.clear()
        self._parameters.clear()
        self._waiting.clear()
        self._spare.clear()
        self._is_lost = False

    def forget(self) -> None:
        """Nobody will take what was kept."""
        self._kept.clear()

    def before(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """Keeps what an optimizer is about to use."""
        if self._is_expected and not has_closure:
            self._use(optimizer, step)

    def changed(self, optimizer: Any, step: int, has_closure: bool) -> None:
        """Keeps what an optimizer has used that made it itself."""
        if self._is_expected and has_closure:
            self._use(optimizer, step)

    def _lose(self) -> None:
        """Where gradients cannot be kept, as for want of memory, those of the whole step are lost. Within an exception,
        which is told."""
        self._is_lost = True
        for memory in (self._waiting, self._spare, self._kept):
            memory.clear()
        with self._guard(_LOST, False):
            raise

    def take(
        self, network: Network, layers: Iterable[int], step: int
    ) -> list[tuple[str, int, torch.Tensor, torch.Tensor | None]]:
        """What was kept of a step, as parts of a capture: a layer without a gradient of its weight has none."""
        parts: list[tuple[str, int, torch.Tensor, torch.Tensor | None]] = []

        def kept(kind: str, parameter: torch.Tensor) -> torch.Tensor | None:
            used_in, gradient = self._kept.get((kind, id(parameter)), (None, None))
            return gradient if used_in == step else None

        for kind in ("gradients", "gradients_applied"):
            for index in layers if self._kept else ():
                layer = network.layers[index]
                if (weight := kept(kind, layer.weight())) is not None:
                    parts.append((kind, index, weight, None if layer.bias is None else kept(kind, layer.bias())))
        # A copy may read them while the next step is made: their memory is not used again.
        self._kept.clear()
        return parts

    def _keep(self, parameter: torch.Tensor) -> None:
        if self._is_lost or parameter.grad is None:
            return
        # No context is entered for each parameter of each step.
        try:
            scale = self._scale_now()
            place = id(parameter)
            waiting = self._waiting.get(place)
            if waiting is None:
                waiting = self._spare.pop(place, None)
            self._waiting[place] = waiting = _copied(parameter.grad, waiting)
            if scale is not None:
                waiting.div_(scale)
        except BaseException:
            self._lose()

    def _scale_now(self) -> float | None:
        """By how much gradients of this backward pass are too large. It is asked for once in each: it may be on a
        device."""
        if self._scaler is None or not self._scaler.is_enabled():
            return None
        running = torch._C._current_graph_task_id()
        if running != self._pass or running == -1:
            scale = self._scaler.get_scale()
            if scale != self._scale:
                # It changes behind a step: what waits still was made for one that was left out.
                self._spare.update(self._waiting)
                self._waiting.clear()
            self._pass, self._scale = running, scale
        return self._scale

    def _use(self, optimizer: Any, step: int) -> None:
        if not self._is_lost:
            try:
                self._keep_used(optimizer, step)
            except BaseException:
                self._lose()
        if self._is_lost:
            self._is_lost, self._lost_in = False, step

    def has_lost(self, step: int) -> bool:
        """Whether gradients of a step could not be kept."""
        return self._lost_in == step

    def _keep_used(self, optimizer: Any, step: int) -> None:
        others = [other for other in self._optimizers if other is not optimizer] if optimizer is not None else []
        not_used = {id(parameter) for other in others for parameter in _of_optimizer(other)}
        for place in [place for place in self._waiting if place not in not_used]:
            gradient = self._waiting.pop(place)
            if optimizer is not None and self._parameters[place].grad is None:
                # Taken back before it was used, as where a step is left out.
                self._spare[place] = gradient
            else:
                self._put("gradients", place, step, gradient)
        if not self._keeps_applied:
            return
        scale = getattr(optimizer, "grad_scale", None)
        used = self._parameters.values() if optimizer is None else _of_optimizer(optimizer)
        for parameter in used:
            used_gradient, place = parameter.grad, id(parameter)
            if used_gradient is None or place not in self._parameters:
                continue
            applied = _copied(used_gradient, self._kept.get(("gradients_applied", place), (0, None))[1])
            if isinstance(scale, torch.Tensor):
                applied.div_(scale.to(applied.device))
            self._kept["gradients_applied", place] = step, applied

    def _put(self, kind: str, place: int, step: int, gradient: torch.Tensor) -> None:
        before = self._kept.get((kind, place))
        if before is not None:
            self._spare[place] = before[1]
        self._kept[kind, place] = step, gradient


def _copied(gradient: torch.Tensor, into: torch.Tensor | None) -> torch.Tensor:
    """A copy, in memory that is there where it fits; a dense one of a sparse gradient, as an embedding may have."""
    gradient = gradient.detach()
    if gradient.layout != torch.strided:
        gradient = gradient.to_dense()
    if into is None or into.shape != gradient.shape or into.dtype != gradient.dtype or into.device != gradient.device:
        into = torch.empty_like(gradient)
    return into.copy_(gradient)


def _of_optimizer(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _parameters(network: Network, layers: Iterable[int]) -> Iterable[torch.Tensor]:
    for index in layers:
        layer = network.layers[index]
        yield layer.weight()
        if layer.bias is not None:
            yield layer.bias()


# What optimizers of PyTorch call the averages that they keep: of the gradients, and of their squares.
_MOMENTS = (
    ("moment1", ("exp_avg", "momentum_buffer", "mu", "m")),
    ("moment2", ("exp_avg_sq", "square_avg", "sum", "exp_inf", "nu", "v")),
)


def moments(
    network: Network, optimizers: Sequence[torch.optim.Optimizer], layers: Iterable[int]
) -> list[tuple[str, int, torch.Tensor, torch.Tensor | None]]:
    """What the optimizers keep of the gradients, as parts of a capture: Adam's moments, the momentum of SGD,
    the mean square of RMSprop."""
    parts: list[tuple[str, int, torch.Tensor, torch.Tensor | None]] = []

    def kept(parameter: torch.Tensor, names: tuple[str, ...]) -> torch.Tensor | None:
        for optimizer in optimizers:
            state = optimizer.state.get(parameter, {})
            for name in names:
                value = state.get(name)
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    return value.detach()
        return None

    for kind, names in _MOMENTS:
        for index in layers:
            layer = network.layers[index]
            weight = kept(layer.weight(), names)
            if weight is not None:
                bias = kept(layer.bias(), names) if layer.bias is not None else None
                parts.append((kind, index, weight, bias))
    return parts
