"""Which units the values of a tensor come from, while a network runs.

Beside a tensor there are *maps*, tensors of its shape that hold, for each of its values, the unit that it is
a function of. A function that moves values moves those of the maps, one that works on values one by one
keeps them, pooling keeps them where all of a window belong to one unit. What anything else makes of
values is unknown, and what is made of unknown values is, too: nothing is guessed.

There are several maps where units can be numbered in several ways, as the network's inputs: by value, by
channel, by feature.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .nonlinear import is_of_one_slope, version

#: In a map: of this value it is not known.
_NO_UNIT = -1

#: Work on values one by one; also on pairs of values, if they are of the same unit.
_POINTWISE = frozenset(
    """relu relu6 leaky_relu elu selu celu gelu silu mish sigmoid tanh softplus softsign hardtanh hardswish hardsigmoid
    tanhshrink softshrink hardshrink threshold _threshold rrelu sin cos log_sigmoid logsigmoid expit neg negative
    positive abs exp expm1 log log1p sqrt rsqrt square sign round floor ceil trunc erf reciprocal clamp clip
    clamp_min clamp_max nan_to_num pow add sub subtract rsub mul multiply div divide true_divide maximum minimum
    where masked_fill dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    float half double bfloat16 contiguous clone detach data requires_grad_ cpu cuda""".split()
)
#: What a parameter that is not of a layer's module may do to values: no other unit comes in by a factor.
_SCALES = frozenset("mul multiply div divide true_divide".split())
#: Pointwise of the first tensor, whatever the others are.
_CASTS = frozenset("to type type_as".split())
#: Make values that come from nothing, in the shape of a tensor.
_FRESH = frozenset("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor".split())
#: Make tensors of what is none, behind which there may be one.
_IMPORTS = frozenset("tensor as_tensor asarray from_numpy from_dlpack frombuffer".split())
#: Move values: the same function does the same to a map.
_MOVES = frozenset(
    """view reshape view_as reshape_as flatten unflatten ravel permute transpose swapaxes swapdims movedim moveaxis t T
    mT H mH adjoint squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile __getitem__ select
    narrow index_select chunk split tensor_split split_with_sizes unbind unsafe_chunk unsafe_split roll flip
    fliplr flipud rot90 pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle unfold diagonal
    atleast_1d atleast_2d atleast_3d cat concat concatenate stack hstack vstack dstack column_stack
    gather take_along_dim""".split()
)
#: Work along axes, and keep the unit where all values along them are of one.
_REDUCTIONS = frozenset("mean sum nansum nanmean amax amin max min median".split())
#: Make other positions of positions.
_POOLING = re.compile(
    r"(adaptive_)?(max|avg|lp)_pool([123])d(_with_indices)?|fractional_max_pool([23])d(_with_indices)?"
)
_RESIZING = frozenset("interpolate upsample upsample_nearest upsample_bilinear".split())


@dataclass(frozen=True)
class Origin:
    """What a tensor's values come from: ``maps`` of units, or, where these are empty, what ``what`` says."""

    what: str
    maps: tuple[Tensor, ...] = ()


UNKNOWN = Origin("unknown")
#: Not of the network's inputs.
CONSTANT = Origin("constant")
#: Of a parameter, and not of the network's inputs.
PARAMETER = Origin("parameter")


class Origins(TorchFunctionMode):
    """While it is entered, knows the origins of the tensors that are made."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._origins = WeakTensorKeyDictionary()
        self._constants = {id(buffer) for buffer in model.buffers()}
        self._is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Computing within is nothing that the network does."""
        was_paused, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = was_paused

    def note(self, tensor: Tensor, origin: Origin) -> None:
        """Says what a tensor is, as it is now."""
        self._origins[tensor] = (origin, version(tensor))

    def of(self, tensor: Tensor) -> Origin:
        """What a tensor's values come from; unknown if it was changed where that was not seen."""
        origin, noted_at = self._origins.get(tensor, (None, 0))
        if origin is not None:
            return origin if noted_at == version(tensor) else UNKNOWN
        if isinstance(tensor, nn.Parameter):
            return PARAMETER
        return CONSTANT if id(tensor) in self._constants else UNKNOWN

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._is_paused:
            return func(*args, **kwargs)
        name = _name(func)
        given = [(tensor, self.of(tensor)) for tensor in _tensors((*args, *kwargs.values()))]
        result = func(*args, **kwargs)
        made = list(_tensors([result]))
        if not made:
            return result
        try:
            origins = _origins(name, func, args, kwargs, given, made)
        except Exception:  # A function that does not take a map as it takes the tensor: nothing is known of it.
            origins = [UNKNOWN] * len(made)
        for tensor, origin in zip(made, origins, strict=True):
            self.note(tensor, origin)
        return result


