"""Optimizer steps: counting them, and what of a step goes into the capture after it.

Between captures a step costs a comparison. Hooks on parameters are there only for a step whose gradients are
recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from .layers import Network


class Steps:
    """Watches the optimizers of a network.

    A step is done when the optimizers have done it: where there are several, the one that has made the
    most steps counts, and what follows a step waits until the others have caught up or the next begins.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        before: Callable[[], None],
        after: Callable[[int], None],
    ) -> None:
        """``before`` is called before parameters change, ``after`` once a step is done, with its number."""
        self.num_steps = 0
        self.optimizers = list(optimizers)
        self._counts = [0] * len(self.optimizers)
        self._before = before
        self._after = after
        self._is_open = False
        self._handles: list[Any] = []
        for index, optimizer in enumerate(self.optimizers):
            self._handles.append(optimizer.register_step_pre_hook(self._pre(index)))
            self._handles.append(optimizer.register_step_post_hook(self._post(index)))

    def go_on_from(self, step: int) -> None:
        """Counts on from a step, as where a run is gone on with."""
        self.num_steps = step
        self._counts[:] = [step] * len(self._counts)

    def count(self) -> None:
        """Counts a step that no optimizer makes."""
        self.num_steps += 1
        self._after(self.num_steps)

    def close(self) -> None:
        """Calls ``after`` for a step that still waited for other optimizers."""
        if self._is_open:
            self._is_open = False
            self._after(self.num_steps)

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _pre(self, index: int) -> Callable[..., None]:
        def pre(*_: Any) -> None:
            if self._is_open and self._counts[index] == self.num_steps:
                self.close()
            self._before()

        return pre

    def _post(self, index: int) -> Callable[..., None]:
        counts = self._counts

        def post(*_: Any) -> None:
            counts[index] = done = counts[index] + 1
            if done > self.num_steps:
                self.num_steps = done
                if len(counts) > 1 and min(counts) < done:
                    self._is_open = True
                else:
                    self._after(done)
            elif self._is_open and min(counts) == self.num_steps:
                self.close()

        return post


class Gradients:
    """Gradients of the step that leads to a capture, by the number of the tensor's layer.

    ``made`` are as the backward pass made them, with everything that was accumulated, unscaled; ``applied``
    as the optimizer used them.
    """

    def __init__(self, network: Network, keeps_made: bool, keeps_applied: bool, scaler: Any) -> None:
        self._network = network
        self._keeps_made = keeps_made
        self._keeps_applied = keeps_applied
        self._scaler = scaler
        self._handles: list[Any] = []
        self._made: dict[int, torch.Tensor] = {}
        self._applied: dict[int, torch.Tensor] = {}

    def expect(self, is_expected: bool, layers: Iterable[int]) -> None:
        """Begins to keep the gradients of the next step, or ends it."""
        if not self._keeps_made or is_expected == bool(self._handles):
            return
        if not is_expected:
            self.end()
            return
        for parameter in self._parameters(layers):
            if parameter.requires_grad and parameter.is_leaf:
                hook = parameter.register_post_accumulate_grad_hook(self._keep)
                self._handles.append(hook)

    def end(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def before_step(self, is_expected: bool, layers: Iterable[int]) -> None:
        """Copies what the optimizer is about to use."""
        if not self._keeps_applied or not is_expected:
            return
        for parameter in self._parameters(layers):
            if parameter.grad is not None and not parameter.grad.is_sparse:
                self._applied[id(parameter)] = parameter.grad.detach().clone()

    def take(self, layers: Iterable[int]) -> list[tuple[str, int, torch.Tensor, torch.Tensor | None]]:
        """What was kept, as parts of a capture: a layer without a gradient of its weight has none."""
        parts: list[tuple[str, int, torch.Tensor, torch.Tensor | None]] = []
        for kind, kept in (("gradients", self._made), ("gradients_applied", self._applied)):
            for index in layers if kept else ():
                layer = self._network.layers[index]
                weight = kept.get(id(layer.weight()))
                bias = kept.get(id(layer.bias())) if layer.bias is not None else None
                if weight is not None:
                    parts.append((kind, index, weight, bias))
        self._made.clear()
        self._applied.clear()
        return parts

    def _parameters(self, layers: Iterable[int]) -> Iterable[torch.Tensor]:
        for index in layers:
            layer = self._network.layers[index]
            yield layer.weight()
            if layer.bias is not None:
                yield layer.bias()

    def _keep(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        if gradient is None or gradient.is_sparse:
            return
        kept = self._made.get(id(parameter))
        if kept is None or kept.shape != gradient.shape or kept.dtype != gradient.dtype:
            kept = self._made[id(parameter)] = torch.empty_like(gradient)
        kept.copy_(gradient.detach())
        if self._scaler is not None and self._scaler.is_enabled():
            kept.div_(self._scaler.get_scale())


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
            state = optimizer.state.get(parameter)
            for name in names if state else ():
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
