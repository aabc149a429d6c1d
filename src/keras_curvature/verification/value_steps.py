"""Steps in the values of a function, of prices rounded to cents, say, or of half precision.

On a plateau every difference is 0 and agrees with every other, which says nothing of the function
before it was rounded. So steps count as rounding of their size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_curvature.typing import Array

LENGTHS: Array = 10.0 ** -np.arange(9)
"""Of lines, in standard deviations: on some of them neighbours are a few steps apart."""

POINTS = 8
"""Values on a line, at places of which no two are alike: those of a straight line would be evenly
apart at even places."""

FEW, MULTIPLES = 6, 1e4
"""Differences that show the step, at least; and up to how many steps they may be."""

OFF = 0.02
"""Share of a step by which a multiple of it may be off."""

MARGIN = 64
"""Times the last bit of the largest value below which a difference is none."""

WIDE = 1e-4
"""Length of lines, in standard deviations, with jumps where shorter ones have none: differences
agree on such plateaus, which are wider than float32's."""

MOST = 0.5
"""Share of the lines that have them, at least: flat parts of a function are not everywhere."""

OF_FLOATS = 2.0**-21
"""Steps of this share of the values, and smaller ones, may be those of float32."""


def places(rng: np.random.Generator, lines: int) -> Array:
    """Where values are wanted, `(lines, lengths, POINTS)`, in standard deviations."""
    return rng.uniform(-1, 1, size=(lines, len(LENGTHS), POINTS)) * LENGTHS[:, None]


def steps(values: Array, dtype: str) -> Array:
    """The step that all values of an output are apart by multiples of, 0 where there is none.

    Args:
        values: at `places`, `(lines, lengths, POINTS, outputs)`.
        dtype: that the function says its values are of.

    Returns:
        `(outputs,)`.
    """
    last_bit = float(np.finfo(dtype).eps) if dtype in ("float16", "float32", "float64") else 2.0**-7
    return np.array([_step(values[..., k], last_bit) for k in range(values.shape[-1])])


def _step(values: Array, last_bit: float) -> float:
    largest = float(np.abs(values).max())
    if not np.isfinite(largest) or not largest:
        return 0.0
    gaps = np.diff(np.sort(values, axis=2), axis=2)
    none = gaps <= MARGIN * last_bit * largest
    if none.all() or none[:, -2:].mean() < 0.5:  # values on the shortest lines differ
        return 0.0
    step = float(gaps[~none].min())
    countable = min(MULTIPLES, OFF * step / (2 * last_bit * largest))
    multiples = gaps[~none & (gaps <= countable * step)] / step
    different = np.unique(np.round(values / step)).size
    if different < 4:
        return 0.0
    whole = np.round(multiples)
    odd = multiples.size < FEW or bool((np.abs(multiples - whole) > OFF).any())
    if odd or _of_floats(values, step):
        return _jump(gaps) if last_bit < WIDE else 0.0
    return float(np.median(multiples * step / whole))


def _jump(gaps: Array) -> float:
    """The largest jump from one plateau to the next, where these are wide, as of half precision."""
    moved: NDArray[np.bool_] = np.any(gaps > 0, axis=2)
    shortest = moved.shape[1] - 1 - np.argmax(moved[:, ::-1], axis=1)  # with a jump
    if np.mean(LENGTHS[shortest] * np.any(moved, axis=1) >= WIDE) < MOST:
        return 0.0
    first = gaps[np.arange(len(gaps)), shortest]
    least = np.where(first > 0, first, np.inf).min(axis=1)
    return float(least[np.isfinite(least)].max())


def _of_floats(values: Array, step: float) -> bool:
    """Whether the values may have such steps because they are computed in a narrow dtype."""
    size = float(np.median(np.abs(values)))
    with np.errstate(over="ignore"):
        narrow, half = values.astype(np.float32), values.astype(np.float16)
    if (narrow == values).all():
        if (narrow.view(np.uint32) & 0xFFFF == 0).all():  # bfloat16
            return step <= size * 2.0**-7
        return step <= size * (2.0**-10 if (half == values).all() else OF_FLOATS)
    return step <= size * OF_FLOATS and not _is_round(step)


def _is_round(step: float) -> bool:
    """Whether it is 1, 2 or 5 times a power of 10, which no dtype's own steps are."""
    leading = step / 10.0 ** np.floor(np.log10(step))
    return bool(np.abs(leading / np.array([1, 2, 5, 10]) - 1).min() < 1e-3)
