"""The notebook's trace: one object, pickled whole.

    python network_trace.py RUN -o trace.pickle

makes it from a run directory, with exactly what the notebook's object holds.
"""

import argparse
import pickle
from dataclasses import dataclass, field

import numpy as np

import run_files

STATISTICS = ("mean", "median", "std", "max", "min")


@dataclass
class NetworkTrace:
    """layers: epoch key 'E_k' -> layer -> {'neurons': {'n_i': statistics of its activations}, 'weights': array
    (out, in), 'biases': array (out) or None}; outputs: epoch key -> array (samples, outputs); sources: layer -> names
    of what its weights come from, which the notebook has hard-coded."""

    layers: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    sources: dict = field(default_factory=dict)


def from_run(run):
    """The trace of a run's epochs."""
    topology = run_files.topology(run)
    weights = run_files.read_table(run, "weights", ["epoch", "step", "layer", "neuron", "bias", "weights"])
    columns = [f"activation_{name}" for name in STATISTICS]
    activations = run_files.read_table(run, "activations", ["epoch", "step", "phase", "neuron", *columns])
    statistics = {
        (row["epoch"], row["neuron"]): {name: row[f"activation_{name}"] for name in STATISTICS}
        for row in activations.to_pylist()
        if row["phase"] == "eval"
    }
    trace = NetworkTrace(sources=run_files.source_names(topology))
    keys = weights.select(["epoch", "layer", "neuron"]).to_pandas()
    by_layer = keys.sort_values(["epoch", "neuron"]).groupby(["epoch", "layer"], sort=False)
    for (epoch, layer), rows in by_layer:
        part = weights.take(rows.index.to_numpy())
        biases = part["bias"]
        trace.layers.setdefault(f"E_{epoch}", {})[layer] = {
            "neurons": {f"n_{neuron}": statistics[epoch, neuron] for neuron in rows["neuron"]},
            "weights": run_files.matrix(part["weights"]).copy(),
            "biases": None if biases.null_count else biases.to_numpy().copy(),
        }
    columns = ["epoch", "step", "phase", "sample", "outputs"]
    classifications = run_files.read_table(run, "classifications", columns).sort_by(
        [("epoch", "ascending"), ("sample", "ascending")]
    )
    outputs = run_files.matrix(classifications["outputs"])
    epochs, evaluated = classifications["epoch"].to_numpy(), np.array(classifications["phase"]) == "eval"
    for epoch in np.unique(epochs):
        trace.outputs[f"E_{epoch}"] = outputs[(epochs == epoch) & evaluated].copy()
    return trace


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def main():
    parser = argparse.ArgumentParser(description="make the notebook's pickle from a run directory")
    parser.add_argument("run")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    trace = from_run(arguments.run)
    with open(arguments.output, "wb") as file:
        pickle.dump(trace, file, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    # The class has to be pickled under its module's name, not as __main__'s.
    import network_trace

    network_trace.main()
