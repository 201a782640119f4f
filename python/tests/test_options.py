"""What is wrong with options is said at once, by their names; nothing is begun."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stratigraph_nn as sg


class Small(nn.Module):
    def __init__(self, size: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(6, size)
        self.second = nn.Linear(size, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))


def made(size: int = 5) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = Small(size)
    return model, torch.optim.Adam(model.parameters())


def step(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: int = 6) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(torch.randn(8, inputs)), torch.randint(0, 3, (8,))).backward()
    optimizer.step()


def held_out() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 6, generator=generator), torch.randint(0, 3, (20,), generator=generator)


def said(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(each.message) for each in caught if isinstance(each.message, sg.StratigraphWarning)]


@pytest.mark.parametrize(
    "options, kind, words",
    [
        ({"max_disk": 1.5}, TypeError, 'max_disk is a number of bytes or a text as "20GB", not 1.5'),
        ({"channel_bytes": -1}, ValueError, "channel_bytes is 0 at least, not -1"),
        ({"max_part_bytes": -1}, ValueError, "max_part_bytes is 0 at least, not -1"),
        ({"max_part_bytes": 0}, ValueError, "max_part_bytes: a size of 0 B is too small: the smallest is 4KiB (4096 B)"),
        ({"max_part_bytes": "1KiB"}, ValueError, "below which part files are little but footers"),
        ({"max_part_bytes": "much"}, ValueError, 'max_part_bytes is a size as "20GB", not "much"'),
        ({"resume": 3}, TypeError, "resume is (epoch, step), the last epoch that has ended"),
        ({"resume": (1, 2.5)}, TypeError, "the step of resume is a whole number, not 2.5"),
        ({"resume": (1, -2)}, ValueError, "the step of resume is 0 at least, not -2"),
        ({"seed": -1}, ValueError, "seed is 0 at least, not -1"),
        ({"seed": "one"}, TypeError, "seed is a whole number, not 'one'"),
        ({"epochs": 0}, ValueError, "epochs is 1 at least, not 0"),
        ({"epochs": 2.0}, TypeError, "epochs is a whole number, not 2.0"),
        ({"epochs": 3, "every": "0,9"}, ValueError, "every, of epochs=3: "),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch is 1 at least, not 0"),
        ({"batch_size": 0}, ValueError, "batch_size is 1 at least, not 0"),
        ({"units": True}, TypeError, "units is a whole number, not True"),
        ({"activation_samples": None}, TypeError, "activation_samples is a whole number, not None"),
        ({"histograms": 10**6}, ValueError, "histograms is 65536 at most, not 1000000"),
        ({"record": []}, ValueError, "record names no table, so that nothing would be recorded"),
        ({"record": ["wieghts"]}, ValueError, "; did you mean weights?"),
        ({"record": ["weights", 3]}, TypeError, "3 is no name"),
        ({"record": 7}, TypeError, 'record is a list of names as ["weights"], not 7'),
        ({"layers": 3}, TypeError, 'layers is a list of names as ["encoder.*"], not 3'),
        ({"labels": ["first"]}, TypeError, "labels are names by module path"),
        ({"labels": {"first": 3}}, TypeError, "'first' has 3"),
        ({"labels": {"frist": "input"}}, ValueError, "frist"),
        ({"weights": "stat"}, ValueError, 'weights is "raw" or "stats", not "stat"; did you mean stats?'),
        ({"activations": True}, TypeError, 'activations is a text as "raw", not True'),
        ({"compress": True}, TypeError, 'compress is a text as "auto", not True'),
        ({"compress": "sise"}, ValueError, 'compress is "auto" or "size" or "none", not "sise"; did you mean size?'),
        ({"precision": 16}, TypeError, 'precision is a text as "f32", not 16'),
        ({"on_error": "contniue"}, ValueError, "; did you mean continue?"),
        ({"record_initial": 1}, TypeError, "record_initial is True or False, not 1"),
        ({"max_overhead": 2}, ValueError, 'at most 1, not 2; did you mean "2%"?'),
        ({"max_overhead": [1]}, TypeError, 'max_overhead is a share as 0.02 or a text as "2%", not [1]'),
        ({"every": 2.5}, TypeError, "is a whole number, not 2.5"),
        ({"commits": 3}, TypeError, "commits is the path of a file, not 3"),
        ({"phases": "train"}, ValueError, "phases is \"eval\", not 'train': activations of training batches"),
        ({"class_names": "abc"}, TypeError, "class_names is a list of names"),
        ({"config": 5}, TypeError, 'config is values by their names, as {"dropout": 0.1}, not 5'),
        ({"loss": "mes"}, ValueError, "'mes'; did you mean mse?"),
        ({"loss": nn.CrossEntropyLoss()}, TypeError, "losses of your own come from a held_out that is called"),
        ({"scaler": 128.0}, TypeError, "scaler is a torch.amp.GradScaler, not 128.0"),
        ({"held_out": 5}, ValueError, "held_out is a int, not (inputs, targets), a DataLoader or a callable"),
        ({"held_out": (torch.ones(4, 6), torch.ones(3))}, ValueError, "inputs of 4 samples and targets of 3"),
        ({"example": 3}, TypeError, "example is a tensor, a tuple of arguments or a dictionary of them, not 3"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], kind: type[Exception], words: str, tmp_path: Path) -> None:
    model, optimizer = made()
    with pytest.raises(kind, match=re.escape(words)) as raised:
        sg.record(model, tmp_path / "run", optimizer=optimizer, **options)
    assert "line 1 column" not in str(raised.value)
    assert not optimizer._optimizer_step_post_hooks and not (tmp_path / "run").exists()


def test_what_is_no_optimizer_no_network_and_no_path_is_named(tmp_path: Path) -> None:
    model, optimizer = made()
    for given in (model.parameters(), [model.parameters()], {"adam": optimizer}):
        with pytest.raises(TypeError, match="optimizer is a torch.optim.Optimizer, or a list of them, not"):
            sg.record(model, tmp_path / "run", optimizer=given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the model is a torch.nn.Module, not the class Small"):
        sg.record(Small, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="directory is a path, not 5"):
        sg.record(model, 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="optimizer is of a PyTorch module"):
        sg.record(None, tmp_path / "run", optimizer=optimizer)
    assert not (tmp_path / "run").exists()


def codecs_of_weights(run: Path, epoch: int) -> set[str]:
    parquet = pytest.importorskip("pyarrow.parquet")
    [path] = run.glob(f"weights/epoch={epoch}/layer=L_0/*.parquet")
    group = parquet.read_metadata(path).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    return {column.compression for column in columns if column.path_in_schema == "weights.list.item"}


@pytest.mark.parametrize("compress, codecs", [("none", {"UNCOMPRESSED"}), ("size", {"ZSTD"})])
def test_what_is_compressed_is_what_was_asked_for(compress: str, codecs: set[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters())
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=["weights"], compress=compress) as rec:
        step(model, optimizer, inputs=64)
        rec.epoch()
    assert codecs_of_weights(tmp_path / "run", 0) == codecs
    # A run that is gone on with is compressed as before, unless it is said.
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=["weights"], resume=(0, 1)) as rec:
        step(model, optimizer, inputs=64)
        rec.epoch()
    assert codecs_of_weights(tmp_path / "run", 1) == codecs
    options: Any = {"optimizer": optimizer, "record": ["weights"], "resume": (1, 2), "compress": "auto"}
    with sg.record(model, tmp_path / "run", **options) as rec:
        step(model, optimizer, inputs=64)
        rec.epoch()
    assert codecs_of_weights(tmp_path / "run", 2) == {"UNCOMPRESSED"}


def test_what_a_library_of_numbers_makes_is_taken(tmp_path: Path) -> None:
    model, optimizer = made()
    with sg.record(
        model,
        tmp_path / "run",
        optimizer=optimizer,
        every=1,
        seed=np.int64(3),  # type: ignore[arg-type]
        activation_samples=np.int32(4),  # type: ignore[arg-type]
        max_overhead=np.float32(1.0),  # type: ignore[arg-type]
        class_names=("a", "b", "c"),
    ) as rec:
        step(model, optimizer)
        assert rec.epoch(np.int64(0), held_out=held_out())  # type: ignore[arg-type]
    assert runs.info(tmp_path / "run")["seed"] == 3


def test_a_layer_that_was_misspelled_is_said_at_once_and_a_tap_is_not(tmp_path: Path) -> None:
    model, _ = made()
    with pytest.warns(sg.StratigraphWarning, match='no layer fits "frist.*".*did you mean first?'):
        sg.record(model, tmp_path / "misspelt", layers="frist*").finish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sg.record(model, tmp_path / "tap", layers=["*", "!resid.*"]).finish()


def test_layers_that_fit_nothing_are_said_at_once(tmp_path: Path) -> None:
    model, _ = made()
    with pytest.warns(sg.StratigraphWarning, match=r"no layer of the network fits layers= \(it has first, second\)"):
        sg.record(model, tmp_path / "none", layers=["fc*", "!first"]).finish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sg.record(model, tmp_path / "some", layers=["fc*", "sec*"]).finish()


class Rotated(nn.Module):
    """With a tensor that a trace cannot hold."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)
        if what == "complex":
            self.register_buffer("freqs", torch.ones(5, dtype=torch.complex64))
        elif what == "parameter of bytes":
            self.coded = nn.Parameter(torch.zeros(4, 4, dtype=torch.uint8), requires_grad=False)
        elif what == "sparse":
            self.register_buffer("adjacency", torch.eye(5).to_sparse())
        else:
            quantize: Any = torch.ao.quantization.quantize_dynamic
            self.body = quantize(nn.Sequential(nn.Linear(5, 5), nn.ReLU()), {nn.Linear}, dtype=torch.qint8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*deprecated:UserWarning")
@pytest.mark.parametrize("what", ["complex", "parameter of bytes", "sparse", "quantised module"])
def test_what_a_refusal_says_is_to_be_left_out_is_left_out_and_the_rest_recorded(what: str, tmp_path: Path) -> None:
    model = Rotated(what)
    optimizer = torch.optim.SGD([*model.first.parameters(), *model.second.parameters()], lr=0.1)
    with pytest.raises(ValueError, match="leave its layer out by") as refused:
        sg.record(model, tmp_path / "refused", optimizer=optimizer)
    remedy = re.search(r'layers=(\["![^"]*"\])', str(refused.value))
    assert remedy is not None
    for number, layers in enumerate((json.loads(remedy[1]), ["first"], ["*", json.loads(remedy[1])[0]])):
        run = tmp_path / str(number)
        with warnings.catch_warnings():
            warnings.simplefilter("error", sg.StratigraphWarning)
            with sg.record(model, run, optimizer=optimizer, layers=layers, on_error="stop") as rec:
                step(model, optimizer)
                assert rec.epoch(held_out=held_out())
        expected = {"first"} if layers == ["first"] else {"first", "second"}
        assert {row["layer"] for row in runs.rows(run, "weights")} == expected
        assert set(runs.layers(run)) == {"first", "second"}


def test_what_is_left_out_and_is_not_there_is_said_and_the_rest_recorded(tmp_path: Path) -> None:
    for glob, words in (
        ("!resid.*", '"!resid.*" of layers= leaves nothing out, no layer and no tap is called so: there are first, second'),
        ("!secnd", 'no layer fits "secnd": there are first, second; did you mean second?'),
    ):
        model, optimizer = made()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with sg.record(model, tmp_path / glob[1:4], optimizer=optimizer, layers=["*", glob]) as rec:
                at_once = len(caught)
                for _ in range(2):
                    step(model, optimizer)
                    assert rec.epoch(held_out=held_out())
        assert [str(each.message).partition(": ")[2] for each in caught] == [words]
        assert at_once == (glob == "!secnd"), "what is not there may be a tap, as long as none was seen"
        assert {row["layer"] for row in runs.rows(tmp_path / glob[1:4], "weights")} == {"first", "second"}


def test_layers_that_are_all_left_out_are_said_at_once(tmp_path: Path) -> None:
    model, _ = made()
    with pytest.warns(sg.StratigraphWarning, match="no layer of the network fits layers="):
        sg.record(model, tmp_path / "none", layers=["!first", "!second"]).finish()


@pytest.mark.parametrize("options", [{}, {"every": "2steps"}])
def test_a_directory_that_cannot_be_created_is_an_error_at_once(options: Any, tmp_path: Path) -> None:
    model, optimizer = made()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "file" / "deep" / "run"):
        with pytest.raises(sg.RecordingError, match="name another"):
            sg.record(model, path, optimizer=optimizer, **options)
    assert not optimizer._optimizer_step_post_hooks
    with sg.record(model, tmp_path / "new" / "run", optimizer=optimizer) as rec:
        step(model, optimizer)
        assert rec.epoch()


