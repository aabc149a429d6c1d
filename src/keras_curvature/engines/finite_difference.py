"""Differences of exact gradients at a tiny step.

The engine differences first derivatives, so it shares no second-order rule with the
others: it is what they are checked against. What a `stop_gradient` or a custom gradient
hides from a second derivative it sees, and a kink within its step counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow.function import FlatFunction
from keras_curvature.engines.tensorflow.nested import row_gradients, value_and_jacobian

RELATIVE_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Where rounding, ~eps / h, meets truncation, ~h**2 (Press et al., Numerical Recipes, 5.7)."""


def hessian_rows(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
) -> tf.Tensor:
    """Products of each Hessian with `directions` `(k, n, d)`, shape `(n, m, k, d)`.

    `Hv = (g(x + hv) - g(x - hv)) / 2h` with exact gradients `g`.
    """
    return gradient_differences(f, z, rest, directions, _tiny_steps(z, directions))


def row_products(
    f: FlatFunction,
    rows: tf.Tensor,
    others: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """As `nested.row_products`, from differences of gradients."""
    k = tf.shape(directions)[0]
    steps = _tiny_steps(rows, directions)[..., None]
    moved = tf.stack([rows + steps * directions, rows - steps * directions])
    points = tf.reshape(moved, [-1, f.inputs.width])
    tiled = repeated([*others, seeds], 2 * k)
    gradients = row_gradients(f, points, tiled[:-1], tiled[-1])
    ahead, behind = tf.unstack(tf.reshape(gradients, tf.shape(moved)), num=2)
    return (ahead - behind) / (2 * steps)


def _tiny_steps(z: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """How far to go along each of `(k, n, d)`, in units of its length, `(k, n)`."""
    size = 1 + tf.reduce_max(tf.abs(z), axis=1)
    length = tf.reduce_max(tf.abs(directions), axis=2)
    return RELATIVE_STEP * size / tf.where(length > 0, length, tf.ones_like(length))


def gradient_differences(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    directions: tf.Tensor,
    steps: tf.Tensor,
) -> tf.Tensor:
    """`(g(x + tv) - g(x - tv)) / 2t`, shape `(n, m, k, d)`."""
    m, d = f.outputs.width, f.inputs.width
    k, n = tf.shape(directions)[0], tf.shape(z)[0]
    moves = steps[..., None] * directions
    rows = tf.reshape(tf.stack([z[None] + moves, z[None] - moves]), [-1, d])
    _, gradients = value_and_jacobian(f, rows, repeated(rest, 2 * k))
    ahead, behind = tf.unstack(tf.reshape(gradients, [2, k, n, m, d]))
    return tf.transpose((ahead - behind) / (2 * steps[..., None, None]), [1, 2, 0, 3])


def repeated(rest: Sequence[tf.Tensor], times: tf.Tensor) -> list[tf.Tensor]:
    """The whole batch, `times` times over."""
    return [tf.tile(r, [times, *[1] * (r.shape.rank - 1)]) for r in rest]
