"""Which steps are counted and captured, and which gradients and moments belong to them."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stratigraph_nn as sg
from stratigraph_nn._torch.steps import Steps

GRADIENTS = ("weights", "metrics", "gradients", "gradients_applied", "moments")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def loss_of(model: nn.Module, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 6, generator=generator)
    return F.cross_entropy(model(x), torch.randint(0, 3, (8,), generator=generator))


class Kept:
    """What gradients, moments and parameters were, by step."""

    def __init__(self, model: nn.Sequential) -> None:
        self.model = model
        self.values: dict[tuple[str, int, str], Tensor] = {}

    def keep(self, kind: str, step: int, factor: float = 1.0) -> None:
        for name, parameter in self.model.named_parameters():
            value = parameter.detach() if kind == "weights" else parameter.grad
            if value is not None:
                self.values[kind, step, name] = value.clone() * factor

    def check(self, run: Path, kind: str, epoch: int, step: int) -> None:
        values = runs.Values(run, kind)
        for label, path in (("L_0", "0"), ("L_2", "2")):
            key = (epoch, step, label)
            assert runs.same_bits(values.weight(*key), self.values[kind, step, f"{path}.weight"]), (kind, key)
            assert runs.same_bits(values.bias(*key), self.values[kind, step, f"{path}.bias"]), (kind, key)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("every", ["1steps", "3steps", "1epoch", "2epochs"])
def test_gradients_as_they_were_made_and_as_they_were_applied(every: str, set_to_none: bool, tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    kept = Kept(model)
    moments: dict[int, dict[str, Tensor]] = {}
    with sg.record(
        model, tmp_path / "run", optimizer=optimizer, every=every, record=GRADIENTS, epochs=4, steps_per_epoch=2
    ) as rec:
        for _ in range(4):
            for _ in range(2):
                optimizer.zero_grad(set_to_none=set_to_none)
                for part in range(2):
                    (loss_of(model, rec.num_steps * 2 + part) / 2).backward()
                kept.keep("gradients", rec.num_steps + 1)
                nn.utils.clip_grad_norm_(model.parameters(), 0.01)
                kept.keep("gradients_applied", rec.num_steps + 1)
                optimizer.step()
                kept.keep("weights", rec.num_steps)
                moments[rec.num_steps] = {
                    f"{name} {moment}": optimizer.state[parameter][moment].clone()
                    for name, parameter in model.named_parameters()
                    for moment in ("exp_avg", "exp_avg_sq")
                }
            schedule.step()
            optimizer.zero_grad(set_to_none=set_to_none)
            rec.epoch()
    expected = {
        "1steps": [(step // 2, step + 1) for step in range(8)],
        "3steps": [(1, 3), (2, 6), (3, 8)],
        "1epoch": [(0, 2), (1, 4), (2, 6), (3, 8)],
        "2epochs": [(0, 2), (2, 6), (3, 8)],
    }[every]
    captured = runs.captures(tmp_path / "run")
    assert captured == expected
    for epoch, step in captured:
        for kind in ("gradients", "gradients_applied", "weights"):
            kept.check(tmp_path / "run", kind, epoch, step)
        recorded = runs.Values(tmp_path / "run", "moments")
        for number, moment in ((1, "exp_avg"), (2, "exp_avg_sq")):
            key = (epoch, step, "L_2", f"moment_{number}")
            assert runs.same_bits(recorded.weight(*key), moments[step][f"2.weight {moment}"])
            assert runs.same_bits(recorded.bias(*key), moments[step][f"2.bias {moment}"])


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_that_were_handed_over_are_in_memory_that_is_written_no_more(
    set_to_none: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder's thread reads it at some time later, and nobody copies it before."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    kinds = ["gradients", "gradients_applied"]
    handed_over: list[tuple[Tensor, Tensor]] = []
    with sg.record(model, tmp_path / "run", optimizer=optimizer, every="1steps", record=kinds) as rec:
        parts = rec._network.parts

        def seen(*arguments: Any) -> list[Any]:
            made = parts(*arguments)
            handed_over.extend((part[2], part[2].clone()) for part in made if part[4] is True)
            return made

        monkeypatch.setattr(rec._network, "parts", seen)
        for step in range(6):
            optimizer.zero_grad(set_to_none=set_to_none)
            loss_of(model, step).backward()
            optimizer.step()
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.fill_(step)
    # Of two kinds and two layers.
    assert len(handed_over) == 6 * 2 * 2
    assert all(torch.equal(now, then) for now, then in handed_over)


@pytest.mark.parametrize("is_known", [True, False])
def test_epochs_of_different_lengths_have_the_gradients_of_their_last_steps(is_known: bool, tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = Kept(model)
    lengths = [3, 5, 4, 3]
    steps_per_epoch = 3 if is_known else None
    with sg.record(
        model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, steps_per_epoch=steps_per_epoch
    ) as rec:
        for length in lengths:
            for _ in range(length):
                optimizer.zero_grad()
                loss_of(model, rec.num_steps).backward()
                kept.keep("gradients", rec.num_steps + 1)
                optimizer.step()
            rec.epoch()
    for epoch, step in runs.captures(tmp_path / "run"):
        kept.check(tmp_path / "run", "gradients", epoch, step)
    assert [step for _, step in runs.captures(tmp_path / "run")] == [3, 8, 12, 15]


@pytest.mark.parametrize("steps_per_epoch", [10, None])
@pytest.mark.parametrize("how", ["resume", "begin_at"])
def test_an_epoch_that_is_gone_on_with_in_its_midst_has_gradients_at_its_end(
    how: str, steps_per_epoch: int | None, tmp_path: Path
) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = Kept(model)

    def train(rec: sg.Recorder, end: int) -> None:
        while rec.num_steps < end:
            optimizer.zero_grad()
            loss_of(model, rec.num_steps).backward()
            kept.keep("gradients", rec.num_steps + 1)
            optimizer.step()
            if rec.num_steps % 10 == 0:
                rec.epoch()

    options: dict[str, Any] = {
        "optimizer": optimizer,
        "record": GRADIENTS,
        "steps_per_epoch": steps_per_epoch,
        "on_error": "stop",
    }
    if how == "resume":
        with sg.record(model, tmp_path / "run", **options) as rec:
            train(rec, 15)
        options["resume"] = (0, 15)
    with sg.record(model, tmp_path / "run", **options) as rec:
        if how == "begin_at":
            rec._begin_at(1, 15)
        train(rec, 40)
        # What was left of the first epoch is no length of an epoch.
        assert rec._steps_per_epoch == 10
    captured = runs.captures(tmp_path / "run")
    assert captured[-3:] == [(1, 20), (2, 30), (3, 40)]
    for epoch, step in captured:
        kept.check(tmp_path / "run", "gradients", epoch, step)


def test_gradients_that_a_shorter_epoch_lacks_are_said_once(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = Kept(model)
    with pytest.warns(sg.StratigraphWarning) as told:
        with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS) as rec:
            for length in (5, 3, 5, 2):
                for _ in range(length):
                    optimizer.zero_grad()
                    loss_of(model, rec.num_steps).backward()
                    kept.keep("gradients", rec.num_steps + 1)
                    optimizer.step()
                rec.epoch()
    [message] = [str(each.message) for each in told]
    assert "epoch 1 is captured at its end without gradients: it ended after 3 steps" in message
    kept.check(tmp_path / "run", "gradients", 0, 5)
    kept.check(tmp_path / "run", "gradients", 2, 13)


def test_hooks_are_there_only_for_steps_that_are_captured(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooked = []
    with sg.record(model, tmp_path / "run", optimizer=optimizer, every="4steps", record=["gradients"]) as rec:
        for _ in range(9):
            loss_of(model, 0).backward()
            hooked.append(bool(model[0].weight._post_accumulate_grad_hooks))
            optimizer.step()
        assert rec.num_steps == 9
    assert hooked == [True, False, False, True, False, False, False, True, False]
    assert not model[0].weight._post_accumulate_grad_hooks
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    assert not model._forward_pre_hooks


def test_steps_that_a_scaler_leaves_out_are_not_counted(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, backoff_factor=0.5, growth_interval=1000)
    kept = Kept(model)
    infinite = {0, 3, 7}
    with sg.record(
        model, tmp_path / "run", optimizer=optimizer, every="1steps,1epoch", record=GRADIENTS, scaler=scaler
    ) as rec:
        for batch in range(8):
            optimizer.zero_grad()
            scaled = scaler.scale(loss_of(model, batch))
            (scaled * float("inf") if batch in infinite else scaled).backward()
            if batch not in infinite:
                # A power of two: exact.
                kept.keep("gradients", rec.num_steps + 1, 1 / scaler.get_scale())
                kept.keep("gradients_applied", rec.num_steps + 1, 1 / scaler.get_scale())
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        assert rec.num_steps == 5
        rec.epoch()
    assert runs.captures(tmp_path / "run") == [(0, step) for step in range(1, 6)]
    for step in range(1, 6):
        kept.check(tmp_path / "run", "gradients", 0, step)
        kept.check(tmp_path / "run", "gradients_applied", 0, step)


def test_the_last_step_of_an_epoch_may_be_left_out(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    kept = Kept(model)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, scaler=scaler) as rec:
        for batch in range(3):
            optimizer.zero_grad()
            scaled = scaler.scale(loss_of(model, batch))
            (scaled * float("inf") if batch == 2 else scaled).backward()
            if batch == 1:
                kept.keep("gradients", 2, 1 / 256)
            scaler.step(optimizer)
            scaler.update()
        rec.epoch()
    assert runs.captures(tmp_path / "run") == [(0, 2)]
    kept.check(tmp_path / "run", "gradients", 0, 2)


def test_a_fused_optimizer_that_leaves_a_step_out_itself_has_made_none(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    kept = Kept(model)
    with sg.record(
        model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, scaler=scaler, every="1steps"
    ) as rec:
        for batch in range(4):
            optimizer.zero_grad()
            scaled = scaler.scale(loss_of(model, batch))
            (scaled * float("inf") if batch == 1 else scaled).backward()
            if batch != 1:
                kept.keep("gradients", rec.num_steps + 1, 1 / scaler.get_scale())
                kept.keep("gradients_applied", rec.num_steps + 1, 1 / scaler.get_scale())
            scaler.step(optimizer)
            scaler.update()
        assert rec.num_steps == 3
    for step in (1, 2, 3):
        kept.check(tmp_path / "run", "gradients", 0, step)
        kept.check(tmp_path / "run", "gradients_applied", 0, step)


class Pair(nn.Module):
    """Two networks that are trained against each other."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(3, 6)
        self.critic = nn.Linear(6, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.critic(self.generator(z))


@pytest.mark.parametrize("every", ["1steps", "1epoch"])
def test_sparse_gradients_are_recorded_as_the_dense_ones_that_they_are(every: str, tmp_path: Path) -> None:
    recorded = []
    for is_sparse in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.EmbeddingBag(10, 4, sparse=is_sparse), nn.Linear(4, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        run = tmp_path / str(is_sparse)
        with sg.record(model, run, optimizer=optimizer, every=every, record=GRADIENTS) as rec:
            for _ in range(2):
                optimizer.zero_grad()
                # Tokens that come twice have two gradients.
                F.cross_entropy(model(torch.tensor([[1, 1, 2], [2, 3, 3]])), torch.tensor([0, 2])).backward()
                optimizer.step()
                rec.epoch()
        recorded.append([runs.Values(run, kind) for kind in ("gradients", "gradients_applied")])
    for sparse, dense in zip(*recorded, strict=True):
        assert len(dense.rows) == 4 and sparse.rows.keys() == dense.rows.keys()
        for key in dense.rows:
            np.testing.assert_allclose(sparse.weight(*key), dense.weight(*key), rtol=1e-5, atol=1e-6)


def test_the_scaler_that_accelerate_keeps_in_its_optimizer_is_taken_out(tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate", exc_type=ImportError)
    accelerate.Accelerator(cpu=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model = network()
    optimizer = accelerate.optimizer.AcceleratedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), scaler=scaler)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS) as rec:
        scaler.scale(loss_of(model, 0)).backward()
        scaled = model[0].weight.grad.clone()
        optimizer.step()
        rec.epoch()
    for kind in ("gradients", "gradients_applied"):
        assert runs.same_bits(runs.Values(tmp_path / "run", kind).weight(0, 1, "L_0"), scaled / 1024)


@pytest.mark.parametrize("num_critic_steps", [1, 3])
def test_a_step_is_done_when_all_optimizers_have_made_theirs(num_critic_steps: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = Pair()
    critic = torch.optim.SGD(pair.critic.parameters(), lr=0.1)
    generator = torch.optim.SGD(pair.generator.parameters(), lr=0.1)
    states: dict[int, dict[str, Tensor]] = {}
    gradients: dict[int, dict[str, Tensor]] = {}
    both, example = [critic, generator], torch.ones(2, 3)
    with sg.record(pair, tmp_path / "run", optimizer=both, every="1steps", record=GRADIENTS, example=example) as rec:
        for _ in range(3):
            for _ in range(num_critic_steps):
                critic.zero_grad()
                fake = pair.generator(torch.randn(4, 3)).detach()
                (pair.critic(fake) - pair.critic(torch.randn(4, 6))).mean().backward()
                made = {"critic": pair.critic.weight.grad.clone()}
                critic.step()
                states[rec.num_steps] = {name: value.clone() for name, value in pair.state_dict().items()}
                gradients[rec.num_steps] = made
            generator.zero_grad()
            (-pair(torch.randn(4, 3)).mean()).backward()
            gradients[rec.num_steps]["generator"] = pair.generator.weight.grad.clone()
            generator.step()
            states[rec.num_steps] = {name: value.clone() for name, value in pair.state_dict().items()}
        rec.epoch()
        assert rec.num_steps == 3 * num_critic_steps
    weights, recorded = runs.Values(tmp_path / "run", "weights"), runs.Values(tmp_path / "run", "gradients")
    assert runs.captures(tmp_path / "run") == [(0, step + 1) for step in range(3 * num_critic_steps)]
    for step, state in states.items():
        for name in ("critic", "generator"):
            assert runs.same_bits(weights.weight(0, step, name), state[f"{name}.weight"]), (step, name)
            if name in gradients[step]:
                assert runs.same_bits(recorded.weight(0, step, name), gradients[step][name]), (step, name)
            else:
                assert (0, step, name) not in recorded, "of a step before"


@pytest.mark.parametrize("comes_first", [True, False])
@pytest.mark.parametrize(
    "every", ["1steps", "2steps", "3steps", "10steps", "257steps", "log", "1epoch", "2epochs,7steps"]
)
def test_no_gradients_are_missed_where_an_optimizer_lags(every: str, comes_first: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = Pair()
    often = torch.optim.SGD(pair.critic.parameters(), lr=0.01)
    seldom = torch.optim.SGD(pair.generator.parameters(), lr=0.01)
    made: dict[int, Tensor] = {}
    num_steps, num_epochs = (260, 1) if every == "257steps" else (21, 3)
    options: Any = {"record": GRADIENTS, "every": every, "example": torch.ones(2, 3), "steps_per_epoch": num_steps}
    with sg.record(pair, tmp_path / "run", optimizer=[often, seldom], on_error="stop", **options) as rec:
        number = 0
        for _ in range(num_epochs):
            for _ in range(num_steps):
                number += 1
                often.zero_grad()
                pair(torch.randn(4, 3)).mean().backward()
                made[number] = pair.critic.weight.grad.clone()
                if number % 5 == 0 and comes_first:
                    seldom.step()
                often.step()
                if number % 5 == 0 and not comes_first:
                    seldom.step()
            rec.epoch()
    captures = runs.captures(tmp_path / "run")
    if every in ("10steps", "257steps"):
        assert {step for _, step in captures} >= set(range(int(every[:-5]), number + 1, int(every[:-5])))
    assert captures
    for kind in ("gradients", "gradients_applied"):
        recorded = runs.Values(tmp_path / "run", kind)
        for epoch, step in captures:
            assert runs.same_bits(recorded.weight(epoch, step, "critic"), made[step]), (kind, epoch, step)


@pytest.mark.parametrize("kind", ["LBFGS", "Adam"])
def test_optimizers_that_call_a_closure(kind: str, tmp_path: Path) -> None:
    model = network()
    kept = Kept(model)
    optimizer: Any = (
        torch.optim.LBFGS(model.parameters(), max_iter=3) if kind == "LBFGS" else torch.optim.Adam(model.parameters())
    )
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, every="1steps") as rec:

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, 7)
            loss.backward()
            kept.keep("gradients", rec.num_steps + 1)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            kept.keep("gradients_applied", rec.num_steps + 1)
            return loss

        for _ in range(3):
            optimizer.step(closure)
            kept.keep("weights", rec.num_steps)
        assert rec.num_steps == 3
    for step in (1, 2, 3):
        for table in ("gradients", "gradients_applied", "weights"):
            kept.check(tmp_path / "run", table, 0, step)


def test_steps_without_an_optimizer_are_told(tmp_path: Path) -> None:
    model = network()
    kept = Kept(model)
    with sg.record(model, tmp_path / "run", record=GRADIENTS, every="2steps", record_initial=True) as rec:
        kept.keep("weights", 0)
        for step in range(1, 6):
            model.zero_grad()
            loss_of(model, step).backward()
            kept.keep("gradients", step)
            with torch.no_grad():
                for parameter in model.parameters():
                    assert parameter.grad is not None
                    parameter -= 0.1 * parameter.grad
            kept.keep("weights", step)
            rec.step()
        assert rec.num_steps == 5
    assert runs.captures(tmp_path / "run") == [(-1, 0), (0, 2), (0, 4)]
    kept.check(tmp_path / "run", "weights", -1, 0)
    for step in (2, 4):
        kept.check(tmp_path / "run", "weights", 0, step)
        kept.check(tmp_path / "run", "gradients", 0, step)


@pytest.mark.parametrize(
    "every, expected",
    [
        ("log", [0, 1, 2, 4, 6]),
        ("2epochs", [0, 2, 4, 6]),
        ("4epochs", [0, 4, 6]),
        ("0,3", [0, 3]),
        ("3epochs@1..", [1, 4, 6]),
        (2, [0, 2, 4, 6]),
    ],
)
def test_schedules_of_epochs(every: Any, expected: list[int], tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    captured = []
    with sg.record(model, tmp_path / "run", optimizer=optimizer, every=every, record=["weights"], epochs=7) as rec:
        for epoch in range(7):
            loss_of(model, epoch).backward()
            optimizer.step()
            if rec.epoch():
                captured.append(epoch)
    assert captured == expected == [epoch for epoch, _ in runs.captures(tmp_path / "run")]


def test_momentum_and_mean_squares_of_other_optimizers(tmp_path: Path) -> None:
    makers = {
        "sgd": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), [("moment_1", "momentum_buffer")]),
        "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.01), [("moment_2", "square_avg")]),
        "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.01), [("moment_2", "sum")]),
        "adamax": (lambda p: torch.optim.Adamax(p), [("moment_1", "exp_avg"), ("moment_2", "exp_inf")]),
    }
    for kind, (make, names) in makers.items():
        model = network()
        optimizer = make(model.parameters())
        with sg.record(model, tmp_path / kind, optimizer=optimizer, record=["moments"]) as rec:
            for seed in range(3):
                optimizer.zero_grad()
                loss_of(model, seed).backward()
                optimizer.step()
            rec.epoch()
        recorded = runs.Values(tmp_path / kind, "moments")
        assert {key[3] for key in recorded.rows} == {name for name, _ in names}
        for moment, name in names:
            expected = optimizer.state[model[0].weight][name]
            assert runs.same_bits(recorded.weight(0, 3, "L_0", moment), expected), kind


