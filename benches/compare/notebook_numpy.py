"""The same steps as whole-array numpy: what a careful user gets without a query engine.

    python notebook_numpy.py by_neuron trace.pickle -o by_neuron.parquet
    python notebook_numpy.py by_neuron traces/digits -o by_neuron.parquet

The trace is the notebook's pickle, or a run directory, whose Parquet files pyarrow reads.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import network_trace
import run_files
import steps


class Weights:
    """A trace's weights: one array [epochs, units, fan_in] a layer, and the ids of its neurons."""

    def __init__(self, epochs, layers, sources):
        self.epochs, self.layers, self.sources = np.asarray(epochs, np.int32), layers, sources
        self.width = max(values.shape[2] for _, values in layers.values())
        self.neurons = np.concatenate([neurons for neurons, _ in layers.values()]).astype(np.int32)
        sizes = [len(neurons) for neurons, _ in layers.values()]
        self.layer_of_neuron = np.repeat(np.arange(len(layers), dtype=np.int32), sizes)


def load_pickle(path, query):
    trace = network_trace.load(path)
    if query == "classification_series":
        return np.stack(list(trace.outputs.values()))
    epochs = [int(key.removeprefix("E_")) for key in trace.layers]
    first = next(iter(trace.layers.values()))
    layers = {
        label: (
            np.array([int(neuron.removeprefix("n_")) for neuron in record["neurons"]]),
            np.stack([layers[label]["weights"] for layers in trace.layers.values()]),
        )
        for label, record in first.items()
    }
    results = np.array([outputs[0, 0] for outputs in trace.outputs.values()], np.float32)
    return Weights(epochs, layers, trace.sources), results


