"""jax.hessian, jax.experimental.jet and folx, jitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import folx
import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

from benchmarks.race import work as works
from benchmarks.race.peers.jax_networks import Weights, value_of
from benchmarks.race.work import Work

Scalar = Callable[[jax.Array], jax.Array]
"""One example to one number."""


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    weights = [jnp.asarray(weight) for weight in work.network.weights()]
    given = [weights, jnp.asarray(work.x())]
    network = value_of(work.network)
    jax.jit(jax.vmap(network, (None, 0)))(weights, given[1][:2]).block_until_ready()
    if work.quantity == works.STEP:
        value_and_laplacian = VALUES_AND_LAPLACIANS[recipe]
        given += [jnp.asarray(part) for part in work.source_and_target()]
        function = jax.jit(partial(training_step, network, value_and_laplacian))
        return _training(function, given)
    elif work.quantity == works.TRACE:
        given.append(jnp.swapaxes(work.directions(), 0, 1))
        function = per_example(network, RECIPES[work.quantity][recipe], extra=1)
    else:
        function = per_example(network, RECIPES[work.quantity][recipe])
    return lambda: jax.block_until_ready(function(*given))


def per_example(network: Callable, compute: Callable, extra: int = 0) -> Callable:
    def one(weights: Weights, x: jax.Array, *more: jax.Array) -> jax.Array:
        return compute(partial(network, weights), x, *more)

    return jax.jit(jax.vmap(one, (None, 0, *[0] * extra)))


def _training(step: Callable, given: list) -> Callable[[], object]:
    """Keeps the weights from one step to the next."""

    def call() -> list[jax.Array]:
        gradients, given[0] = jax.block_until_ready(step(*given))
        return gradients

    return call


def training_step(
    network: Callable,
    value_and_laplacian: Callable[[Scalar, jax.Array], tuple[jax.Array, jax.Array]],
    weights: Weights,
    x: jax.Array,
    source: jax.Array,
    target: jax.Array,
) -> tuple[list[jax.Array], list[jax.Array]]:
    def loss(weights: Weights) -> jax.Array:
        f = partial(network, weights)
        y, laplacian = jax.vmap(lambda x: value_and_laplacian(f, x))(x)
        return jnp.mean((laplacian - source) ** 2) + jnp.mean((y - target) ** 2)

    gradients = jax.grad(loss)(weights)
    moved = [w - works.RATE * g for w, g in zip(weights, gradients, strict=True)]
    return gradients, moved


def _hessian_trace(f: Scalar, x: jax.Array) -> jax.Array:
    return jnp.trace(jax.hessian(f)(x))


def _hessian_estimate(f: Scalar, x: jax.Array, v: jax.Array) -> jax.Array:
    """By products with the Hessian, forward over reverse as in `jax.hessian`."""

    def along(v: jax.Array) -> jax.Array:
        return jnp.vdot(jax.jvp(jax.grad(f), (x,), (v,))[1], v)

    return jnp.mean(jax.vmap(along)(v))


def _second_coefficient(f: Scalar, x: jax.Array, v: jax.Array) -> jax.Array:
    return jet(f, (x,), ((v, jnp.zeros_like(v)),))[1][1]


def _jet_diagonal(f: Scalar, x: jax.Array) -> jax.Array:
    return jax.vmap(lambda v: _second_coefficient(f, x, v))(jnp.eye(x.size))


def _jet_estimate(f: Scalar, x: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.mean(jax.vmap(lambda v: _second_coefficient(f, x, v))(v))


def _folx(f: Scalar, x: jax.Array, sparsity_threshold: int = 0) -> tuple[jax.Array, jax.Array]:
    found = folx.forward_laplacian(f, sparsity_threshold)(x)
    return found.x, found.laplacian


def _folx_estimate(f: Scalar, x: jax.Array, v: jax.Array, sparsity_threshold: int = 0) -> jax.Array:
    """The Laplacian of `t -> f(x + Σ t_k v_k)` at 0."""

    def line(t: jax.Array) -> jax.Array:
        return f(x + jnp.tensordot(t, v, 1))

    return _folx(line, jnp.zeros(len(v)), sparsity_threshold)[1] / len(v)


_folx_sparse = partial(_folx, sparsity_threshold=6)

RECIPES = {
    works.LAPLACIAN: {
        "jax.hessian": _hessian_trace,
        "jet": lambda f, x: jnp.sum(_jet_diagonal(f, x)),
        "dense": lambda f, x: _folx(f, x)[1],
        "sparse": lambda f, x: _folx_sparse(f, x)[1],
    },
    works.DIAGONAL: {
        "jax.hessian": lambda f, x: jnp.diagonal(jax.hessian(f)(x)),
        "jet": _jet_diagonal,
    },
    works.HESSIAN: {"jax.hessian": lambda f, x: jax.hessian(f)(x)},
    works.TRACE: {
        "jax.hessian": _hessian_estimate,
        "jet": _jet_estimate,
        "dense": _folx_estimate,
        "sparse": partial(_folx_estimate, sparsity_threshold=6),
    },
}

VALUES_AND_LAPLACIANS = {
    "jax.hessian": lambda f, x: (f(x), _hessian_trace(f, x)),
    "jet": lambda f, x: (f(x), jnp.sum(_jet_diagonal(f, x))),
    "dense": _folx,
    "sparse": _folx_sparse,
}
