"""Second derivatives on Keras's JAX backend: this library beside what JAX's users write.

    python -m benchmarks.cost.on_jax [--only PATTERN] [--fit]

In an environment with JAX and folx. The race's networks, weights, points and directions, with
plain JAX functions for the peers; all of them compiled, weights are arguments, the best of thirty
calls in turns. A ratio above 1 says how many times faster, or smaller, this library is. It is
called as it is, and within a `jax.jit` of the user's as the peers are: the better one counts.

Memory is what a call adds to the process at its peak, the most of five calls, on Linux.
With `--fit` a whole training step of a Keras model with `DerivativeOutput`, beside TensorFlow's.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import re
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_curvature as kc
from benchmarks.race import work as works
from benchmarks.race.peers import keras_networks
from benchmarks.race.work import Work

ROUNDS = 30
STEPS_IN_FIT = 100

Way = tuple[Callable[..., Any], tuple[Any, ...]]
"""A compiled function, or one that compiles what it needs, and what it is given."""

ASKED = {
    works.LAPLACIAN: ("jax.hessian", "dense", "sparse"),
    works.DIAGONAL: ("jax.hessian",),
    works.HESSIAN: ("jax.hessian",),
    works.TRACE: ("jax.hessian", "jet", "dense", "sparse"),
    works.STEP: ("jax.hessian", "dense", "sparse"),
}
"""The recipes of `jax_peers` that are measured; `dense` and `sparse` are folx."""


def milliseconds(ways: dict[str, Way]) -> dict[str, float]:
    """The best of some calls of each, in turns."""
    import jax

    found = dict.fromkeys(ways, float("inf"))
    for turn in range(ROUNDS + 1):
        for name, (function, given) in ways.items():
            begin = time.perf_counter()
            jax.block_until_ready(function(*given))
            if turn:
                found[name] = min(found[name], 1e3 * (time.perf_counter() - begin))
    return found


def mebibytes(way: Way) -> float:
    """What a call adds to the process at its peak, the most of five: some find memory freed."""
    import jax

    function, given = way
    jax.block_until_ready(function(*given))
    found = []
    for _ in range(5):
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _kibibytes("VmRSS")
        jax.block_until_ready(function(*given))
        found.append(_kibibytes("VmHWM") - before)
    return max(found) / 1024


def _kibibytes(name: str) -> int:
    line = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    assert line is not None
    return int(line[1])


def memory(points: int) -> str:
    """One line: mebibytes of a Laplacian of 64 inputs, and the ratios to the peers."""
    work = works.mlp(works.LAPLACIAN, 64, points)
    mine, others = ours(work, keras_networks.build(work.network)), peers(work)
    found = {name: mebibytes(way) for name, way in (mine | others).items()}
    least = min(found[name] for name in mine)
    line = ", ".join(f"{name} {found[name]:.1f} MiB" for name in mine)
    ratios = ", ".join(f"{found[name] / least:.1f} of {name}" for name in others)
    return f"Memory, {work.title}: {line}; {ratios}"


def ours(work: Work, model: keras.Model) -> dict[str, Way]:
    """This library as it is called, and within a `jax.jit` of the user's."""
    import jax
    import jax.numpy as jnp

    x, weights = jnp.asarray(work.x()), [w.value for w in model.weights]

    def with_weights(compute: Callable[..., Any], weights: Sequence[Any], *given: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.weights, weights, strict=True))):
            return compute(*given)

    if work.quantity == works.STEP:
        source, target = map(jnp.asarray, work.source_and_target())

        def loss(weights: Sequence[Any], x: Any) -> Any:
            found = with_weights(
                lambda x: kc.derivatives(model, x, ["value", "laplacian"]), weights, x
            )
            y, laplacian = found["value"][:, 0], found["laplacian"][:, 0]
            return jnp.mean((laplacian - source) ** 2) + jnp.mean((y - target) ** 2)

        def step(weights: Sequence[Any], x: Any) -> Any:
            gradients = jax.grad(loss)(weights, x)
            return gradients, [w - works.RATE * g for w, g in zip(weights, gradients, strict=True)]

        return {"jitted": (jax.jit(step), (weights, x))}
    given: tuple[Any, ...] = (x,)
    if work.quantity == works.TRACE:
        directions = jnp.asarray(work.directions())
        rows = jnp.reshape(directions, (-1, *x.shape[1:]))
        given = (jnp.tile(x, (works.DIRECTIONS, *[1] * (x.ndim - 1))), rows)

        def compute(x: Any, v: Any) -> Any:
            found = kc.directional_curvature(model, x, v)
            return jnp.mean(jnp.reshape(found, directions.shape[:2]), axis=0)

    else:
        name = "hessian_diagonal" if work.quantity == works.DIAGONAL else work.quantity
        compute = partial(getattr(kc, name), model)
    jitted = jax.jit(partial(with_weights, compute))
    found = {"called": (compute, given), "jitted": (jitted, (weights, *given))}
    if work.quantity == works.TRACE:
        own = partial(kc.laplacian, model, directions=works.DIRECTIONS)
        found["own directions"] = (own, (x,))
        found["own directions, jitted"] = (jax.jit(partial(with_weights, own)), (weights, x))
    return found


