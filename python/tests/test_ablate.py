"""What a live network loses without some of its neurons."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import runs
import stratigraph_nn as sg
from conftest import _program, record
from stratigraph_nn._torch.errors import HeldOutError, NetworkError

DIGITS = Path(__file__).parents[2] / "crates/recorder/data/digits.csv"
NUM_HELD_OUT = 297


class Exported(nn.Module):
    """The network of ``recorder train --hidden 24,12``, under the names that an export has."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 24), nn.Linear(24, 12), nn.Linear(12, 10)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


class ExportedCnn(nn.Module):
    """The network of ``recorder train --model cnn --channels 4,6 --hidden 12``, likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)])
        self.layers = nn.ModuleList([nn.Linear(24, 12), nn.Linear(12, 10)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 1, 8, 8)
        for convolution in self.convolutions:
            x = nn.functional.max_pool2d(torch.relu(convolution(x)), 2)
        return self.layers[1](torch.relu(self.layers[0](x.flatten(1))))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """What ``recorder train`` holds out of the digits."""
    lines = DIGITS.read_text().splitlines()[1:][-NUM_HELD_OUT:]
    rows = torch.tensor([[float(value) for value in line.split(",")] for line in lines])
    return rows[:, :-1] / 16.0, rows[:, -1].long()


@pytest.fixture()
def exported(own_recorded: Path) -> tuple[Path, Exported]:
    """A run of the Rust recorder, and its last network as a module of PyTorch."""
    model = Exported()
    sg.open(own_recorded).load_state_dict(model)
    return own_recorded, model


@pytest.fixture()
def exported_cnn(tmp_path: Path) -> tuple[Path, ExportedCnn]:
    """The same of a network with convolutions."""
    run = record(tmp_path / "cnn", "--model", "cnn", "--channels", "4,6", "--hidden", "12", "--epochs", "3")
    model = ExportedCnn()
    sg.open(run).load_state_dict(model)
    return run, model


def by_program(run: Path, *options: str) -> list[dict]:
    """The rows that ``recorder ablate`` leaves, which replaces one that asked the same."""
    command = [_program("recorder"), "ablate", run, "--epoch", "last", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return rows_of(run)


def rows_of(run: Path) -> list[dict]:
    return runs.rows(run, "ablations")


ABOUT = ("epoch", "step", "rank", "name", "of_class", "neurons", "mode", "factor", "value", "half", "seed")
FIGURE = ("samples", "class", "num_samples", "metric")


def assert_agree(ours: list[dict], theirs: list[dict], draws: int) -> None:
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs):
        place = {name: their[name] for name in (*ABOUT, *FIGURE)}
        assert {name: our[name] for name in place} == place
        for name in ("before", "after", "random_mean", "random_std"):
            assert our[name] == pytest.approx(their[name], rel=1e-5, abs=1e-6), (place, name)
        # The same random neurons, draw by draw.
        assert len(our["random"]) == draws
        assert our["random"] == pytest.approx(their["random"], rel=1e-5, abs=1e-6), place
        assert our["p_value"] == their["p_value"], place
        for name in ("predicted_before", "predicted_after", "predicted_random"):
            assert our[name] == pytest.approx(their[name]) if their[name] else our[name] is None, (place, name)


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        ([], {}),
        (["--mode", "mean", "--half", "first"], {"mode": "mean", "half": "first"}),
        (["--mode", "scale", "--factor=-0.5", "--seed", "11"], {"mode": "scale", "factor": -0.5, "seed": 11}),
        (["--mode", "set", "--value", "1.5", "--half", "second"], {"mode": "set", "value": 1.5, "half": "second"}),
    ],
)
def test_it_agrees_with_the_program(exported, options: list[str], keywords: dict) -> None:
    run, model = exported
    neurons = [2, 11, "L_hidden_1:25", 30]
    found = sg.ablate(model, run, neurons=neurons, class_=3, held_out=digits(), draws=50, **keywords)
    ours = rows_of(run)
    assert {row["ablation"] for row in ours} == {found.id}
    named = ["--neurons", "2,11,L_hidden_1:25,30", "--class", "3", "--draws", "50"]
    theirs = by_program(run, *named, *options)
    # It asked the same, so it replaced ours.
    assert found.id not in {row["ablation"] for row in theirs}
    assert_agree(ours, theirs, 50)
    assert any(row["metric"] == "accuracy_gap" for row in ours)


def test_a_structure_is_judged_as_the_program_does(exported) -> None:
    run, model = exported
    opened = sg.open(run)
    structure = opened.structures.find(half="first", permutations=100, seed=5)[0]
    # In batches of another size than the program's.
    found = sg.ablate(model, opened, structure=structure, held_out=digits(), draws=40, batch_size=64)
    assert (found.structure, found.class_, found.half, found.seed) == (structure.label, structure.class_, "second", 5)
    ours = rows_of(run)
    theirs = by_program(run, "--structure", structure.label, "--draws", "40")
    assert_agree(ours, theirs, 40)


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        ([], {}),
        (["--mode", "mean"], {"mode": "mean"}),
        (["--mode", "scale", "--factor=-0.5"], {"mode": "scale", "factor": -0.5}),
        (["--mode", "set", "--value", "0.3", "--half", "second"], {"mode": "set", "value": 0.3, "half": "second"}),
    ],
)
def test_of_convolutions_it_agrees_with_the_program(exported_cnn, options: list[str], keywords: dict) -> None:
    run, model = exported_cnn
    # A channel of either convolution, and a unit behind them.
    neurons = ["L_conv_1:1", "L_conv_2:6", "L_hidden_1:13"]
    found = sg.ablate(model, run, neurons=neurons, class_=3, held_out=digits(), draws=20, seed=7, **keywords)
    ours = rows_of(run)
    assert {row["ablation"] for row in ours} == {found.id}
    asked = ["--neurons", ",".join(neurons), "--class", "3", "--draws", "20", "--seed", "7"]
    theirs = by_program(run, *asked, *options)
    assert found.id not in {row["ablation"] for row in theirs}
    assert_agree(ours, theirs, 20)
    changed = [abs(row["before"] - row["after"]) for row in ours if row["metric"] == "loss"]
    assert changed and max(changed) > 1e-3, "it says something of what is silenced"


class Net(nn.Module):
    """Layers of several kinds, in training mode with what is random."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm1d(24)
        self.fc1 = nn.Linear(24, 16)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.conv(x)).flatten(1)
        return self.out(self.drop(torch.relu(self.fc1(self.norm(h)))))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(60, 1, 4, 4), torch.arange(60) % 3


