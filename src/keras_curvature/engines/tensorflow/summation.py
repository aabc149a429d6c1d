"""Sums over the directions: the same number in the way that is faster, with its plain gradient."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines.tensorflow.private import inside_xla
from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient

Map = Callable[[tf.Tensor], tf.Tensor]

ADDED_UP = range(4, 9)
"""Numbers of directions whose sum XLA gets as additions, which it fuses and shares out over the
cores; a reduction along the first axis keeps one core busy, and is the faster of fewer and more."""


def summed(products: tf.Tensor) -> tf.Tensor:
    """The sum of a stack over the directions, with one slice."""
    if inside_xla() and products.shape[0] in ADDED_UP:
        return _added_up(products)
    return tf.reduce_sum(products, axis=0, keepdims=True)


@safe_custom_gradient
def _added_up(products: tf.Tensor) -> tuple[tf.Tensor, Map]:
    """Additions, whose own gradient would be put together from slices."""
    total = tf.add_n(tf.split(products, products.shape[0]))
    return total, lambda upstream: tf.broadcast_to(upstream, tf.shape(products))


@safe_custom_gradient
def summed_squares(stack: tf.Tensor) -> tuple[tf.Tensor, Map]:
    """The sum of a stack's squares over the directions, in one pass over the memory.

    `tf.square` and `tf.reduce_sum` take three. The op has no kernel for XLA, which needs none:
    it fuses the two. The norm's own gradient is not finite at 0, where that of its square is 0.
    """
    norm = tf.math.reduce_euclidean_norm(stack, axis=0, keepdims=True)
    return tf.square(norm), lambda upstream: 2 * stack * upstream
