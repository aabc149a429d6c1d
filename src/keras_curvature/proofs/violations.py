"""Points where a claim does not hold, found by looking and proved by an enclosure."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from keras_curvature.proofs.margins import Margins
from keras_curvature.typing import Array

SAMPLED = 2048
"""Points that are looked at before anything is cut."""

CLOSER = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Around the worst points it is looked closer so often, over these shares of the box's width."""

WORST, AROUND = 8, 64
"""So many of them are looked at, each at so many points around."""

SPANS = (2.0**-3, 2.0**-6, 2.0**-10)
"""Ways over which slopes are compared where there are kinks, as shares of the box's width."""

APART = 0.1
"""Least distance of two that are told, as a share of the box's width along some input."""

MOST = 5
"""That are told."""

MOST_CORNERS = 256
"""Corners of the box that are sampled."""


@dataclass(frozen=True)
class Violation:
    """Where a claim does not hold.

    Attributes:
        low: the point, `(d,)`, or the beginning of a way along the input.
        high: the same point, or the end of the way, over which the mean is taken.
        lower: of the margin there.
        upper: likewise; negative.
    """

    low: Array
    high: Array
    lower: float
    upper: float


class Violations:
    """Those of one claim in one box.

    Attributes:
        kinked: whether slopes are compared over ways, too: a kink is at no point that is sampled.
    """

    def __init__(self, margins: Margins, low: Array, high: Array, tolerance: float) -> None:
        """Knows of none."""
        self._margins, self._low, self._high, self._tolerance = margins, low, high, tolerance
        self._random = np.random.default_rng(0)
        self._found: list[Violation] = []
        self.kinked = False

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._found)

    def sample(self) -> None:
        """Looks at random points, at corners, and closer where it looks worst."""
        width = self._high - self._low
        shares = self._random.random((SAMPLED, len(width)))
        points = [self._low + shares * width, *self._corners()]
        x = np.concatenate(points)
        for share in (*CLOSER, None):
            upper = self.look(x)
            if share is None or self.kinked:
                break
            worst = x[np.argsort(upper)[:WORST]]
            moved = worst + share * width * self._random.normal(size=(AROUND, *worst.shape))
            x = np.concatenate([worst, moved.reshape(-1, len(width))])
            x = np.clip(x, self._low, self._high)
        if self.kinked:
            self._sample_ways(points[0])

    def _corners(self) -> list[Array]:
        active = np.flatnonzero(self._high > self._low)
        if 2 ** len(active) > MOST_CORNERS:
            return []
        ends = [(a, b) if b > a else (a,) for a, b in zip(self._low, self._high, strict=True)]
        return [np.array(list(itertools.product(*ends)))]

    def _sample_ways(self, x: Array) -> None:
        (i,) = self._margins.claim.inputs
        for span in SPANS:
            low, high = x.copy(), x.copy()
            reach = span * (self._high[i] - self._low[i]) / 2
            low[:, i] = np.maximum(x[:, i] - reach, self._low[i])
            high[:, i] = np.minimum(x[:, i] + reach, self._high[i])
            if reach > 0:
                self._note(low, high, *self._margins.between(low, high))

    def look(self, x: Array) -> Array:
        """Looks at points `(n, d)`; gives what the margin is at most there."""
        lower, upper = self._margins.inside(x, x)
        self._note(x, x, lower, upper)
        return upper

    def _note(self, low: Array, high: Array, lower: Array, upper: Array) -> None:
        wrong = np.flatnonzero(upper < -self._tolerance)
        wrong = wrong[np.argsort(upper[wrong])][: MOST * WORST]
        self._found += [Violation(low[i], high[i], float(lower[i]), float(upper[i])) for i in wrong]
        self._found = self._apart()

    def worst(self) -> tuple[Violation, ...]:
        """The worst ones, away from each other."""
        return tuple(self._found)

    def _apart(self) -> list[Violation]:
        width = np.where(self._high > self._low, self._high - self._low, 1.0)
        kept: list[Violation] = []
        for one in sorted(self._found, key=lambda one: one.upper):
            if all(np.abs((one.low - other.low) / width).max() > APART for other in kept):
                kept.append(one)
            if len(kept) == MOST:
                break
        return kept
