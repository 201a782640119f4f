"""Structures, silenced in live networks."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import stratigraph_nn as sg

NUM_SAMPLES = 36


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(NUM_SAMPLES, 6), torch.arange(NUM_SAMPLES) % 3


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3))


def recorded(model: nn.Module, path: Path, held_out=None) -> sg.Run:
    with sg.record(model, path, on_error="stop") as rec:
        rec.step()
        rec.epoch(held_out=samples() if held_out is None else held_out)
    return sg.open(path)


@pytest.fixture()
def imported(tmp_path: Path) -> tuple[sg.Run, nn.Sequential]:
    """A run of a checkpoint, which says nothing of non-linearities."""
    model = mlp()
    torch.save(model.state_dict(), tmp_path / "ckpt-0.pt")
    run = sg.import_checkpoints(tmp_path / "ckpt-*.pt", tmp_path / "imported").run
    assert [layer["activation"] for layer in run.info["layers"]] == [None, None]
    return run, model


def heard_by(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the last layer of a network is given."""
    heard: list[torch.Tensor] = []
    hook = model[-1].register_forward_pre_hook(lambda _, args: heard.append(args[0].clone()))
    with torch.no_grad():
        model(x)
    hook.remove()
    return heard[0]


def test_of_an_imported_run_what_comes_after_the_non_linearity_is_silenced(
    imported,
) -> None:
    run, model = imported
    x, _ = samples()
    expected = heard_by(model, x)
    expected[:, [2, 5]] = 0.0
    structure = run.structures.label("mine", neurons=["L_0:2", "L_0:5"])
    with structure.silenced(model):
        assert torch.equal(heard_by(model, x), expected)


def test_an_ablation_of_an_imported_run_is_that_of_a_recorded_one(imported, tmp_path: Path) -> None:
    run, model = imported
    other = recorded(model, tmp_path / "recorded")
    assert other.info["layers"][0]["activation"] == "sigmoid"
    for mode in ("zero", "mean"):
        measured = [
            sg.ablate(
                model,
                asked,
                neurons=[0, 1, 2],
                held_out=samples(),
                draws=5,
                seed=1,
                mode=mode,
            ).table.to_dicts()
            for asked in (run, other)
        ]
        assert measured[0] == measured[1]
    with torch.no_grad():
        h = model[1](model[0](samples()[0]))
        h[:, :3] = 0.0
        loss = nn.functional.cross_entropy(model[2](h), samples()[1]).item()
    found = sg.ablate(model, run, neurons=[0, 1, 2], held_out=samples(), draws=0)
    [row] = [row for row in found.table.to_dicts() if (row["samples"], row["metric"]) == ("all", "loss")]
    assert row["after"] == pytest.approx(loss, rel=1e-6)


class Residual(nn.Module):
    """Goes on with a layer's own output beside what its non-linearity makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        return self.last(h + torch.relu(h))


def test_an_ablation_leaves_the_layers_own_output_where_a_non_linearity_follows(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = Residual()
    torch.save(model.state_dict(), tmp_path / "ckpt-0.pt")
    run = sg.import_checkpoints(tmp_path / "ckpt-*.pt", tmp_path / "run").run
    x, y = samples()
    with torch.no_grad():
        h = model.first(x)
        activation = torch.relu(h)
        activation[:, 1] = 0.0
        loss = nn.functional.cross_entropy(model.last(h + activation), y).item()
    found = sg.ablate(model, run, neurons=["first:1"], held_out=(x, y), draws=0)
    [row] = [row for row in found.table.to_dicts() if (row["samples"], row["metric"]) == ("all", "loss")]
    assert row["after"] == pytest.approx(loss, rel=1e-6)


def test_what_cannot_be_silenced_is_refused(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    structure = run.structures.label("mine", neurons=[1])
    refused = [
        ({"paths": {"L_9": "0"}}, ValueError, "paths names L_9, and the layers are L_0, L_2"),
        ({"mode": "mean", "epoch": 7}, sg.QueryError, "no activations of layer L_0 .* epoch 7"),
    ]
    for keywords, error, message in refused:
        with pytest.raises(error, match=message):
            structure.silenced(model, **keywords)


def test_an_epoch_that_is_none_is_refused_everywhere(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    structure = run.structures.label("mine", neurons=[1])
    asked = [
        lambda epoch: run.state_dict(epoch=epoch),
        lambda epoch: run.load_state_dict(model, epoch=epoch),
        lambda epoch: structure.silenced(model, mode="mean", epoch=epoch),
        lambda epoch: sg.ablate(model, run, neurons=[1], held_out=samples(), draws=2, epoch=epoch),
    ]
    for ask in asked:
        with pytest.raises(sg.QueryError, match="epoch is a number, 'first' or 'last', not 'lst'"):
            ask("lst")
        with pytest.raises(TypeError, match="epoch is a whole number, 'first' or 'last', not 1.5"):
            ask(1.5)
    for epoch in (0, "0", "first", "last", torch.tensor(0)):
        assert run.state_dict(epoch=epoch).keys() == model.state_dict().keys()
