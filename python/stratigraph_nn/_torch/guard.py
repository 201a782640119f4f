"""A look at a network that leaves no trace on its training."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .errors import is_device_error
from .nonlinear import is_dense

#: Whatever is random during a look is drawn from here, so that two looks see the same.
_SEED = 0


@contextmanager
def undisturbed(model: nn.Module, generators: Iterable[torch.Generator] = ()) -> Iterator[Callable[[], None]]:
    """Puts a network into evaluation mode without gradients, and everything back at the end, also after an
    exception:

    - of every module whether it trains, and what its attributes refer to;
    - of every parameter ``requires_grad`` and ``.grad``, of every buffer the values;
    - the states of random generators: of the CPU, of the devices that the network is on, of ``random``, of
      numpy if it is in use, and of ``generators``. Within, all of them begin at the same seed each time;
    - gradient mode, the cache of autocast, the fast path of attention (which calls no modules inside), and
      whether compiled code is used (it is not: hooks would change it).

    Evaluation mode is set as an attribute of each module: ``train()`` of somebody's own may do more than
    that. What a module changes inside of its attributes' objects is its own.

    Gives what puts all generators back to that seed, for whoever looks several times.
    """
    modules = list(model.modules())
    parameters = list(_unique(parameter for module in modules for parameter in module._parameters.values()))
    with ExitStack() as stack:
        stack.enter_context(_attributes(modules))
        stack.enter_context(_parameters(parameters))
        stack.enter_context(_buffers(modules))
        again = stack.enter_context(_random_states(_devices(parameters, modules), list(generators)))
        stack.enter_context(_global_switches())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule):
                stack.callback(setattr, module, "training", module.training)
                module.training = False
            elif module.training:
                module.__dict__["training"] = False
        yield again


def _unique(tensors: Iterable[torch.Tensor | None]) -> Iterable[torch.Tensor]:
    return {id(tensor): tensor for tensor in tensors if tensor is not None}.values()


@contextmanager
def _attributes(modules: list[nn.Module]) -> Iterator[None]:
    """Puts back what the attributes of modules refer to, ``training`` among them."""
    before = [(module, dict(module.__dict__)) for module in modules]
    try:
        yield
    finally:
        for module, attributes in before:
            current = module.__dict__
            for name in [name for name in current if name not in attributes]:
                del current[name]
            for name, value in attributes.items():
                if name not in current or current[name] is not value:
                    current[name] = value


@contextmanager
def _parameters(parameters: list[torch.Tensor]) -> Iterator[None]:
    before = [(parameter, parameter.requires_grad, parameter.grad) for parameter in parameters]
    try:
        yield
    finally:
        for parameter, requires_grad, grad in before:
            if parameter.requires_grad is not requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not grad:
                parameter.grad = grad


@contextmanager
def _buffers(modules: list[nn.Module]) -> Iterator[None]:
    """Keeps a copy of all buffers, since no mode keeps a module from changing them."""
    modules = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    before = [
        (module, name, buffer, None if buffer is None or buffer.is_meta else buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
    ]
    names = [(module, set(module._buffers)) for module in modules]
    try:
        yield
    finally:
        for module, known in names:
            for name in set(module._buffers) - known:
                del module._buffers[name]
        with torch.no_grad():
            for module, name, buffer, values in before:
                if module._buffers.get(name) is not buffer or name not in module._buffers:
                    module._buffers[name] = buffer
                # A write is avoided where it changes nothing: autograd counts it.
                if buffer is not None and values is not None and not _same(buffer, values):
                    module._buffers[name] = _put_back(buffer, values)


def _put_back(buffer: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The buffer with the values that it had; in its place those, where PyTorch cannot write them into it."""
    try:
        if is_dense(buffer):
            return buffer.resize_(values.shape).copy_(values)
        return buffer.copy_(values)
    except (RuntimeError, NotImplementedError) as error:
        if is_device_error(error):
            raise
        return values


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.layout != right.layout or left.is_nested != right.is_nested:
        return False
    parts = _parts(left), _parts(right)
    return len(parts[0]) == len(parts[1]) and all(map(_same_values, *parts))


def _parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The dense tensors that a sparse or a nested one is made of."""
    if tensor.is_nested:
        return tensor.unbind()
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)


def _same_values(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape:
        return False
    if left.is_floating_point() and left.element_size() > 1:
        return bool(torch.isclose(left, right, rtol=0, atol=0, equal_nan=True).all())
    return torch.equal(left, right)


@contextmanager
def _random_states(devices: list[torch.device], generators: list[torch.Generator]) -> Iterator[Callable[[], None]]:
    # Importing numpy would be somebody's business.
    numpy_random = sys.modules.get("numpy.random")

    def seed() -> None:
        for generator in (torch.default_generator, *generators):
            generator.manual_seed(_SEED)
        for device in devices:
            module: Any = torch.get_device_module(device)
            with module.device(device):
                module.manual_seed(_SEED)
        random.seed(_SEED)
        if numpy_random is not None:
            numpy_random.seed(_SEED)

    with ExitStack() as stack:
        for generator in (torch.default_generator, *generators):
            stack.callback(generator.set_state, generator.get_state())
        for device in devices:
            of_device: Any = torch.get_device_module(device)
            stack.callback(of_device.set_rng_state, of_device.get_rng_state(device), device)
        stack.callback(random.setstate, random.getstate())
        if numpy_random is not None:
            stack.callback(numpy_random.set_state, numpy_random.get_state())
        seed()
        yield seed


def _devices(parameters: list[torch.Tensor], modules: list[nn.Module]) -> list[torch.device]:
    """The accelerators that a network is on, and the one in use."""
    buffers = _unique(buffer for module in modules for buffer in module._buffers.values())
    devices = {tensor.device for tensor in (*parameters, *buffers) if tensor.device.type in ("cuda", "xpu")}
    if torch.cuda.is_initialized():
        devices.add(torch.device("cuda", torch.cuda.current_device()))
    return sorted(devices, key=str)


@contextmanager
def _global_switches() -> Iterator[None]:
    with ExitStack() as stack:
        # What autocast makes of a parameter without gradients must not be used with gradients.
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        torch.set_autocast_cache_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
