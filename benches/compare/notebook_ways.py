"""Two queries of the notebook that this project grew from: its pandas and numpy, from its pickle, beside ours."""

import pickle

import numpy as np

import asking
import network_trace
import notebook_numpy
import notebook_pandas
import steps

#: How many times as long pandas has to take.
QUERIES = {"by_neuron": 50.0, "epoch_average": 20.0}


def make_trace(run, path):
    """The notebook's pickle of the run's epochs."""
    with open(path, "wb") as file:
        pickle.dump(network_trace.from_run(run), file, protocol=pickle.HIGHEST_PROTOCOL)


def ways(query, run, trace):
    """Functions by name that answer the query: ours opens the run each time, the others load the pickle."""
    import stratigraph_nn

    return {
        "ours": lambda: getattr(stratigraph_nn.open(run), query)().to_arrow(),
        "pandas": lambda: notebook_pandas.run(query, trace, steps.Steps(total_only=True)),
        "numpy": lambda: notebook_numpy.run(query, trace, steps.Steps(total_only=True))[0],
    }


def check(query, ways):
    """Raises an error unless all have the same weights."""
    expected = asking.numbers(ways["ours"]()["weights"])
    found = {"pandas": of_pandas(ways["pandas"]()), "numpy": ways["numpy"]()["weights"].ravel()}
    for who, values in found.items():
        if len(values) != len(expected) or not np.allclose(values, expected, asking.RELATIVE, asking.ABSOLUTE):
            raise SystemExit(f"{query}: {who} of the notebook has other weights than ours")


def of_pandas(frame):
    """The weights of its rows, flat: by epoch, averages last, then by neuron."""
    frame = frame.reset_index()
    weights = [name for name in frame.columns if name.startswith("w_")]
    order = {"neuron": frame["Neuron"].str.removeprefix("n_").astype(int)}
    if "Epoch" in frame:
        last = f"E_{1 << 30}"
        epochs = frame["Epoch"].mask(frame["Epoch"] == "Epoch_average", last)
        order = {"epoch": epochs.str.removeprefix("E_").astype(int)} | order
    return frame.assign(**order).sort_values(list(order), kind="stable")[weights].to_numpy().ravel()
