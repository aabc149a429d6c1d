"""Arrays of intervals, rounded outwards.

Every result holds the real numbers that it stands for, whatever float64 rounds: a sum, a product or
a quotient is off by at most half a unit in its last place (IEEE 754), and is moved outwards by a
whole one. Bounds may be infinite; 0 times an infinite bound is 0, as what is infinite here is the
limit of what is finite (see `functions`).

A result whose magnitude is under 1e-290 is bounded by that and by 0, on the side that its sign
says, as float64 may lose it; an exact 0 stays one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.typing import Array

UNIT = 2.0**-52
"""More than the relative error of an operation, 2^-53, by what its own computation rounds."""

SMALL = 1e-290
"""Results whose magnitude is less may have lost digits, or all of themselves."""

LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True, eq=False)
class Interval:
    """All numbers between two arrays of one shape."""

    lower: Array
    upper: Array

    has_terms = False
    """Whether it knows how it depends on the place in the box: see `taylor_model`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of either array."""
        return self.lower.shape

    def map(self, function: Callable[[Array], Array]) -> Interval:
        """What only moves numbers, done to both."""
        if self.lower is self.upper:
            return point(function(self.lower))
        return Interval(function(self.lower), function(self.upper))

    def __getitem__(self, key: Any) -> Interval:
        if self.lower is self.upper:
            return point(self.lower[key])
        return Interval(self.lower[key], self.upper[key])

    def plus(self, other: Interval) -> Interval:
        """A sum, of what has terms."""
        raise NotImplementedError

    def times(self, other: Interval) -> Interval:
        """A product, of what has terms."""
        raise NotImplementedError

    def opposite(self) -> Interval:
        """With the other sign, of what has terms."""
        raise NotImplementedError

    def linear_map(self, function: Any) -> Interval:
        """A linear map that acts on the last axis, of what has terms."""
        raise NotImplementedError


def point(x: Array) -> Interval:
    """Intervals of one number each."""
    return Interval(x, x)


def whole(shape: tuple[int, ...]) -> Interval:
    """Nothing is known."""
    return Interval(np.full(shape, -np.inf), np.full(shape, np.inf))


def outward(lower: Array, upper: Array, units: float = 1.0) -> Interval:
    """Fresh results of operations, moved outwards in place."""
    room = np.abs(lower)
    room *= units * UNIT
    lower -= room
    np.abs(upper, out=room)
    room *= units * UNIT
    upper += room
    # Only a bound that overflowed to the wrong side is no number now.
    for bound, limit in ((lower, LARGEST), (upper, -LARGEST)):
        bad = np.isnan(bound)
        if bad.any():
            bound[bad] = limit
    return Interval(lower, upper)


def add(a: Interval, b: Interval) -> Interval:
    """Sums."""
    if a.has_terms or b.has_terms:
        return a.plus(b) if a.has_terms else b.plus(a)
    return outward(a.lower + b.lower, a.upper + b.upper)


def negative(a: Interval) -> Interval:
    """What is opposite."""
    if a.has_terms:
        return a.opposite()
    return Interval(-a.upper, -a.lower)


def subtract(a: Interval, b: Interval) -> Interval:
    """Differences."""
    return add(a, negative(b))


def _times(a: Array, b: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found = a * b
    bad = np.isnan(found)
    if bad.any():
        found[bad] = 0.0
    return found


def _least(*ends: Array) -> float:
    """The least magnitude that is not 0."""
    return min(float(np.min(np.abs(x), where=x != 0, initial=np.inf)) for x in ends)


def apart_from_0(y: Array, is_zero: Any) -> tuple[Array, Array]:
    """Computed results rounded towards 0 and away from it, down and up, where they are small.

    Args:
        y: the results, of which a 0 has the sign of what it may have been.
        is_zero: where a 0 is exact.
    """
    small = (np.abs(y) < SMALL) & ~((y == 0) & is_zero)
    below = np.signbit(y)
    return (
        np.where(small, np.where(below, -SMALL, 0.0), y),
        np.where(small, np.where(below, 0.0, SMALL), y),
    )


def _with_small_products(a: Interval, b: Interval) -> Interval:
    """Products, of which some may be too small for float64."""
    ends = [
        apart_from_0(_times(x, y), (x == 0) | (y == 0))
        for x in (a.lower, a.upper)
        for y in (b.lower, b.upper)
    ]
    lower = functools.reduce(np.minimum, [low for low, _ in ends])
    return outward(lower, functools.reduce(np.maximum, [high for _, high in ends]))


def multiply(a: Interval, b: Interval) -> Interval:
    """Products."""
    if a.has_terms or b.has_terms:
        return a.times(b) if a.has_terms else b.times(a)
    if _least(a.lower, a.upper) * _least(b.lower, b.upper) < SMALL:
        return _with_small_products(a, b)
    if b.lower is b.upper:
        a, b = b, a
    if a.lower is a.upper:  # points on one side
        one, other = _times(a.lower, b.lower), _times(a.lower, b.upper)
        return outward(np.minimum(one, other), np.maximum(one, other))
    if b.lower.size and b.lower.min() >= 0:
        a, b = b, a
    if a.lower.size and a.lower.min() >= 0:
        lower = np.minimum(_times(a.lower, b.lower), _times(a.upper, b.lower))
        return outward(lower, np.maximum(_times(a.lower, b.upper), _times(a.upper, b.upper)))
    lower, other = _times(a.lower, b.lower), _times(a.lower, b.upper)
    upper = np.maximum(lower, other)
    np.minimum(lower, other, out=lower)
    for found in (_times(a.upper, b.lower), _times(a.upper, b.upper)):
        np.minimum(lower, found, out=lower)
        np.maximum(upper, found, out=upper)
    return outward(lower, upper)


def square(a: Interval) -> Interval:
    """Squares."""
    if a.has_terms:
        return a.times(a)
    one, other = a.lower * a.lower, a.upper * a.upper
    lower = np.minimum(one, other)
    lower[((a.lower <= 0) & (a.upper >= 0)) | (lower < SMALL)] = 0.0
    upper = np.maximum(one, other)
    upper[(upper < SMALL) & ((a.lower != 0) | (a.upper != 0))] = SMALL
    return outward(lower, upper)


def hull(a: Interval, b: Interval) -> Interval:
    """What holds both."""
    return Interval(np.minimum(a.lower, b.lower), np.maximum(a.upper, b.upper))


def both(a: Interval, b: Interval) -> Interval:
    """What is in both; each holds the truth, so that they meet."""
    return Interval(np.maximum(a.lower, b.lower), np.minimum(a.upper, b.upper))