@pytest.fixture()
def recorded_net(tmp_path: Path) -> tuple[Path, Net]:
    torch.manual_seed(0)
    model, held_out = Net(), samples()
    with sg.record(model, tmp_path / "run") as rec:
        rec.step()
        rec.epoch(held_out=held_out)
    return tmp_path / "run", model


def neuron(run: Path | sg.Run, label: str, unit: int) -> str:
    """A unit as people name it: by its number across the network, and its layer."""
    run = run if isinstance(run, sg.Run) else sg.open(run)
    [layer] = [layer for layer in run.info["layers"] if layer["layer"] == label]
    return f"{label}:{layer['first_neuron'] + unit}"


def test_figures_are_those_of_a_network_that_is_changed_by_hand(recorded_net) -> None:
    run, model = recorded_net
    held_out = samples()
    found = sg.ablate(model, run, neurons=[neuron(run, "conv", 1), neuron(run, "conv", 4)], held_out=held_out, draws=0)
    model.eval()
    with torch.no_grad():
        x, y = held_out
        h = torch.relu(model.conv(x))
        h[:, [1, 4]] = 0.0
        logits = model.out(torch.relu(model.fc1(model.norm(h.flatten(1)))))
        losses = [nn.functional.cross_entropy(said, y).item() for said in (model(x), logits)]
        right = [(said.argmax(1) == y).double().mean().item() for said in (model(x), logits)]
    rows = {(row["samples"], row["class"], row["metric"]): row for row in found.table.to_dicts()}
    for metric, expected in [("loss", losses), ("accuracy", right)]:
        row = rows["all", None, metric]
        assert [row["before"], row["after"]] == pytest.approx(expected, rel=1e-6)
        assert (row["num_samples"], row["random_mean"], row["p_value"]) == (60, None, None)
    assert losses[0] != losses[1]


