"""The mean of samples, and its standard error."""

from __future__ import annotations

from keras_curvature.engines.api import xp
from keras_curvature.typing import Tensor


def mean_and_error(samples: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The mean along an axis, and its standard error `sqrt(Σ (s − mean)² / k(k − 1))`.

    The square of the error is an unbiased estimate of the variance of the mean. NaN for a
    single sample, which cannot tell.
    """
    k = samples.shape[axis]
    mean = xp.mean(samples, axis=axis, keepdims=True)
    if k == 1:
        error = xp.full(xp.lengths(mean), xp.constant(float("nan"), samples.dtype))
    else:
        squares = xp.sum(xp.square(samples - mean), axis=axis, keepdims=True)
        error = xp.sqrt(squares / (k * (k - 1)))
    return xp.squeeze(mean, axis), xp.squeeze(error, axis)
