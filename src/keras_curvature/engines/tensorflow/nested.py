"""Reverse over reverse: TensorFlow's own tapes, twice, on the model as it is emitted.

The reference engine. Whatever TensorFlow can differentiate twice, this differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines.engine import Engine
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow.first_derivatives import ZERO, row_gradients, tiled
from keras_curvature.engines.tensorflow.flat_function import FlatFunction


@dataclass(frozen=True)  # equal to itself in a key
class Nested(Engine[FlatFunction]):
    """Reverse mode over reverse mode."""

    name = "nested"
    why = "exact, and covers whatever TensorFlow can differentiate twice"

    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """The gradient of the gradient along each direction."""
        alone = directions.shape[0] == 1 or not _survives_vectorising(f)
        products = _repeated if alone else _vectorised
        return products(f, rows, others, seeds, directions)


def _survives_vectorising(f: FlatFunction) -> bool:
    """Repeating the examples is right for every op, at the price of a forward pass each."""
    trusted = all(traits_of(place.op_type).vectorises for place in f.activity.active)
    return trusted and not f.activity.resists_vectorising and f.batch is None


def _vectorised(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """Hessian-vector products `(k, n, d)` from one forward and one backward pass."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        outer.watch(z)
        gradient = row_gradients(f, z, rest, seeds)
    return tf.vectorized_map(
        lambda v: outer.gradient(gradient, z, output_gradients=v, unconnected_gradients=ZERO),
        directions,
    )


def _repeated(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """Hessian-vector products `(k, n, d)` of examples repeated once per direction."""
    k = tf.shape(directions)[0]
    rows = tiled(z, k)
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(rows)
        gradient = row_gradients(f, rows, [tiled(r, k) for r in rest], tiled(seeds, k))
    found = outer.gradient(
        gradient,
        rows,
        output_gradients=tf.reshape(directions, tf.shape(rows)),
        unconnected_gradients=ZERO,
    )
    return tf.reshape(found, tf.shape(directions))
