"""JAX's own second derivative: `jax.jvp` of `jax.grad`, as anyone would write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_curvature.engines.jax.arrays import widened
from keras_curvature.engines.jax.compilation import as_the_user_computes
from keras_curvature.engines.jax.flat_function import FlatFunction

NAME, ASKED = "JAX", "jax.jvp and jax.grad"
"""Whose it is, and what is asked for it."""

OF_NOTHING = "so says jax.grad, without a word"
"""What the answer is where nothing depends on the input."""

NOT_TO_TAKE = "jax.hessian or jax.jvp of jax.grad"
"""What else has this derivative."""

NO_GRADIENT = r"ifferentiation rule for '(\S+)' not implemented"
"""In what is raised where an operation has none: its name."""

WORDS: dict[str, str] = {}
REASONS: dict[str, str] = {}
"""Nothing is known of JAX to be wrong whatever the numbers are."""


def backend_second_derivative(
    f: FlatFunction, z: Any, rest: Sequence[Any], v: Any, weights: Any
) -> Any:
    """`v' H v` of a weighted sum of the outputs, `(n,)`, of the program as it is.

    Args:
        f: the model, not mended.
        z: points.
        rest: the other inputs.
        v: directions in float64, `(n, d)`.
        weights: of the outputs.
    """
    dtype = widened(z.dtype, jnp.dtype("float32"))
    along, weights = v.astype(z.dtype), weights.astype(dtype)

    def total(z: Any) -> Any:
        return jnp.sum(f(z, rest).astype(dtype) * weights)

    with as_the_user_computes():
        second = jax.jvp(jax.grad(total), (z,), (along,))[1]
    return jnp.sum(second.astype(v.dtype) * v, axis=1)


def half_of(f: FlatFunction) -> str:
    """The 16-bit dtype that the model computes in, or `""`."""
    names = {str(aval.dtype) for aval in f.traced_for(f.examples).program.avals.values()}
    return next((name for name in ("float16", "bfloat16") if name in names), "")
