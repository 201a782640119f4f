"""A look at a network leaves nothing behind."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stratigraph_nn._torch.evaluate import evaluate
from stratigraph_nn._torch.guard import undisturbed
from stratigraph_nn._torch.layers import describe
from stratigraph_nn._torch.probe import probe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Restless(nn.Module):
    """Changes whatever a forward pass can change."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.bn = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.out = nn.Linear(4, 2)
        self.register_buffer("average", torch.zeros(4))
        self.register_buffer("replaced", torch.ones(4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.state: Tensor | None = None
        self.fails = False
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training and not self.bn.training and not self.dropout.training
        assert not torch.is_grad_enabled() and not torch.backends.mha.get_fastpath_enabled()
        hidden = self.frozen(self.dropout(self.bn(torch.relu(self.fc(x)))))
        self.average.mul_(0.9).add_(hidden.mean(0) + 1)
        self.replaced = self.replaced * 2
        self.count += 1
        self.state = hidden
        self.another = hidden
        self.register_buffer("late", hidden.mean(0))
        self.out.requires_grad_(False)
        self.out.weight.grad = torch.ones_like(self.out.weight)
        hidden = hidden + torch.rand(()) + random.random() + np.random.rand()
        if self.fails:
            raise KeyboardInterrupt
        return self.out(hidden)


def everything(model: nn.Module) -> dict[str, Any]:
    state: dict[str, Any] = {f"state {name}": tensor.clone() for name, tensor in model.state_dict().items()}
    for path, module in model.named_modules():
        state[f"training {path}"] = module.training
        state[f"attributes {path}"] = {name: id(value) for name, value in module.__dict__.items()}
        state[f"hooks {path}"] = [len(module._forward_hooks), len(module._forward_pre_hooks)]
    for name, buffer in model.named_buffers():
        state[f"buffer {name}"] = id(buffer)
    for name, parameter in model.named_parameters():
        state[f"requires_grad {name}"] = parameter.requires_grad
        state[f"grad {name}"] = None if parameter.grad is None else (id(parameter.grad), parameter.grad.clone())
        state[f"version {name}"] = parameter._version
    state["random"] = random.getstate()
    state["numpy"] = np.random.get_state()
    state["torch"] = torch.get_rng_state()
    state["switches"] = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_cache_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    )
    return state


def assert_same(before: Any, after: Any) -> None:
    assert type(before) is type(after)
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert (before == after).all()
    elif isinstance(before, tuple | list):
        assert len(before) == len(after)
        for each, other in zip(before, after, strict=True):
            assert_same(each, other)
    else:
        assert before == after


def restless() -> Restless:
    model = Restless()
    # A network in the middle of its training: part of it is frozen, gradients are there.
    model.train()
    model.frozen.eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    model.out.weight.grad = None
    return model


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("what", ["probe", "evaluate"])
def test_everything_is_as_it_was(what: str, fails: bool) -> None:
    model = restless()
    network = describe(model)
    x, y = torch.randn(8, 3), torch.randint(0, 2, (8,))
    model.fails = fails
    before = everything(model)

    def look() -> None:
        if what == "probe":
            probe(network, [x])
        else:
            evaluate(network, (x, y))

    if fails:
        with pytest.raises(KeyboardInterrupt):
            look()
    else:
        look()
    assert_same(before, everything(model))


def test_two_looks_see_the_same() -> None:
    network = describe(restless())
    held_out = torch.randn(8, 3), torch.randint(0, 2, (8,))
    first = evaluate(network, held_out)
    random.random(), np.random.rand(), torch.rand(3)
    assert torch.equal(first.logits, evaluate(network, held_out).logits)


def test_train_of_ones_own_is_not_called() -> None:
    class Merging(nn.Linear):
        def train(self, mode: bool = True) -> Merging:
            raise AssertionError("adapters that merge themselves would change their weights")

    model = nn.Sequential(Merging(2, 2))
    with undisturbed(model):
        assert not model[0].training
    assert model[0].training


def test_inference_mode_and_autocast_around_it() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x, y = torch.randn(8, 3), torch.randint(0, 2, (8,))
    network = describe(model)
    plain = evaluate(network, (x, y)).logits
    with torch.inference_mode():
        probe(network, [torch.randn(2, 3)])
        assert torch.equal(evaluate(network, (x, y)).logits, plain)
        assert torch.is_inference_mode_enabled()
    with torch.autocast("cpu", torch.bfloat16):
        evaluate(network, (x, y))
        # What was cast without gradients must not be used now.
        model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_training_goes_on_bit_by_bit_the_same() -> None:
    def trained(looks: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 3)
        )
        optimizer = torch.optim.Adam(model.parameters())
        network = describe(model)
        for step in range(6):
            x, y = torch.randn(8, 1, 6, 6), torch.randint(0, 3, (8,))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            if looks and step == 2:
                # Between forward and backward.
                probe(network, [x])
            loss.backward()
            if looks:
                evaluate(network, (x, y), batch_size=3)
            optimizer.step()
        return [tensor.clone() for tensor in model.state_dict().values()]

    for off, on in zip(trained(False), trained(True), strict=True):
        assert torch.equal(off, on)


