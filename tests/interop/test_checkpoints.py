"""Checkpoints that the package `safetensors` writes become runs, and come back as they were."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

DIGITS = Path(__file__).parents[2] / "crates" / "recorder" / "data" / "digits.csv"


def state_dict(epoch):
    """What PyTorch would save of a small network, by its names and layouts."""
    rng = np.random.default_rng(epoch)
    floats = lambda *shape: rng.normal(size=shape).astype(np.float32)
    state = {
        "features.0.weight": floats(6, 3, 3, 3),
        "features.0.bias": floats(6),
        "features.1.weight": floats(6),
        "features.1.bias": floats(6),
        "features.1.running_mean": floats(6),
        "features.1.running_var": np.abs(floats(6)),
        "features.1.num_batches_tracked": np.array(24 * epoch, np.int64),
        "features.10.weight": floats(6, 4, 2, 2),
        "encoder.self_attn.in_proj_weight": floats(12, 4).astype(np.float16),
        "encoder.self_attn.in_proj_bias": floats(12).astype(np.float16),
        "rnn.weight_ih_l0": floats(12, 4),
        "rnn.bias_ih_l0": floats(12),
        "rnn.weight_hh_l0": floats(12, 3),
        "rnn.bias_hh_l0": floats(12),
        "tokens.embedding.weight": floats(50, 4),
        "cls_token": floats(1, 1, 4),
        "logit_scale": np.array(2.5, np.float32),
        "mask": np.array([[True, False]]),
    }
    # A network that has diverged is data as well.
    state["rnn.weight_ih_l0"][0, :3] = np.nan, np.inf, -0.0
    return state


def raw(file):
    """Type, shape and bytes of every tensor."""
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(file.read_bytes())}


@pytest.fixture
def imported(recorder, tmp_path):
    """Three epochs of a network, and the run that they became."""
    for epoch in (2, 10, 9):
        save_file(state_dict(epoch), tmp_path / f"model-{epoch}.safetensors", metadata={"format": "pt"})
    run = tmp_path / "run"
    said = recorder("import", tmp_path / "model-*.safetensors", "--pattern", "model-{epoch}.safetensors", "-o", run)
    assert "imported 3 checkpoints" in said
    return run


def test_every_epoch_comes_back_bit_for_bit(imported, recorder, tmp_path):
    for epoch in (2, 9, 10):
        exported = tmp_path / "exported.safetensors"
        recorder("export", imported, "--epoch", epoch, "-o", exported, "--force")
        assert raw(exported) == raw(tmp_path / f"model-{epoch}.safetensors")
        loaded, expected = load_file(exported), state_dict(epoch)
        assert loaded.keys() == expected.keys()
        for name, value in expected.items():
            assert (loaded[name].dtype, loaded[name].shape) == (value.dtype, value.shape), name
            np.testing.assert_array_equal(loaded[name], value, name)
        with safetensors.safe_open(exported, "numpy") as file:
            assert file.metadata() == {"format": "pt"}


def test_the_rows_are_the_tensors(imported, query):
    rows = query.sql(imported, "SELECT layer, unit, bias, weights FROM weights WHERE epoch = 9 ORDER BY neuron")
    state, found = state_dict(9), {}
    for row in rows.to_pylist():
        found.setdefault(row["layer"], []).append(row)
    labels = {
        "features.0": "features.0.weight",
        "features.1": "features.1.weight",
        "features.1.running_mean": "features.1.running_mean",
        "features.1.running_var": "features.1.running_var",
        "features.1.num_batches_tracked": "features.1.num_batches_tracked",
        "features.10": "features.10.weight",
        "encoder.self_attn.in_proj_weight": "encoder.self_attn.in_proj_weight",
        "rnn.weight_ih_l0": "rnn.weight_ih_l0",
        "rnn.weight_hh_l0": "rnn.weight_hh_l0",
        "tokens.embedding": "tokens.embedding.weight",
        "cls_token": "cls_token",
        "logit_scale": "logit_scale",
        "mask": "mask",
    }
    assert found.keys() == labels.keys()
    for label, name in labels.items():
        value = np.atleast_1d(state[name])
        matrix = value.reshape(len(value), -1).astype(np.float32)
        np.testing.assert_array_equal(np.float32([row["weights"] for row in found[label]]), matrix, label)
        bias = state.get(name.replace("weight", "bias")) if "weight" in name else None
        expected = [None] * len(value) if bias is None else bias.astype(np.float32).tolist()
        assert [row["bias"] for row in found[label]] == expected, label


def test_a_sharded_checkpoint_is_one_of_a_series(recorder, tmp_path):
    for step in (500, 1000):
        directory = tmp_path / f"checkpoint-{step}"
        directory.mkdir()
        state = state_dict(step)
        names = sorted(state)
        weight_map = {}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            shard = f"model-{number:05}-of-00002.safetensors"
            save_file({name: state[name] for name in part}, directory / shard, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(part, shard)
        index = {"metadata": {"total_size": sum(value.nbytes for value in state.values())}, "weight_map": weight_map}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    pattern = ["--pattern", "checkpoint-{step}/model.safetensors", "--steps-per-epoch", 500]
    recorder("import", tmp_path / "checkpoint-*/model.safetensors.index.json", *pattern, "--out", tmp_path / "run")
    exported = tmp_path / "exported.safetensors"
    for chosen in (["--epoch", 1], ["--step", 1000], ["--epoch", "last"]):
        recorder("export", tmp_path / "run", *chosen, "--out", exported, "--force")
        loaded, expected = load_file(exported), state_dict(1000)
        assert loaded.keys() == expected.keys()
        for name, value in expected.items():
            assert loaded[name].dtype == value.dtype
            np.testing.assert_array_equal(loaded[name], value, name)


def test_16_bit_floats_come_back_bit_for_bit(recorder, tmp_path):
    # Every one of them, those that are no number included.
    every = np.arange(1 << 16, dtype=np.uint16)
    tensors = {
        f"{dtype}.weight": safetensors.TensorSpec(
            dtype=dtype, shape=[256, 256], data_ptr=every.ctypes.data, data_len=every.nbytes
        )
        for dtype in ("float16", "bfloat16")
    }
    written, exported = tmp_path / "step-7.safetensors", tmp_path / "exported.safetensors"
    safetensors.serialize_file(tensors, written)
    recorder("import", written, "--out", tmp_path / "run")
    recorder("export", tmp_path / "run", "--step", 7, "--out", exported)
    assert raw(exported) == raw(written)
    assert {dtype for dtype, _, _ in raw(exported).values()} == {"F16", "BF16"}


def test_8_bit_floats_come_back_bit_for_bit(recorder, query, tmp_path):
    every = np.arange(1 << 8, dtype=np.uint8)
    types = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"}
    tensors = {
        f"{dtype}.weight": safetensors.TensorSpec(
            dtype=dtype, shape=[16, 16], data_ptr=every.ctypes.data, data_len=every.nbytes
        )
        for dtype in types
    }
    written, exported = tmp_path / "step-7.safetensors", tmp_path / "exported.safetensors"
    safetensors.serialize_file(tensors, written)
    recorder("import", written, "--out", tmp_path / "run")
    recorder("export", tmp_path / "run", "--step", 7, "--out", exported)
    assert raw(exported) == raw(written)
    assert {dtype for dtype, _, _ in raw(exported).values()} == set(types.values())
    # 8 bits of E5M2 are the upper ones of a 16-bit float.
    rows = query.sql(tmp_path / "run", "SELECT weights FROM weights WHERE layer = 'float8_e5m2' ORDER BY unit")
    expected = (every.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(np.float32(rows["weights"].to_pylist()).ravel(), expected)


UNUSUAL = [
    "encoder/layer_0/attention/query/kernel",
    "['params']['Dense_0']['kernel']",
    "0.weight", "true.weight", "inf.weight", "epoch.weight", "NaN", "null", "layer=3.weight", "a%2Fb", "a/b", "..",
    "Größe.weight", "重み", "sp ace", "__HIVE_DEFAULT_PARTITION__", "2024-01-01.weight", "epoch=9", "x" * 190,
    "y" * 300, "quote\"'name", "tab\tname", "con", "B.weight", "b.weight",
]


@pytest.mark.parametrize("names", [UNUSUAL, ["true.w", "false.w"], ["true"], ["inf"], ["NaN"], ["epoch"], ["null"]])
def test_names_of_tensors_are_the_same_layers_in_every_engine(duckdb, recorder, query, tmp_path, names):
    state = {name: np.full((2, 3), number, np.float32) for number, name in enumerate(names)}
    save_file(state, tmp_path / "m-1.safetensors")
    run = tmp_path / "run"
    recorder("import", tmp_path / "m-1.safetensors", "--out", run)
    layers = query.sql(run, "SELECT layer, module_path FROM layers").to_pylist()
    labels = sorted(row["layer"] for row in layers)
    assert len(labels) == len(names)
    paths = {row["module_path"] for row in layers}
    assert {"y" * 300} <= paths or names is not UNUSUAL
    files = f"{run}/weights/**/*.parquet"
    hive = f"SELECT DISTINCT layer FROM read_parquet('{files}', hive_partitioning = true)"
    for found in (
        duckdb.query(hive)[1]["layer"].to_pylist(),
        pl.scan_parquet(files, hive_partitioning=True).select("layer").unique().collect()["layer"].to_list(),
        pl.scan_parquet(run / "weights", hive_partitioning=True).select("layer").unique().collect()["layer"].to_list(),
        pd.read_parquet(run / "weights")["layer"].unique().tolist(),
        ds.dataset(run / "weights", partitioning="hive").to_table()["layer"].unique().to_pylist(),
    ):
        assert sorted(found) == labels


def conv1d(epoch):
    """GPT-2's layers as its checkpoints have them: `[in, out]`, and an output layer that is not."""
    rng = np.random.default_rng(epoch)
    floats = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return {
        "h.0.attn.c_attn.weight": floats(4, 12), "h.0.attn.c_attn.bias": floats(12),
        "h.0.attn.c_proj.weight": floats(4, 4), "h.0.attn.c_proj.bias": floats(4),
        "h.0.mlp.c_fc.weight": floats(4, 16), "h.0.mlp.c_fc.bias": floats(16),
        "h.0.mlp.c_proj.weight": floats(16, 4), "h.0.mlp.c_proj.bias": floats(4),
        "lm_head.weight": floats(50, 4), "wte.weight": floats(50, 4),
    }


