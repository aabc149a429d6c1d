"""Taylor models: a polynomial of degree 2 in the coordinates of a box, and an interval besides.

An interval forgets that two numbers depend on the same inputs, so that in deep networks the bounds
of what cancels grow from layer to layer. A Taylor model remembers it to second order: only what is
of third order in the width of the box is left to intervals.

Source:
    Makino, Berz, Taylor models and other validated functional inclusion methods, 2003.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.interval import SMALL, UNIT, Interval
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


class LinearMap(Protocol):
    """On the last axis."""

    def __call__(self, x: Interval) -> Interval:
        """Of intervals."""

    def of_terms(self, terms: Array) -> tuple[Array, Array]:
        """Of numbers `(terms, *shape)`, and by how much all of them together may be off."""


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
        """Both are of one shape, and finite where anything is known."""
        self.__dict__.update(coordinates=coordinates, terms=terms, rest=rest)

    @functools.cached_property
    def bounds(self) -> Interval:
        """As an interval."""
        return interval.add(self.polynomial, self.rest)

    @property
    def lower(self) -> Array:
        """The lower bounds."""
        return self.bounds.lower

    @property
    def upper(self) -> Array:
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

    @functools.cached_property
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
        """What only moves numbers, box by box, done to all terms."""
        count, boxes = self.terms.shape[:2]
        moved = function(self.terms.reshape(count * boxes, *self.terms.shape[2:]))
        terms = moved.reshape(count, boxes, *moved.shape[1:])
        found = TaylorModel(self.coordinates, terms, self.rest.map(function))
        if "sizes" in self.__dict__:
            found.__dict__["sizes"] = tuple(function(x) for x in self.sizes)
        return found

    def __getitem__(self, key: Any) -> TaylorModel:
        key = key if isinstance(key, tuple) else (key,)
        return TaylorModel(self.coordinates, self.terms[(slice(None), *key)], self.rest[key])

    def linear_map(self, function: LinearMap) -> TaylorModel:
        """A linear map that acts on the last axis."""
        terms, off = function.of_terms(self.terms)
        if self.is_exact:
            return self.with_room(terms, None, off)
        return self.with_room(terms, function(self.rest), off)

    @functools.cached_property
    def is_exact(self) -> bool:
        """Whether there is no rest."""
        return self.rest.lower is self.rest.upper and not self.rest.lower.any()

    def with_room(self, terms: Array, rest: Interval | None, room: Array) -> TaylorModel:
        """Of these parts, with something more in the rest, to both sides."""
        room = room * (1 + 32 * UNIT) + SMALL  # for what underflows
        room_ = Interval(-room, room)
        rest = room_ if rest is None else interval.add(rest, room_)
        found = TaylorModel(self.coordinates, terms, rest)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(found.size + rest.upper - rest.lower)
        if known.all():
            return found
        ends = np.where(known, rest.lower, -np.inf), np.where(known, rest.upper, np.inf)
        return TaylorModel(self.coordinates, np.where(known, terms, 0.0), Interval(*ends))

    def opposite(self) -> TaylorModel:
        """With the other sign."""
        return TaylorModel(self.coordinates, -self.terms, interval.negative(self.rest))

    def plus(self, other: Interval) -> TaylorModel:
        """A sum."""
        one, other = self._of_rank(other)
        if not isinstance(other, TaylorModel) and other.shape[0] == 1:
            return one._plus_constant(other)
        other = one.alike(other)
        rest = interval.add(one.rest, other.rest)
        return one.with_room(one.terms + other.terms, rest, 2 * UNIT * (one.size + other.size))

    def _plus_constant(self, other: Interval) -> TaylorModel:
        """The sum with what does not depend on the place."""
        middle, rest = _divided(other)
        shape = np.broadcast_shapes(self.shape, middle.shape)
        terms = np.broadcast_to(self.terms, (len(self.terms), *shape)).copy()
        terms[0] += middle
        room = 2 * UNIT * (self.size + np.abs(middle))
        return self.with_room(terms, interval.add(self.rest, rest), room)

    def times(self, other: Interval) -> TaylorModel:
        """A product."""
        one, other = self._of_rank(other)
        return one._times(other)

    def _of_rank(self, other: Interval) -> tuple[TaylorModel, Interval]:
        """Both with as many axes, of which the first ones are 1 where they have fewer."""
        rank = max(len(self.shape), len(other.shape))

        def stretched(x: Array) -> Array:
            return x.reshape((1,) * (rank - x.ndim) + x.shape)

        one = self if len(self.shape) == rank else self._stretched(rank)
        if len(other.shape) == rank:
            return one, other
        if other.lower is other.upper:
            return one, interval.point(stretched(other.lower))
        if isinstance(other, TaylorModel):
            return one, other._stretched(rank)
        return one, other.map(stretched)

    def _stretched(self, rank: int) -> TaylorModel:
        front = (1,) * (rank - len(self.shape))
        terms = self.terms.reshape(len(self.terms), *front, *self.terms.shape[1:])
        rest = self.rest.map(lambda x: x.reshape(*front, *x.shape))
        return TaylorModel(self.coordinates, terms, rest)

    def _times(self, other: Interval) -> TaylorModel:
        if other.lower is other.upper and np.isfinite(other.lower).all():
            terms = self.terms * other.lower
            rest = None if self.is_exact else interval.multiply(self.rest, other)
            return self.with_room(terms, rest, 2 * UNIT * self.size * np.abs(other.lower))
        return self._times_model(self.alike(other))

    def _times_model(self, other: TaylorModel) -> TaylorModel:
        at, a, b = self.coordinates, self.terms, other.terms
        terms = a[0] * b
        if other is self:
            terms[1:] *= 2
        else:
            terms[1:] += a[1:] * b[0]
        start = 1 + at.count
        for i in range(1, 1 + at.count):  # the terms of degree 2 with the coordinate i first
            row = terms[start : start + 1 + at.count - i]
            if other is self:
                row += np.concatenate([a[i : i + 1], 2 * a[i + 1 : 1 + at.count]]) * a[i]
            else:
                row += a[i] * b[i : 1 + at.count]
                row[1:] += b[i] * a[i + 1 : 1 + at.count]
            start += len(row)
        (la, qa), (lb, qb) = self.sizes, other.sizes
        beyond = la * qb + qa * lb + qa * qb
        room = beyond + 8 * UNIT * self.size * other.size
        rest = None if self.is_exact else interval.multiply(self.rest, other.bounds)
        if not other.is_exact:
            more = interval.multiply(other.rest, self.polynomial)
            rest = more if rest is None else interval.add(rest, more)
        return self.with_room(terms, rest, room)

    def without_constant(self) -> TaylorModel:
        """How far it is from its value in the middle."""
        terms = self.terms.copy()
        terms[0] = 0
        return self._of_sizes(terms, self.rest)

    def without_rest(self) -> TaylorModel:
        """Its polynomial alone."""
        return self._of_sizes(self.terms, interval.point(np.zeros(self.shape)))

    def _of_sizes(self, terms: Array, rest: Interval) -> TaylorModel:
        """Of the same terms but for the constant."""
        found = TaylorModel(self.coordinates, terms, rest)
        if "sizes" in self.__dict__ and terms.shape == self.terms.shape:
            found.__dict__["sizes"] = self.sizes
        return found

    def side_by_side(self, parts: Sequence[Interval], front: tuple[int, ...]) -> TaylorModel:
        """Several along the last axis, behind the same axes."""
        models = [self.alike(part) for part in parts]
        lead = (len(self.terms), *front)
        terms = [np.broadcast_to(x.terms, (*lead, x.shape[-1])) for x in models]
        lower, upper = (
            [np.broadcast_to(end, (*front, end.shape[-1])) for end in ends]
            for ends in zip(*((x.rest.lower, x.rest.upper) for x in models), strict=True)
        )
        rest = Interval(np.concatenate(lower, axis=-1), np.concatenate(upper, axis=-1))
        return TaylorModel(self.coordinates, np.concatenate(terms, axis=-1), rest)

    def alike(self, other: Interval) -> TaylorModel:
        """An interval as a Taylor model that does not depend on the place."""
        if isinstance(other, TaylorModel):
            return other
        middle, rest = _divided(other)
        terms = np.zeros((self.coordinates.terms, *middle.shape))
        terms[0] = middle
        return TaylorModel(self.coordinates, terms, rest)


def _divided(x: Interval) -> tuple[Array, Interval]:
    """The middles of intervals, and what is to be added to them."""
    known = np.isfinite(x.lower) & np.isfinite(x.upper)
    lower, upper = (np.where(known, end, 0.0) for end in (x.lower, x.upper))
    middle = lower / 2 + upper / 2
    return middle, interval.subtract(x, interval.point(middle))


def terms_over(low: Array, high: Array) -> int:
    """How many terms Taylor models over boxes have; 0 where there are none."""
    count = int((low < high).any(axis=0).sum())
    return Coordinates(count).terms if 0 < count <= MOST else 0


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
    if not terms_over(low, high):
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
        turns: where the third, the fourth and the fifth derivative turn: the next one is 0.
    """

    derivatives: Callable[[Array], list[Array]]
    turns: tuple[Sequence[float], Sequence[float], Sequence[float]]

    def ranges(self, x: TaylorModel, highest: int) -> list[Interval]:
        """f, f', … up to an order of a Taylor model, by Taylor's theorem around its middle."""
        middle, u, quadratic = x.terms[0], x.without_constant(), x.coordinates.quadratic
        square = u.times(u)  # it has no terms of degree 1
        away = np.maximum(np.abs(u.lower), np.abs(u.upper))
        with np.errstate(all="ignore"):
            values = self.derivatives(middle)
            ends = [self.derivatives(end) for end in (x.lower, x.upper)]
        found: list[Interval] = []
        for order in range(highest + 1):
            y, slope, bend = values[order], values[order + 1], values[order + 2] / 2
            terms = slope * u.terms
            terms[quadratic] += bend * square.terms[quadratic]
            terms[0] = y
            rest = interval.multiply(square.rest, interval.point(bend))
            if not u.is_exact:
                rest = interval.add(rest, interval.multiply(u.rest, interval.point(slope)))
            with np.errstate(all="ignore"):
                room = self._largest(order + 3, x, ends) * away**3 / 6
                off = [self._off(order + k, values[order + k]) for k in range(3)]
                room += off[0] + off[1] * away + off[2] * away**2
                room += 8 * UNIT * (np.abs(y) + np.abs(slope) * away + np.abs(bend) * away**2)
            found.append(u.with_room(terms, rest, room))
        return found

    def _largest(self, order: int, x: Interval, ends: list[list[Array]]) -> Array:
        """Of the magnitude of a derivative over an interval."""
        largest = np.maximum(np.abs(ends[0][order]), np.abs(ends[1][order]))
        for turn, value in zip(self.turns[order - 3], self._at_turns[order - 3], strict=True):
            inside = (x.lower <= turn) & (x.upper >= turn)
            np.maximum(largest, value, out=largest, where=inside)
        # Of the ends less is known than that they are numbers, where they are none.
        return np.where(np.isnan(largest), np.inf, largest + self._off(order, largest))

    @functools.cached_property
    def _at_turns(self) -> list[list[float]]:
        """The magnitudes of the third, the fourth and the fifth derivative where they turn."""
        return [
            [float(np.abs(self.derivatives(np.array(turn))[order])) for turn in turns]
            for order, turns in enumerate(self.turns, 3)
        ]

    def _off(self, order: int, value: Array) -> Array:
        """By how much a derivative that was computed may be off.

        In those from the third on terms cancel, none of which is far larger than they get.
        """
        cancelling = 2 * max(self._at_turns[order - 3], default=0.0) if order >= 3 else 0.0
        return 64 * UNIT * (np.abs(value) + cancelling) + SMALL
