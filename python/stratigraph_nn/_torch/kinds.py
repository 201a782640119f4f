"""What PyTorch's types are as layers: what a trace calls them, how their weights become rows, along which
axis of their output their units lie, and which of their inputs the weights of a row belong to."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

#: Kind of a tensor that no module is named for.
PARAMETER = "parameter"
#: Kind of what is no parameter, but needed to rebuild the network: running means and variances.
BUFFER = "buffer"
#: Kind whose weights have a row a token, and whose activations are by dimension.
EMBEDDING = "embedding"

#: Types whose units are channels, before the positions, by how their names begin.
_CHANNELS_FIRST = ("Conv", "DeformConv", "BatchNorm", "SyncBatchNorm", "GroupNorm", "InstanceNorm", "PReLU")


@dataclass(frozen=True)
class Hears:
    """Which part of its module's input the positions of a row belong to.

    ``argument`` says which argument (``input``, or ``query``, ``key``, ``value`` of attention, or ``all`` of
    these where they are one tensor), ``axis`` along which of its axes they lie, ``repeat`` how many positions
    in a row belong to one place: the size of a convolution's kernel.
    """

    axis: int
    repeat: int = 1
    argument: str = "input"


@dataclass(frozen=True)
class Kind:
    """What a module is as a layer, by the weight that it is named for.

    ``layout`` is ``rows`` (units along axis 0), ``columns`` (``[in, out]``) or ``by_group:G`` (a transposed
    convolution's ``[in, out / G, ...]``). ``unit_axis`` is None where the module's output is not what the
    units of its weight make.
    """

    name: str
    layout: str = "rows"
    unit_axis: int | None = -1
    hears: Hears | None = None


def of_weight(module: nn.Module, weight: Tensor, bias: Tensor | None, in_attention: bool) -> Kind:
    """What a module is by its parameter ``weight``."""
    if isinstance(module, nn.Linear):
        return Kind("attention" if in_attention else "linear", hears=Hears(-1))
    if isinstance(module, _ConvTransposeNd):
        hears = Hears(1, math.prod(module.kernel_size)) if module.groups == 1 else None
        name = f"conv_transpose{len(module.kernel_size)}d"
        return Kind(name, f"by_group:{module.groups}", 1, hears)
    if isinstance(module, _ConvNd):
        # Of a grouped convolution each group of rows hears other channels, which a trace cannot say.
        hears = Hears(1, math.prod(module.kernel_size)) if module.groups == 1 else None
        return Kind(f"conv{len(module.kernel_size)}d", "rows", 1, hears)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Kind(EMBEDDING)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        # Torchvision and timm have `LayerNorm2d`, which looks at channels first.
        is_channels_first = weight.dim() == 1 and type(module).__name__.endswith("2d")
        return Kind(torch_name(module), "rows", 1 if is_channels_first else -weight.dim())
    if isinstance(module, nn.PReLU) and weight.numel() == 1:
        # With one slope for all units, it is the non-linearity of the layer before.
        return Kind(torch_name(module), "rows", None)
    if isinstance(module, _NormBase | nn.GroupNorm | nn.PReLU):
        return Kind(torch_name(module), "rows", 1)
    if _is_columns(module, weight, bias):
        is_linear = type(module).__name__ == "Conv1D"
        name = "linear" if is_linear else torch_name(module)
        return Kind(name, "columns", -1, Hears(-1) if is_linear else None)
    has_layers_inside = any(True for child in module.children() for _ in child.parameters())
    is_channels_first = type(module).__name__.startswith(_CHANNELS_FIRST) and weight.dim() != 2
    axis = 1 if is_channels_first else -1
    return Kind(torch_name(module), "rows", None if has_layers_inside else axis)


def of_parametrized(module: nn.Module, original: Tensor) -> Kind:
    """What a module is whose weight is worked out of ``original``, which has the weight's place and shape,
    or is something else that the weight is made of."""
    is_weight = tuple(original.shape) == _weight_shape(module)
    if not is_weight or isinstance(module, _ConvTransposeNd):
        return Kind(PARAMETER, unit_axis=None)
    kind = of_weight(module, original, None, in_attention=False)
    # An embedding's outputs are no rows of its weight, and the kind of a tensor that stands for itself
    # does not say so.
    return Kind(PARAMETER, "rows", None if kind.name == EMBEDDING else kind.unit_axis, kind.hears)


def of_parameter(module: nn.Module, field: str) -> Kind:
    """What any other parameter is than one that is called ``weight``."""
    hears: Hears | None = None
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        if not field.startswith("weight_"):
            return Kind(PARAMETER, unit_axis=None)
        # What the first layer hears is the module's input; the others hear states, whose units a trace
        # does not number.
        if re.fullmatch(r"weight_ih(_l0(_reverse)?)?", field):
            hears = Hears(-1)
        return Kind(_recurrent_name(module), unit_axis=None, hears=hears)
    if isinstance(module, nn.MultiheadAttention) and field.endswith("proj_weight"):
        argument = {"in": "all", "q": "query", "k": "key", "v": "value"}.get(field.removesuffix("_proj_weight"))
        hears = Hears(-1, argument=argument) if argument and is_attention(module) else None
        return Kind("attention", unit_axis=None, hears=hears)
    return Kind(PARAMETER, unit_axis=None)


def rows_of(layout: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many rows a tensor of a layout has, and how long they are. A scalar is one unit."""
    if layout == "columns":
        return shape[1], shape[0]
    if layout.startswith("by_group:"):
        groups = int(layout.removeprefix("by_group:"))
        return shape[1] * groups, shape[0] // groups * math.prod(shape[2:])
    return (shape[0] if shape else 1), math.prod(shape[1:])


def is_attention(module: nn.Module) -> bool:
    """Whether a module is PyTorch's attention, which uses the weight of its ``out_proj`` without calling it."""
    return isinstance(module, nn.MultiheadAttention) and type(module).forward is nn.MultiheadAttention.forward


def torch_name(module: nn.Module) -> str:
    """The name of a module's type as a kind: ``BatchNorm2d`` is ``batch_norm2d``.

    A type of one's own goes by the type of PyTorch's that it is made of, if it is.
    """
    classes = (base for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules"))
    first = next(classes, nn.Module)
    name = type(module).__name__ if first is nn.Module else first.__name__
    if name == "PReLU":
        return "prelu"
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    # These words say more of a layer than that a type has the name.
    is_taken = kind in (PARAMETER, BUFFER, EMBEDDING) or kind.startswith("conv_transpose")
    return f"custom_{kind}" if is_taken else kind


def _recurrent_name(module: nn.RNNBase | nn.RNNCellBase) -> str:
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return "lstm"
    return "gru" if isinstance(module, nn.GRU | nn.GRUCell) else "rnn"


def _is_columns(module: nn.Module, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether a matrix of a type that PyTorch does not have is ``[in, out]``: the one of transformers that is
    called ``Conv1D``, or one whose bias says so."""
    if weight.dim() != 2:
        return False
    num_first, num_last = weight.shape
    num_biases = bias.shape[0] if bias is not None and bias.dim() == 1 else None
    if type(module).__name__ == "Conv1D":
        return getattr(module, "nf", num_biases) == num_last
    is_torch = type(module).__module__.startswith("torch.nn.modules") or isinstance(module, nn.Bilinear)
    return not is_torch and num_biases == num_last != num_first


def _weight_shape(module: nn.Module) -> tuple[int, ...] | None:
    """The shape of a module's weight by what it was made with: a weight that is worked out at each access may
    not be asked."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
        return module.out_channels, module.in_channels // module.groups, *module.kernel_size
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return module.num_embeddings, module.embedding_dim
    return None
