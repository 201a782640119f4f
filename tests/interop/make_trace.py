"""Writes a run directory as the format specification says, with pyarrow and nothing of ours.

The tests of the reference and of the engines' recipes need runs whose every value is known, also where no recorder
was built. Partition columns live in the directory names only; a part file holds one capture of one layer.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def list_of_floats():
    return pa.list_(pa.field("item", pa.float32(), nullable=False))


def required(name, type_):
    return pa.field(name, type_, nullable=False)


WEIGHTS = pa.schema([
    required("step", pa.int64()),
    required("rank", pa.int32()),
    required("neuron", pa.int32()),
    required("unit", pa.int32()),
    pa.field("bias", pa.float32()),
    pa.field("weights", list_of_floats()),
    *(pa.field(f"weight_{name}", pa.float32()) for name in ("mean", "std", "min", "max", "l2")),
    required("nonfinite", pa.int32()),
])

ACTIVATIONS = pa.schema([
    required("step", pa.int64()),
    required("rank", pa.int32()),
    required("phase", pa.string()),
    required("batch", pa.int32()),
    required("neuron", pa.int32()),
    required("unit", pa.int32()),
    required("num_samples", pa.int64()),
    pa.field("activations", list_of_floats()),
    *(pa.field(f"activation_{name}", pa.float32()) for name in ("mean", "median", "std", "min", "max")),
    required("zeros", pa.int64()),
    required("nonfinite", pa.int64()),
])

CLASSIFICATIONS = pa.schema([
    required("step", pa.int64()),
    required("rank", pa.int32()),
    required("phase", pa.string()),
    required("sample", pa.int64()),
    pa.field("target", pa.int32()),
    pa.field("expected", list_of_floats()),
    pa.field("predicted", pa.int32()),
    pa.field("correct", pa.bool_()),
    pa.field("confidence", pa.float32()),
    required("loss", pa.float32()),
    required("outputs", list_of_floats()),
])

METRICS = pa.schema([
    required("step", pa.int64()),
    required("rank", pa.int32()),
    pa.field("phase", pa.string()),
    required("name", pa.string()),
    required("value", pa.float64()),
])

HISTOGRAMS = pa.schema([
    required("step", pa.int64()),
    required("rank", pa.int32()),
    required("of", pa.string()),
    required("edges", list_of_floats()),
    required("counts", list_of_floats()),
])


@dataclass
class Layer:
    """One weight tensor with its bias. `source` follows run.json; None means that it is unknown."""

    label: str
    fan_in: int
    num_units: int
    source: list | None = None
    activation: str | None = None


@dataclass
class Capture:
    """What was recorded at one optimizer step.

    weights: layer label -> (matrix [out, in], biases [out] or None)
    activations: layer label -> values [units, samples]
    outputs: [samples, outputs] probabilities, with one target class a sample
    metrics: (phase, name, value)
    """

    epoch: int
    step: int
    weights: dict = field(default_factory=dict)
    activations: dict = field(default_factory=dict)
    outputs: np.ndarray | None = None
    targets: np.ndarray | None = None
    metrics: list = field(default_factory=list)


def chain(sizes, labels=None):
    """The layers of a fully connected network: `sizes` counts the inputs, then each layer's units."""
    if labels is None:
        labels = ["L_input", *(f"L_hidden_{i}" for i in range(1, len(sizes) - 2)), "L_output"]
    layers, origin = [], "input"
    for label, fan_in, num_units in zip(labels, sizes[:-1], sizes[1:], strict=True):
        source = [{"from": origin, "start": 0, "count": fan_in, "stride": 1, "repeat": 1}]
        layers.append(Layer(label, fan_in, num_units, source, "sigmoid"))
        origin = label
    return layers


def write_run(run, layers, captures):
    """Writes run.json and one part file a table, epoch, layer and capture."""
    run = Path(run)
    run.mkdir(parents=True)
    first_neuron, first = {}, 0
    for layer in layers:
        first_neuron[layer.label] = first
        first += layer.num_units
    (run / "run.json").write_text(json.dumps(run_json(run.name, layers, first_neuron), indent=2))
    for capture in captures:
        for label, (matrix, biases) in capture.weights.items():
            rows = weight_rows(capture.step, first_neuron[label], matrix, biases)
            write_part(run, "weights", capture, rows, WEIGHTS, label)
            rows = histogram_rows(capture.step, matrix)
            write_part(run, "histograms", capture, rows, HISTOGRAMS, label)
        for label, values in capture.activations.items():
            rows = activation_rows(capture.step, first_neuron[label], values)
            write_part(run, "activations", capture, rows, ACTIVATIONS, label)
        if capture.outputs is not None:
            rows = classification_rows(capture.step, capture.outputs, capture.targets)
            write_part(run, "classifications", capture, rows, CLASSIFICATIONS)
        if capture.metrics:
            rows = [
                {"step": capture.step, "rank": 0, "phase": phase, "name": name, "value": value}
                for phase, name, value in capture.metrics
            ]
            write_part(run, "metrics", capture, rows, METRICS)
    return run


