"""Structures: named, removed, and silenced in live networks."""

from __future__ import annotations

import re
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


def test_tokens_of_an_embedding_say_nothing_that_could_be_silenced(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(8, 6), nn.Linear(6, 3))
    tokens = torch.randint(0, 8, (NUM_SAMPLES, 4))
    run = recorded(model, tmp_path / "run", (tokens, samples()[1]))
    structure = run.structures.label("token", neurons=["L_0:5"])
    told = "neuron 5 is a token of the embedding L_0, which says nothing by itself: its dimensions are 11 to 16"
    for ask in (
        lambda: structure.silenced(model),
        lambda: sg.silenced(model, run, neurons=["L_0:5"]),
        lambda: sg.ablate(model, run, structure=structure, held_out=(tokens, samples()[1])),
    ):
        with pytest.raises(sg.QueryError, match=told):
            ask()
    dimension = run.structures.label("dimension", neurons=[16])
    with dimension.silenced(model):
        said = model[0](tokens)
    assert (said[:, 5] == 0.0).all()
    assert (said[:, :5] != 0.0).all()


class Tapped(nn.Module):
    """Has a value that no module makes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out, self.rec = nn.Linear(6, 8), nn.Linear(8, 3), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.fc(x)) * 2.0
        return self.out(h if self.rec is None else self.rec.tap("resid.3", h))


def test_a_tap_is_silenced_where_the_model_goes_on_with_what_it_is_given(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tapped()
    x, _ = samples()
    with sg.record(model, tmp_path / "run", on_error="stop") as rec:
        model.rec = rec
        rec.step()
        rec.epoch(held_out=samples())
    run = sg.open(tmp_path / "run")
    [first] = [layer["first_neuron"] for layer in run.info["layers"] if layer["layer"] == "resid.3"]
    structure = run.structures.label("mine", neurons=[first])
    with torch.no_grad(), structure.silenced(model):
        said = model(x)
        hidden = torch.relu(model.fc(x)) * 2.0
        hidden[:, 0] = 0.0
        assert torch.equal(said, model.out(hidden))
    assert sg.ablate(model, run, structure=structure, held_out=samples(), draws=2).neurons == (first,)
    model.rec = None
    with pytest.raises(sg.NetworkError, match="resid.3 ran without its units being silenced.*has tapped nothing"):
        sg.ablate(model, run, structure=structure, held_out=samples(), draws=2)


def test_neurons_without_a_name_are_silenced(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    x, _ = samples()
    plain, expected = heard_by(model, x), heard_by(model, x)
    expected[:, [1, 3]] = expected[:, [1, 3]].mean(0)
    with sg.silenced(model, run, neurons=[3, "L_0:1", 3], mode="mean") as same:
        assert same is model
        torch.testing.assert_close(heard_by(model, x), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(heard_by(model, x), plain)
    # Nothing is measured by it, so that an output may be set as well.
    with sg.silenced(model, tmp_path / "run", neurons=["L_2:9"], mode="set", value=7.0):
        assert (model(x)[:, 1] == 7.0).all()
    run.structures.label("mine", neurons=[1])
    for structure in ("mine", run.structures["mine"]):
        with sg.silenced(model, run, structure=structure):
            assert (heard_by(model, x)[:, 1] == 0.0).all()


def test_what_cannot_be_silenced_is_refused(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    structure = run.structures.label("mine", neurons=[1])
    refused = [
        ({}, TypeError, "either a structure is silenced, or neurons"),
        (
            {"structure": "mine", "neurons": [1]},
            TypeError,
            "either a structure is silenced, or neurons",
        ),
        ({"neurons": "12"}, TypeError, r"neurons are a list, as neurons=\['12'\]"),
        ({"neurons": []}, sg.QueryError, "no neurons were named"),
        ({"neurons": [99]}, sg.QueryError, "there is no neuron 99"),
        (
            {"structure": "mein"},
            sg.QueryError,
            'there is no structure "mein"; did you mean mine',
        ),
        (
            {"structure": structure, "paths": {"L_9": "0"}},
            ValueError,
            "paths names L_9, and the layers are L_0, L_2",
        ),
        (
            {"structure": structure, "mode": "mean", "epoch": "lst"},
            sg.QueryError,
            "epoch is a number, 'first' or 'last', not 'lst'",
        ),
        (
            {"structure": structure, "mode": "mean", "epoch": 7},
            sg.QueryError,
            "no activations of layer L_0 .* epoch 7",
        ),
    ]
    for keywords, error, message in refused:
        with pytest.raises(error, match=message):
            sg.silenced(model, run, **keywords)
    with pytest.raises(ValueError, match="paths names L_9"):
        structure.silenced(model, paths={"L_9": "0"})


def test_an_epoch_that_is_none_is_refused_everywhere(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    asked = [
        lambda epoch: run.state_dict(epoch=epoch),
        lambda epoch: run.load_state_dict(model, epoch=epoch),
        lambda epoch: sg.silenced(model, run, neurons=[1], mode="mean", epoch=epoch),
        lambda epoch: sg.ablate(model, run, neurons=[1], held_out=samples(), draws=2, epoch=epoch),
    ]
    for ask in asked:
        with pytest.raises(sg.QueryError, match="epoch is a number, 'first' or 'last', not 'lst'"):
            ask("lst")
        with pytest.raises(TypeError, match="epoch is a whole number, 'first' or 'last', not 1.5"):
            ask(1.5)
    for epoch in (0, "0", "first", "last", torch.tensor(0)):
        assert run.state_dict(epoch=epoch).keys() == model.state_dict().keys()


def test_a_class_that_the_network_does_not_tell_is_refused(tmp_path: Path) -> None:
    run = recorded(mlp(), tmp_path / "run")
    for class_ in (3, 7, -1):
        with pytest.raises(sg.QueryError, match=f"there is no class {class_}: there are 0 to 2"):
            run.structures.label("mine", neurons=[0], class_=class_)
    assert run.structures.label("mine", neurons=[0], class_=2).class_ == 2
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    held_out = samples()[0], (samples()[1] == 1).float()
    with sg.record(model, tmp_path / "binary", loss="bce_with_logits", on_error="stop") as rec:
        rec.step()
        rec.epoch(held_out=held_out)
    binary = sg.open(tmp_path / "binary")
    assert binary.structures.label("mine", neurons=[0], class_=1).class_ == 1
    with pytest.raises(sg.QueryError, match="there is no class 2: there are 0 to 1"):
        binary.structures.label("other", neurons=[0], class_=2)


def test_of_an_imported_run_nobody_knows_how_many_classes_there_are(imported) -> None:
    run, _ = imported
    assert run.structures.label("mine", neurons=[0], class_=7).class_ == 7


def test_structures_are_removed_all_or_none(tmp_path: Path) -> None:
    model = mlp()
    run = recorded(model, tmp_path / "run")
    for name, unit in (("a", 0), ("b", 1), ("c", 2)):
        run.structures.label(name, neurons=[unit])
    kept = sg.ablate(model, run, structure="a", held_out=samples(), draws=2)
    with pytest.raises(sg.QueryError, match='there is no structure "d"'):
        run.structures.remove("a", "d")
    assert list(run.structures) == ["a", "b", "c"]
    run.structures.remove(run.structures["a"], "c")
    assert list(run.structures) == ["b"]
    assert run.structures["b"].units == {"L_0": (1,)}
    assert run.sql("SELECT DISTINCT ablation FROM ablations").to_dicts() == [{"ablation": kept.id}]
    # The name is free again, and the last can go.
    run.structures.label("a", neurons=[5])
    run.structures.remove("a", "b")
    assert not run.structures
    assert run.sql("SELECT count(*) AS n FROM structures").to_dicts() == [{"n": 0}]
    run.structures.remove()
    assert run.verify().is_whole


def test_what_is_wrong_with_a_name_is_said_in_pythons_words(tmp_path: Path) -> None:
    run = recorded(mlp(), tmp_path / "run")
    run.structures.label("a", neurons=[0])
    run.structures.label("b", neurons=[1])
    for ask, told in (
        (
            lambda: run.structures.label("a", "b"),
            'there is a structure "b" already: give another name',
        ),
        (
            lambda: run.structures.label("a", neurons=[1]),
            'there is a structure "a" already: give another name, or force=True to replace it',
        ),
        (
            lambda: run.structures.label("e", neurons=[]),
            "a structure has at least one neuron, and none is named",
        ),
    ):
        with pytest.raises(sg.QueryError) as refused:
            ask()
        assert str(refused.value) == told


def test_a_picture_names_the_recording_that_it_lacks_in_pythons_words(
    tmp_path: Path,
) -> None:
    with sg.record(mlp(), tmp_path / "run", record=["weights"]) as rec:
        rec.step()
        rec.epoch()
    run = sg.open(tmp_path / "run")
    for kind in ("confusion", "cartography"):
        with pytest.raises(sg.QueryError) as refused:
            run.plot(kind)
        assert '`sg.record(record="classifications")` records them' in str(refused.value)


def test_a_network_of_outputs_alone_is_told_so(tmp_path: Path) -> None:
    run = recorded(nn.Sequential(nn.Linear(6, 3)), tmp_path / "run")
    for ask, told in (
        (run.meta, "the network has no hidden neurons to learn from, only its outputs"),
        (lambda: run.meta(layer="L_0"), "L_0 is the output layer"),
        (
            lambda: run.plot("association"),
            "association draws hidden neurons, of which this run has none",
        ),
        (lambda: run.embed().to_dicts(), "the network has no hidden neurons"),
    ):
        with pytest.raises(sg.QueryError, match=told):
            ask()


def test_a_picture_of_connections_says_why_a_recorded_run_has_none(
    tmp_path: Path,
) -> None:
    with sg.record(None, tmp_path / "run") as rec:
        for step in (1, 2):
            arrays = {"a.weight": torch.ones(3, 4), "b.weight": torch.ones(2, 3)}
            rec.capture(arrays, epoch=step, step=step)
    with pytest.raises(
        sg.QueryError,
        match="and of networks whose forward pass was not seen, or could not be followed",
    ):
        sg.open(tmp_path / "run").plot("network")


def test_notes_have_figures_that_people_read(run) -> None:
    for noted in (run.embed(layer="L_hidden_1", method="pca"), run.phases()):
        figures = re.findall(r"\d+\.\d+", " ".join(noted.notes))
        assert figures
        assert all(len(figure.partition(".")[2]) <= 3 for figure in figures)