def test_figures_are_recorded_by_phase_and_late_ones_too(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, every="2epochs") as rec:
        for epoch in range(3):
            loss_of(model, epoch).backward()
            optimizer.step()
            rec.log(lr=0.1, train_noise=epoch)
            rec.epoch(train_loss=torch.tensor(1.5 + epoch), eval_accuracy=0.25, perplexity=epoch)
        rec.log(test_accuracy=0.75)
    assert runs.metrics(tmp_path / "run") == {
        **{(epoch, "train", "loss"): 1.5 + epoch for epoch in range(3)},
        **{(epoch, "train", "noise"): float(epoch) for epoch in range(3)},
        **{(epoch, "eval", "accuracy"): 0.25 for epoch in range(3)},
        **{(epoch, None, "perplexity"): float(epoch) for epoch in range(3)},
        **{(epoch, None, "lr"): 0.1 for epoch in range(3)},
        (2, None, "test_accuracy"): 0.75,
    }


@pytest.mark.parametrize("what", ["step", "optimizer"])
def test_a_step_that_is_compiled_is_counted_and_recorded(tmp_path: Path, what: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))

    def whole() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    if what == "step":
        run = torch.compile(whole, backend="eager")
    else:
        compiled = torch.compile(lambda: optimizer.step(), backend="eager")

        def run() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            compiled()

    options = {"every": "2steps", "record": ["weights", "gradients"], "on_error": "stop"}
    with sg.record(model, tmp_path / "run", optimizer=optimizer, **options) as recorder:
        for _ in range(5):
            run()
        assert recorder.num_steps == 5
    rows = sg.open(tmp_path / "run").sql("SELECT step, count(*) AS n FROM gradients GROUP BY step ORDER BY step")
    assert rows.to_dicts() == [{"step": 2, "n": 11}, {"step": 4, "n": 11}]


