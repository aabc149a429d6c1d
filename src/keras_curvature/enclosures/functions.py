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
it is 0 or more, the function is convex.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures.interval import Interval, outward
from keras_curvature.typing import Array

Real = Callable[[Array], Array]

MARGIN = 32.0
"""In units of 2^-52: NumPy's functions are within 4 of them, and here are a few in a row."""


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
        noise: an absolute error of f, f' and f'' in units of 2^-52, where terms cancel.
    """

    derivatives: tuple[Real, Real, Real]
    turns: tuple[Sequence[float], Sequence[float], Sequence[float]] = ((), (), ())
    breaks: tuple[Break, ...] = ()
    domain: tuple[float, float] = (-np.inf, np.inf)
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def range(self, order: int, x: Interval) -> Interval:
        """The range of a derivative of order 0, 1 or 2 over intervals."""
        f = self.derivatives[order]
        with np.errstate(all="ignore"):
            one, other = f(x.lower), f(x.upper)
            turns = [float(f(np.array(turn))) for turn in self.turns[order]]
        lower, upper = np.minimum(one, other), np.maximum(one, other)
        unknown = np.isnan(lower)  # of an end at infinity, such as 0 times it
        unknown |= (x.lower <= self.domain[0]) & (self.domain[0] > -np.inf)
        unknown |= (x.upper >= self.domain[1]) & (self.domain[1] < np.inf)
        for turn, y in zip(self.turns[order], turns, strict=True):
            _reach(lower, upper, (x.lower <= turn) & (x.upper >= turn), y)
        for found in self.breaks if order else ():
            inside = (x.lower <= found.at) & (x.upper >= found.at)
            for y in found.slopes if order == 1 else found.curvatures:
                _reach(lower, upper, inside, y)
            jump = found.slopes[1] - found.slopes[0]
            if order == 2 and jump:
                (upper if jump > 0 else lower)[inside] = np.copysign(np.inf, jump)
        lower[unknown], upper[unknown] = -np.inf, np.inf
        bounds = outward(lower, upper, MARGIN)
        room = self.noise[order] * 2.0**-52
        return Interval(bounds.lower - room, bounds.upper + room) if room else bounds


def _reach(lower: Array, upper: Array, where: NDArray[np.bool_], value: float) -> None:
    """Widens the bounds at some places so that they hold a value."""
    if where.any():
        np.minimum(lower, value, out=lower, where=where)
        np.maximum(upper, value, out=upper, where=where)
