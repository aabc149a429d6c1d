"""How far apart the numbers of a dtype lie, beside the spread of each input over a probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_curvature.typing import Array

FINE = 16 * float(np.finfo(np.float32).eps)
"""Spacing in float32, in standard deviations, beyond which lines between points need float64.

Standardised inputs have a quarter of it. Half of a spacing is what places on a line are off by, and
a slope that changes by its own size over a standard deviation is off by as much of itself: an
eighth of what `segment_slopes.SLOPE_TOLERANCE` leaves to rounding.
"""

COARSE = 0.01
"""Spacing, in standard deviations, from which an input is told of: hundreds of numbers are all that
it has in the probe."""


def spacing(points: Array, spread: Array, eps: float) -> Array:
    """Of the numbers of a dtype around the largest of each input, in standard deviations, `(d,)`.

    0 for an input that is the same everywhere. Where a few points have all of the variance, as in a
    column of zeros and a rare one, a quarter of the range counts: that is how far lines go.

    Args:
        points: `(n, d)`.
        spread: the standard deviation of each input, `(d,)`; 1 where it is constant.
        eps: of the dtype.
    """
    largest = np.abs(points).max(axis=0)
    power = np.floor(np.log2(largest, out=np.zeros_like(largest), where=largest > 0))
    apart = np.where(largest > 0, eps * 2.0**power, 0.0)
    reach = np.ptp(points, axis=0)
    return np.where(reach > 0, apart / np.maximum(spread, reach / 4), 0.0)


def coarse(names: Sequence[str], spacing: Array) -> Mapping[str, float]:
    """The inputs of which a dtype has few numbers, and their spacing in standard deviations."""
    return {names[i]: float(spacing[i]) for i in np.flatnonzero(spacing >= COARSE).tolist()}
