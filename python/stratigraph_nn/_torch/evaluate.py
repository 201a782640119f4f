"""What a network makes of held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .activations import Activations
from .errors import HeldOutError
from .guard import undisturbed
from .held_out import batches, called, generators_of, is_arrays, logits_of, num_samples, on_device, slices
from .layers import Network
from .losses import resolve
from .nonlinear import version

__all__ = ["DEFAULT_BATCH_SIZE", "Evaluation", "evaluate", "kept", "not_held_out", "said_again"]

#: Samples in one forward pass, where nothing else is said.
DEFAULT_BATCH_SIZE = 1024

#: What the network returned, targets, and losses where they are given.
_Batch = tuple[Any, Any, Any]


@dataclass
class Evaluation:
    """Logits, targets and activations of all held-out samples, in their order, on the CPU."""

    #: Float32 ``[num_samples, num_outputs]``, contiguous.
    logits: Tensor
    #: Classes as int64 ``[num_samples]``, else float32 ``[num_samples, num_outputs]``; contiguous.
    targets: Tensor
    #: As a trace names it: ``softmax_cross_entropy``, ``binary_cross_entropy``, ``multi_label_cross_entropy`` or
    #: ``mean_squared_error``.
    loss: str
    #: By the layer's place in ``network.layers``, float32 ``[num_samples, num_units]``, contiguous; of an embedding
    #: ``[num_samples, num_dimensions]``. Averaged over positions and tokens.
    activations: dict[int, Tensor]
    #: Each sample's loss, float32 ``[num_samples]``, where a callable gave it.
    losses: Tensor | None = None
    #: Why a layer that could have activations has none.
    left_out: dict[int, str] = field(default_factory=dict)
    #: Which of these make one thing for all samples: nothing of a sample is missing there.
    of_all: set[int] = field(default_factory=set)
    #: Why there are no logits, targets and losses, where activations alone were asked for all the same.
    unclassified: str | None = None
    #: How many samples there are.
    num_samples: int = 0


def evaluate(
    network: Network,
    held_out: Any,
    loss: str | None = None,
    batch_size: int | None = None,
    activations: bool = True,
    selected: Iterable[int] | None = None,
    batch_ended: Callable[[int | None], None] | None = None,
    *,
    needs_logits: bool = True,
    see: Callable[[Any, Any], None] | None = None,
) -> Evaluation:
    """Runs the network over held-out samples, in evaluation mode, without gradients, on the module itself.

    ``held_out`` is one of

    - ``(inputs, targets)``: tensors, arrays of numpy's or frames of pandas, ``[num_samples, ...]``, which are passed in
      batches of ``batch_size`` (1,024). Inputs may be a tuple of them (arguments) or a mapping (arguments by name);
    - a ``DataLoader``, or anything else that gives batches of ``(inputs, targets)``, or mappings with ``labels``;
    - a callable: it is called with the network's module, and gives ``(logits, targets)`` or
      ``(logits, targets, losses)``, once or batch by batch.

    ``loss`` is ``cross_entropy``, ``bce_with_logits`` or ``mse``, guessed from the targets if it is None.
    ``selected`` are the places of the layers whose activations are asked for; None means all. ``batch_ended`` is
    called when the network has seen a batch, with how many samples that had, if it is known. ``see`` is shown inputs
    and targets of each batch before; of a callable there are no inputs (None).

    A layer's activation is the value after the non-linearity that is applied to its output; the output
    layer's is its logit. Of a layer that is called several times, the last output counts.

    Without ``needs_logits`` there are activations where samples, logits, targets and loss do not go together, as of
    a network that says something of each token, and the result says why there is nothing else.

    The network, random states and all else are left as they were (:func:`undisturbed`).

    Raises:
        HeldOutError: if there are no samples, or, with ``needs_logits``, these do not go together.
    """
    total = num_samples(held_out) if is_arrays(held_out) else None
    layers = range(len(network.layers)) if selected is None else sorted(set(selected))
    asked = [layer for layer in layers if activations and network.layers[layer].unit_axis is not None]
    gathered = Activations(network, asked, total, batch_ended)
    outputs = _Outputs(total, loss, needs_logits)
    with undisturbed(network.model, generators_of(held_out)), gathered.watching():
        for batch in _batches(network, held_out, batch_size, see):
            logits = outputs.logits_in(batch[0])
            gathered.end_batch(logits)
            # Nothing of the network's, which need not be watched.
            with torch._C.DisableTorchFunction():
                outputs.add(logits, *batch[1:])
    made = outputs.taken()
    if made is None:
        num_samples_seen = gathered.num_samples if total is None else total
        nothing = torch.empty(0, 0)
        made = Evaluation(nothing, nothing, "", {}, unclassified=outputs.problem, num_samples=num_samples_seen)
    made.activations = gathered.taken(made.num_samples)
    made.left_out, made.of_all = gathered.left_out, gathered.of_all
    return made


class _Outputs:
    """What a network says of held-out samples, and what it should have said."""

    def __init__(self, num_samples: int | None, loss: str | None, is_needed: bool) -> None:
        self._logits, self._targets, self._losses = (_Column(num_samples) for _ in range(3))
        self._loss = loss
        self._is_needed = is_needed
        self._num_batches = 0
        #: What does not go together.
        self.problem: str | None = None

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except HeldOutError as error:
            if self._is_needed:
                raise
            self.problem = self.problem or str(error)

    def logits_in(self, output: Any) -> Tensor | None:
        """The logits in what the network returned for a batch."""
        self._num_batches += 1
        with self._noting():
            return logits_of(output)
        return None

    def add(self, logits: Tensor | None, targets: Any, losses: Any) -> None:
        """A batch."""
        if logits is None or self.problem is not None:
            return
        with self._noting():
            targets = _as_tensor(targets)
            rows = _rows(logits, targets)
            if len(rows) != len(targets):
                raise HeldOutError(f"the network makes {len(rows)} rows of outputs of {len(targets)} samples")
            self._logits.add(rows, torch.float32)
            self._targets.add(targets, None)
            if losses is not None:
                self._losses.add(_as_tensor(losses), torch.float32)

    def taken(self) -> Evaluation | None:
        """All of it, without activations; None where it does not go together.

        Raises:
            HeldOutError: if there are no samples, or it is needed and does not go together.
        """
        if self._num_batches == 0:
            raise HeldOutError("held_out has no samples")
        if self.problem is not None:
            return None
        with self._noting():
            logits = self._logits.taken()
            name, targets = resolve(self._loss, logits, self._targets.taken())
            losses = self._losses.taken() if self._losses else None
            if losses is not None and losses.shape != logits.shape[:1]:
                given = list(losses.shape)
                raise HeldOutError(f"held_out gives losses of shape {given} for {len(logits)} samples: one a sample")
            return Evaluation(logits, targets, name, {}, losses, num_samples=len(logits))
        return None


class _Kept:
    """Held-out samples in batches that can be passed again, on the network's device."""

    def __init__(self, given: Iterable[tuple[Any, Tensor]], device: torch.device, are_own: bool) -> None:
        # Whoever gives batches may use their memory again.
        self._batches = [
            (on_device(inputs, device, copy=not are_own), targets if are_own else targets.clone())
            for inputs, targets in given
        ]
        self._versions = [_versions(inputs) for inputs, _ in self._batches]

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        for batch, versions in zip(self._batches, self._versions):
            yield batch
            if _versions(batch[0]) != versions:
                raise HeldOutError(
                    "the network changes its inputs in place, and they are passed many times: give held_out as a "
                    "callable that makes them anew"
                )


