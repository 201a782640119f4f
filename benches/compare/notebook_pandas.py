"""The notebook's steps 2, 3, 5, 6, 7 and 9 in pandas, as the notebook takes them.

    python notebook_pandas.py by_neuron trace.pickle -o by_neuron.parquet
    python notebook_pandas.py epoch_average trace.pickle

Python lists, a three-level index, a Python function for every cell, and a mean by groups. The one thing put right is
the neurons' ids, which never wrap: otherwise the results would differ from everyone else's.
"""

import math

import pandas as pd

import network_trace
import steps


def create_final_classification_series(trace):
    """Step 2."""
    flat = []
    for outputs in trace.outputs.values():
        for sample in outputs.tolist():
            flat.extend(sample)
    return pd.Series(flat, name="Class_Result")


def convert_nn_schema_to_df(trace):
    """Step 3."""
    width = max(record["weights"].shape[1] for layers in trace.layers.values() for record in layers.values())
    rows, index = [], []
    for epoch, layers in trace.layers.items():
        for layer, record in layers.items():
            for unit, neuron in enumerate(record["neurons"]):
                weights = record["weights"][unit].tolist()
                weights += [0.0] * (width - len(weights))
                rows.append(weights)
                index.append((epoch, layer, neuron))
    frame = pd.DataFrame(
        rows,
        columns=[f"w_{i}" for i in range(width)],
        index=pd.MultiIndex.from_tuples(index, names=["Epoch", "Layer", "Neuron"]),
    )
    results = pd.Series(
        {epoch: float(outputs[0][0]) for epoch, outputs in trace.outputs.items()},
        name="Final_Classification_Result",
    )
    return frame.join(results, on="Epoch").fillna(0.0)


def number_or_zero(value):
    """What is not a number is 0."""
    if isinstance(value, (int, float)) and not math.isnan(value):
        return value
    return 0.0


def aggregate_layers_by_type(frame):
    """Step 5."""
    layers = frame.index.get_level_values("Layer").unique()
    return {layer: frame.xs(layer, level="Layer", drop_level=False).map(number_or_zero) for layer in layers}


def aggregate_neurons_across_layers(by_layer):
    """Step 6."""
    frame = pd.concat(by_layer.values()).reset_index(level=["Epoch", "Layer"], drop=True)
    return frame.map(number_or_zero).groupby("Neuron").mean()


def compute_epoch_average(frame):
    """Step 7."""
    averages = frame.groupby(level=["Layer", "Neuron"]).mean().reset_index()
    averages["Epoch"] = "Epoch_average"
    both = pd.concat([frame.reset_index(), averages], ignore_index=True)
    return both.set_index(["Epoch", "Layer", "Neuron"])


def map_weights_input(trace):
    """Step 9."""
    pairs, index = [], []
    for epoch, layers in trace.layers.items():
        for layer, record in layers.items():
            names = trace.sources[layer]
            for unit, neuron in enumerate(record["neurons"]):
                pairs.append(list(zip(names, record["weights"][unit].tolist(), strict=True)))
                index.append((epoch, layer, neuron))
    index = pd.MultiIndex.from_tuples(index, names=["Epoch", "Layer", "Neuron"])
    return pd.Series(pairs, index=index, name="Connections")


def run(query, path, steps_):
    """The query's result, step by step from the pickle."""
    trace = steps_.run("load", network_trace.load, path)
    if query == "classification_series":
        return steps_.run("step 2", create_final_classification_series, trace)
    if query == "connections":
        return steps_.run("step 9", map_weights_input, trace)
    frame = steps_.run("step 3", convert_nn_schema_to_df, trace)
    if query == "padded":
        return frame
    if query == "epoch_average":
        return steps_.run("step 7", compute_epoch_average, frame)
    by_layer = steps_.run("step 5", aggregate_layers_by_type, frame)
    if query == "by_layer":
        return by_layer
    return steps_.run("step 6", aggregate_neurons_across_layers, by_layer)


def write(result, path):
    """One Parquet file; step 5's tables one below the other, step 9's pairs one a row."""
    if isinstance(result, dict):
        result = pd.concat(result.values())
    elif result.ndim == 1 and result.name == "Connections":
        exploded = result.explode()
        result = pd.DataFrame(exploded.tolist(), columns=["source", "weight"], index=exploded.index)
    elif result.ndim == 1:
        result = result.to_frame()
    result.to_parquet(path)


def main():
    arguments = steps.parser(__doc__.splitlines()[0]).parse_args()
    timer = steps.Steps(arguments.total)
    result = run(arguments.query, arguments.trace, timer)
    if arguments.output:
        timer.run("write", write, result, arguments.output)
    timer.finish(arguments.query)


if __name__ == "__main__":
    main()
