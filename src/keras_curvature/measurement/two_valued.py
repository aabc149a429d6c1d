"""Inputs that have two values in the probe, as 0 and 1: what the change from one to the other does.

A second derivative along such an input says how the model bends between its values and beyond them,
where no data ever lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_curvature.engines.backend import FlatFunction, tiled, value_and_jacobian
from keras_curvature.typing import Array

FEWEST_POINTS = 4
"""Of a probe that can tell such an input: any input of two or three points may have two values."""


def ends(z: Array) -> Array:
    """The two values of each input that has no others, NaN for the rest, shape `(d, 2)`.

    Args:
        z: points, shape `(n, d)`.
    """
    low, high = z.min(axis=0), z.max(axis=0)
    two = (low < high) & ((z == low) | (z == high)).all(axis=0) & (len(z) >= FEWEST_POINTS)
    return np.where(two[:, None], np.stack([low, high], axis=1), np.nan)


def changes(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    inputs: tuple[int, ...],
    sums: tf.Tensor,
    at_once: int,
) -> dict[str, tf.Tensor]:
    """What moving one input from the value that it has to its other one changes.

    Args:
        f: the function.
        z: points, shape `(n, d)`.
        rest: the function's other inputs.
        inputs: which of them have two values, `k` in number.
        sums: of the two values of each, shape `(k,)`.
        at_once: of how many inputs together.

    Returns:
        `changes` of the output, `(n, m, k)`. `change_rows`, the change of the slope along each
        input over the way, `(n, m, k, d)`: a row of the Hessian, averaged over the way from one
        value to the other, kinks included.
    """
    columns, sums = tf.transpose(z), tf.cast(sums, z.dtype)[:, None]
    m, d = f.outputs.width, f.inputs.width
    value, slope = value_and_jacobian(f, z, rest)
    changed, bent = [], []
    for start in range(0, len(inputs), at_once):
        some = inputs[start : start + at_once]
        # To the other value, `(inputs, n)`.
        step = sums[start : start + at_once] - 2 * tf.gather(columns, some)
        rows = z + step[..., None] * tf.one_hot(some, d, dtype=z.dtype)[:, None]
        there, slopes = value_and_jacobian(
            f, tf.reshape(rows, [-1, d]), [tiled(r, len(some)) for r in rest]
        )
        changed.append(tf.reshape(there, [len(some), -1, m]) - value)
        bend = tf.reshape(slopes, [len(some), -1, m, d]) - slope
        bent.append(bend / step[..., None, None])
    return {
        "changes": tf.transpose(tf.concat(changed, axis=0), [1, 2, 0]),
        "change_rows": tf.transpose(tf.concat(bent, axis=0), [1, 2, 0, 3]),
    }
