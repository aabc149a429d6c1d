"""Functions of a number: the exact range of f, f' and f'' over an interval.

Between the points where f' is 0 a function is monotone, so that its range over an interval is that
of its values at both ends and at those of these points that are inside; likewise f' between the
zeros of f'', and f'' between those of f'''. A point too many does no harm. These points were found
in 40 digits with mpmath.

At a kink f'' is a measure: 0 or more, or 0 or less, without a bound where the slope jumps. What is
bounded is the second derivative of the same function with its kinks rounded off, as little as one
likes: its f'' is then as large as one likes on that side alone, so that the bound is infinite
there, and all that is computed with it holds for every rounding and so for the limit. A lower bound
of the second derivative along a line says how convex the function is there, with its kinks: where
it is 0 or more, the function is convex. A kink at an end of an interval counts as inside of it, so
that what is proved over boxes side by side holds over their union.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures.interval import SMALL, Interval, apart_from_0, outward, whole
from keras_curvature.enclosures.taylor_model import Higher, TaylorModel
from keras_curvature.typing import Array

Real = Callable[[Array], Array]

LARGE = 0.01 / SMALL
"""A result that is larger may be the inverse of what has lost its digits."""

MARGIN = 32.0
"""In units of 2^-52: NumPy's functions are within 4 of them, and here are a few in a row."""


class HasRange(Protocol):
    """What a function of a number has to say."""

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f, f', … up to an order over intervals."""


@dataclass(frozen=True)
class Break:
    """Where f' or f'' jumps.

    Attributes:
        at: the place.
        slopes: f' before and behind it.
        curvatures: f'' before and behind it.
    """

    at: float
    slopes: tuple[float, float]
    curvatures: tuple[float, float]


@dataclass(frozen=True)
class Function:
    """A function of a number.

    Attributes:
        derivatives: f, f' and f''.
        turns: where f' is 0, where f'' is 0, and where f''' is 0.
        breaks: where f' or f'' jumps.
        domain: outside of it nothing is known, and at its ends neither.
        poles: where nothing is known.
        noise: an absolute error of f, f' and f'' in units of 2^-52, where terms cancel.
        is_exact: whether no rounding is done.
        branches: what it is between its breaks, where that is simpler: an offset, a slope, and a
            function in the place of these where it is no straight line.
        third: f''', and where the derivative after that is 0; without it only less is known.
        beyond: a place beyond which a backend takes a limit in the place of the function: the
            place, how far that may be off, its slope, and its second derivative.
        higher: its higher derivatives, where Taylor models go through.
        flat: outside of these two places a 0 of a derivative is no small number, but one.
    """

    derivatives: tuple[Real, Real, Real]
    turns: tuple[Sequence[float], Sequence[float], Sequence[float]] = ((), (), ())
    breaks: tuple[Break, ...] = ()
    domain: tuple[float, float] = (-np.inf, np.inf)
    poles: tuple[float, ...] = ()
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    is_exact: bool = False
    branches: tuple[tuple[float, float, Function | None], ...] = ()
    third: tuple[Real, Sequence[float]] | None = None
    beyond: tuple[float, float, float, float] | None = None
    higher: Higher | None = None
    flat: tuple[float, float] = (-np.inf, np.inf)

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f, f', … up to an order over intervals."""
        if self.higher is not None and isinstance(x, TaylorModel):
            return self.higher.ranges(x, highest)
        return [self.range(order, x) for order in range(highest + 1)]

    def _third(self, function: Real, turns: Sequence[float], x: Interval) -> Interval:
        derivatives = (function, function, function)
        return Function(
            derivatives, (turns, (), ()), domain=self.domain, poles=self.poles, noise=(64.0, 0, 0)
        ).range(0, x)

    def range(self, order: int, x: Interval) -> Interval:
        """The range of a derivative of order 0 to 3 over intervals."""
        if order == 3:
            return whole(x.shape) if self.third is None else self._third(*self.third, x)
        f = self.derivatives[order]
        with np.errstate(all="ignore"):
            one, other = f(x.lower), f(x.upper)
            turns = [float(f(np.array(turn))) for turn in self.turns[order]]
        if self.is_exact or f is np.zeros_like:
            lower, upper = np.minimum(one, other), np.maximum(one, other)
        else:
            ends = [self._told(y, at, order) for y, at in ((one, x.lower), (other, x.upper))]
            lower, upper = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
        unknown = (
            np.isnan(lower) | np.isnan(x.lower) | np.isnan(x.upper)
        )  # of an end at infinity, such as 0 times it
        unknown |= (x.lower <= self.domain[0]) & (self.domain[0] > -np.inf)
        unknown |= (x.upper >= self.domain[1]) & (self.domain[1] < np.inf)
        for pole in self.poles:
            unknown |= _inside(x, pole)
        for turn, y in zip(self.turns[order], turns, strict=True):
            _reach(lower, upper, _inside(x, turn), y)
        for found in self.breaks if order else ():
            inside = _inside(x, found.at)
            for y in found.slopes if order == 1 else found.curvatures:
                _reach(lower, upper, inside, y)
            jump = found.slopes[1] - found.slopes[0]
            if order == 2 and jump:
                (upper if jump > 0 else lower)[inside] = np.copysign(np.inf, jump)
        if self.beyond is not None:
            self._go_to_limit(order, x, lower, upper)
        lower[unknown], upper[unknown] = -np.inf, np.inf
        if self.is_exact:
            return Interval(lower, upper)
        bounds = outward(lower, upper, MARGIN)
        room = self.noise[order] * 2.0**-52
        return Interval(bounds.lower - room, bounds.upper + room) if room else bounds

    def _told(self, y: Array, x: Array, order: int) -> tuple[Array, Array]:
        """Bounds of what may have underflowed on the way, or overflowed."""
        far = ((x < self.flat[0]) | (x > self.flat[1])) & ((np.abs(x) > 1e-270) | (order > 0))
        low, high = apart_from_0(y, (x == 0) | far)
        # What is large may be the inverse of what was small.
        large = np.abs(y) > LARGE
        low = np.where(large, np.where(y < 0, -np.inf, LARGE / 2), low)
        return low, np.where(large, np.where(y < 0, -LARGE / 2, np.inf), high)

    def _go_to_limit(self, order: int, x: Interval, lower: Array, upper: Array) -> None:
        assert self.beyond is not None
        place, gap, *limits = self.beyond
        beyond = x.upper > place * (1 - 2.0**-50)
        if order:
            _reach(lower, upper, beyond, limits[order - 1])
        else:
            lower[beyond] -= gap


