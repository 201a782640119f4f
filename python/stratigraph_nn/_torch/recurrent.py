"""Hidden states of recurrent modules: layers of their own, which have units and no weights.

The rows of a recurrent module's weights are gates. What it says to others is its hidden state, of which each unit has
four gates or three: so it is a layer beside them, as what is tapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .labels import as_label

#: Behind the path of the module.
_NAME = "hidden"


@dataclass
class Hidden:
    """The hidden state of a recurrent module: of its last layer, the backward direction behind the forward one."""

    path: str
    module: nn.Module

    @property
    def label(self) -> str:
        """What the trace calls it."""
        return as_label(self.path)

    @property
    def num_units(self) -> int:
        """How many units there are."""
        module: Any = self.module
        if isinstance(module, nn.RNNCellBase):
            return int(module.hidden_size)
        return int(module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1)

    def by_sample(self, output: Any) -> Tensor | None:
        """``[samples, units]`` of what the module gave, averaged over a sequence's time; None of what is no batch."""
        state = _state(output)
        if isinstance(state, PackedSequence):
            padded, lengths = pad_packed_sequence(state, batch_first=True)
            return padded.sum(1, dtype=torch.float32) / lengths.to(padded.device).unsqueeze(1)
        if isinstance(self.module, nn.RNNCellBase):
            return state if isinstance(state, Tensor) and state.dim() == 2 else None
        if not isinstance(state, Tensor) or state.dim() != 3:
            return None
        return state.mean(1 if self.module.batch_first else 0, dtype=torch.float32)

    def changed(self, output: Any, change: Callable[[Tensor], Tensor]) -> Any:
        """What the module gave, with ``change`` of the state, units last, in its place: at all positions, and after the
        last one. A cell of an LSTM goes on with what it remembers.

        What a recurrent module hears of its own state, from one position to the next, is inside PyTorch's function and
        stays; a cell is called position by position, and hears what it is given.
        """
        if isinstance(self.module, nn.RNNCellBase):
            return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)
        states, last = output
        if isinstance(states, PackedSequence):
            # Not `_replace`, which leaves out what its indices are for.
            states = PackedSequence(change(states.data), *states[1:])
        else:
            states = change(states)
        if isinstance(last, tuple):
            return states, (self._changed_last(last[0], change), *last[1:])
        return states, self._changed_last(last, change)

    def _changed_last(self, last: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The state after the last position, ``[layers and directions, ..., units of a direction]``."""
        num_directions = 2 if self.module.bidirectional else 1
        of_last = last[-num_directions:].movedim(0, -2)
        changed = change(of_last.flatten(-2)).unflatten(-1, of_last.shape[-2:])
        return torch.cat([last[:-num_directions], changed.movedim(-2, 0)])

    def maps(self, output: Any, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The tensors of an output that hold the state, each with a map of its units, which are numbered from
        ``first``."""
        state, num_units = _state(output), self.num_units
        state = state.data if isinstance(state, PackedSequence) else state
        if isinstance(state, Tensor) and state.shape[-1:] == (num_units,):
            yield state, torch.arange(first, first + num_units).expand(*state.shape)
        if isinstance(self.module, nn.RNNCellBase):
            return
        # The state after the last position: a row a layer and direction.
        last = _state(output[1])
        num_directions = 2 if self.module.bidirectional else 1
        if isinstance(last, Tensor) and last.dim() >= 2 and last.shape[-1] * num_directions == num_units:
            of_last = torch.full(tuple(last.shape), -1)
            units = torch.arange(first, first + num_units).view(num_directions, *[1] * (last.dim() - 2), -1)
            of_last[-num_directions:] = units
            yield last, of_last


def _state(output: Any) -> Any:
    """The first thing of what a recurrent module gives: of a sequence all positions, of a cell the hidden state."""
    is_several = isinstance(output, tuple | list) and not isinstance(output, PackedSequence)
    return output[0] if is_several else output


def hidden_of(model: nn.Module, taken: Sequence[str]) -> list[Hidden]:
    """The hidden states of a model's recurrent modules, but of those whose labels are ``taken``."""
    labels = {label.lower() for label in taken}
    found = [
        Hidden(f"{path}.{_NAME}" if path else _NAME, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.RNNBase | nn.RNNCellBase)
    ]
    return [hidden for hidden in found if hidden.label.lower() not in labels]


@contextmanager
def watched(states: Sequence[Hidden], made: Callable[[Hidden, Tensor], None]) -> Iterator[None]:
    """Within, tells of each hidden state of a batch that is made, ``[samples, units]``."""

    def after(hidden: Hidden) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            # What is done here is nothing of the network's, and need not be watched.
            with torch._C.DisableTorchFunction(), torch.no_grad():
                values = hidden.by_sample(output)
                if values is not None and values.is_floating_point():
                    made(hidden, values)

        return hook

    with ExitStack() as stack:
        for hidden in states:
            stack.callback(hidden.module.register_forward_hook(after(hidden)).remove)
        yield
