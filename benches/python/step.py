"""What the hooks of recording cost a step of PyTorch that no capture follows.

    python benches/python/step.py [--pairs N] [--steps N]

Two networks of one parameter take steps in turns, in one process: one alone, and one that is recorded. Printed
is how many microseconds of the training thread's processor time a step takes more, for several ways to record:
the median of the pairs, with a 95 % interval by bootstrap. It needs torch, and stratigraph_nn, built in release.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import stratigraph_nn as sg

WAYS = {
    "weights each epoch": {"record": ["weights", "metrics"]},
    "gradients too": {"record": ["weights", "metrics", "gradients"], "steps_per_epoch": 10**9},
    "every 1,000,000 steps": {"record": ["weights", "metrics"], "every": "1000000steps"},
    "gradients every 1,000,000 steps": {
        "record": ["weights", "metrics", "gradients"],
        "every": "1000000steps",
        "steps_per_epoch": 10**9,
    },
}
DRAWS = 2_000


def network():
    model = nn.Linear(1, 1, bias=False)
    return model, torch.optim.SGD(model.parameters(), lr=0.0)


def seconds(model, optimizer, inputs, steps):
    start = time.thread_time()
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).sum().backward()
        optimizer.step()
    return time.thread_time() - start


def measured(options, settings, directory):
    """Microseconds that a step takes more, of each pair."""
    inputs = torch.ones(1, 1)
    alone, recorded = network(), network()
    longer = []
    draw = random.Random(0)
    with sg.record(recorded[0], directory, optimizer=recorded[1], on_error="stop", **settings) as recorder:
        seconds(*recorded, inputs, 10)
        if "gradients" not in settings["record"]:
            # It starts the recorder. Where gradients are recorded a step has started it, and the end of an epoch would
            # make all steps from the tenth on such as may end one.
            recorder.epoch()
            seconds(*recorded, inputs, 10)
        for _ in range(options.pairs):
            of = {}
            for name in draw.sample(["alone", "recorded"], 2):
                of[name] = seconds(*(alone if name == "alone" else recorded), inputs, options.steps)
            assert not recorder._expects_gradients, "steps are measured whose gradients are kept"
            longer.append((of["recorded"] - of["alone"]) / options.steps * 1e6)
    return longer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| what is recorded | µs more a step |\n|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, settings) in enumerate(WAYS.items()):
            longer = measured(options, settings, Path(scratch) / str(number))
            draw = random.Random(1)
            medians = sorted(statistics.median(draw.choices(longer, k=len(longer))) for _ in range(DRAWS))
            low, high = medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)]
            print(f"| {name} | {statistics.median(longer):.2f} ({low:.2f} to {high:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
