"""The power series of functions of one number, by the differential equations that they solve.

Where `y' = g(x, y, …)`, the coefficient `k` of `y` is that of `g` of order `k - 1`, divided by `k`
(Griewank and Walther, Evaluating Derivatives, table 13.2). Products of what is known are all that
this takes, and nothing cancels that does not cancel in the function's own derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.typing import Tensor


class Recurrence:
    """A power series in `x` whose coefficients are worked out as they are asked for."""

    def __init__(self, start: Tensor | float, following: Callable[[int], Any] | None = None):
        """Begins one.

        Args:
            start: its value.
            following: its coefficient of an order from 1 on; see `grows` where it is of itself.
        """
        self._known: list[Any] = [start]
        self._following = following

    def grows(self, rate: Recurrence) -> Recurrence:
        """Says what its derivative is, which may be made of itself."""
        return self.follows(lambda k: rate[k - 1] / k)

    def follows(self, following: Callable[[int], Any]) -> Recurrence:
        """Says what its coefficients are, which may be made of those before."""
        self._following = following
        return self

    def __getitem__(self, order: int) -> Any:
        """A coefficient, from 0 on."""
        while len(self._known) <= order:
            k = len(self._known)
            self._known.append(0.0 if self._following is None else self._following(k))
        return self._known[order]

    def __add__(self, other: Recurrence | float) -> Recurrence:
        """`y + z`."""
        if not isinstance(other, Recurrence):
            return Recurrence(self[0] + other, lambda k: self[k])
        return Recurrence(self[0] + other[0], lambda k: self[k] + other[k])

    __radd__ = __add__

    def __neg__(self) -> Recurrence:
        """`-y`."""
        return -1 * self

    def __rsub__(self, other: float) -> Recurrence:
        """`c - y`."""
        return -self + other

    def __mul__(self, other: Recurrence | Any) -> Recurrence:
        """`y z`, or `y` times a number or a tensor."""
        if not isinstance(other, Recurrence):
            return Recurrence(self[0] * other, lambda k: self[k] * other)
        return Recurrence(
            self[0] * other[0], lambda k: sum(self[i] * other[k - i] for i in range(k + 1))
        )

    __rmul__ = __mul__


Solution = Callable[[Tensor, Tensor, Tensor, Tensor], Recurrence]
"""From `x`, `y` and the first two derivatives of `y` to its series."""


def itself(x: Tensor) -> Recurrence:
    """`x`."""
    return Recurrence(x, lambda k: 1.0 if k == 1 else 0.0)


def _by(
    rate: Callable[[Recurrence], Recurrence],
) -> Solution:
    """Of a function whose derivative is a function of itself."""

    def solution(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
        found = Recurrence(y)
        return found.grows(rate(found))

    return solution


def _by_slope(rate: Callable[[Recurrence, Recurrence, Recurrence], Recurrence]) -> Solution:
    """Of a function whose slope changes by a function of `x`, `y` and the slope."""

    def solution(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
        found, slope = Recurrence(y), Recurrence(first)
        found.grows(slope)
        slope.grows(rate(itself(x), found, slope))
        return found

    return solution


def _by_bend(rate: Callable[[Recurrence, Recurrence, Recurrence], Recurrence]) -> Solution:
    """Of a function whose second derivative changes by a function of `x`, the slope and itself."""

    def solution(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
        found, slope, bend = Recurrence(y), Recurrence(first), Recurrence(second)
        found.grows(slope)
        slope.grows(bend)
        bend.grows(rate(itself(x), slope, bend))
        return found

    return solution


exponential = _by(lambda y: y)
reciprocal = _by(lambda y: -1 * y * y)
rsqrt = _by(lambda y: -0.5 * (y * y * y))
tan = _by_slope(lambda x, y, s: 2 * y * s)
tanh = _by_slope(lambda x, y, s: -2 * y * s)
sigmoid = _by_slope(lambda x, y, s: s * (1 - 2 * y))
softplus = _by_bend(lambda x, s, b: b * (1 - 2 * s))
logarithm = _by_slope(lambda x, y, s: -1 * s * s)
sqrt = _by_slope(lambda x, y, s: -2 * (s * s * s))
oscillating = _by_slope(lambda x, y, s: -1 * y)
hyperbolic = _by_slope(lambda x, y, s: y)
arcsine = _by_slope(lambda x, y, s: x * (s * s * s))
arcsinh = _by_slope(lambda x, y, s: -1 * (x * (s * s * s)))
arctan = _by_slope(lambda x, y, s: -2 * (x * (s * s)))
arctanh = _by_slope(lambda x, y, s: 2 * (x * (s * s)))
error_function = _by_slope(lambda x, y, s: -2 * (x * s))
inverse_error_function = _by_slope(lambda x, y, s: 2 * (y * (s * s)))
exponential_slope = _by_slope(lambda x, y, s: s)
inverse_normal = _by_slope(lambda x, y, s: y * (s * s))


def to_the_base(base: float) -> Solution:
    """Of a power of a number."""
    return _by_slope(lambda x, y, s: math.log(base) * s)


def logarithm_to_the_base(base: float) -> Solution:
    """Of a logarithm."""
    return _by_slope(lambda x, y, s: -math.log(base) * (s * s))


def of_derivatives(derivative: Callable[[int, Tensor], Tensor]) -> Solution:
    """Of a function whose derivatives are known, by their order from 3 on."""

    def solution(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
        known = {1: first, 2: second / 2}

        def coefficient(k: int) -> Tensor:
            return known[k] if k in known else derivative(k, x) / math.factorial(k)

        return Recurrence(y, coefficient)

    return solution


def exponential_integral(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
    """Of what has the slope `exp(x) / x`."""
    growing = Recurrence(xp.exp(x))
    growing.grows(growing)
    slope: Recurrence = Recurrence(first, lambda k: (growing[k] - slope[k - 1]) / x)
    return Recurrence(y).grows(slope)


def square(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
    """Of a parabola."""
    return Recurrence(y).grows(Recurrence(first).grows(Recurrence(second)))


def softsign(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
    """Of `x / (1 + |x|)`."""
    share = Recurrence(1 / (1 + xp.abs(x)))
    share.grows(share * share * -xp.sign(x))
    return Recurrence(y).grows(share * share)


def exponential_below(x: Tensor, y: Tensor, first: Tensor, second: Tensor) -> Recurrence:
    """Of what is linear above 0 and an exponential below."""
    found, slope, bend = Recurrence(y), Recurrence(first), Recurrence(second)
    found.grows(slope)
    slope.grows(bend)
    bend.grows(bend)
    return found
