"""Power series of softmax and its logarithm, of deviations that keep their digits.

What all entries of a row have in common changes nothing, so it may be taken away at every order:
with `u = z - Σ p z`, whose value counts as 0, `softmax(z) = p exp(u) / Σ p exp(u)`.
"""

from __future__ import annotations

import math

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.series import Series
from keras_curvature.typing import Tensor


def softmax_series(u: Series, p: Tensor, axis: int) -> Series:
    """The series of `p`.

    Args:
        u: the deviations of the logits from their mean by `p`.
        p: probabilities.
        axis: along which they add up to 1, counted from the end.
    """
    weights, total = _weights_and_total(u, p, axis)
    found = weights * total.reciprocal()
    return Series(u.orders, p, found.coefficients)


def log_softmax_series(u: Series, p: Tensor, y: Tensor, axis: int) -> Series:
    """The series of `y = log(p)`, likewise."""
    _, total = _weights_and_total(u, p, axis)
    one = xp.ones_like(p)
    terms = [0 * one, *((-1) ** (k + 1) / k * one for k in range(1, u.orders.highest + 1))]
    found = u - total.through(terms)
    return Series(u.orders, y, found.coefficients)


def _weights_and_total(u: Series, p: Tensor, axis: int) -> tuple[Series, Series]:
    """`p exp(u)`, and its sum in the place of each entry."""
    weights = u.through([p / math.factorial(k) for k in range(u.orders.highest + 1)])
    one = xp.ones_like(p)

    def summed(stack: Tensor) -> Tensor:
        return xp.sum(stack, axis=axis, keepdims=True) * one

    return weights, weights.map(summed, one)
