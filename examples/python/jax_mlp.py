"""A network of JAX, recorded through its arrays: ``python examples/python/jax_mlp.py [directory]``.

Needs ``pip install jax`` beside ``stratigraph-nn``. It learns which of four corners of a square a point is
nearest to.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp

import stratigraph_nn as sg

SIZES = (2, 16, 8, 4)
NUM_EPOCHS, BATCH, LEARNING_RATE = 20, 50, 0.1

Parameters = dict[str, jax.Array]


def initial(key: jax.Array) -> Parameters:
    """Kernels ``[inputs, units]`` and biases, by name."""
    parameters = {}
    for number, (num_inputs, num_units) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
        key, draw = jax.random.split(key)
        scale = (2 / num_inputs) ** 0.5
        parameters[f"dense{number}.kernel"] = scale * jax.random.normal(draw, (num_inputs, num_units))
        parameters[f"dense{number}.bias"] = jnp.zeros(num_units)
    return parameters


def forward(parameters: Parameters, x: jax.Array) -> dict[str, jax.Array]:
    """What every layer makes of ``x`` ``[samples, 2]``, by the layer's name."""
    made = {}
    for number in range(len(SIZES) - 1):
        x = x @ parameters[f"dense{number}.kernel"] + parameters[f"dense{number}.bias"]
        if number < len(SIZES) - 2:
            x = jax.nn.relu(x)
        made[f"dense{number}"] = x
    return made


def loss_of(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
    logits = forward(parameters, x)[f"dense{len(SIZES) - 2}"]
    return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y].mean()


@jax.jit
def step(parameters: Parameters, x: jax.Array, y: jax.Array) -> tuple[Parameters, jax.Array]:
    loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
    return {name: value - LEARNING_RATE * gradients[name] for name, value in parameters.items()}, loss


def points(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    x = jax.random.uniform(key, (count, 2), minval=-1, maxval=1)
    return x, (x[:, 0] > 0) + 2 * (x[:, 1] > 0)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else None
    keys = jax.random.split(jax.random.key(0), 3)
    parameters = initial(keys[0])
    (x, y), (x_test, y_test) = points(keys[1], 1000), points(keys[2], 300)
    num_steps = 0

    with sg.record(None, path, epochs=NUM_EPOCHS, config={"learning_rate": LEARNING_RATE}) as rec:

        def capture(epoch: int, **figures: float) -> None:
            made = forward(parameters, x_test)
            held_out = made[f"dense{len(SIZES) - 2}"], y_test
            rec.capture(
                parameters,
                epoch=epoch,
                step=num_steps,
                layout="in_out",
                held_out=held_out,
                activations=made,
                **figures,
            )

        capture(-1)
        for epoch in range(NUM_EPOCHS):
            for start in range(0, len(x), BATCH):
                parameters, loss = step(parameters, x[start : start + BATCH], y[start : start + BATCH])
                num_steps += 1
            capture(epoch, train_loss=float(loss))
    print(f"recorded into {rec.path}: {rec.summary}")


if __name__ == "__main__":
    main()
