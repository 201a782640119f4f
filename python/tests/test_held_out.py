"""What held-out samples make, recorded: by captures of steps, where samples and outputs do not go together, and where
the first call is mistaken."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torch.utils.data.distributed import DistributedSampler

import stratigraph_nn as sg
from stratigraph_nn._torch.held_out import Wholes, whole
from stratigraph_nn._torch.network import TorchNetwork
from stratigraph_nn._torch.ranks import SameSamples


def perceptron() -> tuple[nn.Sequential, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 6, generator=generator), torch.randint(0, 3, (20,), generator=generator)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    x, y = samples()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


@contextmanager
def said() -> Iterator[list[str]]:
    """What is warned of within, without the run's path."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    messages = [str(each.message) for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    found += [message.partition(": ")[2] if message.startswith("/") else message for message in messages]


def captured(run: Path, table: str) -> set[tuple[int, int]]:
    return {(row["epoch"], row["step"]) for row in runs.rows(run, table)}


def test_samples_that_epochs_are_given_are_those_of_the_steps_after_them(tmp_path: Path) -> None:
    model, optimizer = perceptron()
    run, expected = tmp_path / "run", {}
    with said() as messages, sg.record(model, run, optimizer=optimizer, every="2steps") as rec:
        for _ in range(3):
            for _ in range(4):
                step(model, optimizer)
                expected[rec.num_steps] = model(samples()[0]).detach().numpy().copy()
            rec.epoch(held_out=samples())
    assert runs.captures(run) == [(0, 2), (0, 4), (1, 6), (1, 8), (2, 10), (2, 12)]
    later = {(1, 6), (1, 8), (2, 10), (2, 12)}
    assert captured(run, "activations") == later and captured(run, "classifications") == later
    (message,) = messages
    assert "steps were captured without what held-out samples make" in message and "held_out=" in message
    for key, rows in runs.Values(run, "activations").rows.items():
        if key[2] == "L_2":
            recorded = np.array([row["activations"] for row in rows]).T
            np.testing.assert_allclose(recorded, expected[key[1]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["record", "once", "nothing"])
def test_steps_have_samples_where_record_is_given_them_or_none_are(how: str, tmp_path: Path) -> None:
    model, optimizer = perceptron()
    run, x, y = tmp_path / "run", *samples()
    options: dict[str, Any] = {"held_out": (x, y)} if how == "record" else {}
    with said() as messages, sg.record(model, run, optimizer=optimizer, every="2steps", **options) as rec:
        for _ in range(2):
            for _ in range(2):
                step(model, optimizer)
            # What is gone through but once is not kept for later.
            rec.epoch(held_out=iter([(x, y)]) if how == "once" else None)
    assert messages == []
    assert captured(run, "activations") == ({(0, 2), (1, 4)} if how == "record" else set())


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda rec, x, y: rec.epoch(held_out=(x, y[:19])), "inputs of 20 samples and targets of 19"),
        (lambda rec, x, y: rec.epoch(held_out=(x.tolist(), y.tolist())), "inputs of 6 samples and targets of 20"),
        (lambda rec, x, y: rec.epoch(0.5, (x, y)), "a loss is given as train_loss="),
        (lambda rec, x, y: rec.epoch(torch.tensor(0.5), (x, y)), "a loss is given as train_loss="),
        (lambda rec, x, y: rec.epoch(-7, (x, y)), "an epoch is -1 at least"),
    ],
)
@pytest.mark.parametrize("comes_at", [0, 1])
def test_a_mistaken_call_ends_nothing_wherever_it_comes(
    mistake: Callable[[sg.Recorder, Tensor, Tensor], Any], words: str, comes_at: int, tmp_path: Path
) -> None:
    model, optimizer = perceptron()
    run, x, y = tmp_path / "run", *samples()
    with said() as messages, sg.record(model, run, optimizer=optimizer) as rec:
        for number in range(3):
            step(model, optimizer)
            if number == comes_at:
                mistake(rec, x, y)
            else:
                assert rec.epoch(held_out=(x, y))
    assert len(messages) == 1 and words in messages[0], messages
    has_network = "samples" in words
    assert len(runs.captures(run)) == 2 + has_network
    assert len(captured(run, "activations")) == 2
    assert rec.summary is not None and rec.summary["captures"] == 2 + has_network
    assert sg.open(run).verify().is_finished == has_network


