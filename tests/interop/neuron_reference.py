"""What the named queries about neurons and samples have to agree with: numpy, one neuron or sample at a time."""

import numpy as np
import pandas as pd

import hive
from notebook_reference import epoch_captures

ORDER = ["epoch", "step", "neuron"]


def reference(run):
    """Rows of these queries, by name, in the order that the query promises."""
    weights = epoch_captures(hive.read_table(run, "weights").to_pandas()).sort_values(ORDER, ignore_index=True)
    activations = held_out(run, "activations").sort_values(ORDER, ignore_index=True)
    classifications = held_out(run, "classifications").sort_values(["epoch", "sample"], ignore_index=True)
    layers = [layer["layer"] for layer in hive.layers(run)]
    return {
        "by_neuron_activations": by_neuron_activations(activations),
        "epoch_average_activations": epoch_average_activations(activations, classifications),
        "correct_vs_incorrect": correct_vs_incorrect(activations, classifications),
        "class_selectivity": class_selectivity(activations, classifications),
        "weight_drift": weight_drift(weights),
        "layer_profile": layer_profile(weights, activations, layers),
        "dead_neurons": dead_neurons(activations),
        "cartography": cartography(classifications),
    }


def held_out(run, table):
    rows = epoch_captures(hive.read_table(run, table).to_pandas())
    return rows[rows["phase"] == "eval"]


def by_neuron_activations(activations):
    """One mean activation a neuron and sample, over all epochs."""
    def mean(rows):
        return np.mean(np.stack(rows.to_list()).astype(np.float64), axis=0).astype(np.float32)

    return activations.groupby(["neuron", "layer"])["activations"].apply(mean).reset_index()


def epoch_average_activations(activations, classifications):
    """The activations of each epoch, then one average in the place of an epoch."""
    first = classifications[classifications["sample"] == 0].set_index("epoch")["outputs"].str[0]
    rows = activations.assign(kind="epoch", final_classification_result=activations["epoch"].map(first))
    averages = by_neuron_activations(activations).assign(kind="Epoch_average", epoch=pd.NA)
    averages["final_classification_result"] = np.float32("nan")
    both = pd.concat([rows.astype({"epoch": object}), averages], ignore_index=True).astype({"epoch": "Int32"})
    columns = ["kind", "epoch", "layer", "neuron", "activations", "final_classification_result"]
    return both[columns].astype({"final_classification_result": "float32"})


def by_epoch(classifications, column):
    """A numpy array of a column's values by epoch, position = sample."""
    return {epoch: rows[column].to_numpy() for epoch, rows in classifications.groupby("epoch")}


def mean(values):
    return values.mean() if len(values) else np.nan


def correct_vs_incorrect(activations, classifications):
    """Cohen's d with the pooled standard deviation of samples (n - 1), and the layers' distances."""
    correct = by_epoch(classifications, "correct")
    rows = []
    for row in activations.itertuples():
        values = np.float64(row.activations)
        right = correct[row.epoch][:len(values)] == True  # noqa: E712 (of objects, null among them)
        wrong = correct[row.epoch][:len(values)] == False  # noqa: E712
        one, other = values[right], values[wrong]
        d = np.nan
        if len(one) and len(other) and (np.ptp(one) > 0 or np.ptp(other) > 0):
            squares = (len(one) * one.var() + len(other) * other.var()) / (len(one) + len(other) - 2)
            d = (one.mean() - other.mean()) / np.sqrt(squares)
        rows.append((row.epoch, row.layer, row.neuron, len(one), len(other), mean(one), mean(other), d))
    columns = ["epoch", "layer", "neuron", "num_correct", "num_incorrect", "mean_correct", "mean_incorrect", "cohens_d"]
    table = pd.DataFrame(rows, columns=columns)
    difference = table["mean_correct"] - table["mean_incorrect"]
    squares = (difference**2).groupby([table["epoch"], table["layer"]])
    return table.assign(layer_distance=np.sqrt(squares.transform(lambda layer: layer.sum(min_count=1))))


