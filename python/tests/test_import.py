"""Checkpoints of PyTorch and Lightning become a run: what it holds is what was saved, bit for bit."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch import nn

import stratigraph_nn as sg


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def network(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).state_dict()


def assert_same(run: sg.Run, epoch: int, state: Mapping[str, torch.Tensor]) -> None:
    """The recorded network is the saved one: names, types, shapes, and every bit."""
    back = run.state_dict(epoch=epoch)
    assert set(back) == set(state)
    for name, value in state.items():
        assert back[name].dtype == value.dtype and back[name].shape == value.shape, name
        left, right = (each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (back[name], value))
        assert torch.equal(left, right), name


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(sg.RecordingError) as caught:
        sg.import_checkpoints(*arguments, **options)
    return str(caught.value)


def test_a_series_becomes_a_run(tmp_path: Path) -> None:
    states = [network(epoch) for epoch in range(5)]
    for epoch, state in enumerate(states):
        saved(tmp_path / f"ckpt-{epoch}.pt", state)
    imported = sg.import_checkpoints(tmp_path / "ckpt-*.pt", tmp_path / "run", steps_per_epoch=10)
    assert [capture[1:] for capture in imported.captures] == [(epoch, 10 * (epoch + 1)) for epoch in range(5)]
    assert imported.captures[0][0] == tmp_path / "ckpt-0.pt"
    assert imported.numbers_by == "number" and "5 checkpoints" in repr(imported)
    run = imported.run
    assert run is not None and run.epochs == [0, 1, 2, 3, 4] and run.verify().is_whole
    for epoch, state in enumerate(states):
        assert_same(run, epoch, state)
    length = run.sql("SELECT weight_l2 FROM weights WHERE layer = 'L_0' AND epoch = 3 AND unit = 2").to_dicts()
    assert length[0]["weight_l2"] == pytest.approx(float(states[3]["0.weight"][2].norm()), rel=1e-6)


@pytest.mark.parametrize("compress, codecs", [(None, {"UNCOMPRESSED"}), ("size", {"ZSTD"})])
def test_what_is_compressed_is_what_was_asked_for(compress: str | None, codecs: set[str], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    torch.manual_seed(0)
    saved(tmp_path / "m-0.pt", {"wide.weight": torch.randn(64, 64)})
    sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "run", compress=compress)
    [path] = tmp_path.glob("run/weights/epoch=0/layer=wide/*.parquet")
    group = parquet.read_metadata(path).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    found = {column.compression for column in columns if column.path_in_schema == "weights.list.item"}
    assert found == codecs
    with pytest.raises(ValueError, match='compress is "auto" or "size" or "none", not "zip"'):
        sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "other", compress="zip")
    with pytest.raises(TypeError, match='compress is a text as "auto", not 1'):
        sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "other", compress=1)  # type: ignore[arg-type]


def test_a_large_layer_is_split_by_its_units(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = torch.randn(40, 64)
    saved(tmp_path / "m-0.pt", {"wide.weight": wide})
    # 256 bytes a unit.
    for name, size in [("text", "4KiB"), ("number", 4096)]:
        run = sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / name, max_part_bytes=size).run
        assert run is not None and run.verify().is_whole
        files = {path.name for path in tmp_path.glob(f"{name}/weights/epoch=0/layer=wide/*.parquet")}
        assert files == {f"step-1-r0-g0{number}.parquet" for number in ["", "-1", "-2"]}
        rows = run.sql("SELECT unit, weights FROM weights ORDER BY neuron").to_dicts()
        assert [row["unit"] for row in rows] == list(range(40))
        assert torch.equal(torch.tensor([row["weights"] for row in rows]), wide)
        info = json.loads((tmp_path / name / "run.json").read_text())
        assert info["config"]["max_part_bytes"] == 4096
    with pytest.raises(ValueError, match='max_part_bytes is a size as "20GB", not "much"'):
        sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "other", max_part_bytes="much")
    too_small: list[int | str] = [0, 4095, "1KiB"]
    for small in too_small:
        with pytest.raises(ValueError, match="max_part_bytes: a size of .* is too small: the smallest is 4KiB"):
            sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "other", max_part_bytes=small)
    assert not (tmp_path / "other").exists()
    with pytest.raises(TypeError, match='max_part_bytes is a number of bytes or a text as "20GB", not 1.5'):
        sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "other", max_part_bytes=1.5)  # type: ignore[arg-type]


def test_views_ties_and_all_types_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = torch.randn(6, 4)
    state = {
        "rows.weight": whole[2:4],
        "turned.weight": whole.t(),
        "same.weight": whole,
        "again.weight": whole,
        "wide.weight": torch.ones(1, 1).expand(3, 2),
        "one": torch.tensor(3.5),
        "none.weight": torch.empty(0, 3),
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "bf16.weight": torch.randn(3, 2).bfloat16(),
        "f16.weight": torch.randn(3, 2).half(),
        "f8.weight": torch.randn(3, 2).to(torch.float8_e4m3fn),
        "f64.weight": torch.tensor([[0.5, -2.0]], dtype=torch.float64),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "mask": torch.tensor([True, False]),
    } | {
        f"whole.{dtype}": torch.tensor([0, 1, 100]).to(dtype)
        for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    }
    saved(tmp_path / "m-0.pt", state)
    run = sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / "run").run
    assert run is not None
    file = tmp_path / "back.safetensors"
    sg._native.export_checkpoint(run.path, file)
    from safetensors.torch import load_file

    back = load_file(file)
    assert set(back) == set(state)
    for name, value in state.items():
        assert back[name].dtype == value.dtype and back[name].shape == value.shape, name
        left, right = (each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (back[name], value))
        assert torch.equal(left, right), name


def test_tensors_whose_units_lie_along_the_last_axis_are_turned(tmp_path: Path) -> None:
    state = {
        "attn.weight": torch.arange(6.0).reshape(2, 3),
        "attn.bias": torch.tensor([7.0, 8.0, 9.0]),
        # As many in as out: nothing but the name tells.
        "square.weight": torch.arange(4.0).reshape(2, 2),
        "kept.weight": torch.arange(4.0).reshape(2, 2) + 10,
    }
    saved(tmp_path / "m-0.pt", state)
    by_layer: dict[str, dict[str, Any]] = {}
    for name, options in (("told", {"transpose": ["*.weight", "!kept.*"]}), ("alone", {"transpose": "square.weight"})):
        run = sg.import_checkpoints(tmp_path / "m-0.pt", tmp_path / name, **options).run
        assert run is not None
        rows = run.sql("SELECT layer, bias, weights FROM weights ORDER BY layer, unit").to_dicts()
        by_layer[name] = {}
        for row in rows:
            by_layer[name].setdefault(row["layer"], []).append((row["weights"], row["bias"]))
        # What was turned comes back as it was.
        for tensor, value in run.state_dict(epoch=0).items():
            assert torch.equal(value, state[tensor]), tensor
    told, alone = by_layer["told"], by_layer["alone"]
    assert told["attn"] == [([0.0, 3.0], 7.0), ([1.0, 4.0], 8.0), ([2.0, 5.0], 9.0)]
    assert told["square"] == [([0.0, 2.0], None), ([1.0, 3.0], None)]
    assert told["kept"] == [([10.0, 11.0], None), ([12.0, 13.0], None)]
    # Its bias tells of the first that it is turned.
    assert alone == told


def test_what_does_not_fit_is_an_error_or_rounded(tmp_path: Path) -> None:
    file = saved(tmp_path / "m-0.pt", {"w": torch.tensor([[0.1]], dtype=torch.float64)})
    said = refused(file, tmp_path / "run")
    assert "tensor w, of type F64: value 0.1" in said and "lossy=True rounds it" in said and "--" not in said
    assert not (tmp_path / "run").exists()
    run = sg.import_checkpoints(file, tmp_path / "run", lossy=True).run
    assert run is not None
    assert run.sql("SELECT weights[1] AS w FROM weights").to_dicts() == [{"w": pytest.approx(0.1, rel=1e-7)}]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_the_usual_keys_are_found_and_the_rest_is_named(tmp_path: Path, key: str) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    content = {"epoch": 7, key: model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    imported = sg.import_checkpoints([saved(tmp_path / "m-1.pt", content)], tmp_path / "run")
    assert imported.notes == [
        f"of 1 checkpoint the tensors below '{key}' are taken; left out: 'epoch', 'optimizer', 'rng'"
    ]
    assert imported.run is not None
    assert_same(imported.run, 1, model.state_dict())


def test_what_is_ambiguous_is_refused_and_a_key_decides(tmp_path: Path) -> None:
    one, two = network(1), network(2)
    both = saved(tmp_path / "m-0.pt", {"model": one, "state_dict": two, "nets": {"actor": one, "critic": two}})
    said = refused(both, tmp_path / "run")
    assert "m-0.pt: 'state_dict', 'model' each hold tensors" in said and "key=" in said
    for number, (key, state) in enumerate({"model": one, "state_dict": two, "nets.critic": two}.items()):
        run = sg.import_checkpoints(both, tmp_path / f"run-{number}", key=key).run
        assert run is not None
        assert_same(run, 0, state)
    said = refused(both, tmp_path / "run", key="ema")
    assert "below the key 'ema' there are no tensors" in said and "'nets.actor'" in said
    other = saved(tmp_path / "m-1.pt", {"net": one, "accuracy": 0.9})
    said = refused(other, tmp_path / "run")
    assert "no state dict is below" in said and "key='net'" in said
    # A state dict that has other things in it.
    extra = saved(tmp_path / "m-2.pt", one | {"fp8._extra_state": {"scale": torch.ones(1)}, "count": 3})
    imported = sg.import_checkpoints(extra, tmp_path / "extra", key="")
    assert "'fp8._extra_state', 'count' are left out" in imported.notes[0]
    nested = saved(tmp_path / "m-3.pt", {"model": one | {"head": two}})
    assert "beside them 'head'" in refused(nested, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_has_no_values_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        # PyTorch means to do without quantised tensors.
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.randn(2, 2), 0.1, 0, torch.qint8)
    for value, reason, remedy in [
        (quantised, "tensor fc.weight is quantised", "dequantize()"),
        (torch.eye(3).to_sparse(), "tensor fc.weight is sparse", "to_dense()"),
        (torch.empty(3, device="meta"), "tensor fc.weight has no values", "save it with them"),
        (torch.zeros(3, dtype=torch.complex64), "tensor fc.weight is of type torch.complex64", "convert it"),
    ]:
        said = refused(saved(tmp_path / "m-0.pt", {"fc.weight": value}), tmp_path / "run")
        assert "m-0.pt" in said and reason in said and remedy in said


class Config:
    """Something of a user's."""


