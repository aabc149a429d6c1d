"""Second derivatives on Keras's JAX backend: this library beside what JAX's users write.

    python -m benchmarks.cost.on_jax [--only PATTERN]

In an environment with JAX and folx (`make bench-jax`); writes benchmarks/ON_JAX.md, or prints
some rows of it. The race's networks, weights, points and directions, with plain JAX functions for
the peers; all of them compiled, weights are arguments, the best of thirty calls in turns, in each
of two processes. A ratio above 1 says how many times faster, or smaller, this library is. It is
called as it is, and within a `jax.jit` of the user's as the peers are: the better one counts.

Memory is what a call adds to the process at its peak, the most of five calls, on Linux. The last
rows are whole steps of a Keras model with `DerivativeOutput` in `fit`, beside Keras on TensorFlow.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_curvature as kc
from benchmarks.cost import beside_peers
from benchmarks.cost.beside_peers import Row, apart, row
from benchmarks.race import work as works
from benchmarks.race.peers import keras_networks
from benchmarks.race.work import Work

ROUNDS = 30
STEPS_IN_FIT = 100
RESULTS = Path(__file__).parents[1] / "ON_JAX.md"

Way = tuple[Callable[..., Any], tuple[Any, ...]]
"""A compiled function, or one that compiles what it needs, and what it is given."""

PEERS = {
    "jax.hessian": "jax.hessian",
    "jet": "jax.experimental.jet",
    "dense": "folx",
    "sparse": "folx, sparse",
    "tensorflow": "Keras on TensorFlow",
}
"""Recipes of `jax_peers`, and who is compared with in `fit`, with the heads of their columns."""

ASKED = {
    works.LAPLACIAN: ("jax.hessian", "jet", "dense", "sparse"),
    works.DIAGONAL: ("jax.hessian", "jet"),
    works.HESSIAN: ("jax.hessian",),
    works.TRACE: ("jax.hessian", "jet", "dense", "sparse"),
    works.STEP: ("jax.hessian", "jet", "dense", "sparse"),
}
"""The recipes that are measured."""


def called(way: Way) -> beside_peers.Call:
    """A way as a call that is waited for."""
    import jax

    function, given = way
    return lambda: jax.block_until_ready(function(*given))


def taken(points: int) -> dict[str, float]:
    """Mebibytes of a Laplacian of 64 inputs, by way; to be called in a process of its own."""
    work = works.mlp(works.LAPLACIAN, 64, points)
    ways = ours(work, keras_networks.build(work.network)) | peers(work)
    return {name: beside_peers.mebibytes(called(way)) for name, way in ways.items()}


def memory(points: int, title: str) -> Row:
    """Mebibytes, where what is freed goes back at once: else a call finds room left by another."""
    found = apart("on_jax", f"taken({points})", MALLOC_MMAP_THRESHOLD_="65536")
    return row(title, found, ["called", "jitted"], "MiB", PEERS)


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
            step = partial(jax_peers.training_step, network, compute)
            source, target = map(jnp.asarray, work.source_and_target())
            found[recipe] = jax.jit(step), (weights, x, source, target)
            continue
        compute = jax_peers.RECIPES[work.quantity][recipe]
        more = (jnp.swapaxes(work.directions(), 0, 1),) if work.quantity == works.TRACE else ()
        function = jax_peers.per_example(network, compute, extra=len(more))
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


def times(index: int) -> dict[str, float]:
    """Milliseconds of a work of `WORKS`, by way; to be called in a process of its own."""
    work = WORKS[index]
    mine, others = ours(work, keras_networks.build(work.network)), peers(work)
    agree(mine | others)
    ways = {name: called(way) for name, way in (mine | others).items()}
    return beside_peers.milliseconds(ways, ROUNDS)


def with_their_slope() -> dict[str, float]:
    """What the digits of saturated units cost: the slope of tanh as `1 - tanh²`, as elsewhere."""
    rule = kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: -2 * y * (1 - y * y))
    kc.taylor.deregister("tanh")
    kc.taylor.register("tanh", rule)
    return times(0)


def measured(call: str, title: str) -> Row:
    """A row of the better one of two processes."""
    found = beside_peers.best_of_two("on_jax", call)
    return row(title, found, found.keys() - PEERS.keys(), "ms", PEERS)


def fitted(inputs: int, points: int, title: str) -> Row:
    """Milliseconds of a step of `fit` on both backends."""
    call = f"in_fit({inputs}, {points})"
    found = {name: apart("on_jax", call, KERAS_BACKEND=name) for name in ("jax", "tensorflow")}
    return row(title, found, ["jax"], "ms", PEERS)


def in_fit(inputs: int, points: int) -> float:
    """Milliseconds of a step of `fit` on this backend."""
    keras.utils.set_random_seed(0)
    net = keras_networks.build(works.mlp(works.STEP, inputs, points).network)
    x = keras.Input((inputs,))
    model = keras.Model(x, kc.DerivativeOutput(net, ["value", "laplacian"])(x))
    model.compile("adam", "mse")
    data = np.random.default_rng(0).normal(size=(points, inputs)).astype("float32")
    target = {name: np.zeros((points, 1), "float32") for name in ("value", "laplacian")}
    model.fit(data, target, batch_size=points, epochs=2, verbose=0)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        model.fit(data, target, batch_size=points, epochs=STEPS_IN_FIT, verbose=0)
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best / STEPS_IN_FIT


WORKS = [*works.EXACT, *works.TRACES, *works.STEPS]


def tasks() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """All rows: a title, and what measures it."""
    for index, work in enumerate(WORKS):
        yield work.title, partial(measured, f"times({index})")
    for points in (128, 4096):
        yield f"Peak memory, Laplacian, 64 inputs, {points:,} points", partial(memory, points)
    for size in ((2, 1024), (8, 512)):
        title = f"Step of fit, {size[0]} inputs, {size[1]:,} points"
        yield title, partial(fitted, *size)
    title = f"{WORKS[0].title}, slope of tanh as 1 - tanh²"
    yield title, partial(measured, "with_their_slope()")


def main() -> None:
    """Measures, prints, and writes the table."""
    import jax

    versions = f"JAX {jax.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores"
    about, introduction = "Second derivatives on JAX.", INTRODUCTION.format(versions)
    beside_peers.write_table(about, tasks(), PEERS.values(), RESULTS, introduction)


INTRODUCTION = """# On Keras's JAX backend

Written by `make bench-jax`: {}. What this library takes, at its best, and how many times as
long, or as much memory, the others take; more than 1 is slower. *Called* is a plain call,
*jitted* one within a `jax.jit` of the user's; *own directions* are those that
`kc.laplacian(..., directions=8)` draws, which the others are given. The last row has the slope of
tanh as the others have it: 0 where a unit is saturated.
"""


if __name__ == "__main__":
    main()
