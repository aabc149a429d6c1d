"""Two lines, one below and one above a function of a number over an interval.

Of what is bent upwards the chord is above and every tangent below, of which that in the middle is
taken; at a kink of a ReLU this is the steeper one where more of the interval is above 0, which is
the adaptive choice of Zhang et al., Efficient neural network robustness certification with general
activation functions, NeurIPS 2018. Of what is bent one way and then the other, as a tanh is, the
line goes through one end and touches the function on the other side, or before that in the middle,
or is the chord where it touches nowhere (there too, and Singh et al., An abstract domain for
certifying neural networks, POPL 2019). Elsewhere both lines have one slope, the best of a few
(`affine.Chords`).

A slope may be any number. What is proved is the offset, for the slope as it is in float64: bent
upwards, `f(x) - s x` is largest at an end, and least by no more than `|f'(q) - s|` times the width
below its value at any q.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures.affine import Chords
from keras_curvature.enclosures.functions import Function, HasRange
from keras_curvature.enclosures.interval import SMALL, Interval, point
from keras_curvature.typing import Array

SLACK = 2.0**-49
"""More than what the few operations on an entry round, in units of what they are done on."""

TINY = 1e-9
"""Share of a slope by which it is unknown at a kink and, by rounding, nowhere else."""

NARROW = 1e-7
"""Share of its ends up to which an interval has the slope of its middle for that of its chord."""

STEPS = 5
"""Of Newton's method for a tangent, which doubles its digits; any place is sound."""


@dataclass(frozen=True, eq=False)
class Lines:
    """`slope x + offset` below and above.

    Attributes:
        lower_slope: of the line below, in the shape of the intervals, likewise the others.
    """

    lower_slope: Array
    lower_offset: Array
    upper_slope: Array
    upper_offset: Array


def lines(f: HasRange, x: Interval) -> Lines:
    """A function over intervals."""
    with np.errstate(all="ignore"):
        return _Around(f, x).lines()


