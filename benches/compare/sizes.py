"""The networks that are recorded, and their captures, made up but always the same."""

from dataclasses import dataclass

import numpy as np

CLASSES = 10


@dataclass(frozen=True)
class Size:
    """A network, as the shapes of its layers' weights, `[out, ...]`, and how often it is captured."""

    name: str
    what: str
    layers: tuple
    captures: int
    #: Whether peers write it, too: files by the hundred thousand take them too long.
    is_written: bool = True

    @property
    def labels(self):
        return [f"layer_{nth}" for nth in range(len(self.layers))]

    @property
    def fan_ins(self):
        return [int(np.prod(shape[1:])) for shape in self.layers]

    @property
    def width(self):
        """The largest fan-in."""
        return max(self.fan_ins)

    @property
    def weights(self):
        """How many weights a capture has, biases aside."""
        return sum(int(np.prod(shape)) for shape in self.layers)

    @property
    def raw_bytes(self):
        """Of the weights of all captures."""
        return 4 * self.weights * self.captures

    @property
    def neuron(self):
        """One neuron, of the second layer where there is one."""
        return self.layers[0][0] if len(self.layers) > 1 else self.layers[0][0] // 2

    @property
    def layer(self):
        """That neuron's layer."""
        return self.labels[min(1, len(self.layers) - 1)]

    @property
    def epoch(self):
        """One in the middle."""
        return self.captures // 2


def dense(*widths):
    return tuple((out, fan_in) for fan_in, out in zip(widths, widths[1:]))


CNN = (
    (64, 3, 7, 7),
    (128, 64, 3, 3),
    (256, 128, 3, 3),
    (512, 256, 3, 3),
    (512, 512, 3, 3),
    (1024, 512, 3, 3),
    (1024, 1024, 3, 3),
    (6144, 1024),
    (100, 6144),
)
SIZES = {
    size.name: size
    for size in (
        Size("digits", "64-256-128-10", dense(64, 256, 128, CLASSES), 200),
        Size("dense", "784-512-256-128-10", dense(784, 512, 256, 128, CLASSES), 200),
        Size("cnn", "a CNN of 25 million weights", CNN, 5),
        Size("wide", "one layer of 11,008 × 4,096", ((11_008, 4_096),), 3),
        Size("captures-10000", "8-8-8-4", dense(8, 8, 8, 4), 10_000),
        Size("captures-166667", "8-8-8-4", dense(8, 8, 8, 4), 166_667, is_written=False),
    )
}
#: The size that the targets are about.
TARGETED = "dense"
#: The size that the notebook's steps are done on.
NOTEBOOK = "digits"
#: What `--short` makes of them.
SHORT = {
    "digits": Size("digits", "64-32-10", dense(64, 32, CLASSES), 10),
    "dense": Size("dense", "64-48-32-10", dense(64, 48, 32, CLASSES), 20),
    "cnn": Size("cnn", "a CNN of 3,000 weights", ((8, 3, 3, 3), (16, 8, 3, 3), (10, 160)), 3),
    "wide": Size("wide", "one layer of 688 × 256", ((688, 256),), 2),
    "captures-10000": Size("captures-10000", "8-8-8-4", dense(8, 8, 8, 4), 30),
    "captures-166667": Size("captures-166667", "8-8-8-4", dense(8, 8, 8, 4), 20, is_written=False),
}


def captures(size):
    """Each capture's arrays by name, `layer_0.weight` and `layer_0.bias`: normal weights of the usual scale, of which
    each moves by about 2 % from one capture to the next, so that no two captures have a value in common."""
    draw = np.random.default_rng(0)
    weights, steps = [], []
    for shape, fan_in in zip(size.layers, size.fan_ins):
        scale = np.float32(1 / np.sqrt(fan_in))
        weights.append(draw.standard_normal(shape, dtype=np.float32) * scale)
        steps.append(draw.standard_normal(weights[-1].size, dtype=np.float32) * (scale * np.float32(0.02)))
    for nth in range(size.captures):
        arrays = {}
        for label, weight, step in zip(size.labels, weights, steps):
            if nth > 0:
                weight += np.roll(step, nth * 7919).reshape(weight.shape)
            arrays[f"{label}.weight"] = weight.copy()
            arrays[f"{label}.bias"] = weight.reshape(len(weight), -1)[:, 0].copy()
        yield arrays


def held_out(size, samples=100):
    """What each capture is given beside its arrays, for the notebook's trace: what held-out samples make of the
    network."""
    draw = np.random.default_rng(1)
    targets = draw.integers(0, CLASSES, samples)
    for _ in range(size.captures):
        activations = {
            label: np.maximum(draw.standard_normal((samples, shape[0]), dtype=np.float32), 0)
            for label, shape in zip(size.labels, size.layers)
        }
        logits = draw.standard_normal((samples, CLASSES), dtype=np.float32)
        yield {"held_out": (logits, targets), "activations": activations}