def test_layers_that_are_in_by_out_are_recorded_by_output(recorder, query, tmp_path):
    for epoch in (0, 1):
        save_file(conv1d(epoch), tmp_path / f"m-{epoch}.safetensors", metadata={"format": "pt"})
    run, exported = tmp_path / "run", tmp_path / "exported.safetensors"
    recorder("import", tmp_path / "m-*.safetensors", "--out", run)
    state = conv1d(1)
    for label in ("h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj", "lm_head", "wte"):
        rows = query.sql(run, f"SELECT bias, weights FROM weights WHERE epoch = 1 AND layer = '{label}' ORDER BY unit")
        weight, bias = state[f"{label}.weight"], state.get(f"{label}.bias")
        np.testing.assert_array_equal(
            np.float32(rows["weights"].to_pylist()), weight if bias is None else weight.T, label
        )
        if bias is not None:
            np.testing.assert_array_equal(np.float32(rows["bias"].to_pylist()), bias, label)
    recorder("export", run, "--epoch", 1, "--out", exported)
    assert raw(exported) == raw(tmp_path / "m-1.safetensors")


def test_what_a_32_bit_float_does_not_hold_is_rounded_if_asked(recorder, tmp_path):
    written, exported = tmp_path / "epoch-0.safetensors", tmp_path / "exported.safetensors"
    values = {"w": np.array([0.1, 0.5]), "n": np.array([(1 << 24) + 1, 3])}
    save_file(values, written)
    with pytest.raises(AssertionError, match="--lossy rounds it"):
        recorder("import", written, "--out", tmp_path / "refused")
    recorder("import", written, "--lossy", "--out", tmp_path / "run")
    recorder("export", tmp_path / "run", "--epoch", 0, "--out", exported)
    loaded = load_file(exported)
    assert (loaded["w"].dtype, loaded["n"].dtype) == (np.float64, np.int64)
    assert loaded["w"].tolist() == [float(np.float32(0.1)), 0.5]
    assert loaded["n"].tolist() == [1 << 24, 3]