class _Around:
    """A function over intervals, which are flat here."""

    def __init__(self, f: HasRange, x: Interval) -> None:
        self.f, self.shape, self.turns = f, x.shape, _turns(f)
        self.x = Interval(x.lower.ravel(), x.upper.ravel())
        self.low, self.high = self.x.lower, self.x.upper
        self.at_low, self.at_high = (f.ranges(point(end), 0)[0] for end in (self.low, self.high))

    def lines(self) -> Lines:
        """Both of them."""
        up, down = self._bent()
        below, above = ((np.zeros_like(self.low), np.zeros_like(self.low)) for _ in range(2))
        if up.any() or down.any():
            tangent = self._tangent(up)
            width = self.high - self.low
            # Of a narrow interval what is rounded would make any slope of it.
            narrow = width <= NARROW * (np.abs(self.low) + np.abs(self.high))
            rise = _middle(self.at_high) - _middle(self.at_low)
            chord = np.where(narrow, tangent[0], rise / width)
            offset = self._chord(chord, up)
            for line, where in ((above, up), (below, down)):
                _put(line, where, (chord, offset))
            for line, where in ((below, up), (above, down)):
                _put(line, where, tangent)
        both = ~(up | down)
        if both.any():
            self._turning(np.flatnonzero(both), below, above)
        bad = ~np.isfinite(below[0] + below[1] + above[0] + above[1])
        if bad.any():
            rows = np.flatnonzero(bad)
            range_ = self.f.ranges(self.x[rows], 0)[0]
            _put_at(below, rows, (np.zeros(len(rows)), range_.lower))
            _put_at(above, rows, (np.zeros(len(rows)), range_.upper))
        return Lines(*(part.reshape(self.shape) for part in (*below, *above)))

    def _bent(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where it is bent upwards, and where else downwards."""
        turns = self.turns
        if turns is None:
            bends = self.f.ranges(self.x, 2)[2]
            up = bends.lower >= 0
            return up, (bends.upper <= 0) & ~up
        up, down = np.zeros(self.low.shape, dtype=bool), np.zeros(self.low.shape, dtype=bool)
        ends = [-np.inf, *turns.places, np.inf]
        for k, (start, end) in enumerate(itertools.pairwise(ends)):
            inside = (self.low >= start) & (self.high <= end)
            found = up if turns.first * (-1) ** k > 0 else down
            found |= inside
        return up, down & ~up

    def _chord(self, slope: Array, up: NDArray[np.bool_]) -> Array:
        """The offset with which it is above both ends, or below both."""
        ends = []
        for at, place in ((self.at_low, self.low), (self.at_high, self.high)):
            moved = slope * place
            y = np.where(up, at.upper, at.lower)
            room = _rounded(y, moved)
            ends.append(y - moved + np.where(up, room, -room))
        return np.where(up, np.maximum(*ends), np.minimum(*ends))

    def _tangent(self, up: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Below what is bent upwards and above what is bent downwards."""
        place = self.low / 2 + self.high / 2
        value, slopes = self.f.ranges(point(place), 1)
        kinked = slopes.upper - slopes.lower > TINY * (np.abs(slopes.lower) + np.abs(slopes.upper))
        if kinked.any():  # in the middle: any other place has a slope
            place = np.where(kinked, 0.75 * self.low + 0.25 * self.high, place)
            value, slopes = self.f.ranges(point(place), 1)
        slope = _middle(slopes)
        moved, far = slope * place, np.maximum(place - self.low, self.high - place)
        room = (slopes.upper - slopes.lower) * far * (1 + SLACK)
        y = np.where(up, value.lower, value.upper)
        room += _rounded(y, moved)
        return slope, y - moved + np.where(up, -room, room)

    def _turning(self, where: Any, below: tuple[Array, Array], above: tuple[Array, Array]) -> None:
        """Where it is bent both ways, which stand in `below` and `above` afterwards."""
        turns = self.turns
        low, high = self.low[where], self.high[where]
        once = np.zeros(len(where), dtype=bool)
        if turns is not None and turns.places:
            assert isinstance(self.f, Function)
            inside = np.array([(low < at) & (at < high) for at in turns.places], dtype=bool)
            once = inside.sum(axis=0) == 1
            rows = where[once]
            which = inside[:, once].argmax(axis=0)
            at = np.array(turns.places)[which]
            first = turns.first * (-1.0) ** which
            # As one that is bent upwards and then downwards, seen from one side or the other.
            _put_at(below, rows, _touching(self.f, self.low[rows], self.high[rows], at, first, 1))
            _put_at(above, rows, _touching(self.f, self.low[rows], self.high[rows], at, -first, -1))
        rest = where[~once]
        if rest.size:
            slope, offset, error = Chords(
                self.f, self.x[rest], [*(y[rest] for y in self.f.ranges(self.x, 3))]
            ).line(0)
            _put_at(below, rest, (slope, offset - error - _rounded(offset, error)))
            _put_at(above, rest, (slope, offset + error + _rounded(offset, error)))


def _touching(
    f: Function, low: Array, high: Array, turn: Array, mirror: Array, sign: int
) -> tuple[Array, Array]:
    """A line below g, bent upwards before a place and downwards behind it; g is f, seen otherwise.

    Args:
        f: the function.
        low: the lower ends.
        high: the upper ends.
        turn: the place.
        mirror: 1 or -1: g(t) = sign f(mirror t).
        sign: 1 for a line below f, or -1 for one above.

    Returns:
        The line of f.
    """
    start, end = np.where(mirror > 0, low, -high), np.where(mirror > 0, high, -low)
    turn = mirror * turn

    def g(order: int, t: Array, at: Any = slice(None)) -> Array:
        found: Array = sign * mirror[at] ** order * f.derivatives[order](mirror[at] * t)
        return found

    middle, at_end = start / 2 + end / 2, g(0, end)
    # The further right a line touches, the higher it is in the middle, up to the middle itself.
    furthest = np.minimum(middle, turn)
    if f.is_exact:  # straight pieces: it touches at the kink upwards
        kinks = sorted(found.at for found in f.breaks)
        place = np.clip(np.where(mirror > 0, kinks[0], -kinks[-1]), start, turn)
        slope = np.where(middle < place, g(1, middle), (at_end - g(0, place)) / (end - place))
        place = np.minimum(middle, place)
    else:
        left, right = (at_end - g(0, t) - g(1, t) * (end - t) for t in (start, furthest))
        place = np.where(left > 0, furthest, start)
        between = np.flatnonzero((left > 0) & (right < 0))
        if between.size:
            place[between] = _tangent_through(
                lambda order, t: g(order, t, between),
                *(x[between] for x in (start, furthest, end, at_end)),
            )
        slope = np.where(left > 0, g(1, place), (at_end - g(0, start)) / (end - start))
    value, slopes = f.ranges(point(mirror * place), 1)
    # Where it bends upwards it rises by these at least behind the place, and at most before it.
    least, most = (slopes.lower, slopes.upper)
    if sign * 1 < 0:
        least, most = -most, -least
    least, most = np.where(mirror > 0, least, -most), np.where(mirror > 0, most, -least)
    behind, before = (most, least) if f.is_exact else (least, most)
    room = np.maximum(
        np.maximum(slope - behind, 0) * (turn - place),
        np.maximum(before - slope, 0) * (place - start),
    )
    ends = f.ranges(point(mirror * end), 0)[0]
    offsets = []
    for y, t, more in ((value, place, room), (ends, end, 0.0)):
        moved = slope * t
        one = y.lower if sign > 0 else -y.upper
        offsets.append(one - moved - more * (1 + SLACK) - _rounded(one, moved))
    return sign * mirror * slope, sign * np.minimum(*offsets)


def _tangent_through(
    g: Callable[[int, Array], Array], low: Array, high: Array, end: Array, at_end: Array
) -> Array:
    """Where the tangent of g goes through a point at `end`: Newton's method within two places."""
    place = low / 2 + high / 2
    for _ in range(STEPS):
        gap = at_end - g(0, place) - g(1, place) * (end - place)
        low, high = np.where(gap > 0, place, low), np.where(gap > 0, high, place)
        place = place + gap / (g(2, place) * (end - place))
        place = np.where((place >= low) & (place <= high), place, low / 2 + high / 2)
    return place


@dataclass(frozen=True)
class _Turns:
    """Where a function goes from one way of bending to the other.

    Attributes:
        first: the sign of its second derivative before the first of these places.
        places: in order.
    """

    first: int
    places: tuple[float, ...]


def _turns(f: HasRange) -> _Turns | None:
    """Those of a function of which all places are known; `None` of any other."""
    if not isinstance(f, Function) or f.beyond is not None or f.poles:
        return None
    if f.domain != (-np.inf, np.inf):
        return None
    kinks = {found.at: np.sign(found.slopes[1] - found.slopes[0]) for found in f.breaks}
    places = sorted({float(at) for at in f.turns[1]} | set(kinks))
    ends = [-np.inf, *places, np.inf]
    bent: list[tuple[float, float, int]] = []  # from, to, the sign of the second derivative
    for start, end in itertools.pairwise(ends):
        if start > -np.inf:
            bent.append((start, start, int(kinks.get(start, 0))))
        inner = _inner(start, end)
        bent.append((start, end, int(np.sign(f.derivatives[2](np.array(inner))))))
    bent = [item for item in bent if item[2]]
    if not bent:
        return _Turns(1, ())
    switches = [(a, b) for a, b in itertools.pairwise(bent) if a[2] != b[2]]
    return _Turns(bent[0][2], tuple(a[1] / 2 + b[0] / 2 for a, b in switches))


def _inner(start: float, end: float) -> float:
    """A place between two, either of which may be infinite."""
    if start == -np.inf:
        return 0.0 if end == np.inf else end - 1
    return start + 1 if end == np.inf else start / 2 + end / 2


def _middle(x: Interval) -> Array:
    return x.lower / 2 + x.upper / 2


def _rounded(one: Array, other: Array) -> Array:
    """What sums and products of such numbers round."""
    found: Array = SLACK * (np.abs(one) + np.abs(other)) + SMALL
    return found


def _put(line: tuple[Array, Array], where: NDArray[np.bool_], new: tuple[Array, Array]) -> None:
    for old, part in zip(line, new, strict=True):
        np.copyto(old, part, where=where)


def _put_at(line: tuple[Array, Array], rows: Any, new: tuple[Array, Array]) -> None:
    for old, part in zip(line, new, strict=True):
        old[rows] = part