def _versions(inputs: Any) -> list[int]:
    """How often each tensor of a batch was changed in place."""
    if isinstance(inputs, Tensor):
        return [version(inputs)]
    items = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else ()
    return [each for item in items for each in _versions(item)]


def kept(network: Network, held_out: Any, batch_size: int | None = None) -> Any:
    """Held-out samples as :func:`evaluate` takes them, so that they can be passed many times: batches stay on the
    network's device. A callable stays what it is. It belongs within :func:`undisturbed`.

    Raises:
        HeldOutError: if they are no held-out samples.
    """
    if callable(held_out) and not hasattr(held_out, "__iter__"):
        return held_out
    given, device = _given(network, held_out, batch_size)
    return _Kept(given, device, is_arrays(held_out))


def said_again(network: Network, held_out: Any, num_samples: int) -> tuple[Tensor, Tensor | None]:
    """What the network makes of held-out samples that are :func:`kept`, as it is now: logits as in
    :class:`Evaluation`, and losses where a callable gives them. It belongs within :func:`undisturbed`.

    Raises:
        HeldOutError: if they are not ``num_samples``, as before.
    """
    logits, losses = _Column(num_samples), _Column(num_samples)
    for output, batch_targets, batch_losses in _batches(network, held_out, None):
        with torch._C.DisableTorchFunction():
            logits.add(_rows(logits_of(output), _as_tensor(batch_targets)), torch.float32)
            if batch_losses is not None:
                losses.add(_as_tensor(batch_losses), torch.float32)
    all_logits = logits.taken() if logits else torch.empty(0, 1)
    if len(all_logits) != num_samples:
        raise HeldOutError(f"held_out gave {num_samples} samples before, and {len(all_logits)} now")
    return all_logits, losses.taken() if losses else None


