"""JAX's own ways to a second derivative, each as anyone would write it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_curvature.engines.ways import Function, Way, of_hessians
from keras_curvature.typing import Array

Along = Callable[[Function, Any, Any], Any]
"""The second derivatives of each output along a direction, `(batch, outputs)`."""


def _flat(f: Function, x: Any) -> Any:
    """The outputs, `(batch, outputs)`."""
    y = jnp.asarray(f(x))
    return y.reshape(len(y), -1)


def _dot(gradient: Any, v: Any) -> Any:
    return jnp.sum((gradient * v).reshape(len(v), -1), axis=1)


def _totals(f: Function, x: Any) -> list[Callable[[Any], Any]]:
    """Each output summed over the batch."""

    def total(x: Any, j: int) -> Any:
        return jnp.sum(_flat(f, x)[:, j])

    count = jax.eval_shape(lambda x: _flat(f, x), x).shape[1]
    return [functools.partial(total, j=j) for j in range(count)]


def forward_over_reverse(f: Function, x: Any, v: Any) -> Any:
    """`jax.jvp` of `jax.grad`."""
    found = [_dot(jax.jvp(jax.grad(y), (x,), (v,))[1], v) for y in _totals(f, x)]
    return jnp.stack(found, axis=1)


def reverse_over_reverse(f: Function, x: Any, v: Any) -> Any:
    """`jax.grad` of `jax.grad`."""

    def slope(y: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: jnp.sum(jax.grad(y)(x) * v)

    return jnp.stack([_dot(jax.grad(slope(y))(x), v) for y in _totals(f, x)], axis=1)


def reverse_over_forward(f: Function, x: Any, v: Any) -> Any:
    """`jax.grad` of `jax.jvp`."""

    def slope(y: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: jax.jvp(y, (x,), (v,))[1]

    return jnp.stack([_dot(jax.grad(slope(y))(x), v) for y in _totals(f, x)], axis=1)


def forward_over_forward(f: Function, x: Any, v: Any) -> Any:
    """`jax.jvp` of `jax.jvp`."""

    def slope(x: Any) -> Any:
        return jax.jvp(lambda x: _flat(f, x), (x,), (v,))[1]

    return jax.jvp(slope, (x,), (v,))[1]


def jet(f: Function, x: Any, v: Any) -> Any:
    """`jax.experimental.jet`, to second order."""
    from jax.experimental.jet import jet

    _, series = jet(lambda x: _flat(f, x), (x,), ((v, jnp.zeros_like(v)),))
    return series[1]


def folx(f: Function, x: Any, v: Any) -> Any:
    """The forward Laplacian of folx along a line."""
    from folx import forward_laplacian

    def on_the_line(t: Any) -> Any:
        return _flat(f, x + t[0] * v)

    return forward_laplacian(on_the_line)(jnp.zeros(1, x.dtype)).laplacian


def _way(name: str, along: Along, also: tuple[str, ...] = (), *, compiled: bool = False) -> Way:
    """A way, run as it is or compiled by `jax.jit`, as it is of what is compiled already."""

    def run(f: Function, x: Array, v: Array) -> Array:
        with jax.enable_x64(x.dtype == np.float64 or jax.config.jax_enable_x64):
            given = jnp.asarray(x)
            shape = jax.eval_shape(lambda x: jnp.asarray(f(x)), given).shape

            def second(x: Any, v: Any) -> Any:
                return along(f, x, v)

            run = jax.jit(second) if compiled or isinstance(f, jax.stages.Wrapped) else second
            return np.asarray(run(given, jnp.asarray(v, given.dtype))).reshape(shape)

    return Way(name, run, None, also)


def _whole(name: str, hessian: Callable[..., Any], also: tuple[str, ...] = ()) -> Way:
    """A way to whole Hessians, by `jax.vmap` over the examples; compiled if the function is."""

    def run(f: Function, x: Array) -> Array:
        with jax.enable_x64(x.dtype == np.float64 or jax.config.jax_enable_x64):
            each = jax.vmap(hessian(lambda one: f(one[None])[0]))
            run = jax.jit(each) if isinstance(f, jax.stages.Wrapped) else each
            return np.asarray(run(jnp.asarray(x)))

    return of_hessians(name, run, also)


WAYS = (
    _whole("jax.hessian", jax.hessian, ("jax jacfwd of jacrev",)),
    _way("jax forward over reverse", forward_over_reverse, ("jax jvp of grad",)),
    _way("jax forward over reverse under jax.jit", forward_over_reverse, compiled=True),
    _way("jax reverse over reverse", reverse_over_reverse, ("jax grad of grad",)),
    _way("jax reverse over forward", reverse_over_forward, ("jax grad of jvp",)),
    _way("jax forward over forward", forward_over_forward, ("jax jvp of jvp",)),
    _whole("jax jacrev of jacrev", lambda f: jax.jacrev(jax.jacrev(f))),
    _way("jax.experimental.jet", jet, ("jet",)),
    *([_way("folx", folx)] if importlib.util.find_spec("folx") else []),
)
