"""Values as affine functions of the inputs, with an error: center + slopes (x - middle) +- error.

An interval forgets which inputs made it wide, so that widths add up from layer to layer where they
should cancel. An affine form keeps the inputs apart: linear maps take it on as it is, and a
function of a number as a line within whose distance the function stays (Stolfi and de Figueiredo,
Self-validated numerical methods and applications, 1997; in networks Singh et al., Fast and
effective robustness certification, NeurIPS 2018, and the forward mode of Xu et al., Automatic
perturbation analysis for scalable certified robustness, NeurIPS 2020). What errs is kept as one
number for each entry and not followed further. The bounds that it gives are met with the
interval's; each holds, so both do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.enclosures.functions import HasRange
from keras_curvature.enclosures.interval import SMALL, Interval, point
from keras_curvature.typing import Array

SLACK = 2.0**-48
"""More than what the few operations on an entry round, in units of what they are done on."""


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine form over a batch of boxes.

    Attributes:
        center: `(boxes, *shape)`, at the middle of the box; of derivatives with their directions
            behind the boxes.
        slopes: the same with the inputs behind the boxes.
        error: as `center`, 0 or more.
        radius: half the widths of the boxes, `(boxes, inputs)`.
        lead: how many axes of `center` stand in front of an example's.
    """

    center: Array
    slopes: Array
    error: Array
    radius: Array
    lead: int = 1

    def reach(self) -> Array:
        """How far the slopes take it from its center."""
        slopes = np.abs(self.slopes)
        radius = self.radius.reshape(*self.radius.shape, *(1,) * (slopes.ndim - 2))
        found: Array = (slopes * radius).sum(axis=1)
        return found

    def size(self) -> Array:
        """The largest magnitude on the way, of which rounding is a share."""
        found: Array = np.abs(self.center) + self.reach() + self.error
        return found

    def bounds(self) -> Interval:
        """The interval that it says."""
        room = (self.reach() + self.error) * (1 + SLACK) + SLACK * np.abs(self.center)
        lower, upper = self.center - room, self.center + room
        bad = np.isnan(lower) | np.isnan(upper)
        lower[bad], upper[bad] = -np.inf, np.inf
        return Interval(lower, upper)

    def moved(self, function: Callable[[Array, int], Array]) -> Affine:
        """What only moves numbers, told how many axes stand in front."""
        return Affine(
            function(self.center, self.lead),
            function(self.slopes, self.lead + 1),
            function(self.error, self.lead),
            self.radius,
            self.lead,
        )

    def along(self, directions: Array) -> Affine:
        """Of a derivative those along some directions, which may be twice the same."""
        return Affine(
            self.center[:, directions],
            self.slopes[:, :, directions],
            self.error[:, directions],
            self.radius,
            self.lead,
        )

    def for_each_direction(self) -> Affine:
        """Of a value: with an axis for directions."""
        return Affine(
            self.center[:, None], self.slopes[:, :, None], self.error[:, None], self.radius, 2
        )

    def product(self, other: Affine) -> Affine:
        """A product; what is of second order is an error."""
        one, two = self.reach(), other.reach()
        sizes = np.abs(self.center) + one, np.abs(other.center) + two
        error = one * two + self.error * (sizes[1] + other.error) + other.error * sizes[0]
        rounded = SLACK * ((sizes[0] + self.error) * (sizes[1] + other.error) + error)
        slopes = self.center[:, None] * other.slopes + other.center[:, None] * self.slopes
        return self._like(self.center * other.center, slopes, error + rounded)

    def square(self) -> Affine:
        """A square, whose part of second order is 0 or more."""
        reach, size = self.reach(), self.size()
        half = reach * reach / 2
        error = half + self.error * (2 * size - self.error) + SLACK * size * size
        slopes = 2 * self.center[:, None] * self.slopes
        return self._like(self.center * self.center + half, slopes, error)

    def _like(self, center: Array, slopes: Array, error: Array) -> Affine:
        error = error + SMALL  # for what underflows
        bad = ~np.isfinite(error)
        if bad.any():
            error = np.where(bad, np.inf, error)
            center = np.where(bad, 0.0, center)
            slopes = np.where(bad[:, None], 0.0, slopes)
        return Affine(center, slopes, error, self.radius, self.lead)

    def plus(self, other: Affine) -> Affine:
        """A sum."""
        rounded = SLACK * (self.size() + other.size())
        return self._like(
            self.center + other.center,
            self.slopes + other.slopes,
            self.error + other.error + rounded,
        )

    def negative(self) -> Affine:
        """The opposite."""
        return Affine(-self.center, -self.slopes, self.error, self.radius, self.lead)

    def times(self, factor: Array, room: Array | float = 0.0) -> Affine:
        """Multiples by numbers, `(1 or boxes, *shape)`, with an error besides."""
        error = np.abs(factor) * (self.error + SLACK * self.size()) + room
        return self._like(factor * self.center, factor[:, None] * self.slopes, error)

    def through_matrix(self, weights: Array, sizes: Array, norms: Array) -> Affine:
        """A product with a matrix on the last axis.

        Args:
            weights: `(inputs, outputs)`.
            sizes: their magnitudes.
            norms: the sums of these in each column.
        """
        n = len(weights) + 4
        largest = self.size().max(axis=-1, initial=0.0)[..., None]
        rounded = 4 * n * 2.0**-53 * largest * norms
        error = (self.error @ sizes) * (1 + 2 * n * 2.0**-53) + rounded
        return self._like(self.center @ weights, self.slopes @ weights, error)


