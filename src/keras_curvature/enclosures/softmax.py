"""Softmax along an axis, and its logarithm.

p_i = 1 / sum_j exp(z_j - z_i) gets larger with z_i and smaller with the others, so that its range
is known exactly. Its slopes are p_i (u_i - m) with the mean m = sum_j p_j u_j, its second
derivatives p_i ((u_i - m)(v_i - m) + w_i - sum_j p_j w_j - c), with c the covariance of u and v
under p. Those of log p_i lack the factor p_i and the first product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.functions import MARGIN
from keras_curvature.enclosures.interval import SMALL, Interval, both, outward
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.use import Apply, Rule, Use
from keras_curvature.typing import Array


def softmax_along(axis: int, log: bool) -> Apply:
    """Along an axis counted from the end."""

    def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        found = jets[0]
        p, log_p = _shares(found.value, axis)
        value = log_p if log else p
        if found.slope is None:
            return [JetBounds(value)]
        shares = p[:, None]
        deviation = interval.subtract(found.slope, _mean(shares, found.slope, axis))
        slope = deviation if log else interval.multiply(shares, deviation)
        if not len(pairs.first):
            return [JetBounds(value, slope)]
        i, j = pairs.first, pairs.second
        if pairs.on_diagonal:
            crossed = interval.square(deviation[:, i])
        else:
            crossed = interval.multiply(deviation[:, i], deviation[:, j])
        spread = _mean(shares, crossed, axis)
        if pairs.on_diagonal:  # a variance is no more than a quarter of the range's square
            spread = both(spread, _most_variance(found.slope[:, i], axis))
        bend = interval.negative(spread).map(lambda x: np.broadcast_to(x, crossed.shape))
        if not log:
            bend = interval.add(crossed, bend)
        if found.bend is not None:
            own = interval.subtract(found.bend, _mean(shares, found.bend, axis))
            bend = interval.add(bend, own)
        return [JetBounds(value, slope, bend if log else interval.multiply(shares, bend))]

    return apply


def _shares(z: Interval, axis: int) -> tuple[Interval, Interval]:
    """The probabilities, and their logarithms."""
    top = z.upper.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = np.exp(z.lower - top), np.exp(z.upper - top)
        others_high = _sum_of_others(high, axis)
        others_low = _sum_of_others(low, axis)
        p = outward(low / (low + others_high), high / (high + others_low), MARGIN + z.shape[axis])
        lower = z.lower - top - np.log(low + others_high)
        upper = z.upper - top - np.log(high + others_low)
    # What underflows is hardly known.
    p.lower[p.lower < SMALL] = 0.0
    p.upper[p.upper < SMALL] = SMALL
    lower[low + others_high < SMALL] = -np.inf
    upper[high + others_low < SMALL] = np.inf
    # Absolute errors: of the exponents' differences, and of the logarithms of sums.
    size = 2.0**-50 * (MARGIN + z.shape[axis] + np.abs(top) + np.abs(z.lower) + np.abs(z.upper))
    unknown = np.isnan(p.lower) | np.isnan(p.upper)
    p = Interval(np.maximum(p.lower * (1 - size), 0.0), np.minimum(p.upper * (1 + size), 1.0))
    p.lower[unknown], p.upper[unknown] = 0.0, 1.0
    log_p = Interval(lower - size, np.minimum(upper + size, 0.0))
    bad = np.isnan(log_p.lower) | np.isnan(log_p.upper)
    log_p.lower[bad], log_p.upper[bad] = -np.inf, 0.0
    return p, log_p


def _sum_of_others(x: Array, axis: int) -> Array:
    """Sums without the entry itself, without subtracting it."""
    x = np.moveaxis(x, axis, -1)
    before = np.concatenate([np.zeros_like(x[..., :1]), np.cumsum(x, -1)[..., :-1]], axis=-1)
    back = np.cumsum(x[..., ::-1], -1)[..., ::-1]
    after = np.concatenate([back[..., 1:], np.zeros_like(x[..., :1])], axis=-1)
    return np.moveaxis(before + after, -1, axis)


def _mean(p: Interval, u: Interval, axis: int) -> Interval:
    """sum_j p_j u_j, of shares that add up to 1: no less than the least u, no more than the most.

    The extremes over all shares within their bounds that add up to 1 are those of a continuous
    knapsack: what is left of 1 goes to the largest u first (Dantzig, 1957).
    """
    lower = -_largest_mean(p, -u.lower, axis)
    upper = _largest_mean(p, u.upper, axis)
    room = 2.0**-50 * (8 + 2 * p.shape[axis])
    largest = np.maximum(np.abs(u.lower), np.abs(u.upper)).max(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore"):
        lower, upper = lower - room * largest, upper + room * largest
    lower[np.isnan(lower)], upper[np.isnan(upper)] = -np.inf, np.inf
    return Interval(lower, upper)


def _largest_mean(p: Interval, u: Array, axis: int) -> Array:
    shape = np.broadcast_shapes(p.shape, u.shape)
    low, high, u = (np.moveaxis(np.broadcast_to(x, shape), axis, -1) for x in (p.lower, p.upper, u))
    order = np.argsort(-u, axis=-1)
    low, high, u = (np.take_along_axis(x, order, axis=-1) for x in (low, high, u))
    left = np.maximum(1 - low.sum(axis=-1, keepdims=True), 0)
    free = high - low
    before = np.cumsum(free, axis=-1) - free
    taken = low + np.clip(left - before, 0, free)
    with np.errstate(invalid="ignore"):
        terms = np.where(taken == 0, 0.0, taken * u)
    return np.moveaxis(terms.sum(axis=-1, keepdims=True), -1, axis)


def _most_variance(u: Interval, axis: int) -> Interval:
    """Between 0 and a quarter of the squared range (Popoviciu, 1935)."""
    with np.errstate(invalid="ignore"):
        range_ = u.upper.max(axis=axis, keepdims=True) - u.lower.min(axis=axis, keepdims=True)
        most = range_ * range_ / 4 * (1 + 2.0**-48)
    most[np.isnan(most)] = np.inf
    return Interval(np.zeros_like(most), most)


def softmax(log: bool) -> Rule:
    """The op, along its axis."""

    def rule(use: Use) -> Apply:
        axis = use.param("dim", -1)
        return softmax_along(axis if axis < 0 else axis - len(use.shape), log)

    return rule
