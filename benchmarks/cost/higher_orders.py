"""Derivatives of third and fourth order: this library beside what is done by hand.

    python -m benchmarks.cost.higher_orders [--only PATTERN]

In the benchmark's environment, of whose peers the installed ones are measured; writes
benchmarks/HIGHER_ORDERS.md, or prints some rows of it.

A tanh network of four layers of 128 units, 1,000 points in float32, the same weights for all; each
way in a process of its own backend, the best of some calls in turns. A ratio above 1 says how many
times faster this library is, on the backend of the peer; of graph and XLA both sides take what is
faster for them.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cost import beside_peers
from benchmarks.cost.beside_peers import Row, Task, apart, milliseconds, row

ROUNDS = 40
POINTS = 1000
UNITS = 128
RESULTS = Path(__file__).parents[1] / "HIGHER_ORDERS.md"

TERMS = {"u": "value", "u_t": (0,), "u_x": (1,), "u_xxx": (1, 1, 1)}
"""Of the equation of Korteweg and de Vries."""

WORKS: dict[str, tuple[str, int]] = {
    "u_xxx": ("partial", 3),
    "u_xxxx": ("partial", 4),
    "biharmonic of 2 inputs": ("biharmonic", 2),
    "biharmonic of 3 inputs": ("biharmonic", 3),
    "a KdV training step": ("step", 2),
}
"""By a row's title what it is, and its order or how many inputs."""

PEERS = {
    "tapes": "nested tapes",
    "jax": "jax.experimental.jet",
    "torch": "jet-for-pytorch",
    "deepxde": "DeepXDE",
}
"""The heads of the columns of the peers."""


def weights(width: int) -> list[np.ndarray]:
    """Kernels and biases, in turns."""
    rng = np.random.default_rng(0)
    widths = [width, *[UNITS] * 4, 1]
    found = []
    for a, b in itertools.pairwise(widths):
        limit = np.sqrt(6 / (a + b))
        found += [rng.uniform(-limit, limit, (a, b)), rng.uniform(-0.1, 0.1, b)]
    return [part.astype("float32") for part in found]


def points(width: int) -> np.ndarray:
    """The points."""
    return np.random.default_rng(1).uniform(-1, 1, (POINTS, width)).astype("float32")


def network(width: int) -> Any:
    """The network as a Keras model."""
    import keras

    layers = [keras.layers.Dense(UNITS, "tanh") for _ in range(4)]
    net = keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(1)])
    net.set_weights(weights(width))
    return net


def inputs_of(title: str) -> int:
    """How many inputs the network of a row has."""
    kind, number = WORKS[title]
    return number if kind == "biharmonic" else 2


def ours(net: Any, title: str) -> Callable[[Any], Any]:
    """What a row is in this library, from points."""
    import keras_curvature as kc

    kind, order = WORKS[title]
    if kind == "partial":
        return lambda x: kc.partial_derivative(net, x, (1,) * order)
    if kind == "biharmonic":
        return lambda x: kc.derivatives(net, x, ["biharmonic"])["biharmonic"]

    def loss(x: Any) -> Any:
        o = kc.derivatives(net, x, TERMS)
        return ((o["u_t"] + 6 * o["u"] * o["u_x"] + o["u_xxx"]) ** 2).mean()

    return loss


