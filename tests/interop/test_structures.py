"""`structure_scores` against scipy and scikit-learn, computed from the same activations and predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hive
from agreement import assert_close, floats
from notebook_reference import epoch_captures

BINS = 8
MASK = (1 << 64) - 1


@pytest.fixture(scope="module")
def captured(real_run):
    """By epoch: activations [neurons, samples] of all layers but the last, their ids, and what was predicted."""
    held_out = {}
    for table in ("activations", "classifications"):
        rows = epoch_captures(hive.read_table(real_run, table).to_pandas())
        held_out[table] = rows[rows["phase"] == "eval"]
    output = max(hive.layers(real_run), key=lambda layer: layer["layer_index"])["layer"]
    activations = held_out["activations"]
    activations = activations[activations["layer"] != output]
    captured = {}
    for epoch, rows in activations.groupby("epoch"):
        rows = rows.sort_values("neuron")
        samples = held_out["classifications"]
        samples = samples[samples["epoch"] == epoch].sort_values("sample")
        captured[epoch] = (
            rows["neuron"].to_numpy(),
            np.stack(rows["activations"].to_list()).astype(np.float64),
            samples["predicted"].to_numpy(),
            samples["target"].to_numpy(),
        )
    return captured


def scores(values, member):
    """Correlation, mutual information in nats and AUC of one neuron's values with one class."""
    if member.all() or not member.any() or (values == values[0]).all():
        return [np.nan] * 3
    # The bin of rank r is floor((r - 1/2) * BINS / n), in whole numbers, since ties have ranks of halves.
    doubled = (2 * rankdata(values)).astype(np.int64)
    bins = (doubled - 1) * BINS // (2 * len(values))
    return [
        pearsonr(values, member.astype(np.float64)).statistic,
        mutual_info_score(bins, member),
        roc_auc_score(member, values),
    ]


def reference(neurons, activations, predicted, num_classes):
    rows = []
    for class_ in range(num_classes):
        for neuron, values in zip(neurons, activations, strict=True):
            rows.append((class_, neuron, *scores(values, predicted == class_)))
    return pd.DataFrame(rows, columns=["class", "neuron", "correlation", "mutual_information", "auc"])


def num_classes(run):
    return len(json.loads((Path(run) / "run.json").read_text())["class_names"])


def assert_scores(rows, expected):
    rows = rows.sort_by([("class", "ascending"), ("neuron", "ascending")])
    assert rows["class"].to_pylist() == expected["class"].tolist()
    assert rows["neuron"].to_pylist() == expected["neuron"].tolist()
    for name in ("correlation", "mutual_information", "auc"):
        assert_close(floats(rows[name].combine_chunks()), expected[name].to_numpy(), name)


def test_scores_agree_with_scipy_and_scikit_learn(real_run, query, captured):
    for epoch in (min(captured), max(captured)):
        neurons, activations, predicted, _ = captured[epoch]
        expected = reference(neurons, activations, predicted, num_classes(real_run))
        rows = query.named("structure_scores", real_run, epoch=epoch, top="all", permutations=0)
        assert_scores(rows, expected)
        assert rows["score"].equals(rows["correlation"])


def test_every_epoch_ranks_by_the_measure(real_run, query, captured):
    strength = {"correlation": abs, "mutual_information": abs, "auc": lambda auc: abs(auc - 0.5)}
    for measure, of in strength.items():
        rows = query.named(
            "structure_scores", real_run, epoch="all", top=3, permutations=0, measure=measure
        ).to_pandas()
        assert set(rows["epoch"]) <= set(captured)
        assert (rows["score"] == rows[measure]).all()
        for _, group in rows.groupby(["epoch", "class"]):
            assert group["rank"].tolist() == list(range(1, len(group) + 1))
            assert group["score"].map(of).is_monotonic_decreasing


