"""The callback of Lightning, with the library itself."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import stratigraph_nn as sg

pl = pytest.importorskip("lightning.pytorch", exc_type=ImportError)


class Classifier(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        super().optimizer_step(*args, **options)
        self.applied = self.net[0].weight.grad.clone()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def fitted(directory: Path, *callbacks: Any, checkpoint: Path | None = None, **options: Any) -> Classifier:
    pl.seed_everything(1, verbose=False)
    model = Classifier()
    x, y = torch.randn(48, 6), torch.randint(0, 3, (48,))
    train = DataLoader(TensorDataset(x[:32], y[:32]), batch_size=8, shuffle=True)
    held_out = DataLoader(TensorDataset(x[32:], y[32:]), batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Out of a recorder that stops for what it cannot do.
        warnings.simplefilter("error", sg.StratigraphWarning)
        trainer = pl.Trainer(
            default_root_dir=directory,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
            **({"max_epochs": 3, "enable_checkpointing": False} | options),
        )
        trainer.fit(model, train, held_out, ckpt_path=checkpoint)
    return model


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}])
def test_a_fit_is_recorded_and_stays_as_it_is(options: Any, tmp_path: Path) -> None:
    tables = ["weights", "classifications", "activations", "metrics", "gradients", "gradients_applied"]
    callback = sg.lightning.Callback(tmp_path / "run", record=tables, record_initial=True, on_error="stop")
    model = fitted(tmp_path, callback, **options)
    random = torch.get_rng_state()
    alone = fitted(tmp_path, **options)
    assert torch.equal(random, torch.get_rng_state())
    assert model.losses == alone.losses
    for value, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(value, other)
    run = tmp_path / "run"
    steps = 2 if options else 4
    assert runs.captures(run) == [(-1, 0), *((epoch, (epoch + 1) * steps) for epoch in range(3))]
    assert runs.info(run)["config"]["training"] == {"lr": 0.01}
    values = runs.Values(run, "weights")
    assert runs.same_bits(values.weight(2, 3 * steps, "net.4"), model.net[4].weight.detach())
    assert runs.same_bits(values.weight(2, 3 * steps, "net.1.running_mean"), model.net[1].running_mean)
    gradients = runs.Values(run, "gradients_applied")
    assert runs.same_bits(gradients.weight(2, 3 * steps, "net.0"), model.applied)
    assert (2, 3 * steps, "net.0") in runs.Values(run, "gradients")
    assert len([row for row in runs.rows(run, "classifications") if row["epoch"] == 2]) == 16
    figures = runs.metrics(run)
    for epoch in range(3):
        expected = sum(model.losses[epoch * 4 : epoch * 4 + 4]) / 4
        assert figures[epoch, "train", "loss"] == pytest.approx(expected, rel=1e-5)
        assert (epoch, "eval", "loss") in figures and (epoch, "eval", "accuracy") in figures
    assert callback.recorder is not None and callback.recorder.summary is not None
    assert runs.layers(run)["net.4"]["source"][0]["from"] == "net.1"


def test_an_exception_publishes_what_there_is(tmp_path: Path) -> None:
    class Stops(pl.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 10:
                raise KeyError("mine")

    with pytest.raises(KeyError):
        fitted(tmp_path, sg.lightning.Callback(tmp_path / "run"), Stops())
    assert [epoch for epoch, _ in runs.captures(tmp_path / "run")] == [0, 1]


def test_a_fit_that_ends_in_any_way_leaves_no_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hooked: list[Any] = []

    class Stops(pl.Callback):  # type: ignore[misc]
        """Whose own failure in an exception keeps callbacks behind it from hearing of that."""

        def __init__(self, with_what: BaseException | None, tells: bool = True) -> None:
            self.with_what, self.tells = with_what, tells

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            if trainer.global_step == 6:
                hooked[:] = [*trainer.optimizers, *pl_module.parameters()]
                if self.with_what is not None:
                    raise self.with_what

        def on_exception(self, *_: Any) -> None:
            if not self.tells:
                raise OSError("another")

    def are_hooked() -> bool:
        optimizer, *parameters = hooked
        of_optimizer = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
        return bool(of_optimizer) or any(parameter._post_accumulate_grad_hooks for parameter in parameters)

    def callback() -> Any:
        return sg.lightning.Callback(record=["weights", "metrics", "gradients"], on_error="stop", every="1steps")

    for stops, raised in (
        (Stops(None), None),
        (Stops(KeyError("mine")), KeyError),
        # The trainer makes this of Ctrl-C.
        (Stops(KeyboardInterrupt()), SystemExit),
    ):
        ours, interrupt = callback(), signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(raised) if raised else nullcontext():
                fitted(tmp_path, stops, ours)
        finally:
            # The trainer has it ignored.
            signal.signal(signal.SIGINT, interrupt)
        assert ours.recorder.summary is not None and not are_hooked(), raised
        assert (1, 6) in runs.captures(ours.recorder.path)

    again = callback()
    with pytest.raises(OSError, match="another"):
        fitted(tmp_path, Stops(KeyError("mine"), tells=False), again)
    first, parts = again.recorder, list(hooked)
    assert are_hooked() and first.summary is None
    # The next fit ends it.
    fitted(tmp_path, again)
    hooked[:] = parts
    assert first.summary is not None and not are_hooked() and again.recorder is not first


@pytest.mark.parametrize("saved", [{}, {"every_n_train_steps": 10, "save_top_k": -1}])
def test_a_resumed_fit_goes_on_with_its_epochs_and_steps(saved: Any, tmp_path: Path) -> None:
    keeper = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "kept", save_last=True, **saved)
    options: Any = {"every": "1epoch,3steps", "record_initial": True, "on_error": "stop"}
    callback = sg.lightning.Callback(tmp_path / "first", **options)
    fitted(tmp_path, callback, keeper, enable_checkpointing=True)
    first = [(-1, 0), (0, 3), (0, 4), (1, 6), (1, 8), (2, 9), (2, 12)]
    assert runs.captures(tmp_path / "first") == first
    callback = sg.lightning.Callback(tmp_path / "second", **options)
    fitted(tmp_path, callback, checkpoint=tmp_path / "kept" / "last.ckpt", max_epochs=5)
    later = [(2, 12), (3, 15), (3, 16), (4, 18), (4, 20)]
    assert runs.captures(tmp_path / "second") == (later if saved else later[1:])
    assert callback.recorder is not None and callback.recorder.num_steps == 20


def test_gradients_of_a_fit_in_mixed_precision_are_unscaled(tmp_path: Path) -> None:
    from lightning.pytorch.plugins.precision import MixedPrecision

    recorded = []
    for name in ("mixed", "full"):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        options: Any = {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=scaler)]} if name == "mixed" else {}
        tables = ["weights", "metrics", "gradients", "gradients_applied"]
        callback = sg.lightning.Callback(tmp_path / name, record=tables, every="1steps", on_error="stop")
        fitted(tmp_path, callback, max_epochs=1, max_steps=2, **options)
        recorded.append({kind: runs.Values(tmp_path / name, kind) for kind in tables[2:]})
    mixed, full = recorded
    for kind, values in mixed.items():
        lengths = [float((each.weight(0, 1, "net.0") ** 2).sum() ** 0.5) for each in (values, full[kind])]
        # Floats of 16 bits have 3 digits.
        assert lengths[0] == pytest.approx(lengths[1], rel=0.05), kind


class Alternating(pl.LightningModule):  # type: ignore[misc]
    """With two optimizers, of which one makes every other step."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))

    def training_step(self, batch: Any, number: int) -> None:
        for optimizer in self.optimizers()[: 1 + number % 2]:
            optimizer.zero_grad()
            self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
            optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(self.first.parameters(), lr=0.1), torch.optim.SGD(self.second.parameters(), lr=0.1)]