class Kinds(nn.Module):
    """Modules that get their shapes from the first batch, between others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.LazyConv2d(3, 2), nn.LazyBatchNorm2d()
        self.hidden, self.head = nn.LazyLinear(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.norm(self.conv(x)).flatten(1))))


@pytest.mark.parametrize("every", ["1steps", "1epoch"])
def test_lazy_layers_have_gradients_from_the_first_step_on(every: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Kinds()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    made: dict[tuple[int, str], Tensor] = {}
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, every=every, on_error="stop") as rec:
        for number in (1, 2):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(4, 1, 4, 4)), torch.randint(0, 3, (4,))).backward()
            for layer in ("conv", "norm", "hidden", "head"):
                made[number, layer] = model.get_submodule(layer).weight.grad.clone()
            optimizer.step()
        rec.epoch()
    assert not model.hidden._forward_pre_hooks and not model.conv._forward_pre_hooks
    for kind in ("gradients", "gradients_applied"):
        values = runs.Values(tmp_path / "run", kind)
        for (number, layer), expected in made.items():
            if every == "1steps" or number == 2:
                assert runs.same_bits(values.weight(0, number, layer), expected), (kind, number, layer)


def test_parameters_that_were_put_in_the_place_of_others_have_gradients(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options: Any = {"record": GRADIENTS, "every": "1steps", "on_error": "stop"}
    with sg.record(model, tmp_path / "run", optimizer=optimizer, **options) as rec:
        for number in (1, 2, 3):
            if number == 2:
                model[0] = copy.deepcopy(model[0])
                optimizer.add_param_group({"params": model[0].parameters()})
            optimizer.zero_grad()
            loss_of(model, number).backward()
            optimizer.step()
        rec.epoch()
    # The capture after the step finds them, so that those of the next are kept.
    for kind in ("gradients", "gradients_applied"):
        assert runs.same_bits(runs.Values(tmp_path / "run", kind).weight(0, 3, "L_0"), model[0].weight.grad)


class Branches(nn.Module):
    """Each batch goes through one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor, goes_left: bool) -> Tensor:
        return self.head(torch.tanh((self.left if goes_left else self.right)(x)))