def _batches(
    network: Network, held_out: Any, batch_size: int | None, see: Callable[[Any, Any], None] | None = None
) -> Iterator[_Batch]:
    """Outputs, targets and perhaps losses of batches, computed one after the other."""
    if callable(held_out) and not hasattr(held_out, "__iter__"):
        for batch in _called(held_out, network):
            if see is not None:
                see(None, batch[1])
            yield batch
        return
    given, device = _given(network, held_out, batch_size)
    for inputs, targets in given:
        if see is not None:
            see(inputs, targets)
        yield called(network.model, inputs, device), targets, None


def _given(
    network: Network, held_out: Any, batch_size: int | None
) -> tuple[Iterable[tuple[Any, Tensor]], torch.device]:
    """Samples and targets batch by batch, and the device that the network takes them on."""
    first = next(network.model.parameters(), None)
    dtype = torch.float32 if first is None else first.dtype
    if is_arrays(held_out):
        size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        if size < 1:
            raise HeldOutError(f"batch_size is {size}: at least 1 sample is passed at a time")
        given = slices(held_out, size, dtype)
    elif isinstance(held_out, Iterable):
        given = batches(held_out, dtype)
    else:
        raise HeldOutError(not_held_out(held_out))
    return given, torch.device(network.device) if first is None else first.device


def not_held_out(held_out: Any) -> str:
    """What is wrong with something that cannot be held-out samples."""
    return f"held_out is a {type(held_out).__name__}, not (inputs, targets), a DataLoader or a callable"


def _called(held_out: Callable[[Any], Any], network: Network) -> Iterator[_Batch]:
    result = held_out(network.model)
    if not isinstance(result, Iterable):
        raise HeldOutError(f"held_out gives a {type(result).__name__}, not (logits, targets) or batches of these")
    is_one = isinstance(result, tuple | list) and bool(result) and isinstance(result[0], Tensor)
    for batch in [result] if is_one else result:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or not isinstance(batch[0], Tensor):
            raise HeldOutError("held_out gives something else than (logits, targets) or (logits, targets, losses)")
        yield batch[0], batch[1], batch[2] if len(batch) == 3 else None


def _as_tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.dim() == 0:
        what = "a single value" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise HeldOutError(f"targets and losses are tensors with a value a sample, not {what}")
    return value


def _rows(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits as ``[num_samples, num_outputs]``."""
    if logits.dim() == 1:
        return logits.unsqueeze(1)
    if logits.dim() == 0:
        raise HeldOutError("the network makes a single value of a batch: it needs a row of outputs a sample")
    if logits.dim() == 2:
        return logits
    if logits.numel() == logits.shape[0] * logits.shape[1]:
        return logits.flatten(1)
    raise HeldOutError(
        f"the network's outputs are {list(logits.shape)}, targets {list(targets.shape)}, and a sample has one row of "
        "outputs: give held_out as a callable that gives logits [rows, outputs] and targets [rows], and has no "
        "activations where these rows are no samples"
    )


class _Column:
    """Values of batches, put together on the CPU."""

    def __init__(self, num_samples: int | None) -> None:
        self._num_samples = num_samples
        self._whole: Tensor | None = None
        self._chunks: list[Tensor] = []
        self._done = 0

    def __bool__(self) -> bool:
        return self._done > 0

    def add(self, values: Tensor, dtype: torch.dtype | None) -> None:
        """A copy of a batch's values: a callable may use the memory again."""
        values = values.detach()
        end = self._done + len(values)
        if self._num_samples is not None and end <= self._num_samples:
            if self._whole is None:
                shape = (self._num_samples, *values.shape[1:])
                self._whole = torch.empty(shape, dtype=dtype or values.dtype)
            self._whole[self._done : end] = values
        else:
            self._chunks.append(values.to("cpu", dtype or values.dtype, copy=True))
        self._done = end

    def taken(self) -> Tensor:
        """All values, contiguous.

        Raises:
            HeldOutError: if batches differ in more than how many samples they have.
        """
        if self._whole is not None and self._done == self._num_samples:
            return self._whole
        parts = ([] if self._whole is None else [self._whole]) + self._chunks
        if len({part.shape[1:] for part in parts}) > 1:
            shapes = ", ".join(str(list(part.shape)) for part in parts[:3])
            raise HeldOutError(f"batches of held_out have outputs or targets of different shapes: {shapes}, ...")
        return torch.cat(parts)
