"""Taylor models: a polynomial of degree 2 in the coordinates of a box, and an interval besides.

An interval forgets that two numbers depend on the same inputs, so that in deep networks the bounds
of what cancels grow from layer to layer. A Taylor model remembers it to second order: only what is
of third order in the width of the box is left to intervals.

Source:
    Makino, Berz, Taylor models and other validated functional inclusion methods, 2003.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.interval import UNIT, Interval
from keras_curvature.typing import Array


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Those of a box, each from -1 to 1.

    Attributes:
        count: how many there are, d.
    """

    count: int

    @functools.cached_property
    def pairs(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """The factors of each term of degree 2."""
        first, second = np.triu_indices(self.count)
        return first, second

    @property
    def terms(self) -> int:
        """Of a polynomial of degree 2."""
        return 1 + self.count + len(self.pairs[0])

    @property
    def linear(self) -> slice:
        """The terms of degree 1."""
        return slice(1, 1 + self.count)

    @property
    def quadratic(self) -> slice:
        """Those of degree 2."""
        return slice(1 + self.count, None)


class TaylorModel(Interval):
    """All numbers between two arrays, and how they depend on the place in the box.

    For whoever does not know it, an interval.

    Attributes:
        coordinates: of the box.
        terms: of the polynomial, `(terms, *shape)`: constant, linear, quadratic.
        rest: what is to be added to it.
    """

    has_terms = True
    coordinates: Coordinates
    terms: Array
    rest: Interval

    def __init__(self, coordinates: Coordinates, terms: Array, rest: Interval) -> None:
        """Both are of one shape."""
        bad = ~(np.isfinite(rest.lower) & np.isfinite(rest.upper) & np.isfinite(terms).all(axis=0))
        if bad.any():  # nothing is known there
            terms = np.where(bad, 0.0, terms)
            rest = Interval(np.where(bad, -np.inf, rest.lower), np.where(bad, np.inf, rest.upper))
        self.__dict__.update(coordinates=coordinates, terms=terms, rest=rest)

    @functools.cached_property
    def bounds(self) -> Interval:
        """As an interval."""
        return interval.add(self.polynomial, self.rest)

    @property
    def lower(self) -> Array:  # type: ignore[override]
        """The lower bounds."""
        return self.bounds.lower

    @property
    def upper(self) -> Array:  # type: ignore[override]
        """The upper bounds."""
        return self.bounds.upper

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the bounds."""
        return self.rest.shape

    @functools.cached_property
    def sizes(self) -> tuple[Array, Array]:
        """The sums of the magnitudes of the terms of degree 1, and of those of degree 2."""
        at = self.coordinates
        return np.abs(self.terms[at.linear]).sum(axis=0), np.abs(self.terms[at.quadratic]).sum(
            axis=0
        )

    @property
    def size(self) -> Array:
        """The sum of the magnitudes of all terms."""
        return np.abs(self.terms[0]) + self.sizes[0] + self.sizes[1]

    @functools.cached_property
    def polynomial(self) -> Interval:
        """The range of the polynomial; a square is 0 or more."""
        at, (linear, quadratic) = self.coordinates, self.sizes
        first, second = at.pairs
        squares = self.terms[at.quadratic][first == second]
        room = UNIT * (at.terms + 4) * self.size
        return Interval(
            self.terms[0] - linear - quadratic + np.maximum(squares, 0).sum(axis=0) - room,
            self.terms[0] + linear + quadratic + np.minimum(squares, 0).sum(axis=0) + room,
        )

    def map(self, function: Callable[[Array], Array]) -> TaylorModel:
        """What only moves numbers, done to all terms."""
        terms = np.stack([function(term) for term in self.terms])
        return TaylorModel(self.coordinates, terms, self.rest.map(function))

    def __getitem__(self, key: Any) -> TaylorModel:
        key = key if isinstance(key, tuple) else (key,)
        return TaylorModel(self.coordinates, self.terms[(slice(None), *key)], self.rest[key])

    def linear_map(self, function: Callable[[Interval], Interval]) -> TaylorModel:
        """A linear map of intervals that acts on their last axis."""
        found = function(interval.point(self.terms))
        terms = found.lower / 2 + found.upper / 2
        off = np.maximum(found.upper - terms, terms - found.lower).sum(axis=0)
        return self._made(terms, function(self.rest), off)

    def _made(self, terms: Array, rest: Interval, room: Array) -> TaylorModel:
        """With something more in the rest, to both sides."""
        room = room * (1 + 32 * UNIT)
        return TaylorModel(self.coordinates, terms, interval.add(rest, Interval(-room, room)))

    def opposite(self) -> TaylorModel:
        """With the other sign."""
        return TaylorModel(self.coordinates, -self.terms, interval.negative(self.rest))

    def plus(self, other: Interval) -> TaylorModel:
        """A sum."""
        one, other = self._of_rank(other)
        other = one._alike(other)
        rest = interval.add(one.rest, other.rest)
        return one._made(one.terms + other.terms, rest, 2 * UNIT * (one.size + other.size))

    def times(self, other: Interval) -> TaylorModel:
        """A product."""
        one, other = self._of_rank(other)
        return one._times(other)

    def _of_rank(self, other: Interval) -> tuple[TaylorModel, Interval]:
        """Both with as many axes, of which the first ones are 1 where they have fewer."""
        rank = max(len(self.shape), len(other.shape))

        def stretched(x: Array) -> Array:
            return x.reshape((1,) * (rank - x.ndim) + x.shape)

        one = self if len(self.shape) == rank else self.map(stretched)
        if len(other.shape) == rank:
            return one, other
        if other.lower is other.upper:
            return one, interval.point(stretched(other.lower))
        return one, other.map(stretched)

    def _times(self, other: Interval) -> TaylorModel:
        if other.lower is other.upper and np.isfinite(other.lower).all():
            terms = self.terms * other.lower
            rest = interval.multiply(self.rest, other)
            return self._made(terms, rest, 2 * UNIT * self.size * np.abs(other.lower))
        other, at = self._alike(other), self.coordinates
        a, b = self.terms, other.terms
        first, second = at.pairs
        terms = a[0] * b
        terms[1:] += a[1:] * b[0]
        a_linear, b_linear = a[at.linear], b[at.linear]
        crossed = a_linear[first] * b_linear[second]
        apart = first != second
        crossed[apart] += a_linear[second[apart]] * b_linear[first[apart]]
        terms[at.quadratic] += crossed
        (la, qa), (lb, qb) = self.sizes, other.sizes
        beyond = la * qb + qa * lb + qa * qb
        room = beyond + 8 * UNIT * self.size * other.size
        rest = interval.add(
            interval.multiply(self.rest, other.bounds),
            interval.multiply(other.rest, self.polynomial),
        )
        return self._made(terms, rest, room)

    def without_constant(self) -> TaylorModel:
        """How far it is from its value in the middle."""
        terms = self.terms.copy()
        terms[0] = 0
        return TaylorModel(self.coordinates, terms, self.rest)

    def _alike(self, other: Interval) -> TaylorModel:
        """An interval as a Taylor model that does not depend on the place."""
        if isinstance(other, TaylorModel):
            return other
        known = np.isfinite(other.lower) & np.isfinite(other.upper)
        middle = np.where(known, other.lower / 2 + other.upper / 2, 0.0)
        terms = np.zeros((self.coordinates.terms, *middle.shape))
        terms[0] = middle
        return TaylorModel(
            self.coordinates, terms, interval.subtract(other, interval.point(middle))
        )


def box_model(low: Array, high: Array) -> TaylorModel | None:
    """The inputs of boxes `(n, d)` themselves.

    Args:
        low: the lower corners.
        high: the upper ones.

    Returns:
        One with a coordinate for each input that is not held in all boxes; `None` where there are
        none, or too many.
    """
    active = np.flatnonzero((low < high).any(axis=0))
    if not 0 < len(active) <= MOST:
        return None
    at = Coordinates(len(active))
    middle = low / 2 + high / 2
    radius = np.maximum(high - middle, middle - low) * (1 + 2 * UNIT)
    terms = np.zeros((at.terms, *low.shape))
    terms[0] = middle
    terms[1 + np.arange(len(active)), :, active] = radius[:, active].T
    nothing = np.zeros(low.shape)
    return TaylorModel(at, terms, Interval(nothing, nothing))


MOST = 6
"""Coordinates up to which there are Taylor models: of 6 they have 28 terms."""


@dataclass(frozen=True)
class Higher:
    """What a Taylor model needs to know of a function of a number.

    Attributes:
        derivatives: f and its derivatives up to the fifth, at an array.
        largest: bounds of the magnitudes of the third, fourth, fifth and sixth derivative
            everywhere; infinity where there is none.
    """

    derivatives: Callable[[Array], list[Array]]
    largest: tuple[float, float, float, float]

    def ranges(self, x: TaylorModel, highest: int) -> list[Interval]:
        """f, f', … up to an order of a Taylor model, by Taylor's theorem around its middle."""
        middle, u = x.terms[0], x.without_constant()
        square = u.times(u)
        away = np.maximum(np.abs(u.lower), np.abs(u.upper))
        with np.errstate(all="ignore"):
            values = self.derivatives(middle)
        found = []
        for order in range(highest + 1):
            y, slope, bend = values[order], values[order + 1], values[order + 2] / 2
            terms = slope * u.terms + bend * square.terms
            terms[0] = y
            rest = interval.add(
                interval.multiply(u.rest, interval.point(slope)),
                interval.multiply(square.rest, interval.point(bend)),
            )
            with np.errstate(all="ignore"):
                room = self._largest(order + 3, values, away) * away**3 / 6
                off = [self._off(order + k, values[order + k]) for k in range(3)]
                room += off[0] + off[1] * away + off[2] * away**2
                room += 8 * UNIT * (np.abs(y) + np.abs(slope) * away + np.abs(bend) * away**2)
            found.append(u._made(terms, rest, room))
        return found

    def _largest(self, order: int, values: list[Array], away: Array) -> Array:
        """Of the magnitude of a derivative, so far from the middle."""
        least = np.full_like(away, self.largest[order - 3])
        if order + 1 - 3 < len(self.largest):
            near = np.abs(values[order]) + self._off(order, values[order])
            near = near + self.largest[order + 1 - 3] * away
            least = np.fmin(least, near * (1 + 8 * UNIT))
        return least

    def _off(self, order: int, value: Array) -> Array:
        """By how much a derivative that was computed may be off."""
        size = np.abs(value)
        if order >= 3:
            # Terms cancel that are as large as its largest, or as it is itself.
            size = size + (self.largest[order - 3] if np.isfinite(self.largest[order - 3]) else 0.0)
        return 64 * UNIT * size
