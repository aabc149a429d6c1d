"""Points where a claim does not hold, found by looking and proved by an enclosure."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.proofs.margins import Interval, Margins
from keras_curvature.typing import Array

CLOSER = (0.1, 0.03, 0.01, 0.003, 0.001)
"""Around the worst points it is looked closer so often, over these shares of the box's width."""

WORST, AROUND = 8, 32
"""So many of them are looked at, each at so many points around."""

SPANS = (2.0**-3, 2.0**-6, 2.0**-10)
"""Ways over which slopes are compared where there are kinks, as shares of the box's width."""

APART = 0.1
"""Least distance of two that are told, as a share of the box's width along some input."""

MOST = 5
"""That are told."""

AS_BAD = 0.98
"""Share of a violation that has to be left where its point is told in fewer digits."""

DIGITS = (3, 5, 7)
"""Of a share of the box's width, in which it is tried to tell a point."""


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

    def sample(self, points: Array, margins: Interval, deadline: float) -> None:
        """Looks at points, and closer where it looks worst.

        Args:
            points: of the box, `(n, d)`.
            margins: their bounds there.
            deadline: by `time.monotonic`, after which nothing is looked at closer.
        """
        width = self._high - self._low
        x, upper = points, margins[1]
        self._note(x, x, *margins)
        for share in () if self.kinked else CLOSER:
            if time.monotonic() >= deadline:
                break
            worst = x[np.argsort(upper)[:WORST]]
            moved = worst + share * width * self._random.normal(size=(AROUND, *worst.shape))
            x = np.concatenate([worst, moved.reshape(-1, len(width))])
            x = np.clip(x, self._low, self._high)
            upper = self.look(x)
        if self.kinked:
            self._sample_ways(points)

    def know(self, one: Violation) -> None:
        """Takes one that was found elsewhere."""
        self._found = [one]

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
        """The worst ones, away from each other, at points of few digits where these do."""
        return tuple(self._in_few_digits(one) for one in self._found)

    def _in_few_digits(self, one: Violation) -> Violation:
        """The same or hardly less of a violation at a point next to it that is shorter to write."""
        if (one.low != one.high).any():
            return one
        width = self._high - self._low
        decimals = [0 if w == 0 else 1 - math.floor(math.log10(w)) for w in width]
        x = np.stack([self._rounded(one.low, decimals, more) for more in DIGITS])
        lower, upper = self._margins.inside(x, x)
        enough = np.flatnonzero((upper < -self._tolerance) & (upper <= AS_BAD * one.upper))
        if not len(enough):
            return one
        i = enough[0]
        return Violation(x[i], x[i], float(lower[i]), float(upper[i]))

    def _rounded(self, x: Array, decimals: Sequence[int], digits: int) -> Array:
        """In so many digits of the box's width; at an end of the box as it is."""
        found = [
            value if value in (low, high) else round(value, places + digits - 2)
            for value, places, low, high in zip(
                x.tolist(), decimals, self._low.tolist(), self._high.tolist(), strict=True
            )
        ]
        return np.clip(found, self._low, self._high)

    def _apart(self) -> list[Violation]:
        width = np.where(self._high > self._low, self._high - self._low, 1.0)
        kept: list[Violation] = []
        for one in sorted(self._found, key=lambda one: one.upper):
            if all(np.abs((one.low - other.low) / width).max() > APART for other in kept):
                kept.append(one)
            if len(kept) == MOST:
                break
        return kept