def unit_map(shape: Sequence[int], axis: int, first: int) -> Tensor:
    """A map of units ``first``, ``first + 1``, ... along an axis."""
    units = torch.arange(first, first + shape[axis])
    along = [1] * len(shape)
    along[axis] = shape[axis]
    return units.view(along).expand(*shape)


def input_maps(shape: Sequence[int], first: int) -> tuple[Tensor, ...]:
    """The maps of an input of samples along axis 0: by value, by channel, by feature.

    A layer of a sequence's features hears the features, one of an image's channels the channels.
    """
    if len(shape) < 2:
        return (torch.full(tuple(shape), first),)
    by_value = unit_map((shape[0], torch.Size(shape[1:]).numel()), 1, first).reshape(tuple(shape))
    if len(shape) == 2:
        return (by_value,)
    return by_value, unit_map(shape, 1, first), unit_map(shape, len(shape) - 1, first)


def units_along(origin: Origin, axis: int) -> list[int] | None:
    """The units along an axis, if they are the same at all places besides; None if that is not known."""
    for each in origin.maps:
        if not -each.dim() <= axis < each.dim():
            continue
        rows = each.movedim(axis, -1).reshape(-1, each.shape[axis])
        if rows.shape[0] and bool((rows == rows[0]).all()) and bool((rows[0] != _NO_UNIT).all()):
            return [int(unit) for unit in rows[0]]
    return None


def _name(func: Any) -> str:
    """How a function is called, without regard to whether it works in place."""
    name = getattr(func, "__name__", "")
    if name == "__get__":  # A property, as `x.T`.
        name = getattr(getattr(func, "__self__", None), "__name__", "")
    if name.startswith("__") and name != "__getitem__":
        return {"__rdiv__": "div", "__rsub__": "sub", "__rpow__": "pow"}.get(name, name)
    return name if name in _POINTWISE or not name.endswith("_") or name.endswith("__") else name[:-1]


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())


def _origins(
    name: str, func: Any, args: Any, kwargs: Any, given: list[tuple[Tensor, Origin]], made: list[Tensor]
) -> list[Origin]:
    """What a function's results come from."""
    if name in _IMPORTS and made[0].dim() > 0:
        return [UNKNOWN] * len(made)
    if name in _FRESH or all(origin in (CONSTANT, PARAMETER) for _, origin in given):
        is_constant = name in _FRESH or not any(origin is PARAMETER for _, origin in given)
        return [CONSTANT if is_constant else PARAMETER] * len(made)
    first, others = made[0], [UNKNOWN] * (len(made) - 1)
    if name in _CASTS or (name == "prelu" and is_of_one_slope(args, kwargs)):
        return [given[0][1], *others]
    if name in _POINTWISE or (name == "batch_norm" and _has_no_weight(args, kwargs)):
        return [_pointwise(name, [origin for _, origin in given], first.shape), *others]
    if name in _MOVES:
        return _moved(func, args, kwargs, given, made)
    source = given[0][1]
    num_axes = _num_positions(name, args, kwargs, first)
    if num_axes:
        return [Origin("units", tuple(_pooled(each, num_axes, first.shape) for each in source.maps)), *others]
    if name in _REDUCTIONS:
        dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
        keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
        if isinstance(dim, int | tuple | list | None) and isinstance(keepdim, bool):
            return [Origin("units", tuple(_reduced(each, dim, keepdim) for each in source.maps)), *others]
    return [UNKNOWN] * len(made)


