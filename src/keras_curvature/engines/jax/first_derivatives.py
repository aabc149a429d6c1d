"""First derivatives by JAX, of the model as it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_curvature.engines.jax.flat_function import FlatFunction


def value_and_jacobian(f: FlatFunction, z: Any, rest: Sequence[Any]) -> tuple[Any, Any]:
    """Value `(n, m)` and Jacobian `(n, m, d)`."""
    if not goes_backwards(f):
        y, along = jax.linearize(lambda z: f(z, rest), z)
        d = z.shape[1]
        axes = jnp.broadcast_to(jnp.eye(d, dtype=z.dtype)[:, None], (d, *z.shape))
        return y, jnp.transpose(jax.vmap(along)(axes), (1, 2, 0))
    y, pull = jax.vjp(lambda z: f(z, rest), z)
    m = f.outputs.width
    seeds = jnp.broadcast_to(jnp.eye(m, dtype=y.dtype)[:, None], (m, *y.shape))
    return y, jnp.transpose(jax.vmap(lambda seed: pull(seed)[0])(seeds), (1, 0, 2))


def goes_backwards(f: FlatFunction) -> bool:
    """Whether reverse mode goes through the model: there is none of a loop of unknown length."""
    return all(place.op_type != "while" for place in f.activity.active)


def per_output(f: FlatFunction, z: Any, rest: Sequence[Any]) -> tuple[Any, list[Any], Any]:
    """Repeats every example once per output, each with the one-hot seed of that output."""
    m = f.outputs.width
    seeds = jnp.tile(jnp.eye(m, dtype=z.dtype), (z.shape[0], 1))
    if m == 1:
        return z, list(rest), seeds
    return jnp.repeat(z, m, axis=0), [jnp.repeat(r, m, axis=0) for r in rest], seeds


def row_gradients(f: FlatFunction, z: Any, rest: Sequence[Any], seeds: Any) -> Any:
    """The gradient of `seed . f` at each row, in the shape of `z`."""
    if not goes_backwards(f):
        return jnp.sum(value_and_jacobian(f, z, rest)[1] * seeds[:, :, None], axis=1)
    return jax.grad(lambda z: jnp.sum(f(z, rest) * seeds))(z)


def gradients_of_each(outputs: Callable[[Any], Any], point: Any) -> Any:
    """The gradients `(m, ...)` of each of `outputs(point)`, `(n, m)`, by all that is in `point`."""
    value, pull = jax.vjp(outputs, point)
    m = value.shape[1]
    seeds = jnp.broadcast_to(jnp.eye(m, dtype=value.dtype)[:, None], (m, *value.shape))
    return jax.vmap(lambda seed: pull(seed)[0])(seeds)


def gradients_and_more(function: Callable[[Any], tuple[Any, Any]], point: Any) -> tuple[Any, Any]:
    """The gradients of the first thing that a function gives, a number, and the second one."""
    found: tuple[Any, Any] = jax.grad(function, has_aux=True)(point)
    return found


def gradient(function: Callable[[Any], Any], rows: Any) -> Any:
    """The gradient of a number for each row by that row."""
    return jax.grad(lambda rows: jnp.sum(function(rows)))(rows)


def tiled(tensor: Any, times: int) -> Any:
    """The whole batch, `times` times over."""
    return jnp.tile(tensor, (times, *[1] * (tensor.ndim - 1)))