@pytest.mark.parametrize("how", ["scaler", "zeros", "none"])
def test_gradients_of_a_step_that_was_left_out_are_none_of_the_next(how: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Branches()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = None if how == "none" else torch.amp.GradScaler("cpu", init_scale=256.0)
    options: Any = {"record": GRADIENTS, "every": "1steps", "on_error": "stop", "scaler": scaler}
    with sg.record(model, tmp_path / "run", optimizer=optimizer, **options) as rec:
        for number in range(3):
            optimizer.zero_grad(set_to_none=how != "zeros")
            loss = F.cross_entropy(model(torch.randn(4, 4), number == 1), torch.randint(0, 3, (4,)))
            if scaler is None:
                loss.backward()
                if number != 1:
                    optimizer.step()
            else:
                scaler.scale(loss * (float("inf") if number == 1 else 1)).backward()
                scaler.step(optimizer)
                scaler.update()
        assert rec.num_steps == 2
    values = runs.Values(tmp_path / "run", "gradients")
    assert {(step, layer) for _, step, layer in values.rows} == {(1, "right"), (1, "head"), (2, "right"), (2, "head")}
    # The scaler has taken the scale out of the gradients that are there.
    assert runs.same_bits(values.weight(0, 2, "right"), model.right.weight.grad)


def test_a_scale_is_asked_for_once_in_a_backward_pass(tmp_path: Path) -> None:
    class Counting(torch.amp.GradScaler):
        num_asked = 0

        def get_scale(self) -> float:
            self.num_asked += 1
            return super().get_scale()

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = Counting("cpu", init_scale=256.0)
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=GRADIENTS, scaler=scaler) as rec:
        for number in range(2):
            optimizer.zero_grad()
            for part in range(2):
                scaler.scale(loss_of(model, part)).backward()
            assert scaler.num_asked == 2 * number + 2
            asked = scaler.num_asked
            scaler.step(optimizer)
            scaler.update()
            scaler.num_asked = asked
        rec.epoch()
    # The scaler has taken the scale out of the gradients that are there.
    assert runs.same_bits(runs.Values(tmp_path / "run", "gradients").weight(0, 2, "L_0"), model[0].weight.grad)


