"""Curvature over many distances, each half as long as the one before.

Where a function is smooth the curvature does not depend on the distance, once that is short.
Where it is made of kinks the curvature of single places grows as `1 / sqrt(h)`; where rounding
takes over it grows as `1 / h²`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.measurement import rounding_noise
from keras_curvature.measurement.windows import second_difference
from keras_curvature.typing import Array, Tensor

SCALES = 12
"""From one standard deviation of the inputs to 1 / 2048 of it."""

DISTANCES: Array = 0.5 ** np.arange(SCALES)
"""In standard deviations of the inputs, measured along the line."""

CENTRES = 8
"""Lines on which the curvature is taken.

With `2 SCALES + 1` points on each for the curvature, and `rounding_noise.POINTS` for the rounding,
these are 264 evaluations of the model, without a derivative.
"""


OFFSETS: Array = np.concatenate([[0.0], DISTANCES, -DISTANCES])
"""Where on each line the curvature needs the function, in standard deviations.

The distances are halved from one to the next so that most places serve three differences:
around the centre, and around both ends of a window half as wide.
"""

PLACES: Array = np.concatenate([OFFSETS, rounding_noise.offsets()])
"""All places on each line."""


@dataclass(frozen=True)
class ScaleLines:
    """The lines, the same for every epoch: from probe points towards other ones.

    Attributes:
        start: which probe points lie at their centres.
        unit: a step of one standard deviation along each, `(lines, d)`; 0 where both points
            are one.
        inside: which of `OFFSETS` lie within the range of the probe, `(lines, 2 SCALES + 1)`.
    """

    start: NDArray[np.integer]
    unit: Array
    inside: NDArray[np.bool_]


def scale_lines(z: Array, spread: Array, lines: int = CENTRES) -> ScaleLines:
    """Lines through some of the points `z`, `(n, d)`."""
    order = np.random.default_rng(0).permutation(len(z))
    start, end = order[:lines], np.roll(order, -1)[:lines]
    steps = (z[end] - z[start]) / spread
    length = np.linalg.norm(steps, axis=1, keepdims=True)
    unit = spread * np.divide(steps, length, out=np.zeros_like(steps), where=length > 0)
    places = z[start, None] + OFFSETS[:, None] * unit[:, None]
    low, high = z.min(axis=0), z.max(axis=0)
    slack = 1e-6 * (high - low)  # an end that is just touched is inside
    inside = np.all((places >= low - slack) & (places <= high + slack), axis=2)
    return ScaleLines(start, unit, inside & (length > 0))


def values(f: FlatFunction, z: Tensor, unit: Tensor, rest: Sequence[Tensor]) -> Tensor:
    """The function at all places of the lines through `z`, `(lines, places, outputs)`."""
    rows = z[:, None] + xp.constant(PLACES, z.dtype)[:, None] * unit[:, None]
    count = len(PLACES)
    y = f(xp.reshape(rows, [-1, f.inputs.width]), [xp.repeat(r, count, axis=0) for r in rest])
    return xp.reshape(y, [-1, count, f.outputs.width])


def differences(values: Array, inside: NDArray[np.bool_]) -> Array:
    """Second differences at every distance, per squared standard deviation.

    Args:
        values: at `OFFSETS`, `(lines, 2 SCALES + 1, outputs)`.
        inside: whether each of these places lies within the range of the probe.

    Returns:
        `(SCALES, 3 lines, outputs)`; NaN where a window leaves the range.
    """
    values = np.where(inside[..., None] & np.isfinite(values), values, np.nan)
    here, ahead, behind = np.split(values, [1, 1 + SCALES], axis=1)
    around = second_difference(behind, here, ahead)
    # x, x + h and x + 2h, where 2h is the distance before.
    beyond = [second_difference(here, side[:, 1:], side[:, :-1]) for side in (ahead, behind)]
    missing = np.full_like(here, np.nan)
    found = [around, *(np.concatenate([missing, side], axis=1) for side in beyond)]
    return np.concatenate(found).swapaxes(0, 1) / DISTANCES[:, None, None] ** 2
