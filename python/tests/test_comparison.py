"""The comparison of benches/compare: each engine answers the same, and the program says what is missed."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

COMPARE = Path(__file__).parents[2] / "benches" / "compare"
sys.path.insert(0, str(COMPARE))

import asking  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import sizes  # noqa: E402
import writing  # noqa: E402


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Where the short comparison left its report."""
    out = tmp_path_factory.mktemp("compare")
    command = [sys.executable, COMPARE / "compare.py", "--package", "installed", "--out", out, "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out


def test_short_comparison_measures_everything(short):
    text = (short / "compare.md").read_text()
    samples = json.loads((short / "compare.json").read_text())
    for name in ("digits", "dense", "cnn", "wide", "captures-10000"):
        assert set(samples[f"{name}: writing"]) >= {"ours, none", "ours, size", "pyarrow, zstd", "safetensors"}
        for question in asking.questions(sizes.SHORT[name]):
            of = samples[f"{name}: {question.name}"]
            assert set(of) == {"ours", "DuckDB", "polars", "ours, a process"}
            assert all(ways["seconds"][0] > 0 for ways in of.values())
    assert set(samples["digits: by_neuron of the notebook"]) == {"ours", "pandas", "numpy"}
    assert "### Targets" in text
    assert "bytes of `weights` with --compress size, by the weights | at most 0.870" in text
    # Only the report is left.
    assert {path.suffix for path in short.iterdir()} <= {".md", ".json", ".svg"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A recorded run, and the size it is of."""
    size = sizes.SHORT["dense"]
    path = tmp_path_factory.mktemp("runs") / "run"
    writing.record(list(sizes.captures(size)), path)
    return path, size


def changed(answer):
    """The same rows, but for one value of the last column."""
    column = answer.column(answer.num_columns - 1).combine_chunks()
    if pa.types.is_list(column.type):
        values = column.flatten().to_pylist()
        values[-1] = values[-1] + 1
        rows = pa.ListArray.from_arrays(column.offsets, pa.array(values, column.type.value_type))
    else:
        rows = pa.array([*column.to_pylist()[:-1], column[-1].as_py() + 1], column.type)
    return answer.set_column(answer.num_columns - 1, answer.column_names[-1], rows)


def test_an_answer_that_differs_is_refused(run):
    path, size = run
    ours = asking.engine("ours", path, 2)
    for question in asking.questions(size):
        (ask,) = ours.ways(question)
        answer = ask()
        asking.check(question, "the same", answer, answer)
        with pytest.raises(SystemExit, match=r"other values"):
            asking.check(question, "another", changed(answer), answer)
        if question.keys:
            with pytest.raises(SystemExit, match=r"rows of"):
                asking.check(question, "fewer", answer.slice(1), answer)


def test_what_was_written_otherwise_is_refused(run, tmp_path):
    path, size = run
    captures = list(sizes.captures(size))
    parts = writing.write_pyarrow.read(path, [writing.TABLE])
    ways = writing.ways(captures, parts, 2, 1000)
    for name in ("ours, size", "pyarrow, zstd", "safetensors"):
        ways[name](tmp_path / name)
        writing.check(name, tmp_path / name, captures, parts)
        others = [{key: array + 1 for key, array in arrays.items()} for arrays in captures]
        with pytest.raises(SystemExit, match=r"other (rows|values)"):
            writing.check(name, tmp_path / name, others, parts[::-1])


def test_a_target_says_by_how_much_it_is_missed():
    slower = report.Target("by_neuron, DuckDB ÷ ours", 10.0, measure.Estimate(9.0, 8.5, 10.2))
    assert not slower.holds
    assert slower.told() == (
        "by_neuron, DuckDB ÷ ours: 9.00, not at least 10.0 (10.0 % short, which the interval leaves open)"
    )
    larger = report.Target("bytes", 0.87, measure.Estimate(0.957, 0.957, 0.957), is_least=False)
    assert not larger.holds
    assert larger.told() == "bytes: 0.957, not at most 0.870 (10.0 % over)"
    assert report.Target("bytes", 0.87, measure.Estimate(0.87, 0.87, 0.87), is_least=False).holds


def test_a_ratio_is_of_the_same_round():
    ratio = measure.ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)