def test_generators_of_a_loader_are_put_back() -> None:
    data = torch.utils.data.TensorDataset(torch.randn(10, 3), torch.arange(10) % 2)
    generator = torch.Generator().manual_seed(5)
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, generator=generator)
    network = describe(nn.Linear(3, 2))
    state = generator.get_state()
    first = evaluate(network, loader)
    assert torch.equal(generator.get_state(), state)
    # A sample has the same place each time.
    assert torch.equal(first.logits, evaluate(network, loader).logits)


class Graph(nn.Module):
    """With a matrix of what is a neighbour of what, and a buffer behind it."""

    def __init__(self, neighbours: Tensor, changes: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("count", torch.zeros(2))
        self._changes = changes

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        if self._changes and not self.neighbours.is_nested:
            self.neighbours.mul_(0.5)
        elif self._changes:
            for part in self.neighbours.unbind():
                part.mul_(0.5)
        return self.layer(x)


def kinds_of_neighbours() -> dict[str, Tensor]:
    dense = torch.eye(6)
    return {
        "coo": dense.to_sparse(),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((2, 2)),
        "nested": torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)]),
        "jagged": torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)], layout=torch.jagged),
        "complex": torch.ones(3, dtype=torch.complex64),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    }


@pytest.mark.filterwarnings("ignore:.*beta state:UserWarning", "ignore:.*prototype:UserWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated:UserWarning")
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("what", ["probe", "evaluate"])
@pytest.mark.parametrize("kind", kinds_of_neighbours())
def test_buffers_that_are_not_dense_stay_as_they_are(kind: str, what: str, changes: bool) -> None:
    neighbours = kinds_of_neighbours()[kind]
    if changes and kind in ("bsr", "csc", "quantised"):
        pytest.skip("PyTorch does not change them in place")
    model = Graph(neighbours, changes)
    network = describe(model, leave_out=lambda _: True)
    version = neighbours._version
    if what == "probe":
        probe(network, [torch.randn(6, 4)])
    else:
        evaluate(network, (torch.randn(6, 4), torch.arange(6) % 3))
    assert torch.equal(model.count, torch.zeros(2)) and model.training
    before = kinds_of_neighbours()[kind]
    parts = [each.unbind() if each.is_nested else [each] for each in (model.neighbours, before)]
    for part, expected in zip(*parts, strict=True):
        assert part.layout == expected.layout
        if part.layout != torch.strided:
            part, expected = part.to_dense(), expected.to_dense()
        assert torch.equal(part, expected)
    if not changes:
        assert model.neighbours is neighbours and neighbours._version == version


@pytest.mark.parametrize("what", ["probe", "evaluate"])
def test_no_tensors_are_kept(what: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network = describe(model)
    x = torch.randn(4, 3)
    alive: list[Any] = [weakref.ref(x)]
    handle = model[0].register_forward_hook(lambda module, args, output: alive.append(weakref.ref(output)))
    # Without a collection: memory of a training must not wait for one.
    gc.collect()
    gc.disable()
    try:
        if what == "probe":
            probe(network, [x])
        else:
            result = evaluate(network, (x, torch.zeros(4, dtype=torch.int64)))
            alive += [weakref.ref(result.logits), *map(weakref.ref, result.activations.values())]
            assert len(alive) == 5
            del result
        del x
        assert len(alive) >= 2 and all(each() is None for each in alive)
    finally:
        gc.enable()
        handle.remove()