#: Where the work of each hook is done.
HOOKS = {
    "a backward pass": ("stratigraph_nn._torch.steps._copied", "gradients could not be kept", 3),
    "before a step": ("stratigraph_nn._torch.steps.Gradients._keep_used", "gradients could not be kept", 3),
    "copies before a step": (
        "stratigraph_nn._torch.transfer.Transfer.before_changes",
        "an optimizer's step could not be looked at",
        None,
    ),
    "behind a step": ("stratigraph_nn._torch.steps._was_left_out", "an optimizer's step could not be counted", 3),
    "a first batch": ("stratigraph_nn._torch.network._few", "inputs of the first batch could not be kept", 0),
    "a lazy module": ("stratigraph_nn._torch.steps.Gradients._add", "gradients could not be kept", None),
}


def watched_training(path: Path | None, on_error: str = "continue") -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LazyLinear(3))
    optimizer = torch.optim.Adam(model.parameters())
    recorded: Any = nullcontext()
    if path is not None:
        options: Any = {"record": GRADIENTS, "every": "1steps", "on_error": on_error}
        recorded = sg.record(model, path, optimizer=optimizer, **options)
    with recorded as rec:
        # Once all is begun, so that each hook fails by itself.
        FAILING.begun = True
        for number in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,))).backward()
            optimizer.step()
        if rec is not None:
            rec.epoch()
    if rec is not None:
        LOST.append(rec.summary["lost_captures"])
    return [value.clone() for value in model.state_dict().values()]