def test_the_network_is_as_before(recorded_net) -> None:
    (run, model), held_out = recorded_net, samples()
    model.train()
    model(held_out[0]).sum().backward()
    sg.open(run).load_state_dict(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad for parameter in model.parameters()]
    state = torch.get_rng_state()
    sg.ablate(model, run, neurons=[0], held_out=held_out, draws=3, mode="mean")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is gradient for parameter, gradient in zip(model.parameters(), gradients))
    assert not any(module._forward_hooks for module in model.modules())


def test_the_result_shows_and_the_run_keeps_it(recorded_net, tmp_path: Path) -> None:
    path, model = recorded_net
    run = sg.open(path)
    run.structures.label("mine", neurons=[neuron(run, "fc1", 3)], class_=1)
    found = sg.ablate(model, run, structure="mine", held_out=samples(), draws=19, value=0.5, mode="set")
    assert (found.epoch, found.step, found.class_, found.draws, found.num_samples) == (0, 1, 1, 19, 60)
    columns = "samples class num_samples metric before after random_mean random_std p_value".split()
    assert found.table.columns == columns
    for text in (repr(found), found._repr_html_()):
        assert "mine silenced (mode set), epoch 0, 60 held-out samples, 19 draws" in text
        assert "accuracy_gap" in text and text.count("at least as much harm") == 1
    assert found.notes == found.table.notes and len(found.notes) > 0
    kept = run.sql("SELECT ablation, value FROM ablations WHERE metric = 'loss' AND samples = 'all'").rows()
    assert kept == [(found.id, 0.5)]
    [effect] = run.ablation_effects().to_dicts()
    assert (effect["name"], effect["mode"], effect["value"], effect["draws"]) == ("mine", "set", 0.5, 19)
    found.plot(metric="loss").save(tmp_path / "ablation.svg")
    assert "mode set 0.5" in (tmp_path / "ablation.svg").read_text()
    page = run.report(tmp_path / "report.html", epochs=1, permutations=9).read_text()
    assert "activations set to 0.5" in page
    # Once more is the same ablation.
    again = sg.ablate(model, run, structure="mine", held_out=samples(), draws=19, value=0.5, mode="set")
    assert again.table.to_dicts() == found.table.to_dicts()
    assert {row["ablation"] for row in rows_of(path)} == {again.id}
    assert run.verify().is_whole


@pytest.mark.parametrize("mode", ["zero", "mean"])
def test_held_out_samples_come_in_any_form(recorded_net, mode: str) -> None:
    run, model = recorded_net
    x, y = samples()

    def called(module: nn.Module):
        for start in range(0, 60, 25):
            yield module(x[start : start + 25]), y[start : start + 25]

    forms = [
        (x, y),
        DataLoader(TensorDataset(x, y), batch_size=7),
        ((x[start : start + 20], y[start : start + 20]) for start in (0, 20, 40)),
        called,
    ]
    told = []
    for held_out in forms:
        found = sg.ablate(model, run, neurons=[1, 2], held_out=held_out, draws=5, mode=mode, class_=2)
        told.append(found.table.to_dicts())
    for other in told[1:]:
        for row, expected in zip(other, told[0], strict=True):
            assert [row[name] for name in FIGURE] == [expected[name] for name in FIGURE]
            for name in ("before", "after", "random_mean", "p_value"):
                assert row[name] == pytest.approx(expected[name], rel=1e-5)


def test_losses_of_ones_own_are_measured(recorded_net) -> None:
    run, model = recorded_net
    x, y = samples()

    def held_out(module: nn.Module):
        logits = module(x)
        return logits, y, 10.0 + nn.functional.cross_entropy(logits, y, reduction="none")

    plain = sg.ablate(model, run, neurons=[1], held_out=(x, y), draws=3).table.to_dicts()
    moved = sg.ablate(model, run, neurons=[1], held_out=held_out, draws=3).table.to_dicts()
    for one, other in zip(plain, moved, strict=True):
        shift = 10.0 if one["metric"] == "loss" else 0.0
        for name in ("before", "after", "random_mean"):
            assert other[name] == pytest.approx(one[name] + shift, rel=1e-5)


