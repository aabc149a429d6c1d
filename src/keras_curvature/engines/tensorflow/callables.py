"""Functions of TensorFlow, called from outside with arrays of NumPy."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.typing import Array


def tensor(array: Array) -> tf.Tensor:
    """An array in its own dtype."""
    return tf.constant(array)


def array(result: Any) -> Array:
    """What a function gives, as NumPy has it."""
    return np.asarray(result)


def flat(y: tf.Tensor) -> tf.Tensor:
    """The outputs of every example in one axis."""
    return tf.reshape(y, [tf.shape(y)[0], -1])


def in_float64() -> contextlib.AbstractContextManager[None]:
    """Where float64 is float64, as it is everywhere."""
    return contextlib.nullcontext()


def apart(function: Any) -> Any:
    """The function, whose calls change nothing in it."""
    return function


def widened(function: Any) -> Any:
    """The function with its numbers in float64, or `None` where they cannot be had: here."""
    return None


def parts(function: Any) -> list[tuple[str, Any]]:
    """Pieces from the beginning on that it can be cut into: none."""
    return []
