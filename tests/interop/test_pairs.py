"""What is worked out of pairs and chains of neurons, against numpy on real runs."""

import numpy as np
import pytest

import hive
from agreement import assert_close
from notebook_reference import epoch_captures, name_origin, source_units


def last_epoch(run, table):
    """Rows of the last epoch's capture, in the order of the neurons."""
    rows = epoch_captures(hive.read_table(run, table).to_pandas())
    rows = rows[rows["epoch"] == rows["epoch"].max()]
    if "phase" in rows:
        rows = rows[rows["phase"] == "eval"]
    return rows.sort_values("neuron", ignore_index=True)


def matrix(lists):
    return np.stack(lists.to_list()).astype(np.float64)


def correlations(rows):
    """Pearson's correlation of every pair of neurons; NaN where one is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        table = np.corrcoef(matrix(rows["activations"]))
    constant = rows["activations"].map(lambda values: np.ptp(values) == 0).to_numpy()
    table[constant, :] = table[:, constant] = np.nan
    return table


def check_pairs(found, rows):
    table, layers = correlations(rows), rows["layer"].to_numpy()
    place = {neuron: at for at, neuron in enumerate(rows["neuron"])}
    a, b = found["neuron_a"].map(place).to_numpy(), found["neuron_b"].map(place).to_numpy()
    assert (a < b).all()
    assert (layers[a] == found["layer_a"]).all() and (layers[b] == found["layer_b"]).all()
    assert_close(found["correlation"].to_numpy(), table[a, b], "correlation")
    upper = np.abs(table[np.triu_indices(len(rows), 1)])
    best = np.sort(upper[~np.isnan(upper)])[::-1][: len(found)]
    assert_close(found["correlation"].abs().to_numpy(), best, "the largest")
    assert (found["epoch"] == rows["epoch"].iloc[0]).all()


def test_coactivation_is_pearsons_correlation(real_run, query):
    rows = last_epoch(real_run, "activations")
    found = query.named("coactivation", real_run, top=150).to_pandas()
    assert len(found) == 150
    check_pairs(found, rows)


def test_coactivation_of_one_layer(real_run, query):
    rows = last_epoch(real_run, "activations")
    rows = rows[rows["layer"] == "L_hidden_1"].reset_index(drop=True)
    found = query.named("coactivation", real_run, layer="L_hidden_1", top=10).to_pandas()
    assert len(found) == 10
    check_pairs(found, rows)


def test_pairs_with_a_constant_neuron_have_no_correlation_and_come_last(digits_run, query):
    rows = last_epoch(digits_run, "activations")
    table = correlations(rows)
    num_pairs = len(rows) * (len(rows) - 1) // 2
    found = query.named("coactivation", digits_run, top=num_pairs + 1)["correlation"].to_numpy()
    assert len(found) == num_pairs
    undefined = int(np.isnan(table[np.triu_indices(len(rows), 1)]).sum())
    assert np.isnan(found).sum() == undefined
    assert not np.isnan(found[: num_pairs - undefined]).any()


def chains(run):
    """Every chain from an input to an output: strength, class, sign, path."""
    rows, layers = last_epoch(run, "weights"), hive.layers(run)
    first_neuron = {layer["layer"]: layer["first_neuron"] for layer in layers}
    strength, names = np.ones((1, 1)), None
    for layer in layers:
        weights = matrix(rows.loc[rows["layer"] == layer["layer"], "weights"])
        origins = [name_origin(*unit, first_neuron)[0] for unit in source_units(layer["source"], layer["fan_in"])]
        if names is None:
            names, strength = [origins], np.ones(len(origins))
        # The last axis of `strength` is the layer before, every axis before it a layer further back.
        assert names[-1] == origins
        strength = strength[..., np.newaxis] * weights.T
        names.append([f"n_{layer['first_neuron'] + unit}" for unit in range(layer["num_units"])])
    return strength, names


def test_strongest_paths_are_those_of_all_chains(real_run, query):
    strength, names = chains(real_run)
    for parameters, kept in [({}, slice(None)), ({"class": 0}, slice(0, 1))]:
        found = query.named("strongest_paths", real_run, top=40, **parameters).to_pandas()
        products = strength[..., kept]
        order = np.argsort(-np.abs(products), axis=None, kind="stable")[:40]
        at = np.unravel_index(order, products.shape)
        assert_close(found["strength"].to_numpy(), np.abs(products[at]), "strength")
        assert found["sign"].tolist() == np.sign(products[at]).astype(int).tolist()
        assert found["class"].tolist() == at[-1].tolist()
        assert found["rank"].tolist() == list(range(1, len(order) + 1))
        paths = [[names[axis][index] for axis, index in enumerate(places)] for places in zip(*at)]
        assert found["path"].map(list).tolist() == paths


@pytest.fixture(scope="module")
def other_run(recorder, tmp_path_factory):
    """A network of another width and seed on the same digits, for a few epochs."""
    run = tmp_path_factory.mktemp("other") / "run"
    recorder("train", "--device", "cpu", "--epochs", "3", "--hidden", "96,64", "--seed", "5", "--out", run)
    return run


def linear_cka(a, b):
    """Kornblith et al., 2019, equation 4, on matrices of neurons by samples."""
    a, b = (matrix - matrix.mean(axis=1, keepdims=True) for matrix in (a, b))
    shared = np.linalg.norm(b @ a.T) ** 2
    return shared / (np.linalg.norm(a @ a.T) * np.linalg.norm(b @ b.T))


def by_layer(run, table, epoch):
    rows = epoch_captures(hive.read_table(run, table).to_pandas())
    rows = rows[rows["epoch"] == epoch].sort_values("neuron")
    if "phase" in rows:
        rows = rows[rows["phase"] == "eval"]
    return {layer: matrix(part[table]) for layer, part in rows.groupby("layer")}


def test_compare_is_cka_and_relative_frobenius(digits_run, other_run, query):
    found = query.table("compare", digits_run, other_run).to_pandas()
    layers = ["L_input", "L_hidden_1", "L_output"]
    assert found["layer"].tolist() == layers * 3
    assert found["epoch"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert (found["num_samples"] == 297).all()
    for epoch, rows in found.groupby("epoch"):
        ours, theirs = (by_layer(run, "activations", epoch) for run in (digits_run, other_run))
        expected = np.array([linear_cka(ours[layer], theirs[layer]) for layer in layers])
        assert_close(rows["cka"].to_numpy(), expected, "cka")
        ours, theirs = (by_layer(run, "weights", epoch) for run in (digits_run, other_run))
        distances = [
            np.linalg.norm(ours[layer] - theirs[layer]) / np.linalg.norm(ours[layer])
            if ours[layer].shape == theirs[layer].shape
            else np.nan
            for layer in layers
        ]
        assert np.isnan(distances).tolist() == [True, True, False]
        assert_close(rows["weight_distance"].to_numpy(np.float64), np.array(distances), "distance")


def test_compare_of_one_layer_and_epoch(digits_run, other_run, query):
    found = query.table("compare", other_run, digits_run, "--epoch", "2", "--layer", "last").to_pandas()
    assert found[["epoch", "layer"]].to_numpy().tolist() == [[2, "L_output"]]
    both = (by_layer(run, "activations", 2)["L_output"] for run in (other_run, digits_run))
    assert_close(found["cka"].to_numpy(), np.array([linear_cka(*both)]), "cka")
