"""Differences of exact gradients at a tiny step.

The engine differences first derivatives, so it shares no second-order rule with the
others: it is what they are checked against. What a `stop_gradient` or a custom gradient
hides from a second derivative it sees, and a kink within its step counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_curvature.engines.engine import Engine
from keras_curvature.engines.tensorflow.first_derivatives import row_gradients, tiled
from keras_curvature.engines.tensorflow.flat_function import FlatFunction

RELATIVE_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Where rounding, ~eps / h, meets truncation, ~h**2 (Press et al., Numerical Recipes, 5.7)."""


@dataclass(frozen=True)  # equal to itself in a key
class FiniteDifference(Engine):
    """`Hv = (g(x + hv) - g(x - hv)) / 2h` with exact gradients `g`."""

    name = "finite_difference"
    why = "differences of exact gradients in float64, independent of second-order rules"
    in_float64 = True

    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """Differences of gradients at a tiny step."""
        k = tf.shape(directions)[0]
        steps = _tiny_steps(rows, directions)[..., None]
        moved = tf.stack([rows + steps * directions, rows - steps * directions])
        points = tf.reshape(moved, [-1, f.inputs.width])
        others = [tiled(tensor, 2 * k) for tensor in others]
        gradients = row_gradients(f, points, others, tiled(seeds, 2 * k))
        ahead, behind = tf.unstack(tf.reshape(gradients, tf.shape(moved)), num=2)
        return (ahead - behind) / (2 * steps)


def _tiny_steps(z: tf.Tensor, directions: tf.Tensor) -> tf.Tensor:
    """How far to go along each of `(k, n, d)`, in units of its length, `(k, n)`."""
    size = 1 + tf.reduce_max(tf.abs(z), axis=1)
    length = tf.reduce_max(tf.abs(directions), axis=2)
    return RELATIVE_STEP * size / tf.where(length > 0, length, tf.ones_like(length))
