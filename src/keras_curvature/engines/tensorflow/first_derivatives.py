"""First derivatives by TensorFlow's tapes, of the model as it is emitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.flat_function import FlatFunction

ZERO = tf.UnconnectedGradients.ZERO


def value_and_jacobian(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Value `(n, m)` and Jacobian `(n, m, d)`."""
    m = f.outputs.width
    rows, others, seeds = per_output(f, z, rest)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        # Selected, not multiplied: an infinite output must leave the values of others alone.
        y = tf.reduce_sum(tf.where(seeds > 0, f(rows, others), tf.zeros_like(seeds)), axis=1)
    gradient = tape.gradient(y, rows, unconnected_gradients=ZERO)
    return tf.reshape(y, [-1, m]), tf.reshape(gradient, [-1, m, f.inputs.width])


def per_output(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
    """Repeats every example once per output, each with the one-hot seed of that output.

    One scalar per row is all that reverse mode needs to know of several outputs.
    """
    m = f.outputs.width
    seeds = tf.tile(tf.eye(m, dtype=z.dtype), [tf.shape(z)[0], 1])
    if m == 1:
        return tf.identity(z), list(rest), seeds
    return tf.repeat(z, m, axis=0), [tf.repeat(r, m, axis=0) for r in rest], seeds


def row_gradients(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], seeds: tf.Tensor
) -> tf.Tensor:
    """The gradient of `seed . f` at each row, in the shape of `z`."""
    with tf.GradientTape(watch_accessed_variables=False) as inner:
        inner.watch(z)
        y = tf.reduce_sum(f(z, rest) * seeds)
    return inner.gradient(y, z, unconnected_gradients=ZERO)


def gradient(function: Callable[[tf.Tensor], tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
    """The gradient of a number for each row by that row."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        y = function(rows)
    return tape.gradient(y, rows, unconnected_gradients=ZERO)


def tiled(tensor: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    """The whole batch, `times` times over."""
    return tf.tile(tensor, [times, *[1] * (tensor.shape.rank - 1)])
