"""Softmax and its kin, with derivatives that keep their digits where one entry outweighs the rest.

The slope of the largest probability is `p (t - Σ pⱼ tⱼ)`, of which nothing is left in float32 once
`p` rounds to 1. Less the largest entry's own `t`, the sum has no such `p` in it.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient


def deviation(p: tf.Tensor, stack: tf.Tensor) -> tf.Tensor:
    """`t - Σ p t` along the last axis.

    Args:
        p: probabilities.
        stack: of their shape, or with more axes in front.
    """
    relative = stack - tf.reduce_sum(_largest(p) * stack, axis=-1, keepdims=True)
    return relative - tf.reduce_sum(p * relative, axis=-1, keepdims=True)


@safe_custom_gradient
def softmax(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """`exp(xᵢ) / Σ exp(xⱼ)` along the last axis."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        p = softmax(x)
        return p * deviation(p, upstream)

    return tf.nn.softmax(x), gradient


def log_softmax(x: tf.Tensor) -> tf.Tensor:
    """Its logarithm, relative to the largest entry, whose own 0 depends on nothing."""
    largest, zero = tf.cast(_largest(x), tf.bool), tf.zeros([], x.dtype)
    highest = tf.reduce_sum(tf.where(largest, x, zero), axis=-1, keepdims=True)
    relative = tf.where(largest, zero, x - highest)
    return relative - tf.math.log(tf.reduce_sum(tf.exp(relative), axis=-1, keepdims=True))


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The negative log-probability of the labels, and its gradient.

    Args:
        logits: `(batch, classes)`.
        labels: probabilities of that shape.
    """
    loss = -tf.reduce_sum(labels * log_softmax(logits), axis=-1)
    return loss, softmax(logits) - labels


def sparse_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `cross_entropy`, for the number of the right class: `(batch,)`."""
    return cross_entropy(logits, tf.one_hot(labels, tf.shape(logits)[-1], dtype=logits.dtype))


def _largest(x: tf.Tensor) -> tf.Tensor:
    """1 for the largest entry of each row, or the first of several, and 0 for the others."""
    places = tf.argmax(x, axis=-1, output_type=tf.int32)
    return tf.one_hot(places, tf.shape(x)[-1], dtype=x.dtype)
