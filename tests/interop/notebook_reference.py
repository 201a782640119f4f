"""The notebook's steps in pandas, on a run directory: what the named queries have to agree with.

Each function is one step of the notebook with its documented faults put right: a neuron's id is its place in the
whole network and never wraps, and what was not recorded stays null. A named query looks at each epoch's capture, which
is the last one of that epoch, and leaves out the untrained network (epoch -1).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

import hive


def reference(run):
    """Every named query's rows, by name, in the order that the query promises."""
    weights = epoch_captures(hive.read_table(run, "weights").to_pandas())
    layers = hive.layers(run)
    if (Path(run) / "classifications").is_dir():
        classifications = epoch_captures(hive.read_table(run, "classifications").to_pandas())
        classifications = classifications[classifications["phase"] == "eval"]
    else:
        classifications = None
    rows = padded(weights, classifications)
    tables = {
        "padded": rows,
        "by_layer": by_layer(rows),
        "by_neuron": by_neuron(rows),
        "epoch_average": epoch_average(rows),
        "connections": connections(weights, layers),
    }
    if classifications is not None:
        tables["classification_series"] = classification_series(classifications)
        tables["confusion"] = confusion(classifications)
    if (Path(run) / "metrics").is_dir():
        tables["learning_curve"] = learning_curve(hive.read_table(run, "metrics").to_pandas())
    return tables


def epoch_captures(rows):
    """Only the last capture of each epoch, and no epoch before training began."""
    rows = rows[rows["epoch"] >= 0]
    return rows[rows["step"] == rows.groupby("epoch")["step"].transform("max")]


def classification_series(classifications):
    """Step 2: every output of every held-out sample, epoch after epoch, in one long series."""
    rows = classifications.sort_values(["epoch", "step", "sample"], ignore_index=True)
    rows["output"] = [range(len(outputs)) for outputs in rows["outputs"]]
    series = rows[["epoch", "step", "sample", "output", "outputs"]].explode(["output", "outputs"], ignore_index=True)
    return series.rename(columns={"outputs": "class_result"}).astype({"output": "int32", "class_result": "float32"})


def padded(weights, classifications):
    """Step 3: a neuron's incoming weights at each epoch, filled up with 0.0 to the widest layer's."""
    width = max(len(row) for row in weights["weights"])
    rows = weights.sort_values(["epoch", "step", "neuron"], ignore_index=True)
    rows["weights"] = [np.pad(row, (0, width - len(row))) for row in rows["weights"]]
    if classifications is None:
        rows["final_classification_result"] = np.float32("nan")
    else:
        first = classifications[classifications["sample"] == 0].set_index("epoch")["outputs"].str[0]
        rows["final_classification_result"] = rows["epoch"].map(first).astype("float32")
    return rows[["epoch", "layer", "neuron", "weights", "final_classification_result"]]


def by_layer(rows):
    """Step 5: the same rows, a table a layer."""
    return {layer: part.reset_index(drop=True) for layer, part in rows.groupby("layer", sort=False)}


def mean_vector(rows):
    """The element-wise mean of lists of one length, summed in double precision."""
    return np.mean(np.stack(rows.to_list()).astype(np.float64), axis=0).astype(np.float32)


def by_neuron(rows):
    """Step 6: one mean vector a neuron, over all epochs."""
    means = rows.groupby(["neuron", "layer"], sort=True)["weights"].apply(mean_vector)
    return means.reset_index()


def epoch_average(rows):
    """Step 7: the rows of step 3, then one average a layer and neuron in the place of an epoch."""
    averages = by_neuron(rows).assign(
        kind="Epoch_average", epoch=pd.NA, final_classification_result=np.float32("nan")
    )
    both = pd.concat([rows.assign(kind="epoch").astype({"epoch": object}), averages], ignore_index=True)
    both["epoch"] = both["epoch"].astype("Int32")
    return both[["kind", "epoch", "layer", "neuron", "weights", "final_classification_result"]]


def connections(weights, layers):
    """Step 9: each weight with the input or neuron that it comes from, as the topology says."""
    first_neuron = {layer["layer"]: layer["first_neuron"] for layer in layers}
    source = {layer["layer"]: layer["source"] for layer in layers}
    parts = []
    for label, rows in weights.groupby("layer"):
        fan_in = len(rows["weights"].iloc[0])
        origins = pd.DataFrame(
            [name_origin(*unit, first_neuron) for unit in source_units(source[label], fan_in)],
            columns=["source", "source_input", "source_neuron"],
        ).astype({"source": object, "source_input": "Int32", "source_neuron": "Int32"})
        pairs = rows[["epoch", "layer", "neuron", "weights"]].rename(columns={"weights": "weight"})
        pairs = pairs.explode("weight", ignore_index=True).astype({"weight": "float32"})
        pairs["position"] = np.tile(np.arange(fan_in), len(rows))
        parts.append(pairs.join(origins, on="position"))
    columns = ["epoch", "layer", "neuron", "position", "source", "source_input", "source_neuron", "weight"]
    return pd.concat(parts)[columns].sort_values(["epoch", "neuron", "position"], ignore_index=True)


def name_origin(origin, unit, first_neuron):
    """(source, source_input, source_neuron) of one position."""
    if origin is None:
        return None, pd.NA, pd.NA
    if origin == "input":
        return f"input_{unit}", unit, pd.NA
    neuron = first_neuron[origin] + unit
    return f"n_{neuron}", pd.NA, neuron


def source_units(source, fan_in):
    """(origin, unit) of each position of a layer's fan-in; an unknown source is (None, None) throughout."""
    if source is None:
        return [(None, None)] * fan_in
    units = [
        (run["from"], run["start"] + step * run["stride"])
        for run in source
        for step in range(run["count"])
        for _ in range(run["repeat"])
    ]
    assert len(units) == fan_in, f"the source covers {len(units)} of {fan_in} positions: {json.dumps(source)}"
    return units


def learning_curve(metrics):
    """Loss and accuracy of each epoch and phase, as last reported."""
    rows = metrics[(metrics["epoch"] >= 0) & metrics["name"].isin(["loss", "accuracy"])]
    last = rows.sort_values("step", kind="stable").groupby(["epoch", "phase", "name"])["value"].last()
    curve = last.unstack("name").reindex(columns=["loss", "accuracy"]).reset_index()
    return curve.rename_axis(columns=None).sort_values(["epoch", "phase"], ignore_index=True)


def confusion(classifications):
    """How many held-out samples of each class were taken for which, at each epoch."""
    counts = classifications.groupby(["epoch", "target", "predicted"]).size()
    rows = counts.rename("count").reset_index().sort_values(["epoch", "target", "predicted"], ignore_index=True)
    return rows.astype({"target": "int32", "predicted": "int32"})
