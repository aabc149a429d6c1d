"""Where TensorFlow's own second derivatives are wrong or missing, and what replaces them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def is_stopped_mean_of_moments(op: tf.Operation) -> bool:
    """Whether `op` is the `stop_gradient` inside `tf.nn.moments`.

    The variance there is `mean(squared_difference(y, stop_gradient(mean(y))))`. Stopping
    the gradient leaves the first derivative right, since the deviations sum to zero, and
    the second one wrong: it misses the derivative of the mean. LayerNormalization,
    GroupNormalization and `keras.ops.moments` are built on it. A `stop_gradient` in any
    other place is somebody's intention and is not touched.
    """
    if op.type != "StopGradient" or op.inputs[0].op.type != "Mean":
        return False
    mean = op.inputs[0].op
    consumers = op.outputs[0].consumers()
    return bool(consumers) and all(_is_spread_about(mean, use) for use in consumers)


def _is_spread_about(mean: tf.Operation, op: tf.Operation) -> bool:
    """Whether `op` is `(y - mean(y))**2`, only ever averaged over the axes of `mean`."""
    values = mean.inputs[0]
    return (
        op.type == "SquaredDifference"
        and any(x is values for x in op.inputs)
        and all(_same_axes(mean, use) for use in op.outputs[0].consumers())
    )


def _same_axes(mean: tf.Operation, other: tf.Operation) -> bool:
    if other.type != "Mean":
        return False
    axes = [tf.get_static_value(op.inputs[1]) for op in (mean, other)]
    return mean.inputs[1] is other.inputs[1] or (
        all(a is not None for a in axes) and np.array_equal(*axes)
    )


@tf.custom_gradient
def _softsign(features: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """`x / (1 + |x|)`, whose gradient op has no gradient of its own in TensorFlow 2.21."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return upstream / tf.square(1 + tf.abs(features))

    return tf.raw_ops.Softsign(features=features), gradient


SUPPLIED: dict[str, Callable[..., tf.Tensor]] = {"Softsign": _softsign}
"""Op type -> the same op with derivatives of every order."""


def mended_ops(graph: tf.Graph) -> list[tf.Operation]:
    """The ops of a graph, functions not entered, that TensorFlow gets wrong."""
    return [
        op for op in graph.get_operations() if op.type in SUPPLIED or is_stopped_mean_of_moments(op)
    ]


__all__ = ["SUPPLIED", "is_stopped_mean_of_moments", "mended_ops"]