def of_box(lower: Array, upper: Array, slopes: Array, radius: Array) -> Affine:
    """The inputs themselves.

    Args:
        lower: `(boxes, 1, *shape)`.
        upper: the other ends.
        slopes: the unit vectors, `(1, inputs, 1, *shape)`.
        radius: of all inputs, `(boxes, inputs)`.
    """
    center = lower / 2 + upper / 2
    error = SLACK * (np.abs(lower) + np.abs(upper)) + SMALL
    return Affine(center, slopes, error, radius)


def of_interval(x: Interval, radius: Array, lead: int = 1) -> Affine:
    """What nothing else is known of than an interval."""
    shape = (len(radius), *x.shape[1:])
    lower, upper = np.broadcast_to(x.lower, shape), np.broadcast_to(x.upper, shape)
    with np.errstate(invalid="ignore"):
        center = lower / 2 + upper / 2
        center = np.where(np.isfinite(center), center, 0.0)
        error = np.maximum(upper - center, center - lower) * (1 + SLACK)
    slopes = np.zeros((1, radius.shape[1], *shape[1:]))
    return Affine(center, slopes, error, radius, lead)


@dataclass(frozen=True, eq=False)
class Chords:
    """A function of numbers within intervals, as lines.

    Attributes:
        function: itself.
        x: the intervals.
        ranges: those of f and of its first three derivatives over them.
    """

    function: HasRange
    x: Interval
    ranges: list[Interval]

    @functools.cached_property
    def _middle(self) -> Array:
        return self.x.lower / 2 + self.x.upper / 2

    @functools.cached_property
    def _there(self) -> list[Interval]:
        return self.function.ranges(point(self._middle), 3)

    @functools.cached_property
    def _ends(self) -> Ends:
        one, other = (self.function.ranges(point(x), 2) for x in (self.x.lower, self.x.upper))
        return one, other

    def of(self, order: int, u: Affine) -> Affine:
        """A derivative of order 0, 1 or 2, along the nearest of a few lines.

        Args:
            order: of the derivative.
            u: the argument.
        """
        slope, offset, error = self.line(order)
        # A line that is level does not take on how far its argument may be.
        found = u.times(slope, error)
        return found._like(found.center + offset, found.slopes, found.error)

    def line(self, order: int) -> Line:
        """The nearest of a few, with what is rounded in its distance."""
        middle, width, at = self._middle, self.x.upper - self.x.lower, self._there
        value = (at[order].lower + at[order].upper) / 2
        lines = [
            _flat(self.ranges[order]),
            *_of_extreme_slope(self.x, self._ends, self.ranges[order + 1], order),
        ]
        if order < 2:
            lines.append(_tangent(at[order + 1], self.ranges[order + 2], middle, width, value))
        if order == 0:
            lines.append(_secant(self.x, self._ends, self.ranges[2]))
        slope, offset, error = lines[0]
        for other in lines[1:]:
            better = (other[2] < error) | np.isnan(error)
            slope, offset, error = (
                np.where(better, b, a) for a, b in zip((slope, offset, error), other, strict=True)
            )
        far = ~(np.isfinite(slope) & np.isfinite(offset) & np.isfinite(error))
        slope, offset, error = (
            np.where(far, y, x) for x, y in ((slope, 0.0), (offset, 0.0), (error, np.inf))
        )
        size = np.abs(self.x.lower) + np.abs(self.x.upper)
        blurred = at[order].upper - at[order].lower
        rounded = SLACK * (np.abs(offset) + np.abs(slope) * size + np.abs(value)) + blurred
        rounded = np.where(far, np.inf, rounded)
        return slope, offset, error * (1 + SLACK) + rounded