def on_tensorflow(title: str) -> dict[str, float]:
    """Times of this library and of nested tapes."""
    import tensorflow as tf

    net, x = network(inputs_of(title)), tf.constant(points(inputs_of(title)))

    def along(f: Callable[[Any], Any], index: int) -> Callable[[Any], Any]:
        def slope(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = f(x)
            return tape.gradient(y, x)[:, index : index + 1]

        return slope

    def laplacian(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        parts = [along(along(f, i), i) for i in range(x.shape[1])]
        return lambda x: tf.add_n([part(x) for part in parts])

    kind, order = WORKS[title]
    tapes: Callable[[Any], Any] = net
    mine = ours(net, title) if kind != "step" else None
    if kind == "biharmonic":
        tapes = laplacian(laplacian(net))
    else:
        for _ in range(order if kind == "partial" else 3):
            tapes = along(tapes, 1)
    if kind == "step":
        third = tapes

        def by_tapes(x: Any) -> Any:
            u_t, u_x = along(net, 0)(x), along(net, 1)(x)
            return tf.reduce_mean((u_t + 6 * net(x) * u_x + third(x)) ** 2)

        def by_names(x: Any) -> Any:
            import keras_curvature as kc

            o = kc.derivatives(net, x, TERMS)
            return tf.reduce_mean((o["u_t"] + 6 * o["u"] * o["u_x"] + o["u_xxx"]) ** 2)

        tapes, mine = (partial(stepped, net, loss) for loss in (by_tapes, by_names))
    assert mine is not None
    calls = {}
    for mode, xla in (("graph", False), ("XLA", True)):
        for name, function in (("here", mine), ("tapes", tapes)):
            compiled = tf.function(function, jit_compile=xla)
            calls[f"{name} {mode}"] = lambda compiled=compiled: np.asarray(
                tf.nest.flatten(compiled(x))[0]
            )
    agree({name: call() for name, call in calls.items()})
    return milliseconds(calls, ROUNDS)


def stepped(net: Any, loss: Callable[[Any], Any], x: Any) -> Any:
    """The gradients of a loss by the weights."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        found = loss(x)
    return tape.gradient(found, [weight.value for weight in net.trainable_weights])


def on_jax(title: str) -> dict[str, float]:
    """Times of this library and of `jax.experimental.jet`, both compiled."""
    import jax
    import jax.numpy as jnp
    from jax.experimental.jet import jet

    net, x = network(inputs_of(title)), jnp.asarray(points(inputs_of(title)))
    kernels = [jnp.asarray(part) for part in weights(inputs_of(title))]
    order = WORKS[title][1]

    def f(x: Any) -> Any:
        for i in range(0, len(kernels) - 2, 2):
            x = jnp.tanh(x @ kernels[i] + kernels[i + 1])
        return x @ kernels[-2] + kernels[-1]

    axis = jnp.zeros_like(x).at[:, 1].set(1)
    series = [axis, *[jnp.zeros_like(x)] * (order - 1)]
    theirs = jax.jit(lambda x: jet(f, (x,), (series,))[1][-1])
    mine = jax.jit(ours(net, title))
    calls = {"here jit": lambda: np.asarray(mine(x)), "jax jit": lambda: np.asarray(theirs(x))}
    agree({name: call() for name, call in calls.items()})
    return milliseconds(calls, ROUNDS)


def on_torch(title: str) -> dict[str, float]:
    """Times of this library and of jet-for-pytorch, both as they are called."""
    import torch
    from jet import bilaplacian

    net, x = network(inputs_of(title)), torch.tensor(points(inputs_of(title)))
    kernels = [torch.tensor(part) for part in weights(inputs_of(title))]

    def f(x: Any) -> Any:
        for i in range(0, len(kernels) - 2, 2):
            x = torch.tanh(x @ kernels[i] + kernels[i + 1])
        return x @ kernels[-2] + kernels[-1]

    theirs, mine = torch.func.vmap(bilaplacian(f, (x[0],))), ours(net, title)

    def without_gradients(function: Callable[[Any], Any]) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return function(x).numpy()

        return call

    calls = {"here eager": without_gradients(mine), "torch eager": without_gradients(theirs)}
    agree({name: call() for name, call in calls.items()})
    return milliseconds(calls, ROUNDS)


def with_deepxde(title: str) -> dict[str, float]:
    """The time of a step of DeepXDE on TensorFlow."""
    os.environ["DDE_BACKEND"] = "tensorflow"
    import deepxde
    import tensorflow as tf

    deepxde.config.set_default_float("float32")
    found = {}
    x = tf.constant(points(2))
    for mode in ("graph", "XLA"):
        deepxde.config.enable_xla_jit(mode == "XLA")
        net = deepxde.nn.FNN([2, *[UNITS] * 4, 1], "tanh", "Glorot uniform")
        net(x[:2])
        net.set_weights(weights(2))

        def loss(net: Any, x: Any) -> Any:
            with tf.GradientTape() as tape:
                u = net(x)
                u_t = deepxde.grad.jacobian(u, x, i=0, j=0)
                u_x = deepxde.grad.jacobian(u, x, i=0, j=1)
                u_xx = deepxde.grad.hessian(u, x, i=1, j=1)
                u_xxx = deepxde.grad.jacobian(u_xx, x, i=0, j=1)
                total = tf.reduce_mean((u_t + 6 * u * u_x + u_xxx) ** 2)
            deepxde.grad.clear()
            return tape.gradient(total, net.trainable_variables)

        compiled = tf.function(partial(loss, net), jit_compile=mode == "XLA")
        call = lambda compiled=compiled: np.asarray(compiled(x)[0])  # noqa: E731
        call()
        found |= milliseconds({f"deepxde {mode}": call}, ROUNDS)
    return found


def agree(results: dict[str, np.ndarray]) -> None:
    """Raises where two ways do not give the same."""
    one, *others = results.values()
    for other in others:
        assert np.abs(one - other).max() <= 2e-3 * np.abs(one).max(), {
            name: found.ravel()[:3] for name, found in results.items()
        }


def measured(title: str) -> Row:
    """A row: the times of all who can do it."""
    kind, _ = WORKS[title]
    backends = {"on_tensorflow": "tensorflow"}
    if kind == "partial" and importlib.util.find_spec("jax"):
        backends["on_jax"] = "jax"
    if kind == "biharmonic" and importlib.util.find_spec("jet"):
        backends["on_torch"] = "torch"
    if kind == "step" and importlib.util.find_spec("deepxde"):
        backends["with_deepxde"] = "tensorflow"
    found: dict[str, float] = {}
    ratios: dict[str, str] = {}
    for function, backend in backends.items():
        times = apart("higher_orders", f"{function}({title!r})", KERAS_BACKEND=backend)
        mine = best(times, "here") or best(found, "here")
        found |= times if function in ("on_tensorflow", "with_deepxde") else {}
        for peer, head in PEERS.items():
            theirs = best(times, peer)
            if theirs is not None and mine is not None:
                ratios[head] = f"{theirs / mine:.2f}"
    result = row(title, found, [name for name in found if name.startswith("here")], "ms", {})
    return result | ratios


def best(times: dict[str, float], who: str) -> float | None:
    """The best time of somebody."""
    return min((t for name, t in times.items() if name.startswith(f"{who} ")), default=None)


def tasks() -> Iterator[Task]:
    """All rows."""
    for title in WORKS:
        yield title, measured


def main() -> None:
    """Measures all rows."""
    about = (__doc__ or "").split("\n\n")[1].strip()
    introduction = "# Third and fourth order\n\n" + (__doc__ or "").split("\n\n", 3)[3]
    beside_peers.write_table(about, tasks(), PEERS.values(), RESULTS, introduction)


if __name__ == "__main__":
    main()