def class_selectivity(activations, classifications):
    """Morcos et al. 2018, the rest being the mean of the other classes' means."""
    targets = by_epoch(classifications, "target")
    rows = []
    for row in activations.itertuples():
        values = np.float64(row.activations)
        classes = targets[row.epoch][:len(values)]
        means = np.float32([mean(values[classes == which]) for which in range(int(classes.max()) + 1)])
        preferred, highest, rest, index = pd.NA, np.nan, np.nan, np.nan
        if np.nanmax(means) > np.nanmin(means):
            preferred = int(np.nanargmax(means))
            highest = float(means[preferred])
            rest = float(np.nanmean(np.delete(np.float64(means), preferred)))
            index = (highest - rest) / (highest + rest) if rest >= 0 else np.nan
        rows.append((row.epoch, row.layer, row.neuron, means, preferred, highest, rest, index))
    columns = ["epoch", "layer", "neuron", "class_means", "preferred_class", "mean_preferred", "mean_rest", "selectivity"]
    table = pd.DataFrame(rows, columns=columns).astype({"preferred_class": "Int32"})
    ranked = table.sort_values(["epoch", "selectivity", "neuron"], ascending=[True, False, True], ignore_index=True)
    return ranked.assign(rank=ranked.groupby("epoch").cumcount() + 1)


def weight_drift(weights):
    """Distances and angles to the recorded epoch before and to the first."""
    rows = []
    first, previous = {}, {}
    for row in weights.itertuples():
        now = np.float64(row.weights)
        start, before = first.setdefault(row.neuron, now), previous.get(row.neuron)
        drift = (np.nan, distance(now, start), np.nan, cosine(now, start))
        if before is not None:
            drift = (distance(now, before), drift[1], cosine(now, before), drift[3])
        previous[row.neuron] = now
        rows.append((row.epoch, row.layer, row.neuron, *drift))
    columns = ["epoch", "layer", "neuron", "l2_previous", "l2_first", "cosine_previous", "cosine_first"]
    return pd.DataFrame(rows, columns=columns)


def distance(a, b):
    return np.linalg.norm(a - b)


def cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / lengths if lengths else np.nan


def layer_profile(weights, activations, layers):
    """From the values themselves, where the query takes the statistics of neurons: no sample is left out here."""
    rows = []
    for epoch in sorted(weights["epoch"].unique()):
        for layer in layers:
            matrix, outputs = (
                np.stack(table[(table["epoch"] == epoch) & (table["layer"] == layer)][column].to_list()).astype(float)
                for table, column in ((weights, "weights"), (activations, "activations"))
            )
            silent = (outputs == 0).all(axis=1).sum()
            rows.append((epoch, layer, len(matrix), np.linalg.norm(matrix), matrix.std(), (outputs == 0).mean(), silent))
    columns = ["epoch", "layer", "num_neurons", "norm", "spread", "sparsity", "dead_neurons"]
    return pd.DataFrame(rows, columns=columns)


def dead_neurons(activations):
    """Neurons that are 0 for every sample, and the first epoch of the stretch."""
    rows, since = [], {}
    for row in activations.itertuples():
        if (row.activations == 0).all():
            rows.append((row.epoch, row.layer, row.neuron, since.setdefault(row.neuron, row.epoch)))
        else:
            since.pop(row.neuron, None)
    return pd.DataFrame(rows, columns=["epoch", "layer", "neuron", "since"])


def cartography(classifications):
    """Swayamdipta et al. 2020: of the target's probability over epochs the mean, the deviation, and how often it won."""
    def probability(row):
        if len(row.outputs) > 1:
            return float(row.outputs[row.target])
        return float(row.outputs[0]) if row.target == 1 else 1 - float(row.outputs[0])

    rows = classifications.assign(probability=[probability(row) for row in classifications.itertuples()])
    rows["right"] = rows["correct"].astype(float)
    groups = rows.groupby(["sample", "target"])
    table = groups.agg(
        confidence=("probability", "mean"),
        variability=("probability", lambda values: values.std(ddof=0)),
        correctness=("right", "mean"),
    )
    return table.reset_index().astype({"target": "int32"})