def test_another_network_is_not_measured_as_the_recorded_one(recorded_net) -> None:
    path, model = recorded_net
    with torch.no_grad():
        model.fc1.weight[0, 0] += 0.25
    with pytest.raises(sg.QueryError) as told:
        sg.ablate(model, path, neurons=[1], held_out=samples(), draws=2)
    message = str(told.value)
    assert "the model is not the network of epoch 0" in message and "fc1.weight differs by up to 0.25" in message
    assert "run.load_state_dict(model, epoch=0)" in message and "check_weights=False" in message
    assert not (path / "ablations").exists()
    sg.ablate(model, path, neurons=[1], held_out=samples(), draws=2, check_weights=False)
    sg.open(path).load_state_dict(model, epoch=0)
    sg.ablate(model, path, neurons=[1], held_out=samples(), draws=2)


def test_weights_that_were_rounded_or_not_recorded(tmp_path: Path) -> None:
    model = Net()
    with sg.record(model, tmp_path / "half", precision="f16") as rec:
        rec.step()
        rec.epoch(held_out=samples())
    sg.ablate(model, tmp_path / "half", neurons=[1], held_out=samples(), draws=2)
    with sg.record(model, tmp_path / "none", record=["metrics", "activations"]) as rec:
        rec.step()
        rec.epoch(held_out=samples())
    with pytest.warns(sg.StratigraphWarning, match="nobody can tell whether the model is the network of epoch 0"):
        sg.ablate(model, tmp_path / "none", neurons=[1], held_out=samples(), draws=2)


