"""How much of a computed value is rounding, and what that does to differences of values."""

from __future__ import annotations

import math

import numpy as np

from keras_curvature.typing import Array

POINTS = 8
"""Values on a short line, from which the noise of one of them is estimated."""

ORDER = 4
"""Of the differences of these values: a smooth function of this order is far below rounding."""

STEP = 1e-6
"""Between the points, in standard deviations of the inputs.

So short that hardly a kink lies between them, and long enough to be several steps of float32,
for the models that round to it.
"""


def offsets() -> Array:
    """Where on the line the values are wanted, in standard deviations."""
    return STEP * (np.arange(POINTS) - (POINTS - 1) / 2)


def noise(values: Array) -> Array:
    """Standard deviation of the rounding in one value.

    The differences of order `k` of values with independent errors of variance `s²` have the
    variance `s² (2k)! / (k!)²`, and what is smooth in the values is gone from them.

    Args:
        values: at `offsets` around several points, `(points, POINTS, outputs)`.

    Returns:
        `(outputs,)`: the median over the points, so that a kink at one of them does not count.

    Source:
        Moré and Wild, Estimating computational noise, SIAM Journal on Scientific Computing
        33, 2011.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    differences = np.diff(values, n=ORDER, axis=1)
    gain = math.comb(2 * ORDER, ORDER)
    return np.median(np.sqrt((differences**2).mean(axis=1) / gain), axis=0)


def in_second_difference(noise_of_value: Array, h: Array) -> Array:
    """What `(f(x + h) - 2 f(x) + f(x - h)) / h²` makes of the noise of one value."""
    return math.sqrt(6) * noise_of_value / h**2
