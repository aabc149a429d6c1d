"""The mean of samples, and its standard error."""

from __future__ import annotations

import tensorflow as tf


def mean_and_error(samples: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean along an axis, and its standard error `sqrt(Σ (s − mean)² / k(k − 1))`.

    The square of the error is an unbiased estimate of the variance of the mean. NaN for a
    single sample, which cannot tell.
    """
    k = samples.shape[axis]
    mean = tf.reduce_mean(samples, axis=axis, keepdims=True)
    if k == 1:
        error = tf.fill(tf.shape(mean), tf.constant(float("nan"), samples.dtype))
    else:
        squares = tf.reduce_sum(tf.square(samples - mean), axis=axis, keepdims=True)
        error = tf.sqrt(squares / (k * (k - 1)))
    return tf.squeeze(mean, axis), tf.squeeze(error, axis)