def test_an_exported_network_answers_as_the_recorded_one_did(digits_run, recorder, query, tmp_path):
    """`x @ weight.T + bias`, as PyTorch's Linear has it, on the held-out digits."""
    exported = tmp_path / "digits.safetensors"
    recorder("export", digits_run, "--epoch", "last", "--out", exported)
    state = load_file(exported)
    assert {name: value.shape for name, value in state.items()} == {
        "layers.0.weight": (128, 64),
        "layers.0.bias": (128,),
        "layers.1.weight": (64, 128),
        "layers.1.bias": (64,),
        "layers.2.weight": (10, 64),
        "layers.2.bias": (10,),
    }
    samples = np.loadtxt(DIGITS, delimiter=",", skiprows=1)[-297:, :64] / 16
    for layer in range(3):
        samples = samples @ state[f"layers.{layer}.weight"].T + state[f"layers.{layer}.bias"]
        if layer < 2:
            samples = np.maximum(samples, 0)
    powers = np.exp(samples - samples.max(axis=1, keepdims=True))
    outputs = powers / powers.sum(axis=1, keepdims=True)
    last = "SELECT max(epoch) FROM classifications"
    rows = query.sql(digits_run, f"SELECT outputs FROM classifications WHERE epoch = ({last}) ORDER BY sample")
    np.testing.assert_allclose(np.array(rows["outputs"].to_pylist()), outputs, rtol=0, atol=1e-5)