def test_arrays_that_are_none_end_nothing(tmp_path: Path) -> None:
    state = {"a.weight": np.ones((2, 2), np.float32)}
    with said() as messages, sg.record(None, tmp_path / "run") as rec:
        assert not rec.capture({})
        assert not rec.capture({"a.weight": "text"})
        assert rec.capture(state)
    assert len(messages) == 2 and len(runs.captures(tmp_path / "run")) == 1


class Tokens(nn.Module):
    """Says something of each token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Embedding(9, 4), nn.Linear(4, 5), nn.Linear(5, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.embed(tokens))))


def test_what_is_said_of_each_token_has_activations_by_sample(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, run = Tokens(), tmp_path / "run"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tokens = torch.randint(0, 9, (10, 7))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(tokens, tokens), batch_size=4)
    with said() as messages, sg.record(model, run, optimizer=optimizer, batch_size=4) as rec:
        for held_out in ((tokens, tokens), loader):
            optimizer.zero_grad()
            F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
            optimizer.step()
            assert rec.epoch(held_out=held_out)
    (message,) = messages
    assert message.startswith("classifications are left out: the network's outputs are [4, 7, 9], targets [4, 7]")
    assert captured(run, "classifications") == set()
    activations = runs.Values(run, "activations").rows
    assert set(activations) == {(e, e + 1, layer) for e in (0, 1) for layer in ("embed", "hidden", "head")}
    with torch.no_grad():
        hidden = torch.relu(model.hidden(model.embed(tokens)))
        expected = {"embed": model.embed(tokens), "hidden": hidden, "head": model.head(hidden)}
    for label, values in expected.items():
        recorded = np.array([row["activations"] for row in activations[1, 2, label]]).T
        np.testing.assert_allclose(recorded, values.mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("what", ["a class that is none", "outputs without logits", "targets that are no tensor"])
def test_activations_do_not_need_what_the_outputs_mean(what: str, tmp_path: Path) -> None:
    class Named(nn.Sequential):
        def forward(self, x: Tensor) -> Any:
            made = super().forward(x)
            return {"boxes": made, "scores": made} if what == "outputs without logits" else made

    torch.manual_seed(0)
    model, run, (x, y) = Named(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), tmp_path / "run", samples()
    y[4] = -100 if what == "a class that is none" else 1
    held_out: Any = [(x, ["text"])] if what == "targets that are no tensor" else (x, y)
    with said() as messages, sg.record(model, run) as rec:
        model(x)
        rec.step()
        assert rec.epoch(held_out=held_out)
    assert len(messages) == 1 and messages[0].startswith("classifications are left out: "), messages
    recorded = np.array([row["activations"] for row in runs.Values(run, "activations").rows[0, 1, "L_0"]]).T
    np.testing.assert_allclose(recorded, torch.relu(model[0](x)).detach(), rtol=1e-5, atol=1e-6)


def test_what_libraries_share_out_is_taken_as_a_whole() -> None:
    accelerate = pytest.importorskip("accelerate.data_loader", exc_type=ImportError)
    x, y = torch.arange(11.0).unsqueeze(1), torch.arange(11)
    data, half = TensorDataset(x, y), TensorDataset(x[:5], y[:5])
    loader = DataLoader(data, batch_size=2)

    def samples(given: Any) -> list[int]:
        return [int(each) for _, targets in given for each in targets.reshape(-1)]

    def shared(loader: Any, **options: Any) -> Any:
        return accelerate.prepare_data_loader(loader, num_processes=2, process_index=1, **options)

    for given, expected in (
        (DataLoader(data, batch_size=2, sampler=DistributedSampler(data, 2, 1, shuffle=False)), range(11)),
        (DataLoader(data, batch_size=None, sampler=DistributedSampler(data, 2, 1)), range(11)),
        (shared(loader), range(11)),
        (shared(loader, split_batches=True), range(11)),
        (shared(DataLoader(data, batch_size=3, sampler=range(2, 8))), range(2, 8)),
        # Samples of a loader that are no shares stay as they come.
        (DataLoader(data, batch_size=2, sampler=range(3, 7)), range(3, 7)),
        (DataLoader(data, batch_size=2, sampler=DistributedSampler(half, 2, 1, shuffle=False)), [1, 3, 0]),
    ):
        assert samples(whole(given)) == list(expected), given
    assert whole((x, y)) == (x, y) and whole(loader) is loader
    assert whole(shared(loader)).collate_fn is loader.collate_fn


def collated(batch: Any) -> Any:
    return default_collate(batch)


def begun(worker: int) -> None:
    pass


def loader_with_workers(**options: Any) -> DataLoader[Any]:
    x, y = torch.arange(11.0).unsqueeze(1), torch.arange(11)
    return DataLoader(
        TensorDataset(x, y),
        num_workers=2,
        collate_fn=collated,
        worker_init_fn=begun,
        multiprocessing_context="fork",
        timeout=60,
        prefetch_factor=3,
        persistent_workers=True,
        pin_memory=True,
        **options,
    )


@pytest.mark.parametrize("by", ["torch", "accelerate"])
def test_a_loader_taken_as_a_whole_works_as_it_was_made_to_and_drops_nothing(by: str) -> None:
    if by == "torch":
        data = TensorDataset(torch.arange(11.0).unsqueeze(1), torch.arange(11))
        sampler = DistributedSampler(data, 2, 1, shuffle=False, drop_last=True)
        given: Any = loader_with_workers(batch_size=4, sampler=sampler, drop_last=True)
        sampler.dataset = given.dataset
    else:
        accelerate = pytest.importorskip("accelerate.data_loader", exc_type=ImportError)
        plain = loader_with_workers(batch_size=4, drop_last=True)
        given = accelerate.prepare_data_loader(plain, num_processes=2, process_index=1)
    made = whole(given)
    assert made is not given and list(made.batch_sampler) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    for name in ("num_workers", "collate_fn", "worker_init_fn", "timeout", "prefetch_factor", "dataset"):
        assert getattr(made, name) == getattr(given, name), name
    assert made.num_workers == 2 and made.collate_fn is collated and made.worker_init_fn is begun
    assert (made.timeout, made.prefetch_factor, made.persistent_workers, made.pin_memory) == (60, 3, True, True)
    assert made.multiprocessing_context.get_start_method() == "fork"


@pytest.mark.parametrize("looks_by", ["evaluate", "_first_of"])
def test_a_loader_that_breaks_is_made_anew_for_the_next_look(looks_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(TensorDataset):
        fails = True

        def __getitem__(self, index: Any) -> Any:
            if self.fails:
                raise OSError("a worker has died")
            return super().__getitem__(index)

    data = Broken(torch.ones(11, 4), torch.zeros(11, dtype=torch.long))
    given = DataLoader(data, batch_size=4, sampler=DistributedSampler(data, 2, 1))
    unset: Any = dict.fromkeys(("labels", "loss", "batch_size", "scaler"))
    network = TorchNetwork(nn.Sequential(nn.Linear(4, 3)), None, example=torch.ones(1, 4), globs=[], **unset)
    # As where several processes train it.
    network._same_samples = SameSamples("key")
    monkeypatch.setattr(SameSamples, "differs", lambda *_: None)
    network.describe(None)

    def look() -> Any:
        return network.evaluate(given, [0]) if looks_by == "evaluate" else network._first_of(given)

    before = network._wholes(given)
    if looks_by == "evaluate":
        with pytest.raises(OSError, match="has died"):
            look()
    else:
        assert look() is None
    made = network._wholes(given)
    assert made is not before
    data.fails = False
    assert look() is not None and network._wholes(given) is made


@pytest.mark.parametrize("by", ["torch", "accelerate"])
def test_a_loader_is_taken_as_a_whole_once(by: str) -> None:
    data = TensorDataset(torch.arange(11.0).unsqueeze(1), torch.arange(11))

    def shared_out() -> Any:
        if by == "torch":
            return DataLoader(data, batch_size=4, sampler=DistributedSampler(data, 2, 1))
        accelerate = pytest.importorskip("accelerate.data_loader", exc_type=ImportError)
        return accelerate.prepare_data_loader(DataLoader(data, batch_size=4), num_processes=2, process_index=1)

    given = shared_out()
    wholes, plain, pair = Wholes(), DataLoader(data), (data.tensors[0], data.tensors[1])
    made = weakref.ref(wholes(given))
    assert made() is not None and wholes(given) is made() is not given
    assert wholes(plain) is plain and wholes(pair) is pair
    # Neither the loader that was given nor what was made of it is kept longer than it is used.
    of_plain = weakref.ref(plain)
    del given, plain
    gc.collect()
    assert made() is None and of_plain() is None
    again = shared_out()
    made = weakref.ref(wholes(again))
    wholes.forget()
    gc.collect()
    assert made() is None