@pytest.mark.parametrize("which", ["tap", "layers", "units"])
def test_weights_that_are_there_are_compared(which: str, tmp_path: Path) -> None:
    class Tapped(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.conv(x)).flatten(1)
            h = torch.relu(self.fc1(self.norm(h)))
            return self.out(rec.tap("t", h) if which == "tap" else h)

    model = Tapped()
    options = {"tap": {}, "layers": {"layers": ["*", "!out"]}, "units": {"units": 8}}[which]
    with sg.record(model, tmp_path / "run", example=samples()[0], **options) as rec:
        rec.step()
        rec.epoch(held_out=samples())
    run = sg.open(tmp_path / "run")
    if which == "tap":
        assert any(layer["kind"] == "tap" for layer in run.info["layers"])
        assert torch.equal(run.state_dict()["fc1.weight"], model.fc1.weight)

    def ask():
        return sg.ablate(model, run, neurons=[neuron(run, "conv", 1)], held_out=samples(), draws=2)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ask()
    expected = {"tap": "", "layers": "the weights of out were not recorded", "units": "norm.running_var, fc1 were not"}
    said = [str(each.message) for each in told if issubclass(each.category, sg.StratigraphWarning)]
    assert len(said) == (which != "tap") and all(expected[which] in each for each in said)
    with torch.no_grad():
        model.conv.weight[0, 0, 0, 0] += 0.25
    with pytest.raises(sg.QueryError, match="conv.weight differs by up to 0.25"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask()


def test_what_is_no_number_is_not_nothing(recorded_net) -> None:
    path, model = recorded_net
    with torch.no_grad():
        model.fc1.bias[:] = 0.0
    from stratigraph_nn._torch.state import unlike

    recorded = {"fc1.bias": torch.zeros(16)}
    assert unlike(model, recorded, False) == []
    recorded["fc1.bias"][3] = torch.nan
    assert unlike(model, recorded, False)
    with torch.no_grad():
        model.fc1.bias[3] = torch.nan
    assert unlike(model, recorded, False) == []


def test_other_samples_than_the_runs_are_told(recorded_net) -> None:
    path, model = recorded_net
    x, y = samples()
    assert not sg.ablate(model, path, neurons=[1], held_out=(x, y), draws=0)._notes
    others = (x.flip(0), y.flip(0))
    found = sg.ablate(model, path, neurons=[1], held_out=others, draws=2)
    for text in (repr(found), found._repr_html_()):
        assert text.count("the held-out samples are not those that were recorded") == 1
    assert any("not those that were recorded" in note for note in found.notes)
    with pytest.raises(sg.QueryError, match="so that their first half is another"):
        sg.ablate(model, path, neurons=[1], held_out=others, draws=2, half="first")
    # Whose are not known may be the same.
    assert not sg.ablate(model, path, neurons=[1], held_out=[others], draws=2, half="first")._notes


def test_an_empty_half_is_said_in_pythons_words(recorded_net) -> None:
    path, model = recorded_net
    x, y = samples()
    with pytest.raises(sg.QueryError, match='half="all"'):
        sg.ablate(model, path, neurons=[1], held_out=[(x[:1], y[:1])], draws=2, half="second")


def test_layers_may_stand_elsewhere(recorded_net) -> None:
    path, model = recorded_net
    inner = nn.ModuleDict({"body": model})

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner["body"](x)

    run = sg.open(path)
    expected = sg.ablate(model, run, neurons=[1], held_out=samples(), draws=4).table.to_dicts()
    with pytest.raises(sg.QueryError, match="it has no conv.weight.*paths= says where"):
        sg.ablate(Outer(), run, neurons=[1], held_out=samples(), draws=4)
    paths = {layer["layer"]: f"inner.body.{layer['module_path']}" for layer in run.info["layers"]}
    found = sg.ablate(Outer(), run, neurons=[1], held_out=samples(), draws=4, paths=paths)
    assert found.table.to_dicts() == expected


def test_a_compiled_network_is_measured(recorded_net) -> None:
    path, model = recorded_net
    expected = sg.ablate(model, path, neurons=[1], held_out=samples(), draws=4).table.to_dicts()
    compiled = torch.compile(model, backend="eager")
    assert sg.ablate(compiled, path, neurons=[1], held_out=samples(), draws=4).table.to_dicts() == expected


def test_dimensions_of_an_embedding_are_silenced(tmp_path: Path) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.out = nn.Embedding(11, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.words(x).mean(1))

    torch.manual_seed(0)
    model = Words()
    held_out = torch.randint(0, 11, (30, 4)), torch.arange(30) % 2
    with sg.record(model, tmp_path / "run") as rec:
        rec.step()
        rec.epoch(held_out=held_out)
    # 11 tokens and 2 outputs are numbered before the 5 dimensions.
    found = sg.ablate(model, tmp_path / "run", neurons=[14, 16], held_out=held_out, draws=3)
    with torch.no_grad():
        h = model.words(held_out[0])
        h[..., [1, 3]] = 0.0
        expected = nn.functional.cross_entropy(model.out(h.mean(1)), held_out[1]).item()
    [row] = [row for row in found.table.to_dicts() if (row["samples"], row["metric"]) == ("all", "loss")]
    assert row["after"] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(sg.QueryError, match="neuron 3 is a token of the embedding words.*13 to 17"):
        sg.ablate(model, tmp_path / "run", neurons=[3], held_out=held_out)


def test_units_of_a_wide_layer_that_were_recorded_are_silenced(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 3))
    held_out = torch.randn(30, 6), torch.arange(30) % 3
    with sg.record(model, tmp_path / "run", units=8, record=["weights", "metrics", "activations"]) as rec:
        rec.step()
        rec.epoch(held_out=held_out)
    run = sg.open(tmp_path / "run")
    units = run.info["layers"][0]["recorded_units"]
    assert len(units) == 8
    structure = run.structures.label("mine", neurons=[units[-1]])
    assert structure.units == {structure.layer: (units[-1],)}
    with pytest.warns(sg.StratigraphWarning, match="nobody can tell"):
        found = sg.ablate(model, run, structure=structure, held_out=held_out, draws=3)
    assert found.neurons == (units[-1],)