def test_an_exported_convolutional_network_answers_as_the_recorded_one_did(recorder, query, tmp_path):
    """Conv2d(padding=1), ReLU, MaxPool2d(2), as PyTorch has them, on the held-out digits."""
    run, exported = tmp_path / "cnn", tmp_path / "cnn.safetensors"
    options = "--device cpu --model cnn --channels 4,6 --hidden 12 --epochs 3".split()
    recorder("train", *options, "--out", run)
    recorder("export", run, "--epoch", "last", "--out", exported)
    state = load_file(exported)
    assert {name: value.shape for name, value in state.items()} == {
        "convolutions.0.weight": (4, 1, 3, 3),
        "convolutions.0.bias": (4,),
        "convolutions.1.weight": (6, 4, 3, 3),
        "convolutions.1.bias": (6,),
        "layers.0.weight": (12, 24),
        "layers.0.bias": (12,),
        "layers.1.weight": (10, 12),
        "layers.1.bias": (10,),
    }
    x = np.loadtxt(DIGITS, delimiter=",", skiprows=1)[-297:, :64].reshape(-1, 1, 8, 8) / 16
    means = []
    for layer in range(2):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        x = np.einsum("nchwij,ocij->nohw", windows, state[f"convolutions.{layer}.weight"])
        x = np.maximum(x + state[f"convolutions.{layer}.bias"][:, None, None], 0)
        means.append(x.mean(axis=(2, 3)))
        samples, channels, height, width = x.shape
        x = x.reshape(samples, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    x = x.reshape(len(x), -1)
    x = np.maximum(x @ state["layers.0.weight"].T + state["layers.0.bias"], 0)
    x = x @ state["layers.1.weight"].T + state["layers.1.bias"]
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    outputs = powers / powers.sum(axis=1, keepdims=True)
    rows = query.sql(run, "SELECT outputs FROM classifications WHERE epoch = 2 ORDER BY sample")
    np.testing.assert_allclose(np.array(rows["outputs"].to_pylist()), outputs, rtol=0, atol=1e-5)

    # A unit's activation is its mean over the positions, before the pooling.
    for layer, expected in enumerate(means, start=1):
        rows = query.sql(
            run,
            f"SELECT activations FROM activations WHERE epoch = 2 AND layer = 'L_conv_{layer}' ORDER BY neuron",
        )
        found = np.array(rows["activations"].to_pylist()).T
        np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=1e-5)