def test_files_that_cannot_be_read_are_told_with_what_to_do(tmp_path: Path) -> None:
    objects = saved(tmp_path / "m-0.pt", {"state_dict": network(0), "config": Config()})
    said = refused(objects, tmp_path / "run")
    assert "m-0.pt: PyTorch reads nothing but tensors" in said and "Config" in said and "state_dict() alone" in said
    assert "\x1b" not in said and "\n" not in said
    with torch.serialization.safe_globals([Config]):
        assert sg.import_checkpoints(objects, tmp_path / "trusted").run is not None
    whole = saved(tmp_path / "whole.pt", network(0)).read_bytes()
    old = saved(tmp_path / "whole-old.pt", network(0), _use_new_zipfile_serialization=False).read_bytes()
    for content, reason in [
        (whole[: len(whole) // 2], "failed finding central directory"),
        (old[:-20], "EOF"),
        (b"\x07" * 900, "is neither a safetensors file nor one that torch.save wrote"),
        (b"", "is empty"),
        (b"<!doctype html><html></html>", "is an HTML page"),
        (pickle.dumps({"a": [1.0]}, protocol=4), "save, copy or download it again"),
    ]:
        (tmp_path / "bad-1.pt").write_bytes(content)
        said = refused(tmp_path / "bad-1.pt", tmp_path / "run")
        assert "bad-1.pt" in said and reason in said, said
    for content, reason in [
        (torch.ones(3), "it holds no state dict, but a Tensor"),
        ({"epoch": 3}, "it has no tensors by name, only 'epoch'"),
    ]:
        assert reason in refused(saved(tmp_path / "bad-1.pt", content), tmp_path / "run")
    assert "matches no file" in refused(tmp_path / "nothing-*.pt", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_paths_are_told_as_they_are(tmp_path: Path) -> None:
    parent = tmp_path / "--lossy" / "a--pattern" / "--resume 3"
    parent.mkdir(parents=True)
    files = [saved(parent / f"m-{epoch}.pt", network(epoch)) for epoch in range(2)]
    sg.import_checkpoints(files[0], parent / "run")
    assert f"{parent / 'run'}" in refused(files[0], parent / "run")
    odd = [saved(parent / "one.pt", network(0)), saved(parent / "two.pt", network(1))]
    said = refused(odd, tmp_path / "new")
    assert f"{parent}" in said and "pattern='" in said and "--pattern " not in said


def test_options_that_are_none_are_errors_of_value(tmp_path: Path) -> None:
    file = saved(tmp_path / "m-0.pt", network(0))
    for options in ({"pattern": "m.pt"}, {"transpose": "["}, {"steps_per_epoch": 0}):
        with pytest.raises(ValueError):
            sg.import_checkpoints(file, tmp_path / "run", **options)
    with pytest.raises(TypeError, match="steps_per_epoch is a whole number, not"):
        sg.import_checkpoints(file, tmp_path / "run", steps_per_epoch="5")
    with pytest.raises(ValueError, match="dry_run"):
        sg.import_checkpoints(file)
    dry = sg.import_checkpoints(file, dry_run=True)
    assert dry.run is None and dry.captures == [(file, 0, 1)] and "nothing was created" in repr(dry)
    sg.import_checkpoints(file, tmp_path / "run")
    assert "holds an import already" in refused(file, tmp_path / "run")


def test_old_and_packed_files_are_read_whole(tmp_path: Path) -> None:
    old, packed = network(0), network(1)
    saved(tmp_path / "m-0.pt", old, _use_new_zipfile_serialization=False)
    plain = saved(tmp_path / "plain", packed)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "m-1.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    run = sg.import_checkpoints(tmp_path / "m-*.pt", tmp_path / "run").run
    assert run is not None
    assert_same(run, 0, old)
    assert_same(run, 1, packed)


def test_a_series_of_both_kinds_with_prefixes_and_shards(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    states = [network(epoch) for epoch in range(3)]
    save_file(states[0], tmp_path / "m-0.safetensors")
    saved(tmp_path / "m-1.pt", {f"_orig_mod.{name}": value for name, value in states[1].items()})
    shards: dict[str, dict[str, torch.Tensor]] = {}
    for number, (name, value) in enumerate(states[2].items()):
        shards.setdefault(f"m-2-0000{1 + number % 2}-of-00002.bin", {})[name] = value
    for shard, tensors in shards.items():
        saved(tmp_path / shard, tensors)
    index = {name: shard for shard, tensors in shards.items() for name in tensors}
    (tmp_path / "m-2.bin.index.json").write_text(str({"weight_map": index}).replace("'", '"'))
    files = [tmp_path / "m-2.bin.index.json", tmp_path / "m-1.pt", tmp_path / "m-0.safetensors"]
    said = refused(files, tmp_path / "run")
    assert 'strip_prefix="_orig_mod."' in said and "--" not in said
    assert 'strip_prefix="module.": no tensor has it' in refused(files[2], tmp_path / "run", strip_prefix="module.")
    run = sg.import_checkpoints(files, tmp_path / "run", strip_prefix="_orig_mod.").run
    assert run is not None
    for epoch, state in enumerate(states):
        assert_same(run, epoch, state)
    assert "one of several shards" in refused(sorted(tmp_path.glob("*.bin")), tmp_path / "no")


def test_lightnings_own_files(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    from lightning.pytorch.callbacks import ModelCheckpoint

    states = {}

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def on_train_epoch_end(self) -> None:
            states[self.current_epoch] = {name: value.clone() for name, value in self.state_dict().items()}

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(40, 3), torch.randint(0, 2, (40,)))
    every_epoch = ModelCheckpoint(dirpath=tmp_path / "lit", save_top_k=-1, every_n_epochs=1)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[every_epoch],
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(data, batch_size=10))
    files = sorted((tmp_path / "lit").glob("*.ckpt"))
    assert [file.name for file in files] == [f"epoch={epoch}-step={4 * epoch + 4}.ckpt" for epoch in range(3)]
    imported = sg.import_checkpoints(tmp_path / "lit" / "*.ckpt", tmp_path / "run")
    assert [capture[1:] for capture in imported.captures] == [(0, 4), (1, 8), (2, 12)]
    assert imported.numbers_by == "words"
    assert "of 3 checkpoints the tensors below 'state_dict' are taken" in imported.notes[0]
    assert "'optimizer_states'" in imported.notes[0]
    for epoch in range(3):
        assert imported.run is not None
        assert_same(imported.run, epoch, states[epoch])
    # Names that say nothing leave it to what is in the files.
    for file, name in zip(files, ("first", "middle", "last"), strict=True):
        file.rename(file.with_name(f"{name}.ckpt"))
    imported = sg.import_checkpoints(tmp_path / "lit" / "*.ckpt", tmp_path / "inside")
    assert [(file.stem, *rest) for file, *rest in imported.captures] == [
        ("first", 0, 4),
        ("middle", 1, 8),
        ("last", 2, 12),
    ]
    assert imported.numbers_by == "inside"


SLOW = """
import os, sys, time
from pathlib import Path
import stratigraph_nn as sg
from stratigraph_nn._torch import checkpoints

# The import dies, as by a signal that nobody can catch, while it reads the third file.
opened = checkpoints.Checkpoint.values
def values(self, index):
    if self._path.endswith("m-2.pt") and Path(sys.argv[1], "run").exists():
        for _ in range(2000):
            if list(Path(sys.argv[1], "run", "commits").glob("*.json")):
                os._exit(9)
            time.sleep(0.01)
    return opened(self, index)
checkpoints.Checkpoint.values = values
sg.import_checkpoints(sys.argv[1] + "/m-*.pt", sys.argv[1] + "/run")
"""


def test_an_import_that_died_is_gone_on_with(tmp_path: Path) -> None:
    states = [network(epoch) for epoch in range(4)]
    for epoch, state in enumerate(states):
        saved(tmp_path / f"m-{epoch}.pt", state)
    died = subprocess.run([sys.executable, "-c", SLOW, tmp_path], capture_output=True, text=True, timeout=120)
    assert died.returncode == 9, died.stderr
    there = sg.open(tmp_path / "run").epochs
    assert there and 3 not in there
    for epoch in there:
        assert_same(sg.open(tmp_path / "run"), epoch, states[epoch])
    assert "resume=True" in refused(tmp_path / "m-*.pt", tmp_path / "run")
    imported = sg.import_checkpoints(tmp_path / "m-*.pt", tmp_path / "run", resume=True)
    assert imported.run is not None and imported.run.epochs == [0, 1, 2, 3] and imported.run.verify().is_whole
    for epoch, state in enumerate(states):
        assert_same(imported.run, epoch, state)
    assert "is whole" in refused(tmp_path / "m-*.pt", tmp_path / "run", resume=True)


def test_ctrl_c_keeps_what_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stratigraph_nn._torch import checkpoints

    states = [network(epoch) for epoch in range(3)]
    for epoch, state in enumerate(states):
        saved(tmp_path / f"m-{epoch}.pt", state)
    values, pressed, handled = checkpoints.Checkpoint.values, [], threading.Event()

    def handle(*_: Any) -> None:
        handled.set()
        raise KeyboardInterrupt

    def slow(self: checkpoints.Checkpoint, index: int) -> torch.Tensor:
        if self._path.endswith("m-1.pt") and not pressed and (tmp_path / "run").exists():
            pressed.append(True)
            os.kill(os.getpid(), signal.SIGINT)
            assert handled.wait(30)
        return values(self, index)

    monkeypatch.setattr(checkpoints.Checkpoint, "values", slow)
    before = signal.signal(signal.SIGINT, handle)
    try:
        with pytest.raises(KeyboardInterrupt):
            sg.import_checkpoints(tmp_path / "m-*.pt", tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, before)
    # The checkpoint in hand is finished.
    assert sg.open(tmp_path / "run").epochs == [0, 1]
    run = sg.import_checkpoints(tmp_path / "m-*.pt", tmp_path / "run", resume=True).run
    assert run is not None and run.epochs == [0, 1, 2]


BIG = """
import os, sys, threading, time
import stratigraph_nn as sg
import stratigraph_nn._torch.checkpoints

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

sg.import_checkpoints(sys.argv[1] + "/small-*.pt", sys.argv[1] + "/warm")
before, most, is_done = resident(), 0, threading.Event()
def watch():
    global most
    while not is_done.wait(0.005):
        most = max(most, resident())
watcher = threading.Thread(target=watch)
watcher.start()
sg.import_checkpoints(sys.argv[1] + "/big-*.pt", sys.argv[1] + "/run")
is_done.set()
watcher.join()
print(most - before)
"""


def test_memory_is_bounded_by_a_tensor_not_a_checkpoint(tmp_path: Path) -> None:
    tensor, number = 4 << 20, 32
    saved(tmp_path / "small-0.pt", network(0))
    # The last is turned, which takes a copy of it.
    state = {f"l{index}.weight": torch.full((tensor // 4 // 1024, 1024), float(index)) for index in range(number)}
    state["turned.weight"] = state["l0.weight"].t()
    saved(tmp_path / "big-0.pt", {"state_dict": state, "optimizer": [value + 1 for value in state.values()]})
    done = subprocess.run([sys.executable, "-c", BIG, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    # What is mapped, at most, the channel, and some tensors on their way.
    assert grown < (64 << 20) + 14 * tensor < number * tensor, f"{grown / 2**20:.0f} MiB"


def test_the_command_reads_them_too(tmp_path: Path) -> None:
    states = [network(epoch) for epoch in range(2)]
    for epoch, state in enumerate(states):
        saved(tmp_path / f"m-{epoch}.pt", {"ema": state, "model": network(9)})
    command = [sys.executable, "-m", "stratigraph_nn", "import", str(tmp_path / "m-*.pt"), "-o", str(tmp_path / "run")]
    done = subprocess.run([*command, "--key", "ema"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "imported 2 checkpoints" in done.stdout
    assert "note: of 2 checkpoints the tensors below 'ema' are taken; left out: 'model'" in done.stderr
    for epoch, state in enumerate(states):
        assert_same(sg.open(tmp_path / "run"), epoch, state)


def test_without_pytorch_safetensors_are_read_and_others_say_what_they_take(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(network(0), tmp_path / "m-0.safetensors")
    saved(tmp_path / "m-1.pt", network(1))
    program = """
import sys
sys.modules["torch"] = None
import stratigraph_nn as sg
sg.import_checkpoints(sys.argv[1] + "/m-0.safetensors", sys.argv[1] + "/run")
try:
    sg.import_checkpoints(sys.argv[1] + "/m-1.pt", sys.argv[1] + "/other")
except sg.RecordingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"m-1\.pt: reading what torch\.save wrote takes PyTorch, which is not installed", done.stdout)
    assert sg.open(tmp_path / "run").epochs == [0]