def mix(z):
    """The finalizer of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def first_half(targets, seed):
    """As `trace::Half` has it: the samples of each class in the order of a hash, dealt out in turn."""
    gamma = 0x9E3779B97F4A7C15
    start = mix((seed + gamma) & MASK)
    hashes = [mix((start + (sample + 1) * gamma) & MASK) for sample in range(len(targets))]
    order = sorted(range(len(targets)), key=lambda sample: (targets[sample], hashes[sample]))
    return sorted(order[::2])


def test_halves_share_no_sample(real_run, query, captured):
    epoch = max(captured)
    neurons, activations, predicted, targets = captured[epoch]
    first = first_half(targets.tolist(), 7)
    second = sorted(set(range(len(targets))) - set(first))
    for half, samples in (("first", first), ("second", second)):
        expected = reference(neurons, activations[:, samples], predicted[samples], 2)
        rows = query.named(
            "structure_scores", real_run, epoch=epoch, top="all", permutations=0, half=half, seed=7
        )
        assert_scores(rows.filter(pc.less(rows["class"], 2)), expected)


def test_p_values_are_those_of_permuted_predictions(digits_run, query):
    """The programs permute differently: shares of 1000 permutations differ by chance, by 0.022 at one half."""
    found = query.named("structure_scores", digits_run, top="all", permutations=1000).to_pandas()
    found = found.dropna(subset=["p_value"])
    epoch = found["epoch"].max()
    held_out = []
    for table in ("activations", "classifications"):
        rows = epoch_captures(hive.read_table(digits_run, table).to_pandas())
        held_out.append(rows[(rows["epoch"] == epoch) & (rows["phase"] == "eval")])
    activations, samples = held_out
    activations = activations[activations["neuron"].isin(found["neuron"])]
    predicted = samples.sort_values("sample")["predicted"].to_numpy()
    member = np.stack([predicted == class_ for class_ in found["class"].unique()])
    values, member = (standardised(matrix) for matrix in (np.stack(activations["activations"].to_list()), member))
    rng = np.random.default_rng(1)
    maxima = np.array([np.abs(values @ member[:, rng.permutation(len(predicted))].T).max() for _ in range(1000)])
    expected = (1 + (maxima[None, :] >= found["score"].abs().to_numpy()[:, None]).sum(axis=1)) / 1001
    # Six standard deviations.
    assert np.abs(found["p_value"] - expected).max() < 0.14
    assert (found["p_value"] < 0.05).any() and (found["p_value"] > 0.5).any()


def standardised(rows):
    """Rows of mean 0 and length 1, whose products are correlations."""
    rows = rows.astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_onset_follows_from_the_scores_of_all_epochs(real_run, query):
    rows = query.named("structure_scores", real_run, epoch="all", top="all", permutations=199).to_pandas()
    last = rows["epoch"].max()
    expected = []
    for (class_, neuron), group in rows.groupby(["class", "neuron"]):
        group = group.sort_values("epoch")
        lost = group.loc[~(group["p_value"] < 0.05), "epoch"].max()
        now = group.iloc[-1]
        if now["epoch"] == last and now["p_value"] < 0.05 and now["correlation"] > 0:
            began = group.loc[~(group["epoch"] <= lost), "epoch"].min()
            expected.append((class_, now["rank"], now["layer"], neuron, began, last, now["score"], now["p_value"]))
    columns = ["class", "rank", "layer", "neuron", "first_epoch", "last_epoch", "score", "p_value"]
    expected = pd.DataFrame(expected, columns=columns).sort_values(["class", "rank"], ignore_index=True)
    expected["rank"] = expected.groupby("class").cumcount() + 1
    actual = query.named("structure_onset", real_run, top="all").to_pandas()
    pd.testing.assert_frame_equal(actual, expected, check_dtype=False, check_exact=True)
    assert query.named("structure_onset", real_run).num_rows == (expected["rank"] <= 5).sum()


def test_rank_stability_is_spearmans_correlation(real_run, query):
    ranks = query.named("structure_scores", real_run, epoch="all", top="all", permutations=0).to_pandas()
    ranks = ranks.dropna(subset=["rank"])
    epochs = sorted(ranks["epoch"].unique())
    previous = dict(zip(epochs[1:], epochs[:-1], strict=True))
    rows = query.named("rank_stability", real_run).to_pandas()
    # The notebook's network takes all samples for one class.
    assert ranks.empty == rows.empty
    for row in rows.itertuples():
        of_class = ranks[ranks["class"] == row[2]]
        of = [
            of_class[of_class["epoch"] == epoch].set_index("neuron")["rank"]
            for epoch in (previous[row.epoch], row.epoch)
        ]
        both = pd.concat(of, axis=1, join="inner").to_numpy()
        assert row.neurons == len(both)
        assert_close(np.array([row.spearman]), np.array([spearmanr(both).statistic]), "spearman")
        assert row.kept == (both <= 5).all(axis=1).sum()


def probe(features, member, folds):
    """Five fits of scikit-learn's: the mean AUC, and the share that is on the right side."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    )
    splits = PredefinedSplit(folds)
    decisions = cross_val_predict(model, features, member, cv=splits, method="decision_function")
    auc = np.mean([roc_auc_score(member[test], decisions[test]) for _, test in splits.split()])
    return auc, ((decisions > 0) == member).mean()


def test_probes_agree_with_scikit_learn(real_run, query, captured):
    epoch = max(captured)
    neurons, activations, predicted, _ = captured[epoch]
    some = neurons[:: max(1, len(neurons) // 7)]
    for group in (None, some):
        parameters = {} if group is None else {"neurons": ",".join(map(str, group))}
        rows = query.named("linear_probe", real_run, epoch=epoch, **parameters).to_pandas()
        layers = {layer["layer"]: layer for layer in hive.layers(real_run)}
        for row in rows.itertuples():
            if group is None:
                layer = layers[row.layer]
                first = layer["first_neuron"]
                chosen = (neurons >= first) & (neurons < first + layer["num_units"])
            else:
                chosen = np.isin(neurons, group)
            member = predicted == row[4]
            if min(member.sum(), (~member).sum()) < 5:
                assert np.isnan(row.auc)
                continue
            assert row.neurons == chosen.sum()
            # The j-th sample of either side is in fold j modulo 5.
            folds = np.where(member, np.cumsum(member) - 1, np.cumsum(~member) - 1) % 5
            auc, accuracy = probe(activations[chosen].T, member, folds)
            assert_close(np.array([row.auc, row.accuracy]), np.array([auc, accuracy]), f"{row.layer} {row[4]}")
            assert_close(np.array([row.majority]), np.array([max(member.mean(), 1 - member.mean())]), "majority")
