"""Differences: of exact gradients at a tiny step, and of values at a scale.

The engine differences first derivatives, so it shares no second-order rule with the
others: it is what they are checked against. What a `stop_gradient` or a custom gradient
hides from a second derivative it sees, and a kink within its step counts.
`second_differences` answers another question, how curved a function is over a distance;
kinks count in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_curvature.engines.function import FlatFunction
from keras_curvature.engines.nested import value_and_jacobian

RELATIVE_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Where rounding, ~eps / h, meets truncation, ~h**2 (Press et al., Numerical Recipes, 5.7)."""


def hessian_rows(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
) -> tf.Tensor:
    """Products of each Hessian with `directions` `(k, n, d)`, shape `(n, m, k, d)`.

    `Hv = (g(x + hv) - g(x - hv)) / 2h` with exact gradients `g`.
    """
    m, d = f.outputs.width, f.inputs.width
    n = tf.shape(z)[0]
    k = tf.shape(directions)[0]
    size = 1 + tf.reduce_max(tf.abs(z), axis=1, keepdims=True)
    length = tf.reduce_max(tf.abs(directions), axis=2, keepdims=True)
    h = RELATIVE_STEP * size / tf.where(length > 0, length, tf.ones_like(length))
    rows = tf.reshape(tf.stack([z + h * directions, z - h * directions]), [-1, d])
    others = [tf.tile(r, [2 * k, *[1] * (r.shape.rank - 1)]) for r in rest]
    _, gradients = value_and_jacobian(f, rows, others)
    ahead, behind = tf.unstack(tf.reshape(gradients, [2, k, n, m, d]))
    return tf.transpose((ahead - behind) / (2 * h[:, :, None]), [1, 2, 0, 3])


def second_differences(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], scale: tf.Tensor
) -> tf.Tensor:
    """`(f(x + h e) - 2 f(x) + f(x - h e)) / h**2` along each input, shape `(n, m, d)`.

    This is the second derivative, kinks included, averaged over `[x - h, x + h]` with
    triangular weights (Peano kernel of the central second difference).

    Args:
        f: the function.
        z: shape `(n, d)`.
        rest: the function's other inputs.
        scale: `h` of each input at each point, shape `(n, d)`.
    """
    m, d = f.outputs.width, f.inputs.width
    steps = tf.linalg.diag(scale)
    points = tf.concat([z[:, None] + steps, z[:, None] - steps, z[:, None]], axis=1)
    count = 2 * d + 1
    y = f(tf.reshape(points, [-1, d]), [tf.repeat(r, count, axis=0) for r in rest])
    ahead, behind, here = tf.split(tf.reshape(y, [-1, count, m]), [d, d, 1], axis=1)
    return tf.transpose(ahead - 2 * here + behind, [0, 2, 1]) / scale[:, None] ** 2