def peers(work: Work) -> dict[str, Way]:
    """How it is done by hand on JAX."""
    import jax
    import jax.numpy as jnp

    from benchmarks.race.peers import jax_networks, jax_peers

    weights = [jnp.asarray(weight) for weight in work.network.weights()]
    network, x = jax_networks.value_of(work.network), jnp.asarray(work.x())
    found: dict[str, Way] = {}
    for recipe in ASKED[work.quantity]:
        if work.quantity == works.STEP:
            compute = jax_peers.VALUES_AND_LAPLACIANS[recipe]
            step = partial(jax_peers._training_step, network, compute)
            source, target = map(jnp.asarray, work.source_and_target())
            found[recipe] = jax.jit(step), (weights, x, source, target)
            continue
        compute = jax_peers.RECIPES[work.quantity][recipe]
        more = (jnp.swapaxes(work.directions(), 0, 1),) if work.quantity == works.TRACE else ()
        function = jax_peers._per_example(network, compute, extra=len(more))
        found[recipe] = function, (weights, x, *more)
    return found


def agree(ways: dict[str, Way]) -> None:
    """Raises AssertionError where somebody is fast at something else."""
    results = {}
    for name, (function, given) in ways.items():
        if not name.startswith("own"):
            found = function(*given)
            found = found[0] if isinstance(found, tuple) else [found]
            results[name] = np.concatenate([np.ravel(part) for part in found])
    whole = results.pop("jitted")
    for name, other in results.items():
        off = np.abs(other - whole).max() / np.abs(whole).max()
        assert off < 1e-3, f"{name} is {off:.1e} off"


def report(work: Work) -> str:
    """One line: milliseconds, and the ratios to the peers."""
    model = keras_networks.build(work.network)
    mine, others = ours(work, model), peers(work)
    agree(mine | others)
    found = milliseconds(mine | others)
    best = min(found[name] for name in mine)
    line = ", ".join(f"{name} {found[name]:.2f} ms" for name in mine)
    ratios = ", ".join(f"{found[name] / best:.2f} of {name}" for name in others)
    return f"{work.title}: {line}; {ratios}"


def slope_of_tanh(work: Work) -> str:
    """What the digits of saturated units cost: the slope as `1 - tanh²`, as others have it."""
    rule = kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: -2 * y * (1 - y * y))
    kc.taylor.deregister("tanh")
    kc.taylor.register("tanh", rule)
    return f"with the slope of tanh as 1 - tanh²: {report(work)}"


def in_fit(inputs: int, points: int) -> str:
    """Milliseconds of a step of `fit` on this backend."""
    keras.utils.set_random_seed(0)
    net = keras_networks.build(works.mlp(works.STEP, inputs, points).network)
    x = keras.Input((inputs,))
    found = kc.DerivativeOutput(net, ["value", "laplacian"])(x)
    model = keras.Model(x, found)
    model.compile("adam", "mse")
    data = np.random.default_rng(0).normal(size=(points, inputs)).astype("float32")
    target = {name: np.zeros((points, 1), "float32") for name in ("value", "laplacian")}
    best = float("inf")
    model.fit(data, target, batch_size=points, epochs=2, verbose=0)
    for _ in range(5):
        begin = time.perf_counter()
        model.fit(data, target, batch_size=points, epochs=STEPS_IN_FIT, verbose=0)
        best = min(best, time.perf_counter() - begin)
    return f"{1e3 * best / STEPS_IN_FIT:.2f} ms"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="of which titles")
    parser.add_argument("--fit", action="store_true", help="whole steps on both backends")
    parser.add_argument("--one-fit", nargs=2, type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one_fit:
        print(in_fit(*asked.one_fit))
    elif asked.fit:
        for size in ("2", "1024"), ("8", "512"):
            for backend in ("tensorflow", "jax"):
                environment = os.environ | {"KERAS_BACKEND": backend}
                command = [sys.executable, "-m", __spec__.name, "--one-fit", *size]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                )
                print(f"fit, {size[0]} inputs, {size[1]} points, {backend}: {done.stdout}", end="")
    else:
        import jax

        print(f"JAX {jax.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores")
        for work in [*works.EXACT, *works.TRACES, *works.STEPS]:
            if re.search(asked.only, work.title):
                print(report(work), flush=True)
        if re.search(asked.only, "Memory"):
            print(memory(128), memory(4096), sep="\n", flush=True)
        thin = works.mlp(works.LAPLACIAN, 1, 1000)
        if re.search(asked.only, thin.title):
            print(slope_of_tanh(thin))


if __name__ == "__main__":
    main()
