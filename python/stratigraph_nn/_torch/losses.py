"""Which loss the held-out samples are measured by, and their targets as the recorder takes them."""

from __future__ import annotations

import torch
from torch import Tensor

from .._options import LOSSES
from .errors import HeldOutError

CROSS_ENTROPY = "softmax_cross_entropy"
BINARY = "binary_cross_entropy"
MULTI_LABEL = "multi_label_cross_entropy"
SQUARED_ERROR = "mean_squared_error"


def resolve(loss: str | None, logits: Tensor, targets: Tensor) -> tuple[str, Tensor]:
    """The recorder's name of a loss, and targets for ``logits`` ``[num_samples, num_outputs]``: int64
    ``[num_samples]`` of classes, else float32 ``[num_samples, num_outputs]``.

    Without a loss, floats are numbers to come near to (``mse``), integers are classes (``cross_entropy``), of a
    network with one output 0 and 1 (``bce_with_logits``), and booleans are labels.

    Raises:
        HeldOutError: if loss, targets and logits do not go together.
    """
    num_samples, num_outputs = logits.shape
    if targets.shape[:1] != (num_samples,):
        raise HeldOutError(f"held_out has targets of shape {list(targets.shape)} for {num_samples} rows of logits")
    name = loss or _guessed(targets, num_outputs)
    if name == "cross_entropy":
        return CROSS_ENTROPY, _classes(targets, num_outputs)
    if name not in LOSSES:
        raise HeldOutError(f"loss {loss!r} is not known: there are {', '.join(LOSSES)}")
    if targets.numel() != num_samples * num_outputs:
        raise HeldOutError(
            f"{name} needs a target an output: logits are {list(logits.shape)}, targets {list(targets.shape)}"
        )
    numbers = targets.reshape(num_samples, num_outputs).to(torch.float32).contiguous()
    if name == "mse":
        return SQUARED_ERROR, numbers
    return BINARY if num_outputs == 1 else MULTI_LABEL, numbers


def _guessed(targets: Tensor, num_outputs: int) -> str:
    if targets.dtype == torch.bool:
        return "bce_with_logits"
    if targets.is_floating_point():
        return "mse"
    return "cross_entropy" if num_outputs > 1 else "bce_with_logits"


def _classes(targets: Tensor, num_outputs: int) -> Tensor:
    classes = targets.squeeze(1) if targets.dim() == 2 and targets.shape[1] == 1 else targets
    if classes.dim() != 1 or classes.is_floating_point():
        raise HeldOutError(
            f"cross_entropy needs a class a sample, not {targets.dtype} of shape {list(targets.shape)}; of several "
            "labels a sample loss='bce_with_logits' is the loss"
        )
    classes = classes.to(torch.int64).contiguous()
    low, high = classes.aminmax()
    if low < 0 or high >= num_outputs:
        sample = int(torch.nonzero((classes < 0) | (classes >= num_outputs))[0])
        raise HeldOutError(
            f"sample {sample} of held_out is of class {int(classes[sample])}, and the network has {num_outputs} outputs"
        )
    return classes