def test_a_run_that_is_gone_on_with_long_after_its_last_capture_is_said(tmp_path: Path) -> None:
    model, optimizer = made()
    options: Any = {"optimizer": optimizer, "every": "2epochs"}
    with sg.record(model, tmp_path / "run", **options) as rec:
        for _ in range(5):
            step(model, optimizer)
            rec.epoch()
    with pytest.warns(sg.StratigraphWarning, match="last capture is of epoch 4, and it is gone on with after epoch 19"):
        sg.record(model, tmp_path / "run", resume=(19, 20), **options).finish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The next capture is due after epoch 6.
        sg.record(model, tmp_path / "run", resume=(5, 6), **options).finish()


def test_a_run_of_another_network_or_with_other_options_is_not_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    model, optimizer = made()
    with sg.record(model, run, optimizer=optimizer) as rec:
        step(model, optimizer)
        rec.epoch()
    other, _ = made(7)
    with pytest.raises(sg.RecordingError, match="layer first has 5 units .* there, and has 7 units .* here"):
        sg.record(other, run, resume=(0, 1))
    with pytest.raises(sg.RecordingError, match="config.every is .* there, and .* here"):
        sg.record(model, run, resume=(0, 1), every="2epochs")
    with pytest.raises(sg.RecordingError, match="there is no run"):
        sg.record(model, tmp_path / "nothing", resume=(0, 1))
    assert not (tmp_path / "nothing").exists()
    with sg.record(model, run, optimizer=optimizer, resume=(0, 1)) as rec:
        step(model, optimizer)
        rec.epoch()
    assert runs.captures(run) == [(0, 1), (1, 2)]


