"""Functions of JAX, called from outside with arrays of NumPy."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_curvature.typing import Array


def tensor(array: Array) -> Any:
    """An array in its own dtype where JAX has that, else in float32."""
    return jnp.asarray(array)


def array(result: Any) -> Array:
    """What a function gives, as NumPy has it."""
    return np.asarray(result)


def flat(y: Any) -> Any:
    """The outputs of every example in one axis."""
    return y.reshape(len(y), -1)


def in_float64() -> contextlib.AbstractContextManager[None]:
    """Where float64 is float64, which JAX has switched off unless it is asked."""
    switched: contextlib.AbstractContextManager[None] = jax.enable_x64(True)
    return switched


def apart(function: Any) -> Any:
    """The function, whose calls change nothing in it."""
    return function


def widened(function: Any) -> Any:
    """The function with its numbers in float64, or `None`: they widen where they meet float64."""
    return None


def parts(function: Any) -> list[tuple[str, Any]]:
    """Pieces from the beginning on that it can be cut into: none."""
    return []