@pytest.mark.parametrize("was_recorded", [True, False])
def test_a_resumed_fit_with_several_optimizers_goes_on_with_their_steps(was_recorded: bool, tmp_path: Path) -> None:
    data = DataLoader(TensorDataset(torch.randn(16, 6), torch.randint(0, 3, (16,))), batch_size=4)

    def fit(run: str | None, max_epochs: int, checkpoint: Path | None = None) -> Any:
        callbacks = [] if run is None else [sg.lightning.Callback(tmp_path / run, on_error="stop")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                default_root_dir=tmp_path,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                max_epochs=max_epochs,
                callbacks=callbacks,
            )
            trainer.fit(Alternating(), data, ckpt_path=checkpoint)
        return trainer

    trainer = fit("first" if was_recorded else None, 2)
    assert trainer.global_step == 12, "of both optimizers together"
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    fit("second", 4, tmp_path / "kept.ckpt")
    # Nobody has counted where nothing was recorded: each is taken to have made its share.
    begin = 8 if was_recorded else 6
    assert runs.captures(tmp_path / "second") == [(2, begin + 4), (3, begin + 8)]


@pytest.mark.parametrize(("num_batches", "num_samples"), [(3, 11), (2, 8)])
def test_of_samples_that_processes_share_out_all_are_held_out(num_batches: int, num_samples: int) -> None:
    from stratigraph_nn._callbacks.lightning import _validation

    data = TensorDataset(torch.arange(11.0), torch.arange(11))
    loader = DataLoader(data, batch_size=2, sampler=DistributedSampler(data, 2, 1, shuffle=False))
    trainer: Any = SimpleNamespace(val_dataloaders=loader, num_val_batches=[num_batches], world_size=2)
    held_out = _validation(trainer)
    assert [int(each) for _, targets in held_out for each in targets] == list(range(num_samples))


