"""The peers of the side-by-side benchmark: they compute what the notebook's steps compute, or the race is not fair."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import hive
import notebook_reference
from agreement import assert_close

COMPARE = Path(__file__).parents[2] / "benches" / "compare"


def run_program(name, *arguments):
    """The JSON lines that a program of benches/compare prints."""
    command = [sys.executable, COMPARE / name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def reference(synthetic_run):
    return notebook_reference.reference(synthetic_run)


@pytest.fixture(scope="module")
def trace(synthetic_run, tmp_path_factory):
    """The notebook's pickle of the run."""
    file = tmp_path_factory.mktemp("compare") / "trace.pickle"
    run_program("network_trace.py", synthetic_run, "-o", file)
    return file


@pytest.fixture(params=["pandas, pickle", "numpy, pickle", "numpy, run"])
def peer(request, trace, synthetic_run, tmp_path):
    """A function from a query's name to its rows, with the named query's column names."""
    library, source = request.param.split(", ")

    def rows(query):
        file = tmp_path / f"{query}.parquet"
        program = f"notebook_{library}.py"
        lines = run_program(program, query, trace if source == "pickle" else synthetic_run, "-o", file)
        assert (lines[0]["what"], lines[-1]["what"]) == ("load", query)
        assert sum(line["seconds"] for line in lines[:-1]) == pytest.approx(lines[-1]["seconds"], abs=1e-4)
        frame = pd.read_parquet(file)
        return from_pandas(frame) if library == "pandas" else from_numpy(frame)

    return rows


def from_pandas(frame):
    """The notebook's index and column names as ours; its averages have no epoch and no classification."""
    named = [name for name in frame.index.names if name]
    frame = (frame.reset_index() if named else frame).rename(columns=str.lower)
    if "epoch" in frame:
        averages = frame["epoch"] == "Epoch_average"
        frame["epoch"] = frame["epoch"].mask(averages, "E_-1").str.removeprefix("E_").astype(int)
        if averages.any():
            frame.loc[averages, "final_classification_result"] = np.nan
    if "neuron" in frame:
        frame["neuron"] = frame["neuron"].str.removeprefix("n_").astype(int)
    weights = [name for name in frame.columns if name.startswith("w_")]
    if weights:
        frame["weights"] = list(frame[weights].to_numpy())
    return frame


def from_numpy(frame):
    return frame.astype({name: str for name in ("layer", "source") if name in frame})


def assert_rows(rows, expected, keys, values):
    """Equal keys once both are in the keys' order, and equal values."""
    rows = rows.sort_values(keys, kind="stable", ignore_index=True)
    expected = expected.assign(epoch=expected["epoch"].fillna(-1)) if "epoch" in expected else expected
    expected = expected.sort_values(keys, kind="stable", ignore_index=True)
    assert rows[keys].values.tolist() == expected[keys].values.tolist()
    for name in values:
        assert_close(stack(rows[name]), stack(expected[name]), name)


def stack(column):
    return np.stack(column.to_list()).astype(np.float64)


def test_classification_series(peer, reference):
    values = peer("classification_series")["class_result"]
    assert_close(stack(values), stack(reference["classification_series"]["class_result"]), "class_result")


@pytest.mark.parametrize("query", ["padded", "by_layer", "epoch_average"])
def test_rows_a_neuron_and_epoch(query, peer, reference):
    expected = reference["padded" if query == "by_layer" else query]
    assert_rows(peer(query), expected, ["epoch", "neuron", "layer"], ["weights", "final_classification_result"])


def test_by_neuron(peer, reference):
    assert_rows(peer("by_neuron"), reference["by_neuron"], ["neuron"], ["weights"])


def test_connections(peer, reference):
    # Within a neuron every peer goes by position, which pandas does not write.
    rows = peer("connections").sort_values(["epoch", "neuron"], kind="stable", ignore_index=True)
    assert_rows(rows, reference["connections"], ["epoch", "neuron"], ["weight"])
    assert rows["source"].tolist() == reference["connections"]["source"].tolist()


def test_total_prints_one_line(trace):
    (line,) = run_program("notebook_numpy.py", "by_neuron", trace, "--total")
    assert line["what"] == "by_neuron"
    assert line["seconds"] > 0


@pytest.mark.parametrize("options", [[], ["--fsync"], ["--threads", "2"]])
def test_pyarrow_writes_the_same_rows_in_the_same_layout(options, synthetic_run, tmp_path):
    again = tmp_path / "again"
    lines = run_program("write_pyarrow.py", synthetic_run, "-o", again, *options)
    assert [line["what"] for line in lines] == ["read", "write_pyarrow"]
    for table in hive.RECORDED:
        assert hive.read_table(again, table).equals(hive.read_table(synthetic_run, table))
        names = [path.relative_to(synthetic_run) for _, path in hive.part_files(synthetic_run, table)]
        assert [path.relative_to(again) for _, path in hive.part_files(again, table)] == names


def test_pyarrow_writes_the_formats_encodings(synthetic_run, tmp_path):
    run_program("write_pyarrow.py", synthetic_run, "-o", tmp_path / "again", "--tables", "weights")
    _, path = next(hive.part_files(tmp_path / "again", "weights"))
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in ("bias", "weight_mean", "weights.list.item"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings
        assert "RLE_DICTIONARY" not in columns[name].encodings
    assert "RLE_DICTIONARY" in columns["neuron"].encodings
    assert columns["neuron"].is_stats_set
    assert not columns["weights.list.item"].is_stats_set
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert [(column.column_index, column.descending) for column in group.sorting_columns] == [(0, False), (2, False)]
