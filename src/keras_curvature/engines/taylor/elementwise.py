"""First and second derivatives of functions of each number by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.jets import plus, scaled
from keras_curvature.engines.taylor.recurrences import Recurrence, logarithm
from keras_curvature.engines.taylor.rule_constructors import Partials
from keras_curvature.engines.taylor.series import Series
from keras_curvature.typing import Tensor

TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


def where_positive(x: Tensor, positive: Any, other: Any) -> Tensor:
    """One thing where `x > 0`, another elsewhere, in the dtype of `x`."""
    return xp.where(x > 0, _like(positive, x), _like(other, x))


def where_negative(x: Tensor, negative: Any, other: Any) -> Tensor:
    """One thing where `x < 0`, another elsewhere, in the dtype of `x`."""
    return xp.where(x < 0, _like(negative, x), _like(other, x))


def _like(value: Any, x: Tensor) -> Tensor:
    """In the dtype of `x`; a number without a stop in float32, where TensorFlow would cast it."""
    return xp.constant(value, x.dtype) if isinstance(value, float) else xp.cast(value, x.dtype)


def exp_below(x: Tensor) -> Tensor:
    """`exp(x)` below 0, where it cannot overflow."""
    return xp.exp(xp.minimum(x, 0))


def quotient(a: Tensor, b: Tensor, y: Tensor) -> Partials:
    """`a / b`."""
    inverse = 1 / b
    return [inverse, -y * inverse], {(0, 1): -inverse * inverse, (1, 1): 2 * y * inverse * inverse}


def squared_difference(a: Tensor, b: Tensor, y: Tensor) -> Partials:
    """`(a - b)²`."""
    twice, two = 2 * (a - b), xp.constant(2, y.dtype)
    return [twice, -twice], {(0, 0): two, (0, 1): -two, (1, 1): two}


def square_of_difference(a: Series, b: Series) -> Series:
    """`(a - b)²`, as a series."""
    difference = a - b
    return difference * difference


def power_series(x: Series, p: Series) -> Series:
    """`x ** p`, with 0 where a factor of 0 meets an infinite power."""
    constant = _power_series(x, p)
    if all(stack is None for stack in p.coefficients):
        return constant
    if not xp.is_real(constant.value.dtype):
        raise NotImplementedError("orders above the second by an exponent of complex numbers")
    positive = x.value > 0
    base = Series(x.orders, xp.where(positive, x.value, xp.ones_like(x.value)), x.coefficients)
    growing = product_with_log(p, base).through(
        [constant.value / math.factorial(k) for k in range(x.orders.highest + 1)]
    )
    zero = xp.zeros_like(constant.value)
    found = [
        None
        if a is None and b is None
        else xp.where(positive, zero if a is None else a, zero if b is None else b)
        for a, b in zip(growing.coefficients, constant.coefficients, strict=True)
    ]
    return Series(x.orders, constant.value, found)


def _power_series(x: Series, p: Series) -> Series:
    """Of a constant `p`."""
    value, exponent = x.value, p.value + 0 * x.value
    found = [value**exponent]
    factor = xp.ones_like(exponent)
    for k in range(1, x.orders.highest + 1):
        factor = factor * (exponent - (k - 1)) / k
        found.append(xp.multiply_no_nan(value ** (exponent - k), factor))
    return x.through(found, infinite=True)


def log_of_sum(rate: float) -> Callable[[Series, Series], Series]:
    """`log(exp(rate a) + exp(rate b)) / rate`, as a series: `a` and a softplus of `b - a`."""

    def series(a: Series, b: Series) -> Series:
        d = b - a
        share, other = xp.sigmoid(rate * d.value), xp.sigmoid(-rate * d.value)
        slope, bend = Recurrence(share), Recurrence(rate * share * other)
        bend.grows(rate * (bend * (1 - 2 * slope)))
        # The value is not looked at: that of the result is known.
        found = Recurrence(0 * d.value).grows(slope.grows(bend))
        return a + d.through([found[k] for k in range(d.orders.highest + 1)])

    return series


def product_with_log(a: Series, b: Series) -> Series:
    """`a log(b)`, as a series."""
    return a * b.through(_of_logarithm(b.value, b.orders.highest))


def _of_logarithm(x: Tensor, highest: int) -> list[Tensor]:
    slope = 1 / x
    found = logarithm(x, xp.log(x), slope, -slope * slope)
    return [found[k] for k in range(highest + 1)]


def chosen(compare: Any) -> Any:
    """`maximum` and `minimum`; the first argument wins a tie, as in TensorFlow."""

    def derivatives(a: Tensor, b: Tensor, y: Tensor) -> Partials:
        first = xp.cast(compare(a, b), y.dtype)
        return [first, 1 - first], {}

    return derivatives


def angle_of(b: Tensor, a: Tensor, y: Tensor) -> Partials:
    """`atan2(b, a)`, by numbers whose squares are numbers still."""
    scale = 1 / xp.maximum(xp.abs(a), xp.abs(b))
    a, b = a * scale, b * scale
    per_r2 = scale / (a * a + b * b)
    by_b, by_a = a * per_r2, -b * per_r2
    mixed = by_a * by_a - by_b * by_b
    return [by_b, by_a], {(0, 0): 2 * by_b * by_a, (0, 1): mixed, (1, 1): -2 * by_b * by_a}


def angle_series(b: Series, a: Series) -> Series:
    """`atan2(b, a)`, as a series: turned so that the angle at the point is 0."""
    scale = 1 / xp.maximum(xp.abs(a.value), xp.abs(b.value))
    east, north = a.value * scale, b.value * scale
    per_r2 = scale / (east * east + north * north)
    east, north = east * per_r2, north * per_r2

    def turned(one: Series, by_one: Tensor, other: Series, by_other: Tensor, at: Tensor) -> Series:
        parts = [
            plus(scaled_if(c, by_one), scaled_if(d, by_other))
            for c, d in zip(one.coefficients, other.coefficients, strict=True)
        ]
        return Series(one.orders, at, parts)

    one = xp.ones_like(per_r2)
    along = turned(a, east, b, north, one)
    across = turned(b, east, a, -north, 0 * one)
    # The value of the arctangent is not looked at: that of the result is known.
    odd = [(-1) ** (k // 2) / k * one if k % 2 else 0 * one for k in range(a.orders.highest + 1)]
    return (across / along).through(odd)


def scaled_if(stack: Tensor | None, factor: Tensor) -> Tensor | None:
    """A stack times a tensor of its size, where there is one."""
    return None if stack is None else scaled(stack, factor)


def clipped(x: Tensor, low: Tensor, high: Tensor, y: Tensor) -> Partials:
    """`clip_by_value`."""
    below, above = x < low, x > high
    inside = xp.cast(~(below | above), y.dtype)
    return [inside, xp.cast(below, y.dtype), xp.cast(above & ~below, y.dtype)], {}