def _pointwise(name: str, origins: list[Origin], shape: torch.Size) -> Origin:
    if any(origin is UNKNOWN for origin in origins):
        return UNKNOWN
    if any(origin is PARAMETER for origin in origins) and name not in _SCALES:
        return UNKNOWN
    known = [[each.broadcast_to(shape) for each in origin.maps] for origin in origins if origin.maps]
    same = [maps[0] for maps in zip(*known, strict=False) if all(torch.equal(maps[0], each) for each in maps)]
    return Origin("units", tuple(same)) if same else UNKNOWN


def _moved(
    func: Callable[..., Any], args: Any, kwargs: Any, given: list[tuple[Tensor, Origin]], made: list[Tensor]
) -> list[Origin]:
    """Does to the maps what was done to the tensor, or to the tensors that were put together."""
    if isinstance(args[0], tuple | list):
        parts = given
    else:
        parts, indices = given[:1], given[1:]
        # Which values an index that comes from values picks is different for other inputs.
        if any(origin not in (CONSTANT, PARAMETER) for _, origin in indices) and len(made) == 1:
            return [_picked(func, args, kwargs, parts[0][1], made[0])]
    maps: list[list[Tensor]] = []
    for number in range(max(len(origin.maps) for _, origin in parts)):
        filled = [
            origin.maps[min(number, len(origin.maps) - 1)] if origin.maps else torch.full(tensor.shape, _NO_UNIT)
            for tensor, origin in parts
        ]
        result = func(filled if isinstance(args[0], tuple | list) else filled[0], *_on_cpu(args[1:]), **kwargs)
        maps.append(list(_tensors([result])))
    return [Origin("units", tuple(each)) if each else UNKNOWN for each in zip(*maps, strict=True)] or [UNKNOWN] * len(
        made
    )


def _picked(func: Callable[..., Any], args: Any, kwargs: Any, origin: Origin, made: Tensor) -> Origin:
    """What an index picks of values whose units lie along the last axis and are the same everywhere."""
    picked = []
    for each in origin.maps:
        units = each.reshape(-1, each.shape[-1])[0]
        if made.shape[-1:] == units.shape and torch.equal(each, units.expand_as(each)):
            result = func(each, *_on_cpu(args[1:]), **kwargs)
            if torch.equal(result, units.expand_as(result)):
                picked.append(result)
    return Origin("units", tuple(picked)) if picked else UNKNOWN


def _on_cpu(args: Any) -> Any:
    """Indices where maps are."""
    if isinstance(args, Tensor):
        return args.cpu()
    return type(args)(_on_cpu(arg) for arg in args) if type(args) in (tuple, list) else args


def _num_positions(name: str, args: Any, kwargs: Any, made: Tensor) -> int:
    """Of a function that makes other positions of positions, how many axes these have; 0 of any other."""
    pooling = _POOLING.fullmatch(name)
    if pooling is not None:
        return int(pooling[3] or pooling[5])
    if name in _RESIZING:
        return made.dim() - 2
    if name == "pad":
        return len(args[1] if len(args) > 1 else kwargs["pad"]) // 2
    return 0


def _pooled(each: Tensor, num_axes: int, shape: torch.Size) -> Tensor:
    """A map of other positions along the last axes."""
    axes = tuple(range(-num_axes, 0))
    return _reduced(each, axes, keepdim=True).expand(shape)


def _reduced(each: Tensor, dim: int | Sequence[int] | None, keepdim: bool) -> Tensor:
    axes = tuple(range(each.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    low, high = each.amin(axes, keepdim=keepdim), each.amax(axes, keepdim=keepdim)
    return torch.where(low == high, low, _NO_UNIT)


def _has_no_weight(args: Any, kwargs: Any) -> bool:
    """Of normalisation by running means: whether it only shifts and scales by what is kept."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    given = dict(zip(names, args, strict=False)) | kwargs
    return given.get("weight") is None and given.get("bias") is None and not given.get("training")