def run_json(name, layers, first_neuron):
    return {
        "format": {"major": 1, "minor": 0},
        "run": name,
        "layers": [
            {
                "layer_index": index,
                "layer": layer.label,
                "module_path": f"layers.{index}",
                "kind": "linear",
                "shape": [layer.num_units, layer.fan_in],
                "fan_in": layer.fan_in,
                "num_units": layer.num_units,
                "first_neuron": first_neuron[layer.label],
                "activation": layer.activation,
                "trainable": True,
                "source": layer.source,
            }
            for index, layer in enumerate(layers)
        ],
    }


def weight_rows(step, first_neuron, matrix, biases):
    matrix = np.asarray(matrix, dtype=np.float32)
    for unit, row in enumerate(matrix):
        bias = None if biases is None else np.float32(biases[unit])
        finite = row[np.isfinite(row)].astype(np.float64)
        yield {
            "step": step,
            "rank": 0,
            "neuron": first_neuron + unit,
            "unit": unit,
            "bias": bias,
            "weights": row,
            **statistics("weight", finite),
            "weight_l2": np.sqrt(np.sum(finite**2)) if finite.size else None,
            "nonfinite": row.size - finite.size + int(bias is not None and not np.isfinite(bias)),
        }


def histogram_rows(step, matrix, bins=4):
    counts, edges = np.histogram(np.asarray(matrix, dtype=np.float32), bins)
    yield {"step": step, "rank": 0, "of": "weights", "edges": edges, "counts": counts.astype(np.float32)}


def activation_rows(step, first_neuron, values):
    values = np.asarray(values, dtype=np.float32)
    for unit, row in enumerate(values):
        finite = row[np.isfinite(row)].astype(np.float64)
        yield {
            "step": step,
            "rank": 0,
            "phase": "eval",
            "batch": 0,
            "neuron": first_neuron + unit,
            "unit": unit,
            "num_samples": row.size,
            "activations": row,
            **statistics("activation", finite),
            "activation_median": np.median(finite) if finite.size else None,
            "zeros": int(np.count_nonzero(row == 0)),
            "nonfinite": row.size - finite.size,
        }


def statistics(prefix, finite):
    """Mean, population deviation and range of the finite values; null where there is none."""
    names = ("mean", "std", "min", "max")
    taken = [getattr(finite, name)() if finite.size else None for name in names]
    return {f"{prefix}_{name}": value for name, value in zip(names, taken, strict=True)}


def classification_rows(step, outputs, targets):
    outputs = np.asarray(outputs, dtype=np.float32)
    for sample, (row, target) in enumerate(zip(outputs, targets, strict=True)):
        probabilities = np.array([1.0 - row[0], row[0]]) if row.size == 1 else row
        predicted = int(np.argmax(probabilities))
        yield {
            "step": step,
            "rank": 0,
            "phase": "eval",
            "sample": sample,
            "target": int(target),
            "expected": None,
            "predicted": predicted,
            "correct": predicted == target,
            "confidence": probabilities[predicted],
            "loss": -np.log(max(float(probabilities[target]), 1e-7)),
            "outputs": row,
        }


def write_part(run, table, capture, rows, schema, layer=None):
    """One file in its Hive directory: version 2 pages, byte-stream-split floats, no embedded Arrow schema."""
    directory = run / table / f"epoch={capture.epoch}"
    if layer is not None:
        # `quote` leaves exactly A-Za-z0-9_.-~ alone; the format escapes ~ as well.
        directory /= "layer=" + quote(layer, safe="").replace("~", "%7E")
    directory.mkdir(parents=True, exist_ok=True)
    split = [name for name in schema.names if pa.types.is_floating(schema.field(name).type)]
    lists = [f"{name}.list.item" for name in schema.names if pa.types.is_list(schema.field(name).type)]
    dictionary = [name for name in schema.names if pa.types.is_integer(schema.field(name).type)]
    pq.write_table(
        pa.Table.from_pylist(list(rows), schema=schema),
        directory / f"step-{capture.step}-r0-g0.parquet",
        data_page_version="2.0",
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary,
        use_byte_stream_split=split + lists,
        use_compliant_nested_type=False,
        store_schema=False,
    )


def synthetic_run(run, sizes=(20, 10, 10, 1), labels=None, epochs=4, samples=16, first_epoch=0, seed=7):
    """A fully connected network with random values that drift from epoch to epoch; sigmoid or softmax outputs."""
    layers = chain(sizes, labels)
    rng = np.random.default_rng(seed)
    captures = []
    for epoch in range(first_epoch, epochs):
        logits = rng.normal(size=(samples, sizes[-1]))
        if sizes[-1] == 1:
            outputs, targets = 1.0 / (1.0 + np.exp(-logits)), rng.integers(0, 2, samples)
        else:
            powers = np.exp(logits)
            outputs, targets = powers / powers.sum(axis=1, keepdims=True), rng.integers(0, sizes[-1], samples)
        captures.append(Capture(
            epoch=epoch,
            step=24 * (epoch + 1),
            weights={
                layer.label: (rng.normal(size=(layer.num_units, layer.fan_in)), rng.normal(size=layer.num_units))
                for layer in layers
            },
            activations={layer.label: rng.normal(size=(layer.num_units, samples)) for layer in layers},
            outputs=outputs,
            targets=targets,
            metrics=[
                (phase, name, float(rng.random())) for phase in ("train", "eval") for name in ("loss", "accuracy")
            ] + [(None, "sink.encode_ms", float(rng.random()))],
        ))
    return write_run(run, layers, captures)