def load_run(run, query):
    needs_outputs = query in ("classification_series", "padded", "by_layer", "epoch_average")
    outputs = load_outputs(run) if needs_outputs else None
    if query == "classification_series":
        return outputs
    topology = run_files.topology(run)
    rows = run_files.read_table(run, "weights", ["epoch", "step", "layer", "neuron", "weights"])
    label, epoch, neuron = rows["layer"].to_numpy(), rows["epoch"].to_numpy(), rows["neuron"].to_numpy()
    layers = {}
    for layer in topology:
        at = np.flatnonzero(label == layer["layer"])
        if not len(at):
            continue
        order = at[np.lexsort((neuron[at], epoch[at]))]
        epochs = np.unique(epoch[at])
        values = run_files.matrix(rows["weights"].take(pa.array(order)))
        neurons = neuron[order[: len(order) // len(epochs)]]
        layers[layer["layer"]] = neurons, values.reshape(len(epochs), len(neurons), -1)
    return Weights(epochs, layers, run_files.source_names(topology)), None if outputs is None else outputs[:, 0, 0]


def load_outputs(run):
    """[epochs, samples, outputs] of the held-out set."""
    rows = run_files.read_table(run, "classifications", ["epoch", "step", "phase", "sample", "outputs"])
    rows = rows.filter(pc.equal(rows["phase"], "eval"))
    epoch = rows["epoch"].to_numpy()
    values = run_files.matrix(rows["outputs"])[np.lexsort((rows["sample"].to_numpy(), epoch))]
    return values.reshape(len(np.unique(epoch)), -1, values.shape[1])


def classification_series(outputs):
    """Step 2."""
    return outputs.reshape(-1)


def padded(weights, results):
    """Step 3: [epochs, neurons, width] and the keys of its rows."""
    values = np.zeros((len(weights.epochs), len(weights.neurons), weights.width), np.float32)
    first = 0
    for neurons, layer in weights.layers.values():
        values[:, first : first + len(neurons), : layer.shape[2]] = layer
        first += len(neurons)
    num_neurons = len(weights.neurons)
    return {
        "epoch": np.repeat(weights.epochs, num_neurons),
        "layer": np.tile(weights.layer_of_neuron, len(weights.epochs)),
        "neuron": np.tile(weights.neurons, len(weights.epochs)),
        "weights": values.reshape(-1, weights.width),
        "final_classification_result": np.repeat(results, num_neurons),
    }


def by_layer(rows, num_layers):
    """Step 5."""
    parts = []
    for layer in range(num_layers):
        at = rows["layer"] == layer
        parts.append({name: column[at] for name, column in rows.items()})
    return parts


def by_neuron(weights):
    """Step 6, where padding is left for last: zeros have no effect on a mean by place."""
    means = np.zeros((len(weights.neurons), weights.width), np.float32)
    first = 0
    for neurons, layer in weights.layers.values():
        means[first : first + len(neurons), : layer.shape[2]] = layer.mean(axis=0, dtype=np.float64)
        first += len(neurons)
    return {"neuron": weights.neurons, "layer": weights.layer_of_neuron, "weights": means}


def epoch_average(rows, averages):
    """Step 7: the rows of step 3, then the averages; an average has the epoch -1 here and no classification."""
    num_rows, num_averages = len(rows["epoch"]), len(averages["neuron"])
    return {
        "epoch": np.concatenate([rows["epoch"], np.full(num_averages, -1, np.int32)]),
        "layer": np.concatenate([rows["layer"], averages["layer"]]),
        "neuron": np.concatenate([rows["neuron"], averages["neuron"]]),
        "weights": np.concatenate([rows["weights"], averages["weights"]]),
        "final_classification_result": np.concatenate(
            [rows["final_classification_result"], np.full(num_averages, np.nan, np.float32)]
        ),
        "is_average": np.arange(num_rows + num_averages) >= num_rows,
    }


def connections(weights):
    """Step 9: one row a weight, by layer, epoch, neuron and place; names as numbers into one list."""
    names = list(dict.fromkeys(name for label in weights.layers for name in weights.sources[label]))
    number = {name: index for index, name in enumerate(names)}
    parts = []
    for index, (label, (neurons, values)) in enumerate(weights.layers.items()):
        num_epochs, num_units, fan_in = values.shape
        sources = np.array([number[name] for name in weights.sources[label]], np.int32)
        parts.append({
            "epoch": np.repeat(weights.epochs, num_units * fan_in),
            "layer": np.full(values.size, index, np.int32),
            "neuron": np.tile(np.repeat(neurons.astype(np.int32), fan_in), num_epochs),
            "position": np.tile(np.arange(fan_in, dtype=np.int32), num_epochs * num_units),
            "source": np.tile(sources, num_epochs * num_units),
            "weight": values.reshape(-1),
        })
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {"names": names}


def run(query, path, timer):
    """The query's result, from the pickle or the run directory."""
    load = load_run if Path(path).is_dir() else load_pickle
    loaded = timer.run("load", load, path, query)
    if query == "classification_series":
        return timer.run("step 2", classification_series, loaded), None
    weights, results = loaded
    labels = list(weights.layers)
    if query == "connections":
        return timer.run("step 9", connections, weights), labels
    if query == "by_neuron":
        return timer.run("step 6", by_neuron, weights), labels
    rows = timer.run("step 3", padded, weights, results)
    if query == "padded":
        return rows, labels
    if query == "by_layer":
        return timer.run("step 5", by_layer, rows, len(labels)), labels
    averages = timer.run("step 6", by_neuron, weights)
    return timer.run("step 7", epoch_average, rows, averages), labels


def write(result, labels, path):
    """One Parquet file with the named query's columns."""
    if isinstance(result, np.ndarray):
        table = pa.table({"class_result": result})
    elif isinstance(result, list):
        table = pa.concat_tables([arrow(part, labels) for part in result])
    else:
        table = arrow(result, labels)
    floats = ["weights.list.element"] if "weights" in table.column_names else []
    keys = [name for name in table.column_names if pa.types.is_integer(table[name].type) or name in ("layer", "source")]
    pq.write_table(table, path, use_dictionary=keys, use_byte_stream_split=floats)


def arrow(columns, labels):
    names = columns.get("names")
    arrays = {}
    for name, values in columns.items():
        if name == "names":
            continue
        if name == "layer":
            arrays[name] = pa.DictionaryArray.from_arrays(values, labels)
        elif name == "source":
            arrays[name] = pa.DictionaryArray.from_arrays(values, names)
        elif values.ndim == 2:
            offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
            arrays[name] = pa.ListArray.from_arrays(offsets, values.reshape(-1))
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def main():
    arguments = steps.parser(__doc__.splitlines()[0]).parse_args()
    timer = steps.Steps(arguments.total)
    result, labels = run(arguments.query, arguments.trace, timer)
    if arguments.output:
        timer.run("write", write, result, labels, arguments.output)
    timer.finish(arguments.query)


if __name__ == "__main__":
    main()