#: How many captures each training has lost something of.
LOST: list[int] = []


class Failing:
    """Stands for the work of a hook."""

    def __init__(self) -> None:
        self.begun, self.error, self.num_failed = False, Exception(), 0
        self.instead_of: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if not self.begun:
            return self.instead_of(*arguments)
        self.num_failed += 1
        raise self.error


FAILING = Failing()


@pytest.mark.parametrize("hook", HOOKS)
def test_nothing_comes_out_of_a_hook_but_a_failure_of_the_device(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAILING.begun = False
    expected = watched_training(None)
    place, words, num_lost = HOOKS[hook]
    owner, _, name = place.rpartition(".")
    module, _, kind = owner.rpartition(".")
    of: Any = getattr(sys.modules[module], kind) if kind[0].isupper() else sys.modules[owner]
    FAILING.begun, FAILING.instead_of, FAILING.num_failed = False, getattr(of, name), 0

    def fails(*arguments: Any) -> Any:
        return FAILING(*arguments)

    monkeypatch.setattr(of, name, fails)
    FAILING.error = torch.OutOfMemoryError("the device has no room for a copy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = watched_training(tmp_path / "run")
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert FAILING.num_failed > 0
    said = [str(each.message) for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    (of_hook,) = [message for message in said if words in message]
    assert "no room for a copy" in of_hook
    if num_lost is not None:
        assert LOST[-1] == num_lost
    if num_lost is not None and "counted" not in words:
        assert runs.captures(tmp_path / "run") == [(0, 1), (0, 2), (0, 3)]
    FAILING.begun = False
    with pytest.raises(torch.OutOfMemoryError, match="no room for a copy"):
        watched_training(tmp_path / "stopped", on_error="stop")
    FAILING.begun, FAILING.error = False, torch.AcceleratorError("the device is lost")
    with pytest.raises(torch.AcceleratorError, match="the device is lost"):
        watched_training(tmp_path / "device")


class Told:
    """What is told of steps."""

    def __init__(self, busy: list[int] | None) -> None:
        """``busy`` are the steps that are asked for; all without it."""
        self.busy = busy
        self.events: list[tuple[Any, ...]] = []

    def before(self, optimizer: Any, step: int, has_closure: bool) -> None:
        self.events.append(("before", optimizer.number, step))

    def changed(self, optimizer: Any, step: int, has_closure: bool) -> None:
        self.events.append(("changed", optimizer.number, step))

    def after(self, step: int) -> int:
        self.events.append(("after", step))
        return step + 1 if self.busy is None else next((each for each in self.busy if each > step), sys.maxsize)

    def of(self, steps: list[int]) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[-1] in steps]


class Numbered(torch.optim.SGD):
    """Changes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__([nn.Parameter(torch.zeros(1))], lr=0.1)
        self.number = number

    def step(self, closure: Any = None) -> None:
        pass


@pytest.mark.parametrize("seed", range(40))
def test_of_several_optimizers_no_step_is_missed_that_is_asked_for(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_optimizers = 1 + seed // 2 % 4
    busy = sorted({int(each) for each in random.integers(1, 60, 4)})

    def guard(what: str, loses_capture: bool = True) -> Any:
        return nullcontext()

    loud, quiet = Told(None), Told(busy)
    sides = []
    for told in (loud, quiet):
        optimizers = [Numbered(number) for number in range(num_optimizers)]
        sides.append((optimizers, Steps(optimizers, told, guard)))
    # Each makes a step so often, in an order of its own, and at times at random.
    often = [1, *(int(each) for each in random.integers(1, 6, num_optimizers - 1))]
    order = random.permutation(num_optimizers)
    has_epochs = seed % 2 == 1
    for iteration in range(60):
        for number in order:
            makes_one = iteration % often[number] == 0 if seed % 3 else random.random() < 1 / often[number]
            if makes_one:
                for optimizers, _ in sides:
                    optimizers[number].step()
            assert sides[0][1].num_steps == sides[1][1].num_steps, iteration
        if has_epochs and random.random() < 0.05:
            for _, steps in sides:
                # An epoch ends.
                steps.close()
                steps.wake()
    for _, steps in sides:
        steps.close()
    assert quiet.of(busy) == loud.of(busy)
    if not has_epochs:
        # And of most others nothing is told.
        assert len(quiet.events) < len(loud.events) / 2
    for _, steps in sides:
        steps.remove()
