"""What is said of an input that has two values in the probe, as 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.typing import Array

FEW = 10
"""Points at a value below which little of the data lies there: what the model makes of it is hardly
more than what it makes of so many examples.
"""


@dataclass(frozen=True)
class Change:
    """How much the output changes along an input that has two values in the probe.

    Attributes:
        start: the lower value.
        end: the higher one.
        size: mean |f at `end` − f at `start`|, all else as it is, in standard deviations of the
            output.
        points: of the probe at `start` and at `end`.
    """

    start: float
    end: float
    size: float
    points: tuple[int, int] = (0, 0)

    @property
    def way(self) -> str:
        """From where to where, in words."""
        return f"from {self.start:.4g} to {self.end:.4g}"

    @property
    def counts(self) -> str:
        """How many points of the probe have either value, in words; empty where that is not known.

        Example:
            >>> print(Change(0.0, 1.0, 0.2, (399, 1)).counts)
            399 points at 0, only 1 at 1: few to tell what it does
            >>> print(Change(0.0, 1.0, 0.2, (200, 100)).counts)
            200 points at 0, 100 at 1
        """
        if not any(self.points):
            return ""
        ends = zip(self.points, (self.start, self.end), strict=True)
        (more, often), (less, seldom) = sorted(ends, reverse=True) if self._few else tuple(ends)
        said = f"{more} points at {often:.4g}, {'only ' * self._few}{less} at {seldom:.4g}"
        return f"{said}: few to tell what it does" if self._few else said

    @property
    def short(self) -> str:
        """The same for a picture; empty where neither is few."""
        if not self._few:
            return ""
        least = min(self.points)
        at = self.start if self.points[0] == least else self.end
        return f"only {least} of {sum(self.points)} points at {at:.4g}"

    @property
    def _few(self) -> bool:
        return any(self.points) and min(self.points) < FEW


def change_between(column: Array, ends: Array, size: float) -> Change:
    """The change along an input, whose numbers at all points these are, between its two values."""
    start, end = (float(value) for value in ends)
    return Change(start, end, size, (int(np.sum(column == start)), int(np.sum(column == end))))
