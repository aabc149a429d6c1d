"""Second derivatives on Keras's JAX backend: this library beside `jax.hessian` and folx.

    python benchmarks/cost/on_jax.py

In an environment with JAX and folx. The same Keras model, weights and points, each compiled, the
best of several calls in turns; a ratio above 1 says how many times faster this library is.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import time
from collections.abc import Callable
from typing import Any

import folx
import jax
import jax.numpy as jnp
import keras
import numpy as np

import keras_curvature as kc

ROUNDS = 8

Way = Callable[[], Any]


def network(inputs: int, width: int, depth: int) -> keras.Model:
    """A tanh network of one output."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, "tanh") for _ in range(depth)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(1)])


def best(ways: dict[str, Way]) -> dict[str, float]:
    """Milliseconds of each, in turns."""
    for way in ways.values():
        jax.block_until_ready(way())
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begin = time.perf_counter()
            jax.block_until_ready(way())
            found[name] = min(found[name], 1e3 * (time.perf_counter() - begin))
    return found


def peers(model: keras.Model, x: jax.Array, name: str) -> dict[str, Way]:
    """How it is done by hand on JAX."""

    def value(row: jax.Array) -> jax.Array:
        return model(row[None], training=False)[0, 0]

    of_hessian = {"laplacian": jnp.trace, "hessian_diagonal": jnp.diagonal, "hessian": lambda h: h}
    by_hessian = jax.jit(jax.vmap(lambda row: of_hessian[name](jax.hessian(value)(row))))
    ways: dict[str, Way] = {"jax.hessian": lambda: by_hessian(x)}
    if name == "laplacian":
        for sparsity in (0, 6):
            forward = folx.forward_laplacian(value, sparsity_threshold=sparsity)
            compiled = jax.jit(jax.vmap(lambda row, f=forward: f(row).laplacian))
            ways[f"folx, sparsity {sparsity}"] = lambda f=compiled: f(x)
    return ways


WORKS = {
    "laplacian (8, 512)": ("laplacian", 8, 512, 256, 4),
    "laplacian (64, 128)": ("laplacian", 64, 128, 256, 4),
    "laplacian (1, 1000)": ("laplacian", 1, 1000, 256, 4),
    "laplacian 784 -> 3 x 128": ("laplacian", 784, 64, 128, 3),
    "diagonal (64, 128)": ("hessian_diagonal", 64, 128, 256, 4),
    "hessian (64, 128)": ("hessian", 64, 128, 256, 4),
}


def main() -> None:
    """Measures and prints."""
    print(f"JAX {jax.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores")
    for title, (name, inputs, examples, width, depth) in WORKS.items():
        model = network(inputs, width, depth)
        points = np.random.default_rng(0).normal(size=(examples, inputs)).astype("float32")
        x = jnp.asarray(points)
        ours = getattr(kc, name)
        ways = {"ours": lambda m=model, f=ours, x=x: f(m, x), **peers(model, x, name)}
        found = best(ways)
        mine = found.pop("ours")
        others = ", ".join(f"{found[way] / mine:.2f} of {way}" for way in found)
        print(f"{title}: {mine:.2f} ms; {others}", flush=True)


if __name__ == "__main__":
    main()
