"""A run directory's tables by pyarrow, for the programs of this folder."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds


def topology(run):
    """run.json's layers, in the model's order."""
    return sorted(json.loads((Path(run) / "run.json").read_text())["layers"], key=lambda layer: layer["layer_index"])


def read_table(run, table, columns):
    """The rows of each epoch's last capture, the untrained network left out; `columns` include epoch and step."""
    rows = ds.dataset(Path(run) / table, partitioning="hive").to_table(columns=columns)
    epoch, step = rows["epoch"].to_numpy(), rows["step"].to_numpy()
    epochs, which = np.unique(epoch, return_inverse=True)
    last = np.full(len(epochs), -1)
    np.maximum.at(last, which, step)
    keep = (epoch >= 0) & (step == last[which])
    return rows if keep.all() else rows.filter(pa.array(keep))


def matrix(lists):
    """A chunked array of lists of one length as a two-dimensional array, without a copy where there is one chunk."""
    values = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(lists), -1)


def source_names(topology):
    """Layer label -> the name of what each position of its fan-in comes from: 'input_3', 'n_7', or None."""
    first_neuron = {layer["layer"]: layer["first_neuron"] for layer in topology}

    def name(origin, unit):
        return f"input_{unit}" if origin == "input" else f"n_{first_neuron[origin] + unit}"

    names = {}
    for layer in topology:
        if layer["source"] is None:
            names[layer["layer"]] = [None] * layer["fan_in"]
        else:
            names[layer["layer"]] = [
                name(part["from"], part["start"] + step * part["stride"])
                for part in layer["source"]
                for step in range(part["count"])
                for _ in range(part["repeat"])
            ]
    return names
