"""What the hooks of recording cost a step of PyTorch that no capture follows.

    python benches/python/step.py [--rounds N] [--steps N]

Networks of a few parameters take steps in turns, in one process: one that nobody records, and one for each of several
ways to record, of one optimizer and of several. In each round every network has one turn, in an order that is drawn.
Printed is how many microseconds of the training thread's processor time a step takes more than that of the network
alone in the same round: the median of the rounds, with a 95 % interval by bootstrap. It needs torch, and
stratigraph_nn, built in release.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import stratigraph_nn as sg

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
import measure

#: No step comes so far.
NEVER = 10**9
WAYS = {
    "weights each epoch": {"record": ["weights", "metrics"]},
    "gradients too": {"record": ["weights", "metrics", "gradients"], "steps_per_epoch": NEVER},
    "every 1,000,000 steps": {"record": ["weights", "metrics"], "every": "1000000steps"},
    "gradients every 1,000,000 steps": {
        "record": ["weights", "metrics", "gradients"],
        "every": "1000000steps",
        "steps_per_epoch": NEVER,
    },
}
#: How many optimizers a network has, each of a parameter of its own.
NUM_OPTIMIZERS = (1, 3)


@dataclass
class Network:
    """A network with a layer an optimizer, and what records it."""

    model: nn.Module
    optimizers: list
    recorder: sg.Recorder | None = None

    def seconds(self, inputs, steps):
        """The thread's processor time."""
        start = time.thread_time()
        for _ in range(steps):
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            self.model(inputs).sum().backward()
            for optimizer in self.optimizers:
                optimizer.step()
        return time.thread_time() - start


def network(num_optimizers):
    layers = [nn.Linear(1, 1, bias=False) for _ in range(num_optimizers)]
    return Network(nn.Sequential(*layers), [torch.optim.SGD(layer.parameters(), lr=0.0) for layer in layers])


def recorded(num_optimizers, settings, directory, inputs, stack):
    """One whose recorder has begun, and has nothing to do before a step that never comes."""
    made = network(num_optimizers)
    made.recorder = stack.enter_context(
        sg.record(made.model, directory, optimizer=made.optimizers, on_error="stop", **settings)
    )
    made.seconds(inputs, 10)
    if "gradients" not in settings["record"]:
        # It starts the recorder. Where gradients are recorded a step has started it, and the end of an epoch would
        # make all steps from the tenth on such as may end one.
        made.recorder.epoch()
        made.seconds(inputs, 10)
    return made


def measured(num_optimizers, rounds, steps):
    """Microseconds that a step takes more, by way, of each round; and what a step takes alone."""
    inputs = torch.ones(1, 1)
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        networks = {
            way: recorded(num_optimizers, settings, Path(scratch) / str(number), inputs, stack)
            for number, (way, settings) in enumerate(WAYS.items())
        }
        networks["alone"] = network(num_optimizers)
        networks["alone"].seconds(inputs, 10)
        took = {way: [] for way in networks}
        for _ in range(rounds):
            for way in draw.sample(list(networks), len(networks)):
                took[way].append(networks[way].seconds(inputs, steps) / steps * 1e6)
                recorder = networks[way].recorder
                assert recorder is None or not recorder._expects_gradients, "gradients of measured steps are kept"
    alone = took.pop("alone")
    return {way: [of - beside for of, beside in zip(each, alone, strict=True)] for way, each in took.items()}, alone


def shown(values):
    found = measure.estimate(values)
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| optimizers | what is recorded | µs more a step |\n|--:|---|---|")
    for num_optimizers in NUM_OPTIMIZERS:
        longer, alone = measured(num_optimizers, options.rounds, options.steps)
        for way, values in longer.items():
            print(f"| {num_optimizers} | {way} | {shown(values)} |", flush=True)
        print(f"| {num_optimizers} | nothing: a step takes | {shown(alone)} |", flush=True)


if __name__ == "__main__":
    main()
