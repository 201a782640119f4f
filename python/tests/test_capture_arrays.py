"""Arrays of any framework, handed over by name."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import re
import subprocess
import sys
import warnings
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs

import stratigraph_nn as sg

RANDOM = np.random.default_rng(0)


def parameters() -> dict[str, Any]:
    """As Flax has them: kernels with units on the last axis."""
    return {
        "conv.kernel": RANDOM.standard_normal((3, 2, 4, 5)).astype(np.float32),
        "conv.bias": RANDOM.standard_normal(5).astype(np.float32),
        "block/dense/kernel": RANDOM.standard_normal((6, 7)),
        "block/dense/bias": RANDOM.standard_normal(7).astype(np.float16),
        "norm.scale": RANDOM.standard_normal(7).astype(np.float32),
        "step": np.array(3),
    }


def test_units_lie_along_the_last_axis(tmp_path: Path) -> None:
    states = []
    with sg.record(None, tmp_path / "run", config={"framework": "flax"}) as rec:
        for epoch in range(3):
            states.append(parameters())
            assert rec.capture(states[-1], layout="in_out", epoch=epoch, step=10 * (epoch + 1), train_loss=0.5)
            for value in states[-1].values():
                # What was handed over is a copy by now.
                states[-1] = {name: array.copy() for name, array in states[-1].items()}
                value[...] = 0
    described = runs.layers(tmp_path / "run")
    assert list(described) == ["conv", "block.dense", "norm"]
    assert runs.captures(tmp_path / "run") == [(0, 10), (1, 20), (2, 30)]
    assert runs.metrics(tmp_path / "run")[2, "train", "loss"] == 0.5
    conv, dense = described["conv"], described["block.dense"]
    assert (conv["num_units"], conv["fan_in"]) == (5, 24) and (dense["num_units"], dense["fan_in"]) == (7, 6)
    named = {tensor["name"]: tensor for layer in described.values() for tensor in layer["tensors"]}
    assert named["conv.kernel"] == {"name": "conv.kernel", "dtype": "F32", "shape": [3, 2, 4, 5], "transposed": True}
    assert named["block/dense/kernel"]["dtype"] == "F64" and named["block/dense/bias"]["dtype"] == "F16"
    assert named["norm.scale"]["shape"] == [7]


def test_values_are_those_that_were_handed_over(tmp_path: Path) -> None:
    state = parameters()
    with sg.record(None, tmp_path / "in") as rec:
        assert rec.capture(state, layout="in_out")
    values = runs.Values(tmp_path / "in", "weights")
    assert runs.same_bits(values.weight(0, 1, "conv"), state["conv.kernel"].reshape(24, 5).T)
    assert runs.same_bits(values.bias(0, 1, "conv"), state["conv.bias"])
    assert runs.same_bits(values.weight(0, 1, "block.dense"), state["block/dense/kernel"].T.astype(np.float32))
    assert runs.same_bits(values.bias(0, 1, "block.dense"), state["block/dense/bias"].astype(np.float32))
    assert runs.same_bits(values.weight(0, 1, "norm"), state["norm.scale"])
    transposed = {
        "conv.weight": np.moveaxis(state["conv.kernel"], -1, 0),
        "block.dense.weight": state["block/dense/kernel"].T,
    }
    with sg.record(None, tmp_path / "out") as rec:
        assert rec.capture(transposed)
    as_units_first = runs.Values(tmp_path / "out", "weights")
    for label in ("conv", "block.dense"):
        assert runs.same_bits(as_units_first.weight(0, 1, label), values.weight(0, 1, label))
    assert runs.layers(tmp_path / "out")["conv"]["shape"] == [5, 3, 2, 4]


def test_arrays_that_are_none_of_numpys(tmp_path: Path) -> None:
    numbers = array("f", [1.5, -2.0, 0.25, 3.0])
    doubles = memoryview(array("d", [0.1, 0.2]))
    table = memoryview(numbers).cast("B").cast("f", (2, 2))
    read_only = np.arange(4, dtype=np.float32).reshape(2, 2)
    read_only.flags.writeable = False
    state = {
        "a.weight": table,
        "a.bias": doubles,
        "b.weight": read_only,
        "c.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "d.weight": np.arange(12, dtype=np.float32)[::-2],
        "e.weight": memoryview(bytes(8)).cast("f"),
    }
    with sg.record(None, tmp_path / "run") as rec:
        assert rec.capture(state)
    values = runs.Values(tmp_path / "run", "weights")
    for label in "abcde":
        expected = np.asarray(state[f"{label}.weight"])
        assert runs.same_bits(values.weight(0, 1, label), expected), label
    assert runs.same_bits(values.bias(0, 1, "a"), np.float32([0.1, 0.2]))


def test_outputs_and_activations(tmp_path: Path) -> None:
    logits = RANDOM.standard_normal((9, 3)).astype(np.float32)
    targets = RANDOM.integers(0, 3, 9)
    hidden = RANDOM.standard_normal((9, 4)).astype(np.float32)
    state = {"hidden.kernel": np.ones((2, 4), np.float32), "out.kernel": np.ones((4, 3), np.float32)}
    with sg.record(None, tmp_path / "run", record_initial=False) as rec:
        assert rec.capture(state, epoch=-1, step=0, layout="in_out", held_out=(logits, targets))
        for _ in range(2):
            assert rec.capture(state, layout="in_out", held_out=(logits, targets), activations={"hidden": hidden})
    assert [epoch for epoch, _ in runs.captures(tmp_path / "run")] == [-1, 0, 1]
    rows = [row for row in runs.rows(tmp_path / "run", "classifications") if row["epoch"] == 1]
    assert [row["target"] for row in rows] == targets.tolist()
    assert [row["predicted"] for row in rows] == logits.argmax(1).tolist()
    recorded = [row["activations"] for row in runs.rows(tmp_path / "run", "activations") if row["epoch"] == 1]
    assert runs.same_bits(np.array(recorded).T, hidden)
    accuracy = float((logits.argmax(1) == targets).mean())
    assert runs.metrics(tmp_path / "run")[1, "eval", "accuracy"] == pytest.approx(accuracy)


def test_schedules_count_captures_as_epochs(tmp_path: Path) -> None:
    state = {"a.weight": np.ones((2, 2), np.float32)}
    with sg.record(None, tmp_path / "run", every="2epochs") as rec:
        assert [rec.capture(state) for _ in range(4)] == [True, False, True, False]


def test_mistakes(tmp_path: Path) -> None:
    state = {"a.weight": np.ones((2, 2), np.float32)}
    with pytest.raises(ValueError, match="epoch=-1"):
        sg.record(None, tmp_path / "run", record_initial=True)
    with pytest.raises(ValueError, match="gradients"):
        sg.record(None, tmp_path / "run", record=["gradients"])
    with pytest.raises(ValueError, match="moments"):
        sg.record(None, tmp_path / "run", record=["weights", "moments"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(None, tmp_path / "run") as rec:
            with pytest.raises(ValueError, match="needs arrays"):
                rec.capture()
            assert rec.capture(state)
            assert not rec.capture({"a.weight": np.ones((2, 3), np.float32)})
            assert not rec.capture({})
            assert not rec.capture(state, layout="in_out")
            assert not rec.capture({"a.weight": "text"})
            assert rec.capture(state)
    said = [str(each.message) for each in caught if issubclass(each.category, sg.StratigraphWarning)]
    assert len(said) == 4, said
    assert "had shape" in said[0] and "is not now" in said[1] and "layout" in said[2] and "DLPack" in said[3]
    assert len(runs.captures(tmp_path / "run")) == 2


def test_arrays_that_are_left_out_are_said_once(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "a.weight": np.ones((2, 2), np.float32),
        "turns": np.ones(3, np.complex64),
        "packed": np.ones((2, 2), np.int8),
        # Counts are no parameters.
        "step": np.array(7),
        "seen": np.ones(4, np.int64),
        "mask": np.ones((2,), bool),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(None, tmp_path / "run") as rec:
            assert rec.capture(state)
            for _ in range(2):
                assert rec.capture(state | {"late": np.ones(3, np.float32), "also": np.ones(2, np.int8)})
    said = [str(each.message).partition(": ")[2] for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    there_are = "a trace holds float32, float64, float16, bfloat16"
    of_first = "the layers of a run are the arrays of its first capture"
    assert said == [
        f"turns is left out: its values are complex64, and {there_are}",
        f"packed is left out: its values are int8, and {there_are}",
        f"late is left out: {of_first}",
        f"also is left out: {of_first}",
    ]
    assert {row["layer"] for row in runs.rows(tmp_path / "run", "weights")} == {"a"}


def test_arrays_of_types_that_a_trace_does_not_hold_are_said_whoever_made_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {
        "a.weight": torch.ones(2, 2),
        "tiny.weight": torch.ones(2, 2).to(torch.float8_e4m3fn),
        "turns": torch.ones(3, dtype=torch.complex64),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with sg.record(None, tmp_path / "run") as rec:
            assert rec.capture(state) and rec.capture(state)
    said = [str(each.message).partition(": ")[2] for each in caught if isinstance(each.message, sg.StratigraphWarning)]
    there_are = "a trace holds float32, float64, float16, bfloat16"
    assert said == [
        f"tiny.weight is left out: its values are float8_e4m3fn, and {there_are}",
        f"turns is left out: its values are complex64, and {there_are}",
    ]
    assert {row["layer"] for row in runs.rows(tmp_path / "run", "weights")} == {"a", "half"}


def test_activations_have_a_row_a_sample_and_a_column_a_unit(tmp_path: Path) -> None:
    state = {"d.weight": np.ones((3, 4), np.float32)}
    held_out = np.ones((5, 3), np.float32), np.zeros(5, np.int64)
    with sg.record(None, tmp_path / "run", on_error="stop") as rec:
        rec.capture(state, held_out=held_out, activations={"d": np.ones((5, 3), np.float32)})
    for number, (shape, given, problem) in enumerate(
        [
            ((3, 7), None, r"activations of d are \[samples, 3\], a value a sample and unit, not of shape \[3, 7\]"),
            ((21,), None, r"not of shape \[21\]"),
            ((5, 3, 2), None, r"not of shape \[5, 3, 2\]"),
            ((7, 3), held_out, "activations of d are of 7 samples, the logits of held_out of 5"),
        ]
    ):
        with pytest.raises(ValueError, match=problem), sg.record(None, tmp_path / f"{number}", on_error="stop") as rec:
            rec.capture(state, held_out=given, activations={"d": np.ones(shape, np.float32)})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"d.weight": [[1.0, 2.0]]},
            "d.weight is a list: an array is wanted that speaks DLPack or the buffer protocol",
        ),
        ({"d": {"kernel": np.ones((2, 2), np.float32)}}, "d is a dict: names are flat, as 'd.kernel'"),
        ([np.ones((2, 2), np.float32)], "arrays are given by their names, as {'dense.weight': ...}, not as a list"),
    ],
)
def test_what_is_no_array_is_named(tmp_path: Path, given: Any, problem: str) -> None:
    with (
        pytest.raises(TypeError, match=re.escape(problem)),
        sg.record(None, tmp_path / "run", on_error="stop") as rec,
    ):
        rec.capture(given)


def test_torch_is_not_needed(tmp_path: Path) -> None:
    text = """
import sys, numpy
import stratigraph_nn as sg
assert "torch" not in sys.modules
with sg.record(None, sys.argv[1]) as rec:
    rec.capture({"a.weight": numpy.ones((2, 2), "float32")})
assert "torch" not in sys.modules
"""
    package = str(Path(sg.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", text, tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": package},
        check=True,
        timeout=60,
    )
    assert len(runs.captures(tmp_path / "run")) == 1


def test_values_may_begin_anywhere_in_memory(tmp_path: Path) -> None:
    memory = np.zeros(4 * 6 + 1, np.uint8)
    array = np.frombuffer(memory.data, np.float32, count=6, offset=1).reshape(2, 3)
    array[:] = np.arange(6).reshape(2, 3)
    with sg.record(None, tmp_path / "run", on_error="stop") as recorder:
        recorder.capture({"dense.weight": array})
        recorder.capture({"dense.weight": array.T.copy().T})
    rows = sg.open(tmp_path / "run").sql("SELECT epoch, weights FROM weights ORDER BY epoch, unit").to_dicts()
    assert [row["weights"] for row in rows] == 2 * [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