def _inside(x: Interval, place: float) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (x.lower <= place) & (x.upper >= place)
    return found


def _reach(lower: Array, upper: Array, where: NDArray[np.bool_], value: float) -> None:
    """Widens the bounds at some places so that they hold a value."""
    if where.any():
        np.minimum(lower, value, out=lower, where=where)
        np.maximum(upper, value, out=upper, where=where)


SINES: dict[float, Real] = {
    0.0: np.sin,
    0.5: np.cos,
    1.0: lambda x: -np.sin(x),
    1.5: lambda x: -np.cos(x),
}
"""By how many times pi more."""


@dataclass(frozen=True)
class Periodic:
    """The sine and its derivatives, each a sine of the number and so many times pi more."""

    phases: tuple[float, ...]

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f, f', … up to an order over intervals."""
        return [self._range((self.phases[0] + order / 2) % 2, x) for order in range(highest + 1)]

    def _range(self, phase: float, x: Interval) -> Interval:
        function = SINES[phase]
        with np.errstate(all="ignore"):
            one, other = function(x.lower), function(x.upper)
            lower, upper = np.minimum(one, other), np.maximum(one, other)
            # In half turns, with room for what rounding makes of a large number of them.
            room = 1e-12 + 1e-15 * np.maximum(np.abs(x.lower), np.abs(x.upper))
            start, end = x.lower / np.pi + phase - room, x.upper / np.pi + phase + room
            upper[np.ceil((start - 0.5) / 2) * 2 + 0.5 <= end] = 1.0
            lower[np.ceil((start - 1.5) / 2) * 2 + 1.5 <= end] = -1.0
        unknown = ~np.isfinite(lower) | ~np.isfinite(upper) | ~np.isfinite(start + end)
        lower[unknown], upper[unknown] = -1.0, 1.0
        found = outward(lower, upper, MARGIN)
        # Near its zeros a sine is off by what the number itself is.
        lower, _ = apart_from_0(found.lower, x.lower == x.upper)
        _, upper = apart_from_0(found.upper, x.lower == x.upper)
        return Interval(np.maximum(lower, -1.0), np.minimum(upper, 1.0))