def test_what_cannot_be_asked_is_refused_with_what_to_do(recorded_net) -> None:
    path, model = recorded_net
    x, y = samples()
    run = sg.open(path)

    def ask(**keywords):
        return sg.ablate(model, run, **{"held_out": (x, y), "draws": 3, **keywords})

    refused = [
        ({}, TypeError, "either a structure is silenced, or neurons"),
        ({"structure": "a", "neurons": [1]}, TypeError, "either a structure"),
        ({"neurons": "12"}, TypeError, "neurons are a list, as neurons=\\['12'\\]"),
        ({"neurons": [1], "mode": torch.zeros_like}, TypeError, "structure.silenced\\(\\) takes a function"),
        ({"neurons": [1], "draws": -1}, ValueError, "draws is -1"),
        ({"neurons": [1], "held_out": (x, y[:-1])}, HeldOutError, "inputs of 60 samples and targets of 59"),
        ({"structure": "a"}, sg.QueryError, 'there is no structure "a"'),
        ({"neurons": [999]}, sg.QueryError, "there is no neuron 999: those that can be silenced are 0 to 5 \\(conv\\)"),
        ({"neurons": []}, sg.QueryError, "no neurons were named"),
        ({"neurons": [neuron(run, "out", 0)]}, sg.QueryError, "is an output of the network"),
        ({"neurons": [0, 1, 2, 3, 4, 5]}, sg.QueryError, "all 6 neurons of layer conv would be silenced"),
        ({"neurons": [1], "class_": 3}, sg.QueryError, "there is no class 3: there are 0 to 2"),
        ({"neurons": [1], "epoch": 4}, sg.QueryError, "epoch 4 was not recorded"),
        ({"neurons": [1], "mode": "off"}, ValueError, "mode is one of zero, mean, scale, set"),
        ({"neurons": [1], "mode": "set"}, ValueError, "value goes with mode='set'"),
        ({"neurons": [1], "factor": 2.0}, ValueError, "factor goes with mode='scale'"),
        ({"neurons": [1], "paths": {"conf": "conv"}}, ValueError, "paths names conf, and the layers are conv, "),
        ({"neurons": [1], "half": "third"}, sg.QueryError, "half: "),
    ]
    for keywords, error, message in refused:
        with pytest.raises(error, match=message):
            ask(**keywords)
    assert not (path / "ablations").exists()
    assert not any(module._forward_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


def test_a_layer_that_is_not_silenced_is_an_error(tmp_path: Path) -> None:
    class Between(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.unused, self.out = (
                nn.Linear(6, 8),
                nn.LayerNorm(8),
                nn.Linear(6, 8),
                nn.Linear(8, 3),
            )
            self.is_normed = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x)
            return self.out(torch.relu(self.norm(h) if self.is_normed else h))

    model, held_out = Between(), (torch.randn(12, 6), torch.arange(12) % 3)
    with sg.record(model, tmp_path / "run") as rec:
        rec.step()
        rec.epoch(held_out=held_out)
    run = sg.open(tmp_path / "run")
    with pytest.raises(NetworkError, match="unused did not run on the held-out samples"):
        sg.ablate(model, run, neurons=[neuron(run, "unused", 0)], held_out=held_out, draws=2)
    model.is_normed = True
    with pytest.raises(NetworkError, match="first ran without its units being silenced: a non-linearity"):
        sg.ablate(model, run, neurons=[neuron(run, "first", 0)], held_out=held_out, draws=2)
    assert not (tmp_path / "run" / "ablations").exists()


def test_a_network_that_changes_its_inputs_is_refused(tmp_path: Path) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.relu(self.first(x.mul_(0.5))))

    model, y = InPlace(), torch.arange(12) % 3
    with sg.record(model, tmp_path / "run") as rec:
        rec.step()
        rec.epoch(held_out=(torch.randn(12, 6), y))
    x = torch.randn(12, 6)
    with pytest.raises(HeldOutError, match="changes its inputs in place.*a callable"):
        sg.ablate(model, tmp_path / "run", neurons=[0], held_out=(x.clone(), y), draws=2)
    sg.ablate(model, tmp_path / "run", neurons=[0], held_out=lambda module: (module(x.clone()), y), draws=2)


def test_passes_are_told_and_ctrl_c_leaves_nothing(recorded_net) -> None:
    path, model = recorded_net
    told: list[tuple[int, int]] = []
    sg.ablate(model, path, neurons=[1], held_out=samples(), draws=3, progress=lambda *each: told.append(each))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    before = rows_of(path)

    def pressed(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sg.ablate(model, path, neurons=[2], held_out=samples(), draws=50, progress=pressed)
    assert rows_of(path) == before
    assert not any(module._forward_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


def test_hooks_are_set_once(recorded_net, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = recorded_net
    registered = []
    register = nn.Module.register_forward_hook

    def counted(module: nn.Module, hook, **options):
        registered.append(module)
        return register(module, hook, **options)

    monkeypatch.setattr(nn.Module, "register_forward_hook", counted)
    counts = []
    for draws in (2, 20):
        registered.clear()
        sg.ablate(model, path, neurons=[1, neuron(path, "fc1", 9)], held_out=samples(), draws=draws)
        counts.append(len(registered))
    assert counts[0] == counts[1] > 0