Line = tuple[Array, Array, Array]
"""Slope, offset at 0, and the distance within which the function stays."""

Ends = tuple[list[Interval], list[Interval]]
"""f, f' and f'' at the lower and at the upper ends."""


def _flat(range_: Interval) -> Line:
    """The middle of the range."""
    middle = range_.lower / 2 + range_.upper / 2
    return np.zeros_like(middle), middle, (range_.upper - range_.lower) / 2


def _of_extreme_slope(x: Interval, ends: Ends, slopes: Interval, order: int) -> list[Line]:
    """With the least slope, less which the function grows from end to end, and with the largest."""
    one, other = ends[0][order], ends[1][order]
    blurred = one.upper - one.lower + other.upper - other.lower
    a, b = (one.lower + one.upper) / 2, (other.lower + other.upper) / 2
    found: list[Line] = []
    for slope in (slopes.lower, slopes.upper):
        low, high = a - slope * x.lower, b - slope * x.upper
        found.append((slope, (low + high) / 2, np.abs(high - low) / 2 + blurred))
    return found


def _tangent(slopes: Interval, bends: Interval, middle: Array, width: Array, value: Array) -> Line:
    """The tangent in the middle, moved to the middle of what the second derivative adds to it."""
    slope = (slopes.lower + slopes.upper) / 2
    most = width * width / 8
    down, up = np.minimum(bends.lower, 0) * most, np.maximum(bends.upper, 0) * most
    error = (up - down) / 2 + (slopes.upper - slopes.lower) * width
    return slope, value - slope * middle + (up + down) / 2, error


def _secant(x: Interval, ends: Ends, bends: Interval) -> Line:
    """Of what is bent to one side: between its chord and its tangents at both ends."""
    one, other = ends
    width = x.upper - x.lower
    a, b = (one[0].lower + one[0].upper) / 2, (other[0].lower + other[0].upper) / 2
    slope = (b - a) / width
    # The tangents, from the left by the slope behind a kink and from the right by that before it.
    left = np.where(bends.lower >= 0, one[1].lower, one[1].upper)
    right = np.where(bends.lower >= 0, other[1].upper, other[1].lower)
    turn = right - left
    depth = np.where(turn == 0, 0.0, (slope - left) * (right - slope) / turn * width)
    sided = (bends.lower >= 0) | (bends.upper <= 0)
    error = np.where(sided, np.abs(depth) / 2, np.inf)
    error = error + np.abs(one[0].upper - one[0].lower) + np.abs(other[0].upper - other[0].lower)
    return slope, a - slope * x.lower - depth / 2, error


def side_by_side(forms: Sequence[Affine], sizes: Sequence[int]) -> Affine:
    """Forms with one axis behind those in front, one after the other."""
    radius = forms[0].radius

    def join(parts: Sequence[Array], lead: int) -> Array:
        front = np.broadcast_shapes(*(part.shape[:lead] for part in parts))
        whole = [
            np.broadcast_to(part, (*front, size)) for part, size in zip(parts, sizes, strict=True)
        ]
        return np.concatenate(whole, axis=-1)

    lead = forms[0].lead
    return Affine(
        join([form.center for form in forms], lead),
        join([form.slopes for form in forms], lead + 1),
        join([form.error for form in forms], lead),
        radius,
        lead,
    )
