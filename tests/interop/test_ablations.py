"""Ablations against numpy, which silences neurons in a forward pass of its own; and every engine reads them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import engines
import hive
from test_engines import PARTITION_TYPES, assert_same

DIGITS = Path(__file__).parents[2] / "crates/recorder/data/digits.csv"
NUM_HELD_OUT = 297
EPOCH, SEED, DRAWS = 4, 11, 20
# Of 16 and 8 hidden units.
NEURONS = [2, 5, 11, 19]
OF_CLASS = 3
# With the number of those that have one.
MODES = {"zero": None, "mean": None, "scale": -0.5, "set": 0.75}
OPTIONS = {"scale": "--factor", "set": "--value"}


@pytest.fixture(scope="module")
def ablated(recorder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "ablated"
    recorder("train", "--device", "cpu", "--epochs", EPOCH + 1, "--hidden", "16,8", "--out", run)
    for half in ["first", "second", "all"]:
        for mode, number in MODES.items():
            arguments = ["--neurons", ",".join(map(str, NEURONS)), "--class", OF_CLASS, "--mode", mode]
            arguments += ["--half", half, "--seed", SEED, "--draws", DRAWS]
            arguments += [] if number is None else [f"{OPTIONS[mode]}={number}"]
            recorder("ablate", run, "--epoch", EPOCH, *arguments)
    return run


def held_out():
    rows = pd.read_csv(DIGITS).to_numpy()[-NUM_HELD_OUT:]
    return rows[:, :-1] / 16.0, rows[:, -1]


def outputs(run, mode=None, number=None):
    """The logits of the held-out samples, in doubles, with NEURONS silenced if there is a mode."""
    x, _ = held_out()
    layers = hive.layers(run)
    weights = hive.read_table(run, "weights").to_pandas()
    for layer in layers:
        rows = weights[(weights.epoch == EPOCH) & (weights.layer == layer["layer"])].sort_values("unit")
        x = x @ np.stack(rows.weights.to_list()).astype(float).T + rows.bias.to_numpy(float)
        if layer is layers[-1]:
            return x
        x = np.maximum(x, 0)
        for neuron in NEURONS if mode else []:
            unit = neuron - layer["first_neuron"]
            if 0 <= unit < layer["num_units"]:
                values = {"zero": 0.0, "mean": means(run, neuron), "scale": x[:, unit] * (number or 0), "set": number}
                x[:, unit] = values[mode]


def means(run, neuron):
    """Of the values that were recorded of the neuron, which are all held-out samples'."""
    rows = hive.read_table(run, "activations").to_pandas()
    [values] = rows[(rows.epoch == EPOCH) & (rows.neuron == neuron)].activations
    assert len(values) == NUM_HELD_OUT
    return values.astype(float).mean()


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def half_of(targets, half):
    """As schemas/structures.md says."""
    if half == "all":
        return np.arange(len(targets))
    with np.errstate(over="ignore"):
        gamma = np.uint64(0x9E3779B97F4A7C15)
        samples = np.arange(len(targets), dtype=np.uint64)
        hashes = mix(mix(np.uint64(SEED) + gamma) + (samples + np.uint64(1)) * gamma)
    order = np.lexsort([samples, hashes, targets])
    return np.sort(order[half == "second" :: 2])


def loss(logits, targets):
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(targets)), targets]


@pytest.mark.parametrize("half", ["first", "second", "all"])
@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_numpy(ablated, query, mode, half):
    statement = f"SELECT * FROM ablations WHERE mode = '{mode}' AND half = '{half}'"
    rows = query.sql(ablated, statement).to_pandas()
    _, targets = held_out()
    before, after = outputs(ablated), outputs(ablated, mode, MODES[mode])
    kept = half_of(targets, half)
    before, after, targets = before[kept], after[kept], targets[kept]

    expected = {("all", -1): np.ones_like(targets, bool), ("others", -1): targets != OF_CLASS}
    expected |= {("class", c): targets == c for c in range(10)}
    groups = rows.groupby(["samples", rows["class"].fillna(-1).astype(int)])
    assert set(groups.groups) == set(expected)
    for key, figures in groups:
        of = expected[key]
        figures = figures.set_index("metric")
        assert (figures.num_samples == of.sum()).all()
        for column, logits in [("before", before), ("after", after)]:
            right = logits[of].argmax(axis=1) == targets[of]
            assert figures[column]["accuracy"] == pytest.approx(right.mean(), abs=1e-12), key
            # The recorder's pass is in 32-bit floats.
            assert figures[column]["loss"] == pytest.approx(loss(logits[of], targets[of]).mean(), rel=1e-4), key
            if key[0] == "class":
                counts = np.bincount(logits[of].argmax(axis=1), minlength=10)
                assert figures[f"predicted_{column}"]["accuracy"].tolist() == counts.tolist(), key
                # A row of a confusion matrix has as many samples, whichever neurons were silenced.
                assert figures["predicted_random"]["accuracy"].sum() == pytest.approx(of.sum(), rel=1e-6), key
            if key == ("class", OF_CLASS):
                others = expected["others", -1]
                gap = right.mean() - (logits[others].argmax(axis=1) == targets[others]).mean()
                assert figures[column]["accuracy_gap"] == pytest.approx(gap, abs=1e-12)
        assert ("accuracy_gap" in figures.index) == (key == ("class", OF_CLASS))
        for metric, figure in figures.iterrows():
            random = figure["random"].astype(float)
            assert len(random) == DRAWS
            assert figure.random_mean == pytest.approx(random.mean(), abs=1e-6)
            assert figure.random_std == pytest.approx(random.std(), abs=1e-6)
            # The lists are rounded to 32 bits, by less than what one sample makes.
            worse = random >= figure.after - 1e-6 if metric == "loss" else random <= figure.after + 1e-6
            assert figure.p_value == pytest.approx((1 + worse.sum()) / (1 + DRAWS)), (key, metric)


def test_every_engine_reads_them(ablated, duckdb, query):
    table, types = "ablations", PARTITION_TYPES
    walk = engines.Walk(ablated, table)
    # Without a list for some rows, and of other lengths: sums and means by position are of what is there.
    walk.lists = ["random"]
    for engine, name in [
        (engines.Ours(query, ablated, table), "ours"),
        (engines.DuckDb(duckdb, ablated, table), "duckdb"),
        (engines.DuckDb(duckdb, ablated, table, hive_types=True), "duckdb hive_types"),
        (engines.Polars(ablated, table), "polars"),
        (engines.Pandas(ablated, table), "pandas"),
        (engines.Dataset(ablated, table), "dataset"),
    ]:
        assert_same(engine, walk, types[name])
