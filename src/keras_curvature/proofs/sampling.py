"""Points that are looked at for all claims at once before anything is cut."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from keras_curvature.proofs.margins import Enclose, Interval
from keras_curvature.typing import Array

SAMPLED = 2048
"""Points that are looked at."""

PART = 256
"""Points after which the clock is looked at."""

MOST_CORNERS = 256
"""Corners of the box that are sampled."""


@dataclass(frozen=True)
class Sample:
    """Points of a box, and what is known at each.

    Attributes:
        points: `(n, d)`.
        bounds: of each quantity there.
    """

    points: Array
    bounds: Mapping[str, Interval]


def sampled(
    enclose: Enclose,
    low: Array,
    high: Array,
    quantities: Sequence[str],
    pool: ThreadPoolExecutor,
    deadline: float = math.inf,
) -> Sample:
    """Corners of a box and random points of it, with all that claims ask of each.

    What several derivatives have in common is computed once.

    Args:
        enclose: the model.
        low: lower corner of the box, `(d,)`.
        high: upper corner.
        quantities: that the claims are about.
        pool: of threads.
        deadline: by `time.monotonic`, after which no further points are looked at; the first are.
    """
    shares = np.random.default_rng(0).random((SAMPLED, len(low)))
    x = np.concatenate([*_corners(low, high), low + shares * (high - low)])
    names = list(dict.fromkeys(quantities))

    def looked_at(start: int) -> tuple[Array, Mapping[str, Interval]] | None:
        if start and time.monotonic() >= deadline:
            return None
        part = x[start : start + PART]
        return part, enclose(part, part, names)

    parts = [one for one in pool.map(looked_at, range(0, len(x), PART)) if one is not None]
    ends = {
        name: tuple(np.concatenate([found[name][side] for _, found in parts]) for side in (0, 1))
        for name in names
    }
    return Sample(
        np.concatenate([part for part, _ in parts]),
        {name: (lower, upper) for name, (lower, upper) in ends.items()},
    )


def _corners(low: Array, high: Array) -> list[Array]:
    active = np.flatnonzero(high > low)
    if 2 ** len(active) > MOST_CORNERS:
        return []
    ends = [(a, b) if b > a else (a,) for a, b in zip(low, high, strict=True)]
    return [np.array(list(itertools.product(*ends)))]