def test_a_training_goes_on_in_the_midst_of_an_epoch(tmp_path: Path) -> None:
    tables = ["weights", "gradients", "moments", "metrics"]
    states: list[Any] = []

    def train(rec: sg.Recorder, model: nn.Module, optimizer: Any, steps: range, keeps_at: int) -> None:
        for number in steps:
            torch.manual_seed(number)
            step(model, optimizer)
            if number == keeps_at:
                states.append(([p.detach().clone() for p in model.parameters()], copy.deepcopy(optimizer.state_dict())))
                return
            if number % 4 == 3:
                rec.epoch(train_number=number)

    def whole(path: Path) -> dict[str, Any]:
        return {name: runs.Values(path, name).rows for name in tables[:-1]}

    # Of 12 steps in 3 epochs, as one, and broken off after two steps of the second.
    for path, keeps_at in ((tmp_path / "whole", -1), (tmp_path / "broken", 5)):
        model, optimizer = made()
        with sg.record(model, path, optimizer=optimizer, every="1steps,1epoch", record=tables) as rec:
            train(rec, model, optimizer, range(12), keeps_at)
            if keeps_at >= 0:
                # One step more than the training's own checkpoint has.
                step(model, optimizer)
    model, optimizer = made()
    parameters, state = states[0]
    for parameter, value in zip(model.parameters(), parameters, strict=True):
        parameter.data.copy_(value)
    optimizer.load_state_dict(state)
    with sg.record(
        model, tmp_path / "broken", optimizer=optimizer, every="1steps,1epoch", record=tables, resume=(0, 6)
    ) as rec:
        train(rec, model, optimizer, range(6, 12), -1)
    assert runs.captures(tmp_path / "broken") == runs.captures(tmp_path / "whole")
    assert runs.captures(tmp_path / "whole") == [(number // 4, number + 1) for number in range(12)]
    for name, rows in whole(tmp_path / "broken").items():
        expected = whole(tmp_path / "whole")[name]
        assert rows.keys() == expected.keys() and len(rows) >= 24
        for key, found in rows.items():
            for row, other in zip(found, expected[key], strict=True):
                assert {**row, "generation": 0} == {**other, "generation": 0}, (name, key)


@pytest.mark.parametrize("name", ["val_loss", "valid_loss", "validation_loss", "eval_loss"])
def test_figures_of_held_out_samples_are_named_as_trainers_name_them(name: str, tmp_path: Path) -> None:
    model, optimizer = made()
    with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
        step(model, optimizer)
        rec.epoch(train_loss=2.0, validity=3.0, test_loss=4.0, **{name: 1.5})
    assert runs.metrics(tmp_path / "run") == {
        (0, "train", "loss"): 2.0,
        (0, "eval", "loss"): 1.5,
        # Of neither phase.
        (0, None, "validity"): 3.0,
        (0, None, "test_loss"): 4.0,
    }


def test_a_figure_that_is_given_twice_is_said(tmp_path: Path) -> None:
    model, optimizer = made()
    with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
        step(model, optimizer)
        with pytest.warns(sg.StratigraphWarning, match="eval_loss is left out: val_loss is loss of the phase eval"):
            rec.epoch(val_loss=1.5, eval_loss=2.5)
        step(model, optimizer)
        with pytest.warns(sg.StratigraphWarning, match=r"no single number, but \[1, 2\]"):
            rec.epoch(train_loss=[1, 2])
    assert runs.metrics(tmp_path / "run") == {(0, "eval", "loss"): 1.5}


def test_warnings_that_are_errors_come_out_of_no_hook(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Small):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) == 2:
                raise RuntimeError("two samples are too few")
            return super().forward(x)

    torch.manual_seed(0)
    model = Odd()
    optimizer = torch.optim.Adam(model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with sg.record(model, tmp_path / "run", optimizer=optimizer) as rec:
            step(model, optimizer)
            assert rec.epoch(held_out=(torch.ones(4, 5), torch.zeros(4)), train_loss="none")
        assert runs.captures(tmp_path / "run") == [(0, 1)]
        with pytest.raises(sg.StratigraphWarning):
            with sg.record(model, tmp_path / "stop", optimizer=optimizer, on_error="stop"):
                step(model, optimizer)
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert "two samples are too few" in logged and "figure train_loss is left out" in logged
    assert "held-out samples could not be run through the network" in logged


def test_layers_without_activations_are_said_once(tmp_path: Path) -> None:
    class Skips(Small):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(6, 2)
            # The same for all samples: nothing is missing.
            self.places = nn.Embedding(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.places(torch.tensor([2])))

    torch.manual_seed(0)
    model = Skips()
    optimizer = torch.optim.Adam(model.parameters())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(model, tmp_path / "run", optimizer=optimizer, held_out=held_out()) as rec:
            for _ in range(3):
                step(model, optimizer)
                rec.epoch()
    assert [text.partition(": ")[2] for text in said(caught)] == [
        "activations of unused are left out: its module was not called"
    ]


def test_captures_that_are_thinned_out_are_counted(tmp_path: Path) -> None:
    model, optimizer = made(400)
    with sg.record(
        model, tmp_path / "run", optimizer=optimizer, every="1steps,1epoch", max_overhead="1%", held_out=held_out()
    ) as rec:
        for _ in range(4):
            for _ in range(50):
                step(model, optimizer)
            rec.epoch()
    assert rec.summary is not None
    captured, thinned = rec.summary["captures"], rec.summary["thinned_captures"]
    assert thinned > 0 and captured == len(runs.captures(tmp_path / "run"))
    # The end of an epoch is its last step again, and may be captured where that step was not.
    assert 200 <= captured + thinned <= 204


def test_runs_that_held_out_the_same_samples_are_compared(tmp_path: Path) -> None:
    x, y = held_out()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    shuffled = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8, shuffle=True)
    others = {
        "tensors": (x, y),
        "numpy": (x.numpy().astype(np.float64), y.numpy().astype(np.int32)),
        "loader": loader,
        "inputs": (x + 1, y),
        "targets": (x, (y + 1) % 3),
        "fewer": (x[:-1], y[:-1]),
        "shuffled": shuffled,
    }
    for name, samples in others.items():
        model, optimizer = made()
        with sg.record(model, tmp_path / name, optimizer=optimizer) as rec:
            step(model, optimizer)
            rec.epoch(held_out=samples)
    run = sg.open(tmp_path / "tensors")
    for name in others:
        compared = run.compare(tmp_path / name)
        is_same = name in ("tensors", "numpy", "loader")
        ckas = [row["cka"] for row in compared.to_dicts() if row["num_samples"] or not is_same]
        assert ckas and all((cka is not None) == is_same for cka in ckas), name
        if is_same:
            assert not compared.notes and np.allclose(ckas, 1.0)
        elif name == "shuffled":
            assert "do not say which samples they held out" in compared.notes[0]
        else:
            assert "did not hold out the same samples" in compared.notes[0]
    vouched = run.compare(tmp_path / "shuffled", same_samples=True)
    assert not vouched.notes and all(row["cka"] is not None for row in vouched.to_dicts())


def test_a_run_that_went_on_with_other_samples_is_not_compared(tmp_path: Path) -> None:
    x, y = held_out()
    for name in ("one", "other"):
        model, optimizer = made()
        with sg.record(model, tmp_path / name, optimizer=optimizer, held_out=(x, y)) as rec:
            step(model, optimizer)
            rec.epoch()
    with pytest.warns(sg.StratigraphWarning, match="held-out samples are not those that the run was begun with"):
        with sg.record(model, tmp_path / "other", optimizer=optimizer, held_out=(x + 1, y), resume=(0, 1)) as rec:
            step(model, optimizer)
            rec.epoch()
    assert "do not say which" in sg.open(tmp_path / "one").compare(tmp_path / "other").notes[0]


def test_samples_that_nobody_knows_are_not_said_to_be_others(tmp_path: Path) -> None:
    x, y = held_out()
    model, optimizer = made()
    with sg.record(model, tmp_path / "run", optimizer=optimizer, held_out=(x, y)) as rec:
        step(model, optimizer)
        rec.epoch()
    unknown = [(x, y)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with sg.record(model, tmp_path / "run", optimizer=optimizer, held_out=unknown, resume=(0, 1)) as rec:
            step(model, optimizer)
            rec.epoch()


def test_only_samples_in_their_order_have_a_fingerprint() -> None:
    from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

    from stratigraph_nn._torch.held_out import fingerprint

    x, y = torch.arange(20.0).reshape(10, 2), torch.arange(10)
    samples = TensorDataset(x, y)

    class Turned(TensorDataset):
        def __getitem__(self, index):
            return super().__getitem__(9 - index)

    class Backwards(BatchSampler):
        def __iter__(self):
            return reversed(list(super().__iter__()))

    class Odd(SequentialSampler):
        def __iter__(self):
            return iter(range(9, -1, -1))

    in_order = SequentialSampler(samples)
    for loader in (
        DataLoader(samples, batch_size=4, shuffle=True),
        DataLoader(samples, batch_size=4, drop_last=True),
        DataLoader(Turned(x, y), batch_size=4),
        DataLoader(samples, batch_size=4, sampler=Odd(samples)),
        DataLoader(samples, batch_sampler=Backwards(in_order, 4, False)),
        DataLoader(samples, batch_sampler=BatchSampler(torch.utils.data.RandomSampler(samples), 4, False)),
    ):
        assert fingerprint(loader) is None
    assert fingerprint(DataLoader(samples, batch_size=4)) == fingerprint((x, y)) is not None


def test_a_fingerprint_looks_at_samples_from_everywhere_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from stratigraph_nn._torch import held_out as module

    number = 1_000_000
    x, y = torch.arange(float(number)), list(range(number))
    slices, calls = module._slice, []
    monkeypatch.setattr(module, "_slice", lambda *arguments: calls.append(arguments) or slices(*arguments))
    told = module.fingerprint((x, y))
    assert len(calls) == 4
    assert told == module.fingerprint((x.numpy(), np.arange(number)))
    last = x.clone()
    every = -(-number // module._MOST_LOOKED_AT)
    last[(number - 1) // every * every] += 1
    assert module.fingerprint((last, y)) != told and module.fingerprint((x[:-1], y[:-1])) != told


def test_names_of_classes_are_taken_from_an_iterator(tmp_path: Path) -> None:
    model, optimizer = made()
    names = (name for name in ("a", "b", "c"))
    with sg.record(model, tmp_path / "run", optimizer=optimizer, held_out=held_out(), class_names=names) as rec:
        step(model, optimizer)
        rec.epoch()
    assert sg.open(tmp_path / "run").info["class_names"] == ["a", "b", "c"]


def test_arrays_are_compared_by_their_targets(tmp_path: Path) -> None:
    logits, targets = np.eye(3, dtype=np.float32), np.arange(3)
    state = {"hidden.weight": np.ones((2, 4), np.float32)}
    for name, classes in (("one", targets), ("same", targets.astype(np.int32)), ("other", targets[::-1])):
        with sg.record(None, tmp_path / name) as rec:
            activations = {"hidden": np.arange(6, dtype=np.float32).reshape(3, 2)}
            rec.capture(state, held_out=(logits, classes), activations=activations)
    run = sg.open(tmp_path / "one")
    assert not run.compare(tmp_path / "same").notes
    assert run.compare(tmp_path / "other").notes
    with pytest.raises(TypeError, match="held_out is .logits, targets., not 5"):
        with sg.record(None, tmp_path / "wrong", on_error="stop") as rec:
            rec.capture(state, held_out=5)  # type: ignore[arg-type]


def test_what_is_to_be_done_is_said_in_pythons_words(tmp_path: Path) -> None:
    model, optimizer = made()
    with sg.record(model, tmp_path / "run", optimizer=optimizer, record=["weights", "metrics"]) as rec:
        step(model, optimizer)
        rec.epoch()
    run = sg.open(tmp_path / "run")
    with pytest.raises(sg.QueryError, match=re.escape('(`run.list("all")` lists what there is)')):
        sg.describe("nothing_of_this_name")
    with pytest.raises(sg.QueryError) as raised:
        run.plot("correlation")
    assert '`sg.record(record="activations", activations="raw")` records them' in str(raised.value)
    with pytest.raises(sg.QueryError) as raised:
        run.meta()
    assert "--" not in str(raised.value) and 'sg.record(record=["activations", "classifications"])' in str(raised.value)
    run.report(tmp_path / "report.html", permutations=9)
    with pytest.raises(sg.QueryError, match="exists; overwrite=True replaces it"):
        run.report(tmp_path / "report.html", overwrite=False)
    run.structures.label("mine", neurons=["first:0"])
    with pytest.raises(sg.QueryError, match="or force=True to replace it"):
        run.structures.label("mine", neurons=["first:1"])
