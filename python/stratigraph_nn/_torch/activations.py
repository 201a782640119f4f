"""What layers make of samples, gathered by hooks as a network runs: a row a sample, a value a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from .layers import Layer, Network
from .nonlinear import Nonlinearities, first_tensor, is_dense, version


class Activations:
    """The activations of a network's layers over all samples that it is given while it is watched.

    A call of the network is a batch. Of a layer that is called several times in it, the last output counts.
    Axes besides samples and units (positions, tokens) are averaged.
    """

    def __init__(
        self,
        network: Network,
        layers: list[int],
        num_samples: int | None,
        batch_ended: Callable[[int | None], None] | None = None,
    ) -> None:
        """``num_samples`` is how many there will be, if that is known; ``batch_ended`` is called after a batch, with
        how many samples that had, if it is known."""
        self._batch_ended = batch_ended
        self._network = network
        self._nonlinearities = Nonlinearities()
        self._rows = {layer: _Rows(network.layers[layer].num_activated, num_samples) for layer in layers}
        paths = {id(module): path for path, module in network.model.named_modules()}
        self._placed = {layer: _Placed(network, network.layers[layer], paths) for layer in layers}
        #: Layers whose own output is not asked for, since a non-linearity follows.
        self._is_followed = {layer: network.layers[layer].activation is not None for layer in layers}
        #: What awaits its non-linearity, with its version.
        self._awaited: dict[int, tuple[Tensor, int]] = {}
        self._outputs = WeakTensorKeyDictionary()
        self._num_done = 0
        self._num_in_batch: int | None = None
        #: By layer, why it has none.
        self.left_out: dict[int, str] = {}
        #: Layers among these that make one thing for all samples, as an embedding of positions does.
        self.of_all: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks the network; takes the hooks away."""
        with ExitStack() as stack:
            model = self._network.model
            for layer in self._rows:
                module = self._network.layers[layer].module
                stack.callback(module.register_forward_hook(self._made_by(layer)).remove)
            begin = model.register_forward_pre_hook(self._begin, with_kwargs=True)
            stack.callback(begin.remove)
            stack.enter_context(self._nonlinearities.watching(model, self._applied))
            yield

    @property
    def num_samples(self) -> int:
        """How many samples the batches had that are done."""
        return self._num_done

    def end_batch(self, logits: Tensor | None) -> None:
        """A batch is done, of which the network made ``logits``, ``[samples, ...]``, or none.

        The layer whose output they are is the output layer: its activation is its own output.
        """
        with torch._C.DisableTorchFunction():
            if logits is None:
                self._end(None)
            else:
                self._end_with(logits)

    def _end_with(self, logits: Tensor) -> None:
        layer, made_at = self._outputs.get(logits, (None, 0))
        if layer is not None and made_at == version(logits):
            self._is_followed[layer] = False
            self._awaited.pop(layer, None)
            self._keep(layer, logits)
        self._end(logits.shape[0] if logits.dim() else 1)

    def taken(self, num_samples: int) -> dict[int, Tensor]:
        """Float32 ``[num_samples, num_activated]`` on the CPU by layer. Layers that have not seen every sample
        exactly once have none."""
        if self._awaited or self._num_in_batch is not None:
            self._end(None)
        taken = {}
        for layer, rows in self._rows.items():
            if layer in self.left_out:
                continue
            if rows.num_rows == num_samples:
                taken[layer] = rows.taken()
            elif rows.num_rows == 0:
                self.left_out[layer] = "its module was not called"
            else:
                self.left_out[layer] = f"it has values of {rows.num_rows} samples of {num_samples}"
        return taken

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A callable may call the network several times before it says anything of logits.
        if self._num_in_batch is not None:
            self._end(None)
        tensor = first_tensor((*args, *kwargs.values()))
        # Nested tensors have no shape.
        self._num_in_batch = tensor.size(0) if tensor is not None and tensor.dim() else None

    def _end(self, num_samples: int | None) -> None:
        for layer, (output, made_at) in self._awaited.items():
            # The non-linearity did not come this time.
            if made_at == version(output):
                self._keep(layer, output)
            else:
                self.left_out[layer] = "its output was changed in place before a non-linearity"
        self._awaited.clear()
        self._outputs.clear()
        num_samples = self._num_in_batch if self._num_in_batch is not None else num_samples
        self._num_in_batch = None
        self._num_done += num_samples or 0
        for rows in self._rows.values():
            rows.end_batch()
        if self._batch_ended is not None:
            self._batch_ended(num_samples)

    def _made_by(self, layer: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                # What is done here is nothing of the network's, and need not be watched.
                with torch._C.DisableTorchFunction():
                    self._made(layer, tensor)

        return hook

    def _made(self, layer: int, output: Tensor) -> None:
        made_at = version(output)
        self._outputs[output] = (layer, made_at)
        self._nonlinearities.expect(output, layer)
        if self._is_followed[layer]:
            self._awaited[layer] = (output, made_at)
        else:
            self._keep(layer, output)

    def _applied(self, layer: int, _: str, result: Tensor) -> None:
        self._is_followed[layer] = True
        self._awaited.pop(layer, None)
        self._keep(layer, result)

    def _keep(self, layer: int, values: Tensor) -> None:
        """Takes a copy at once: what comes next may change the values in place."""
        placed = self._placed[layer].by_sample(values, self._num_in_batch)
        if isinstance(placed, str):
            self.left_out[layer] = placed
            if values.dim() and values.size(0) == 1:
                self.of_all.add(layer)
            self._rows[layer].drop()
        else:
            self.left_out.pop(layer, None)
            self._rows[layer].put(placed, self._num_done)


class _Placed:
    """Where samples and units lie in what a layer makes."""

    def __init__(self, network: Network, layer: Layer, paths: dict[int, str]) -> None:
        self._layer = layer
        self._model = network.model
        self._path = paths.get(id(layer.module), "")

    def by_sample(self, values: Tensor, num_samples: int | None) -> Tensor | str:
        """``[samples, units]``, or why there is none. It may be the values themselves."""
        axis, num_units = self._layer.unit_axis, self._layer.num_activated
        assert axis is not None
        if not is_dense(values) or not values.is_floating_point():
            kind = "a nested tensor" if values.is_nested else str(values.layout)
            return f"its output is {values.dtype}, {kind}"
        shape = list(values.shape)
        if not -values.dim() <= axis < values.dim() or shape[axis] != num_units:
            return f"its output {shape} does not have {num_units} units along axis {axis}"
        unit = axis % values.dim()
        # Of inputs that are no samples, the first axis is what there is.
        num_samples = shape[0] if num_samples is None else num_samples
        samples = [at for at, size in enumerate(shape[:unit]) if size == num_samples]
        if not samples:
            return f"its output {shape} has no axis of {num_samples} samples"
        is_second = samples[:2] == [0, 1] and _first_is_time(self._model, self._path)
        sample = 1 if is_second else samples[0]
        further = [at for at in range(len(shape)) if at not in (sample, unit)]
        return values.mean(further, dtype=_mean_type(values)) if further else values


def _mean_type(values: Tensor) -> torch.dtype:
    """16-bit floats are averaged as 32-bit ones."""
    return torch.float32 if values.element_size() < 4 else values.dtype


def _first_is_time(model: nn.Module, path: str) -> bool:
    """Whether a module's sequences have time before samples, as far as the nearest module around it tells that
    is attention or recurrent, or has such a one beside it."""
    while True:
        outer = model.get_submodule(path)
        told = [getattr(near, "batch_first", None) for near in (outer, *outer.children())]
        told = [value for value in told if isinstance(value, bool)]
        if told:
            return not any(told)
        if not path:
            return False
        path = path.rpartition(".")[0]


class _Rows:
    """A layer's values, a row a sample, on the CPU."""

    def __init__(self, num_units: int, num_samples: int | None) -> None:
        self._num_units = num_units
        self._num_samples = num_samples
        self._whole: Tensor | None = None
        self._batch: Tensor | None = None
        self._chunks: list[Tensor] = []
        self._num_in_batch = 0
        #: Of batches that are done.
        self.num_rows = 0

    def put(self, values: Tensor, start: int) -> None:
        """The values of the batch that begins with sample ``start``; once more replaces them."""
        end = start + values.shape[0]
        self._num_in_batch = values.shape[0]
        if self._num_samples is None or end > self._num_samples or values.device.type != "cpu":
            # A copy on the device: the host waits for the device once a batch.
            self._batch = values.to(torch.float32, copy=True)
            return
        if self._whole is None:
            self._whole = torch.empty(self._num_samples, self._num_units)
        self._whole[start:end] = values

    def drop(self) -> None:
        """The batch has no values after all."""
        self._batch, self._num_in_batch = None, 0

    def end_batch(self) -> None:
        """What was put last stays."""
        if self._batch is not None:
            self._chunks.append(self._batch.to("cpu"))
        self.num_rows += self._num_in_batch
        self.drop()

    def taken(self) -> Tensor:
        """All rows, contiguous."""
        if self._chunks:
            return torch.cat(self._chunks)
        return torch.empty(0, self._num_units) if self._whole is None else self._whole