@pytest.mark.parametrize(("batch_size", "num_batches", "num_samples"), [(4, 1, 11), (2, 2, 11), (2, 1, 4)])
def test_what_shares_drop_is_held_out_where_nothing_limits(batch_size: int, num_batches: int, num_samples: int) -> None:
    from stratigraph_nn._callbacks.lightning import _validation

    data = TensorDataset(torch.arange(11.0), torch.arange(11))
    # Each process has 5 samples: one batch of 4, or two of 2.
    sampler = DistributedSampler(data, 2, 1, shuffle=False, drop_last=True)
    loader = DataLoader(data, batch_size=batch_size, sampler=sampler, drop_last=True)
    trainer: Any = SimpleNamespace(val_dataloaders=loader, num_val_batches=[num_batches], world_size=2)
    assert [int(each) for _, targets in _validation(trainer) for each in targets] == list(range(num_samples))


class Sparing(pl.LightningModule):  # type: ignore[misc]
    """Says where its figures are of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        self.log("train_epoch_number", float(self.current_epoch), on_step=False, on_epoch=True)
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, _: int) -> None:
        self.log("val_loss", 100.0 + self.current_epoch)
        self.log("val_same", 1.0)

    def on_train_epoch_end(self) -> None:
        self.log("at_end", float(self.current_epoch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        halved = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return [optimizer], [halved]


@pytest.mark.parametrize("monitor_comes", ["first", "last"])
def test_figures_are_those_of_their_epoch(monitor_comes: str, tmp_path: Path) -> None:
    class Monitor(pl.Callback):  # type: ignore[misc]
        """As Lightning's monitor of learning rates, which wants a logger."""

        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            trainer.callback_metrics["lr"] = torch.tensor(trainer.optimizers[0].param_groups[0]["lr"])
            trainer._logger_connector._callback_metrics["lr"] = trainer.callback_metrics["lr"]

    callback = sg.lightning.Callback(tmp_path / "run", on_error="stop")
    callbacks = [Monitor(), callback] if monitor_comes == "first" else [callback, Monitor()]
    data = DataLoader(TensorDataset(torch.randn(8, 3), torch.randint(0, 2, (8,))), batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            default_root_dir=tmp_path,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=5,
            check_val_every_n_epoch=2,
            callbacks=callbacks,
        )
        trainer.fit(Sparing(), data, data)
    found = runs.metrics(tmp_path / "run")
    losses = {epoch: value for (epoch, phase, name), value in found.items() if (phase, name) == ("eval", "loss")}
    assert set(losses) == set(range(5))
    assert {epoch for epoch, value in losses.items() if value >= 100} == {1, 3}, "measured where nothing was logged"
    assert losses[1] == 101 and losses[3] == 103
    for phase, name, expected in (
        ("eval", "same", {1: 1.0, 3: 1.0}),
        ("train", "epoch_number", {epoch: float(epoch) for epoch in range(5)}),
        (None, "at_end", {epoch: float(epoch) for epoch in range(5)}),
        (None, "lr", {epoch: 0.5**epoch for epoch in range(5)}),
    ):
        values = {epoch: value for (epoch, *of), value in found.items() if of == [phase, name]}
        assert values == expected, name
