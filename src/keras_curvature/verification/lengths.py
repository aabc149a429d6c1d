"""How far an input is moved that does not vary, so that the examples do not tell its scale."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines.api import xp
from keras_curvature.typing import Array
from keras_curvature.verification.line_derivatives import IN_DOUBT, STEPS, Estimate
from keras_curvature.verification.truth import JUDGEABLE, Along, along

SHORTER = float(STEPS[-1] / STEPS[0])
LENGTHS = SHORTER ** np.arange(4)
"""Each begins where the steps of the one before end.

An adapted `Normalization` scales up a constant column by 1e7, and so bends over 1e-7 of it.
"""


def fitting(s: Subject) -> Subject:
    """The subject with inputs that do not vary in a length over which differences can judge.

    They are moved together. One length is right where a much shorter one says the same: where all
    steps are far too long, differences may settle on another number. Where none is, at a kink,
    they keep theirs.
    """
    z = xp.to_numpy(s.f64.point(s.bound.inputs.leaves)[0])
    still = z.min(axis=0) == z.max(axis=0)
    if not still.any():
        return s
    length = length_of(still, lambda length: _along(_scaled(s, still, length), still))
    return s if length is None else _scaled(s, still, length)


def length_of(still: NDArray[np.bool_], along_at: Callable[[float], Along]) -> float | None:
    """The first of `LENGTHS` over which differences can judge; `None` where there is none.

    Args:
        still: which inputs do not vary.
        along_at: what differences say along them when they are moved over a length.
    """
    found = along_at(LENGTHS[0])
    for length, shorter in itertools.pairwise(LENGTHS):
        before, found = found, along_at(shorter)
        if _agree(before, found):
            return float(length)
    return None


def _scaled(s: Subject, still: NDArray[np.bool_], length: float) -> Subject:
    factor = np.where(still, length, 1.0)
    return dataclasses.replace(s, spread=s.spread * factor, v=s.v * factor)


def _along(s: Subject, still: NDArray[np.bool_]) -> Along:
    direction = s.spread * still / np.sqrt(still.sum())
    return along(s, np.broadcast_to(direction, (s.count, 1, len(direction))))


def _agree(long: Along, short: Along) -> bool:
    level, bent = long.sizes(slice(None))
    slope, curvature = short.slope, short.curvature
    return _same(long.slope, slope.times(np.array(1 / SHORTER)), level) and _same(
        long.curvature, curvature.times(np.array(1 / SHORTER**2)), bent
    )


def _same(long: Estimate, short: Estimate, floor: Array) -> bool:
    """Whether at half of the places one can be judged by and the other does not contradict it."""
    with np.errstate(invalid="ignore"):
        little = JUDGEABLE * np.maximum(np.abs(long.value).max(axis=(0, 1)), floor)
        apart = np.abs(long.value - short.value)
        same = apart <= IN_DOUBT * (long.doubt + short.doubt) + little
    return float((same & (long.doubt <= little)).mean()) >= 0.5
